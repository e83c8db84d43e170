/**
 * `millrace replay`: says to a server again what a client said in a recording, and whether the server answers as it did.
 *
 * Standard output has what came of it and nothing else; what the command has to say, and the frames, go to standard
 * error.
 */
import { constants } from "node:buffer"
import { readFileSync, statSync } from "node:fs"
import * as Extensions from "@millrace/core/codec/Extensions"
import * as PerMessageDeflate from "@millrace/core/codec/PerMessageDeflate"
import * as Deflate from "@millrace/core/connection/Deflate"
import type { Extension } from "@millrace/core/connection/Extension"
import * as Inflation from "@millrace/core/connection/Inflation"
import * as Player from "@millrace/core/connection/Player"
import type * as Recorder from "@millrace/core/connection/Recorder"
import type { Tap } from "@millrace/core/connection/Tap"
import * as Recording from "@millrace/core/protocol/Recording"
import * as RecordingText from "@millrace/core/protocol/RecordingText"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as NodeDeflate from "../NodeDeflate.ts"
import * as NodeWebSocket from "../NodeWebSocket.ts"
import { Failure } from "./Failure.ts"
import * as flags from "./flags.ts"
import * as inspect from "./inspect.ts"
import * as verdict from "./verdict.ts"
import * as words from "./words.ts"

/** The server answers, and not as it did. 1 is for what could not be played. */
const differs = 2

/** Of an inflated message, in bytes. */
const maxMessageBytes = 67_108_864

/** Of a file, in bytes: a string can be no longer. */
const longest = constants.MAX_STRING_LENGTH

interface Loaded {
  readonly path: string
  readonly recording: Recording.Recording
  /** The line of an entry, counted from 1. */
  readonly lineOf: (entry: number) => number
}

const load = (path: string): Effect.Effect<Loaded, Failure> =>
  Effect.gen(function* () {
    const text = yield* Effect.try({
      try: () => (statSync(path).size > longest ? undefined : readFileSync(path, "utf8")),
      catch: (cause) => new Failure({ sentence: words.noFile("read", path, cause) })
    })
    if (text === undefined) {
      return yield* new Failure({
        sentence: `${words.line(path)} is too long to be played: more than ${longest} bytes`
      })
    }
    const parsed = RecordingText.parse(text)
    if (Result.isFailure(parsed)) {
      const { detail, line } = parsed.failure
      // One whose writer was killed while it wrote.
      const isTorn = line > 1 && text.split("\n").length === line
      const hint = isTorn ? "; it is the last line and has no end, so take it away to play what is before it" : ""
      return yield* new Failure({ sentence: `line ${line} of ${words.line(path)}: ${words.line(detail)}${hint}` })
    }
    const lines = text.split("\n").flatMap((content, i) => (content.trim() === "" ? [] : [i + 1]))
    return { path, recording: parsed.success, lineOf: (entry) => lines[entry + 1]! }
  })

const unplayable = ({ lineOf, path, recording }: Loaded, { entry, why }: Recording.Unplayable): Failure => {
  const frame = recording.entries[entry]
  // What was not kept cannot be inflated either.
  const isCoded = frame?._tag === "Frame" && frame.rsv !== 0 && frame.cut === 0
  const hint = isCoded ? "; --inflate plays it without compression" : ""
  return new Failure({ sentence: `line ${lineOf(entry)} of ${words.line(path)} cannot be played: ${why}${hint}` })
}

/** An offer to which a server that agreed to it then can only agree in the same way. What is not known is not offered. */
const offers = ({ header }: Recording.Recording): ReadonlyArray<Extension> => {
  if (header.extensions === undefined) return []
  const answered = Result.getOrElse(Extensions.parse(header.extensions), () => [])
  const known = answered.find(({ name }) => name === PerMessageDeflate.name)
  const offer = known === undefined ? undefined : Result.getOrUndefined(PerMessageDeflate.readOffer(known))
  return offer === undefined ? [] : [NodeDeflate.compression({ offers: [offer] })]
}

/** As much again as there is in the recording and then some: a server that has changed may have more to say. */
const limits = ({ entries }: Recording.Recording): Recorder.Options => {
  const sizes = entries.map((entry) => ("cut" in entry ? Recording.wireLength(entry) : 0))
  const maxBytes = 2 * sizes.reduce((sum, size) => sum + size, 0) + 16_777_216
  return { maxEntries: 2 * entries.length + 10_000, maxBytes, maxPayloadBytes: maxBytes }
}

/** Both without compression, where both can be: the same may be compressed to other bytes by another zlib. */
const inflated = (pair: readonly [Recording.Recording, Recording.Recording]) =>
  Effect.forEach(pair, (one) => Inflation.inflate(one, { maxMessageBytes })).pipe(
    Effect.map(([a, b]) => [a!, b!] as const),
    Effect.orElseSucceed(() => pair),
    Effect.provideService(Deflate.Deflate, NodeDeflate.make())
  )

