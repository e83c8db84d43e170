/**
 * Sockets of other nodes: what they are asked, who they are, and what is done to them. Each node does it for its own, and
 * what comes back says which nodes were not heard.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Cast from "../../cluster/Cast.ts"
import type { Cluster } from "../../cluster/Cluster.ts"
import type { Json } from "../../cluster/Questions.ts"
import type { Node } from "../../cluster/NodeMessage.ts"
import * as Target from "../../cluster/Target.ts"
import * as Base64 from "../../codec/Base64.ts"
import * as Audience from "./Audience.ts"
import * as Packet from "./Packet.ts"

/** The question. */
export const question = "socket.io"

/** Longest that sockets of other nodes may take, and how long their node has beside that. In milliseconds. */
export const maxTimeout = 58_000
const patience = 2_000

/** How long nodes may take for what needs no client. */
const orderTimeout = 5_000

/** Of an answer between nodes, in bytes. What is longer is told in several. */
const pageBytes = 200_000

/** Answers of which more is to be told; the oldest are forgotten. */
const maxKept = 256

interface Options {
  readonly cluster: Pick<Cluster["Service"], "nodes" | "questions">
  readonly packets: Packet.Options
  /** Those of this node. */
  readonly sockets: (namespace: string) => Iterable<Audience.Asked>
}

const main = { namespace: "/", query: undefined } as const

/** A packet as text, and its attachments in base64. */
const wireOf = (
  packet: Packet.Packet,
  options: Packet.Options
): Result.Result<ReadonlyArray<string>, Packet.UnsendablePacket> =>
  Result.map(Packet.encode(packet, options), ({ attachments, text }) => [text, ...attachments.map(Base64.encode)])

const packetOf = (wire: unknown, options: Packet.Options): Packet.Packet | undefined => {
  if (!Array.isArray(wire)) return undefined
  const decoder = Packet.makeDecoder(options)
  for (const [i, part] of wire.entries()) {
    const data = typeof part !== "string" ? undefined : i === 0 ? part : Base64.decode(part)
    const packet = data === undefined ? undefined : decoder.push(data)
    if (packet === undefined || Result.isFailure(packet)) return undefined
    if (packet.success !== undefined) return packet.success
  }
  return undefined
}

