/**
 * The flags that let a person see what goes over a connection, `--frames` and `--record`, and the tap that does it.
 *
 * Frames are shown on standard error, as all that a command has to say by itself, so that the messages on standard
 * output can still be piped to something else.
 */
import * as Recorder from "@millrace/core/connection/Recorder"
import type { Tap } from "@millrace/core/connection/Tap"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Flag from "effect/cli/Flag"
import type { Failure } from "./Failure.ts"
import { Frames, type Look } from "./frames.ts"
import * as record from "./record.ts"

/** To be spread among the flags of a command. */
export const flags = {
  frames: Flag.Boolean("frames").pipe(
    Flag.withDescription("Show the frames in both directions, on standard error."),
    Flag.withDefault(false)
  ),
  record: Flag.String("record").pipe(
    Flag.withMetavar("file"),
    Flag.withDescription(
      "Keep the frames in both directions in that file, in place of what it holds, a line each, for millrace replay. " +
        "It will hold what was said, secrets included."
    ),
    Flag.optional
  )
}

/** What `flags` are read into. */
export interface Values {
  readonly frames: boolean
  readonly record: Option.Option<string>
}

/** Where standard error is no terminal, or one that does not know. */
const standardColumns = 120

const look = (maxMessageBytes: number): Look => {
  const { stderr } = process
  return {
    columns: () => stderr.columns || standardColumns,
    isColoured: stderr.isTTY && !process.env["NO_COLOR"] && stderr.hasColors(),
    maxMessageBytes
  }
}

/** Of one payload: any longer, and its line could become longer than a string can be. */
const mostKept = 67_108_864

/** Of a payload, to be shown: more than any terminal is wide. */
const mostShown = 4_096

/** Sees all that it is given: a file and a screen are full when they are full. */
const limits = { maxEntries: Number.POSITIVE_INFINITY, maxBytes: Number.POSITIVE_INFINITY }

/** A tap that does what the flags ask for, for one connection; `undefined` for nothing. Fails for a file that cannot be written. */
export const tap = (values: Values, maxMessageBytes: number): Effect.Effect<Tap | undefined, Failure, Scope.Scope> =>
  Effect.gen(function* () {
    const file = Option.isSome(values.record) ? yield* record.open(values.record.value) : undefined
    if (file === undefined && !values.frames) return undefined
    const clock = yield* Clock.Clock
    return (transport, facts) => {
      const frames = values.frames ? new Frames(facts, look(maxMessageBytes)) : undefined
      // What is compressed can only be inflated whole.
      const isWhole = file !== undefined || facts.extensions.rsv !== 0
      const maxPayloadBytes = isWhole ? Math.min(2 * maxMessageBytes, mostKept) : mostShown
      return Recorder.tapUnsafe(clock, transport, facts, { ...limits, maxPayloadBytes }, (line) => {
        const shown = frames?.line(line)
        if (shown !== undefined) console.error(shown)
        file?.(line)
      })
    }
  })
