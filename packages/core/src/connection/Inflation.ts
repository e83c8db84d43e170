/**
 * Recordings of compressed conversations as they would be without compression: to be read, compared, or played over a
 * connection that has agreed on something else. RFC 7692 section 7.2.2.
 */
import * as Effect from "effect/Effect"
import { Chunks } from "../codec/Chunks.ts"
import { isControl } from "../codec/Frame.ts"
import * as Recording from "../protocol/Recording.ts"
import type { Role } from "../protocol/WebSocketProtocol.ts"
import * as Deflate from "./Deflate.ts"
import * as Limits from "./Limits.ts"
import { Window } from "./Window.ts"

const rsv1 = 4

/** The largest window there is holds what any that was agreed on does. RFC 7692 section 7.1.2. */
const windowBits = 15

/** A compressed message, as far as it has come. */
interface Unfinished {
  readonly first: Recording.Recorded
  readonly payload: Chunks
  /** Its frames, to be left as they are if it has no end. */
  readonly frames: Array<Recording.Recorded>
}

/** One side's messages. */
class Side {
  private readonly window = new Window(2 ** windowBits)
  private unfinished: Unfinished | undefined

  /** The frames that stand for this one. */
  push(
    entry: number,
    frame: Recording.Recorded,
    maxBytes: number
  ): Effect.Effect<ReadonlyArray<Recording.Recorded>, Recording.Unplayable | Deflate.InflateError, Deflate.Deflate> {
    if (isControl(frame.opcode) || (this.unfinished === undefined && (frame.rsv & rsv1) === 0)) {
      return Effect.succeed([frame])
    }
    if (frame.cut > 0) return Effect.fail(new Recording.Unplayable({ entry, why: "not all of it was recorded" }))
    const unfinished = (this.unfinished ??= { first: frame, payload: new Chunks(), frames: [] })
    unfinished.payload.push(frame.payload)
    unfinished.frames.push(frame)
    if (!frame.fin || frame.torn > 0) return Effect.succeed([])
    this.unfinished = undefined
    const { first, payload } = unfinished
    return Effect.gen({ self: this }, function* () {
      const deflate = yield* Deflate.Deflate
      const dictionary = this.window.bytes
      const inflated = yield* deflate.inflate(payload.join(), { windowBits, dictionary, maxBytes })
      this.window.push(inflated)
      return [{ ...first, t: frame.t, fin: true, rsv: first.rsv & ~rsv1, payload: inflated }]
    })
  }

  get rest(): ReadonlyArray<Recording.Recorded> {
    return this.unfinished?.frames ?? []
  }
}

/**
 * The same recording with each compressed message as one frame that is not, where its last frame was. Nothing of it is
 * compressed any more but a message that has no end, which stays as it is, before the end of the transport.
 *
 * Fails with `Unplayable` when some of a compressed message was not kept, as those behind it may refer to it; with
 * `CorruptData`, the sender's fault; and with `TooLong` for a message of more than `maxMessageBytes`, by default 1 MiB as
 * for a connection.
 */
export const inflate = (
  recording: Recording.Recording,
  { maxMessageBytes = Limits.defaults.maxMessageBytes }: { readonly maxMessageBytes?: number | undefined } = {}
): Effect.Effect<Recording.Recording, Recording.Unplayable | Deflate.InflateError, Deflate.Deflate> =>
  Effect.gen(function* () {
    const sides: Readonly<Record<Role, Side>> = { client: new Side(), server: new Side() }
    const entries: Array<Recording.Entry> = []
    for (const [i, entry] of recording.entries.entries()) {
      if (entry._tag === "Frame") entries.push(...(yield* sides[entry.from].push(i, entry, maxMessageBytes)))
      else entries.push(entry)
    }
    const at = entries.at(-1)?._tag === "End" ? entries.length - 1 : entries.length
    entries.splice(at, 0, ...sides.client.rest, ...sides.server.rest)
    return { header: recording.header, entries }
  })
