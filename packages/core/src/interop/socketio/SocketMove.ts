/**
 * A socket that goes to another node, where its client has come back: its id, its rooms with where it is in them, what
 * was said to it alone and its client has not seen, and answers that it waits for. What was published the other node has
 * from the log. The socket is over where it was.
 *
 * What is not in it is what a program holds: its listeners are asked for anew. A socket for which one of them is at work,
 * or that asks its client something, does not go; nor does one whose state is longer than a broker takes.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { Cluster } from "../../cluster/Cluster.ts"
import * as Position from "../../cluster/Position.ts"
import type { Json } from "../../cluster/Questions.ts"
import * as Base64 from "../../codec/Base64.ts"
import type { KeptEvent } from "./KeptEvents.ts"
import * as Packet from "./Packet.ts"
import * as SocketWire from "./SocketWire.ts"

/** The question. */
export const question = "socket.io move"

/** How long a node may take to let a socket go. */
const timeout = "5 seconds"

/** How often a socket may have gone to another node since its client was let in there. */
const maxHops = 8

/** What goes. */
export interface Moved {
  readonly id: string
  readonly user: string | undefined
  readonly rooms: ReadonlyArray<{
    readonly topic: string
    readonly name: string
    readonly at: Position.Position | undefined
  }>
  readonly events: ReadonlyArray<KeptEvent>
  /** How many events were said to it alone. */
  readonly last: number
  readonly unsaid: ReadonlyArray<{ readonly id: number; readonly args: ReadonlyArray<unknown> }>
}

/** Where it is by what its client says. */
export interface Wanted {
  readonly pid: string
  readonly namespace: string
  readonly query: string | undefined
  readonly offset: string | undefined
  readonly user: string | undefined
}

interface Options {
  readonly cluster: Pick<Cluster["Service"], "nodes" | "questions">
  readonly packets: Packet.Options
  /** Ends the socket, if there is one, and gives what it was; `undefined` where it cannot go. */
  readonly letGo: (wanted: Wanted) => Effect.Effect<Moved | undefined>
  /** Sockets that have gone are remembered by where to, so many. */
  readonly maxSockets: number
}

export interface Moves {
  /** What only the client of a new socket knows, with this node in it. */
  readonly named: (secret: string) => string
  /** Has another node let it go to this one; `undefined` where there is none, or it cannot. */
  readonly fetch: (wanted: Wanted) => Effect.Effect<Moved | undefined>
}

const main = { namespace: "/", query: undefined } as const

const print = (moved: Moved, packets: Packet.Options): Json | undefined => {
  const unsaid: Array<Json> = []
  for (const { args, id } of moved.unsaid) {
    const ack = Packet.encode({ _tag: "Ack", ...main, id, args }, packets)
    if (Result.isFailure(ack)) return undefined
    unsaid.push([ack.success.text, ...ack.success.attachments.map(Base64.encode)])
  }
  return [
    moved.id,
    moved.user ?? null,
    moved.rooms.map(({ at, name, topic }) => [topic, name, at === undefined ? null : Position.print(at)]),
    moved.events.map(({ at, number, wire }) => [
      Position.print(at),
      number,
      wire.messages.map((data) => (typeof data === "string" ? data : Base64.encode(data)))
    ]),
    moved.last,
    unsaid
  ]
}

/** Text, and attachments in base64. */
const messagesOf = (value: unknown): ReadonlyArray<string | Uint8Array> | undefined => {
  if (!Array.isArray(value) || value.length === 0) return undefined
  const messages: Array<string | Uint8Array> = []
  for (const [i, part] of value.entries()) {
    const data = typeof part !== "string" ? undefined : i === 0 ? part : Base64.decode(part)
    if (data === undefined) return undefined
    messages.push(data)
  }
  return messages
}

const positionOf = (value: unknown): Position.Position | undefined =>
  typeof value === "string" ? Position.parse(value) : undefined

/** `undefined` for what is not whole. */
const parse = (value: Json, packets: Packet.Options): Moved | undefined => {
  const [id, user, rooms, events, last, unsaid] = Array.isArray(value) ? (value as ReadonlyArray<unknown>) : []
  if (typeof id !== "string" || typeof last !== "number") return undefined
  if (!Array.isArray(rooms) || !Array.isArray(events) || !Array.isArray(unsaid)) return undefined
  const moved = {
    id,
    user: typeof user === "string" ? user : undefined,
    last,
    rooms: new Array<Moved["rooms"][number]>(),
    events: new Array<KeptEvent>(),
    unsaid: new Array<Moved["unsaid"][number]>()
  }
  for (const room of rooms) {
    const [topic, name, at] = Array.isArray(room) ? room : []
    if (typeof topic !== "string" || typeof name !== "string") return undefined
    moved.rooms.push({ topic, name, at: positionOf(at) })
  }
  for (const event of events) {
    const [text, number, parts] = Array.isArray(event) ? event : []
    const [at, messages] = [positionOf(text), messagesOf(parts)]
    if (at === undefined || messages === undefined || typeof number !== "number") return undefined
    moved.events.push({ at, number, wire: new SocketWire.Wire(messages) })
  }
  for (const answer of unsaid) {
    const decoder = Packet.makeDecoder(packets)
    let packet: Packet.Packet | undefined
    for (const data of messagesOf(answer) ?? []) packet = Result.getOrUndefined(decoder.push(data))
    if (packet?._tag !== "Ack") return undefined
    moved.unsaid.push({ id: packet.id, args: packet.args })
  }
  return moved
}

/** Lets sockets go as long as the scope is open. */
export const make = ({ cluster, letGo, maxSockets, packets }: Options): Effect.Effect<Moves, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { nodes, questions } = cluster
    const self = nodes.self().id
    const gone = new Map<string, string>()

    yield* questions.answer(question, (payload) => {
      const [to, pid, namespace, query, offset, user] = Array.isArray(payload) ? (payload as ReadonlyArray<Json>) : []
      if (typeof to !== "string" || typeof pid !== "string" || typeof namespace !== "string") {
        return Effect.fail("no socket")
      }
      const wanted = { pid, namespace, query: textOf(query), offset: textOf(offset), user: textOf(user) }
      return Effect.flatMap(letGo(wanted), (moved): Effect.Effect<Json, Json> => {
        const json = moved === undefined ? undefined : print(moved, packets)
        if (json === undefined) return Effect.succeed(gone.get(pid) ?? null)
        gone.delete(pid)
        gone.set(pid, to)
        if (gone.size > maxSockets) gone.delete(gone.keys().next().value!)
        return Effect.succeed(json)
      })
    })

    return {
      named: (secret) => `${secret}.${self}`,
      fetch: ({ namespace, offset, pid, query, user }) =>
        Effect.gen(function* () {
          let node = pid.slice(pid.indexOf(".") + 1)
          for (let hop = 0; hop < maxHops; hop++) {
            if (node === self) {
              const next = gone.get(pid)
              if (next === undefined) return undefined
              node = next
              continue
            }
            const wanted = [self, pid, namespace, query ?? null, offset ?? null, user ?? null]
            const answer = Result.getOrUndefined(
              yield* Effect.result(questions.askNode(node, question, wanted, { timeout }))
            )
            if (typeof answer !== "string") return answer === undefined ? undefined : parse(answer, packets)
            node = answer
          }
          return undefined
        })
    }
  })

const textOf = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined)