/** The same recording as if nothing had been compressed. */
const uncompressed = (loaded: Loaded): Effect.Effect<Recording.Recording, Failure> =>
  Inflation.inflate(loaded.recording, { maxMessageBytes }).pipe(
    Effect.map(({ entries, header }) => ({ header: { ...header, extensions: undefined }, entries })),
    Effect.mapError((error) =>
      error._tag === "Unplayable"
        ? unplayable(loaded, error)
        : new Failure({ sentence: `${words.line(loaded.path)} cannot be played: ${error.message}` })
    ),
    Effect.provideService(Deflate.Deflate, NodeDeflate.make())
  )

/** The tap of the player above that of the person who looks on. */
const above = (tap: Tap, below: Tap | undefined): Tap =>
  below === undefined ? tap : (transport, facts) => tap(below(transport, facts), facts)

const paces: ReadonlyMap<string, Player.Pace> = new Map([
  ["answers", "answers"],
  ["recorded", "recorded"],
  ["at-once", "at once"]
])

export const replay = Command.make(
  "replay",
  {
    file: Argument.String("file").pipe(
      Argument.withDescription("A recording, as millrace connect --record makes them.")
    ),
    url: Argument.String("url").pipe(Argument.withDescription("ws:, wss:, http: or https:")),
    header: flags.header,
    pace: Flag.String("pace").pipe(
      Flag.withMetavar("pace"),
      Flag.withDescription(
        "When the next frame is sent: when the server has said as much as it had by then (answers), at the recorded time " +
          "(recorded), or without waiting (at-once). Default answers."
      ),
      Flag.withDefault("answers"),
      Flag.filterMap(
        (name) => Option.fromUndefinedOr(paces.get(name)),
        () => "answers, recorded or at-once"
      )
    ),
    patience: flags
      .duration("patience")
      .pipe(
        Flag.withDescription("How long to wait for what the server said then, such as 500ms or 1m. Default 10s."),
        Flag.withDefault(10_000)
      ),
    inflate: Flag.Boolean("inflate").pipe(
      Flag.withDescription("Play compressed messages without compression, for a server that has none."),
      Flag.withDefault(false)
    ),
    json: Flag.Boolean("json").pipe(
      Flag.withDescription('Say what came of it as a line of JSON, with "same" and, if not, "difference".'),
      Flag.withDefault(false)
    ),
    inspect: inspect.flags
  },
  ({ file, header, inflate, inspect: inspected, json, pace, patience, url }) =>
    Effect.gen(function* () {
      const loaded = yield* load(file)
      const recording = inflate ? yield* uncompressed(loaded) : loaded.recording
      const { subprotocol } = recording.header
      const below = yield* inspect.tap(inspected, maxMessageBytes)
      const open = (tap: Tap) =>
        Effect.tap(
          NodeWebSocket.open(url, {
            headers: header,
            subprotocols: subprotocol === undefined ? [] : [subprotocol],
            extensions: offers(recording),
            // The connection hears nothing, and would take the server for dead.
            limits: { pingInterval: Duration.infinity },
            tap: above(tap, below)
          }),
          () => words.say(`playing ${words.line(file)} to ${url}`)
        )
      const played = yield* Player.playThrough(recording, open, {
        pace,
        patience,
        limits: limits(recording)
      }).pipe(
        Effect.mapError((error) =>
          error._tag === "Unplayable"
            ? unplayable(loaded, error)
            : new Failure({ sentence: words.unopened(url, error) })
        )
      )
      const difference = verdict.compare(...(yield* inflated([recording, played])))
      const answers = verdict.answers(loaded.recording)
      const entry = difference !== undefined && "index" in difference ? answers[difference.index]?.entry : undefined
      const line = entry === undefined ? undefined : loaded.lineOf(entry)
      const context = { path: file, line, answers, played }
      if (json) yield* Console.log(verdict.json(difference, context))
      else yield* Console.log(difference === undefined ? verdict.same(context) : verdict.print(difference, context))
      if (difference === undefined) return
      yield* new Failure({ sentence: "the server does not say what it said in the recording", exitCode: differs })
    }).pipe(
      Effect.scoped,
      // Ctrl-C ends it in good order, and nobody is to take that for a yes.
      Effect.onInterrupt(() =>
        Effect.sync(() => {
          process.exitCode = 130
        })
      )
    )
).pipe(
  Command.withDescription(
    "Say to a server again what a client said in a recording, frame by frame, faults included, and see whether the server " +
      "answers as it did: messages, Closes and bytes that are no frame are compared, in order; times, fragments, Pings and " +
      "Pongs are not. The first difference is shown. The exit code is 0 when there is none, 2 when there is one, and 1 when " +
      "the recording could not be played: it is none, or the connection was not opened."
  ),
  Command.withShortDescription("Play a recording to a server, and compare what it answers"),
  Command.withExamples([
    { command: "millrace replay talk.jsonl ws://localhost:9001/", description: "To an echo server" },
    {
      command: "millrace replay talk.jsonl wss://example.com/chat --pace recorded",
      description: "At the recorded times"
    },
    { command: "millrace replay talk.jsonl ws://localhost:9001/ --json", description: "For a program" }
  ])
)
