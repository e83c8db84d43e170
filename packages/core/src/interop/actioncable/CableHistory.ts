/**
 * What was published behind where a client was, and then what comes: nothing is told before what stands before it in the
 * log, nothing twice, and nothing is left out. While the client is told what it has missed, what is published is held back
 * from it; it is looked up in the log afterwards, until there is no more of it.
 *
 * What has no place in the log, as a whisper, is for who is there now: it is not told to who catches up.
 */
import * as Effect from "effect/Effect"
import type * as Hub from "../../cluster/Hub.ts"
import * as Position from "../../cluster/Position.ts"
import { Publication } from "../../cluster/Publication.ts"
import * as Prepared from "../../connection/Prepared.ts"
import * as Content from "../Content.ts"
import type { CableMember } from "./CableMember.ts"
import type * as Packet from "./Packet.ts"

/** Whom to tell, and of what. */
export interface Reader<E, R> {
  readonly hub: Hub.Hub["Service"]
  readonly identifier: string
  readonly topics: ReadonlyArray<string>
  /** `undefined` where there are no topics. */
  readonly member: CableMember | undefined
  readonly tell: (
    transmission: Packet.ConfirmHistory | Packet.Message | Packet.RejectHistory
  ) => Effect.Effect<void, E, R>
}

/** `Gap`: something was published meanwhile that cannot be told any more. The member is still held then. */
export type End = "Gap" | "Live"

type Positions = ReadonlyMap<string, Position.Position>

interface Found {
  readonly messages: ReadonlyArray<Packet.Message>
  readonly to: Position.Position
}

/** Of one topic, from a time in seconds where it says so; `undefined` when some of it is not kept, or may not be. */
const find = (
  { hub, identifier }: Reader<unknown, unknown>,
  topic: string,
  position: Position.Position | undefined,
  since = 0
): Effect.Effect<Found | undefined> =>
  Effect.map(Effect.option(hub.since([topic], position)), (missed) => {
    if (missed._tag === "None" || (position !== undefined && missed.value.gap.length > 0)) return undefined
    const { entries, to } = missed.value
    const messages = entries.flatMap(({ offset, value }): ReadonlyArray<Packet.Message> => {
      const at = { epoch: to.epoch, offset }
      const content = Content.of(new Publication(topic, Prepared.make(value.message), at))
      // JSON has no word for bytes.
      if (content._tag === "Bytes" || (content.time !== undefined && content.time < since * 1_000)) return []
      return [{ _tag: "Message", identifier, message: JSON.parse(content.data), position: { stream: topic, ...at } }]
    })
    return { messages, to }
  })

/** Answers a request: all that it asks for or nothing, and then what comes. */
export const answer = <E, R>(
  reader: Reader<E, R>,
  { since, streams }: Packet.HistoryRequest
): Effect.Effect<End, E, R> =>
  Effect.gen(function* () {
    const { identifier, member, tell, topics } = reader
    member?.hold()
    const reached = new Map<string, Position.Position>()
    const messages: Array<Packet.Message> = []
    for (const topic of topics) {
      const position = streams.get(topic)
      if (position === undefined && since === undefined) continue
      const found = yield* find(reader, topic, position, position === undefined ? since : undefined)
      if (found === undefined) {
        yield* tell({ _tag: "RejectHistory", identifier })
        return yield* release(reader)
      }
      for (const message of found.messages) messages.push(message)
      reached.set(topic, found.to)
    }
    for (const message of messages) yield* tell(message)
    yield* tell({ _tag: "ConfirmHistory", identifier })
    return yield* release(reader, reached)
  })

/** Tells what was held back behind what the client has reached, until nothing more is. */
export const release = <E, R>(
  reader: Reader<E, R>,
  from: Positions = new Map<string, Position.Position>()
): Effect.Effect<End, E, R> =>
  Effect.gen(function* () {
    const { member, tell } = reader
    const reached = new Map(from)
    for (;;) {
      const held = member?.takeHeld() ?? new Map<string, never>()
      if (held === "Lost") return "Gap"
      const missing = [...held].filter(([topic, { last }]) => {
        const position = reached.get(topic)
        return position === undefined || Position.isBehind(last, position)
      })
      if (missing.length === 0) {
        member?.release()
        return "Live"
      }
      for (const [topic, { before, last }] of missing) {
        const found = yield* find(reader, topic, reached.get(topic) ?? before)
        if (found === undefined || Position.isBehind(last, found.to)) return "Gap"
        for (const message of found.messages) yield* tell(message)
        reached.set(topic, found.to)
      }
    }
  })