/** Answers for this node, as long as the scope is open, and gives those of others in a namespace. One in each cluster's node. */
export const make = ({
  cluster,
  packets,
  sockets
}: Options): Effect.Effect<(namespace: string) => Audience.Others, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { nodes, questions } = cluster
    const self = nodes.self().id
    const kept = new Map<string, ReadonlyArray<Json>>()
    let count = 0

    /** The first of them, and by what the rest is asked. */
    const page = (entries: ReadonlyArray<Json>): Json => {
      let length = 0
      const first = entries.findIndex((entry) => (length += Cast.lengthOf(JSON.stringify(entry))) > pageBytes)
      if (first === -1) return [entries, null]
      const key = `${count++}`
      kept.set(key, entries.slice(Math.max(1, first)))
      if (kept.size > maxKept) kept.delete(kept.keys().next().value!)
      return [entries.slice(0, Math.max(1, first)), key]
    }

    const answer = (payload: ReadonlyArray<Json>): Effect.Effect<Json, Json> => {
      const [from, op, namespace, text, but, ...rest] = payload
      if (from === self) return Effect.succeed([[], null])
      if (op === "more" && typeof namespace === "string") {
        const entries = kept.get(namespace)
        kept.delete(namespace)
        return entries === undefined ? Effect.fail("forgotten") : Effect.succeed(page(entries))
      }
      const to = typeof text === "string" ? Target.parse(text) : undefined
      if (to === undefined || typeof namespace !== "string") return Effect.fail("no target")
      const place = { sockets: () => sockets(namespace) }
      const selection = { to, but: typeof but === "string" ? but : undefined }
      switch (op) {
        case "ask":
          return ask(place, selection, rest)
        case "fetch":
          return Effect.sync(() =>
            page(
              Audience.fetchHere(place, selection).map(({ id, isConnected, rooms, user }) => [
                id,
                user ?? null,
                isConnected,
                rooms
              ])
            )
          )
        case "Disconnect":
          return done(Audience.orderHere(place, selection, { _tag: op }))
        case "Join":
        case "Leave": {
          const rooms = rest.filter((room) => typeof room === "string")
          return done(Audience.orderHere(place, selection, { _tag: op, rooms }))
        }
        default:
          return Effect.fail("unknown")
      }
    }

    const ask = (
      place: Pick<Audience.Place, "sockets">,
      selection: Audience.Selection,
      [wire, timeout]: ReadonlyArray<Json>
    ): Effect.Effect<Json, Json> => {
      const packet = packetOf(wire, packets)
      if (packet?._tag !== "Event" || typeof timeout !== "number") return Effect.fail("no question")
      const { args, name } = packet
      const asked = Audience.askHere(place, selection, { name, args, timeout: Math.min(timeout, maxTimeout) })
      return Effect.matchEffect(asked, {
        onFailure: ({ message }) => Effect.fail(message),
        onSuccess: ({ answers, silent }) =>
          Effect.sync(() => {
            const entries = answers.map(({ args, id }): Json => {
              const wire = Result.getOrUndefined(wireOf({ _tag: "Ack", ...main, id: 0, args }, packets))
              const fits = wire !== undefined && Cast.lengthOf(JSON.stringify(wire)) <= pageBytes
              return [id, fits ? wire : null]
            })
            return page([...entries, ...silent.map((id): Json => [id, null])])
          })
      })
    }

    yield* questions.answer(question, (payload) =>
      Array.isArray(payload) ? answer(payload as ReadonlyArray<Json>) : Effect.fail("unknown")
    )

    /** What all others answer, as far as they do, and those who do not. */
    const put = (
      op: string,
      namespace: string,
      { but, to }: Audience.Selection,
      more: ReadonlyArray<Json>,
      timeout = orderTimeout
    ): Effect.Effect<{ readonly entries: ReadonlyArray<Json>; readonly unheard: ReadonlyArray<Node> }> =>
      Effect.gen(function* () {
        const payload = [self, op, namespace, Target.print(to), but ?? null, ...more]
        const asked = yield* Effect.result(questions.ask(question, payload, { timeout }))
        if (Result.isFailure(asked)) return { entries: [], unheard: nodes.list().filter(({ id }) => id !== self) }
        const entries: Array<Json> = []
        const unheard = [...asked.success.silent]
        for (const { answer, node } of asked.success.answers) {
          let page: Json | undefined = Result.getOrUndefined(answer)
          for (;;) {
            if (!Array.isArray(page) || !Array.isArray(page[0])) {
              unheard.push(node)
              break
            }
            entries.push(...(page[0] as ReadonlyArray<Json>))
            const key: unknown = page[1]
            if (typeof key !== "string") break
            const next = questions.askNode(node.id, question, [self, "more", key], { timeout: orderTimeout })
            page = Result.getOrUndefined(yield* Effect.result(next))
          }
        }
        return { entries, unheard }
      })

    return (namespace) => ({
      ask: (selection, { args, name, timeout }) => {
        const wire = wireOf({ _tag: "Event", ...main, id: undefined, name, args }, packets)
        if (Result.isFailure(wire)) return Effect.fail(wire.failure)
        const least = Math.min(timeout, maxTimeout)
        return Effect.map(
          put("ask", namespace, selection, [wire.success, least], least + patience),
          ({ entries, unheard }) => {
            const answers: Array<Audience.Answers["answers"][number]> = []
            const silent: Array<string> = []
            for (const entry of entries) {
              const [id, wire] = Array.isArray(entry) ? entry : []
              if (typeof id !== "string") continue
              const packet = packetOf(wire, packets)
              if (packet?._tag === "Ack") answers.push({ id, args: packet.args })
              else silent.push(id)
            }
            return { answers, silent, unheard }
          }
        )
      },
      fetch: (selection) =>
        Effect.map(put("fetch", namespace, selection, []), ({ entries, unheard }) => ({
          sockets: entries.flatMap((entry): ReadonlyArray<Audience.Known> => {
            const [id, user, isConnected, rooms] = Array.isArray(entry) ? (entry as ReadonlyArray<unknown>) : []
            if (typeof id !== "string" || !Array.isArray(rooms)) return []
            return [{ id, user: typeof user === "string" ? user : undefined, isConnected: isConnected === true, rooms }]
          }),
          unheard
        })),
      order: (selection, order) =>
        Effect.map(
          put(order._tag, namespace, selection, order._tag === "Disconnect" ? [] : order.rooms),
          ({ entries, unheard }) => ({
            count: entries.reduce((sum: number, count) => sum + (typeof count === "number" ? count : 0), 0),
            unheard
          })
        )
    })
  })

const done = (count: Effect.Effect<number>): Effect.Effect<Json> => Effect.map(count, (count) => [[count], null])
