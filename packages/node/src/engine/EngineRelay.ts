/**
 * Sessions of other nodes: a poll, a post or a WebSocket that has come to the wrong node goes by the broker to the right
 * one, and what is answered comes back. So a balancer needs to know nothing of sessions.
 *
 * A session's name says which node has it. The session stays there: a WebSocket that comes to another node is passed on
 * for as long as it lives. What is answered to a poll was taken out of the session, so where it did not come to the node
 * of the poll the session ends: the client begins anew and knows it.
 */
import { randomBytes } from "node:crypto"
import type { Cluster } from "@millrace/core/cluster/Cluster"
import type { Json } from "@millrace/core/cluster/Questions"
import { LinkConnection } from "@millrace/core/connection/LinkConnection"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import * as EngineRequest from "@millrace/core/interop/engineio/EngineRequest"
import type { EngineServer } from "@millrace/core/interop/engineio/EngineServer"
import type { EngineSession } from "@millrace/core/interop/engineio/EngineSession"
import * as Packet from "@millrace/core/interop/engineio/Packet"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { type Ack, type End, Flow, type Line, type Taker } from "./EngineFlow.ts"
import { FlowLink } from "./FlowLink.ts"

/** How a request is answered. */
export interface Answer {
  readonly status: number
  readonly body: string
}

/** Where a session is, as far as it can be told: `Unknown` also where its node does not answer. */
export type Found = "Open" | "Unknown" | "Upgraded"

export interface Options {
  readonly cluster: Pick<Cluster["Service"], "nodes" | "questions">
  readonly path: string
  readonly engine: EngineServer
  /** Requests and WebSockets at a time that are passed on. */
  readonly maxFlows: number
  /** Longest answer of a poll, in bytes. */
  readonly maxAnswerBytes: number
}

export interface Relay {
  /** The node that has the session; `undefined` when that is this one, or none that is there. */
  readonly nodeOf: (sid: string) => string | undefined
  readonly find: (node: string, sid: string) => Effect.Effect<Found>
  /** Given up where it is interrupted. */
  readonly poll: (node: string, sid: string) => Effect.Effect<Answer>
  readonly post: (node: string, sid: string, body: Uint8Array) => Effect.Effect<Answer>
  /** Passes on what a WebSocket says and hears, to its end. */
  readonly attach: (node: string, sid: string, socket: WebSocket) => Effect.Effect<void>
}

type Kind = "poll" | "post" | "socket"

/** How long one question may take. A part is asked again when it has no answer. */
const askTimeout = "5 seconds"

/** Flows that are over are remembered, so that a part whose acknowledgement was lost is acknowledged again. */
const remembered = 1_024

/** Bytes of an answer beside what was queued, such as a ping. */
const slack = 1_024

/** Of a WebSocket, in bytes and milliseconds. */
const outboxBytes = 1_048_576
const inboxBytes = 65_536
const closeTimeout = 5_000

const refusalOf = (code: EngineRequest.Code): Answer => {
  const { json, status } = new EngineRequest.EngineRefusal({ code })
  return { status, body: json }
}

/** The session is gone, as far as can be told, and the client begins anew. */
const unknown = refusalOf(1)
const bad = refusalOf(3)

const ignore = () => {}
const acks: ReadonlySet<unknown> = new Set<Ack>(["gone", "ok", "wait"])

/** As long as the scope is open; at its end nothing is passed on any more. */
export const make = (options: Options): Effect.Effect<Relay, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { engine, maxAnswerBytes, maxFlows, path } = options
    const { nodes, questions } = options.cluster
    const self = nodes.self().id
    const name = `engine.io ${path}`
    const context = yield* Effect.context<never>()
    const prefix = `${self}:${randomBytes(6).toString("base64url")}:`
    const flows = new Map<string, Flow>()
    const finished = new Map<string, number>()
    const run = yield* Effect.map(
      Effect.flatMap(FiberSet.make<void, never>(), (fibers) => FiberSet.runtime(fibers)<never>()),
      (fork) => (effect: Effect.Effect<void>) => fork(effect)
    )
    let count = 0

    const line: Line = {
      maxLength: Math.max(engine.maxPayload, maxAnswerBytes) + slack,
      run: (effect) => void run(effect),
      ask: (node, part) =>
        Effect.match(questions.askNode(node, name, part, { timeout: askTimeout }), {
          onFailure: () => (nodes.get(node) === undefined ? "gone" : undefined),
          onSuccess: (ack) => (acks.has(ack) ? (ack as Ack) : undefined)
        }),
      over: ({ id }, taken) => {
        flows.delete(id)
        finished.set(id, taken)
        if (finished.size > remembered) finished.delete(finished.keys().next().value!)
      }
    }

    // For sessions of this node.

    const serve = (flow: Flow, kind: string, sid: string): void => {
      const session = engine.find(sid)
      if (kind === "poll" && session !== undefined) return servePoll(flow, session)
      if (kind === "post" && session !== undefined) return servePost(flow, session)
      if (kind === "socket" && session !== undefined) return serveSocket(flow, session)
      flow.start({ message: ignore, room: Effect.void, ended: ignore })
      flow.finish(unknown.status, unknown.body)
    }

    const servePoll = (flow: Flow, session: EngineSession): void => {
      let isAnswered = false
      const answer = (packets: ReadonlyArray<Packet.Packet>) => {
        isAnswered = packets.some(({ _tag }) => _tag !== "Noop")
        const body = Packet.encodePayload(packets)
        flow.send(Result.isSuccess(body) ? body.success : "")
        flow.finish(200, "")
      }
      let poll: { readonly interruptUnsafe: () => void } | undefined
      flow.start({
        message: ignore,
        room: Effect.void,
        ended: (by) => {
          if (by === "us") return
          if (isAnswered) session.shutdownUnsafe()
          else poll?.interruptUnsafe()
        }
      })
      poll = run(Effect.match(session.poll, { onSuccess: answer, onFailure: () => flow.finish(bad.status, bad.body) }))
    }

    const servePost = (flow: Flow, session: EngineSession): void => {
      const body = Deferred.makeUnsafe<Uint8Array, "cut">()
      flow.start({
        message: (data) => {
          const isTaken = typeof data !== "string" && data.length <= engine.maxPayload
          Deferred.doneUnsafe(body, isTaken ? Exit.succeed(data) : Exit.fail("cut"))
        },
        room: Effect.void,
        ended: () => void Deferred.doneUnsafe(body, Exit.fail("cut"))
      })
      run(
        Effect.match(session.post(Deferred.await(body)), {
          onSuccess: () => flow.finish(200, "ok"),
          onFailure: () => flow.finish(bad.status, bad.body)
        })
      )
    }

    const serveSocket = (flow: Flow, session: EngineSession): void => {
      let link: FlowLink | undefined
      const connection = new LinkConnection<undefined>({
        link: (owner) => (link = new FlowLink(owner, flow)),
        handshake: undefined,
        limits: { maxMessageBytes: engine.maxPayload, inboxBytes, outboxBytes, closeTimeout },
        context
      })
      flow.start(link!)
      run(Effect.ensuring(session.attach(connection), connection.shutdown(Exit.void)))
    }

    const take = (payload: ReadonlyArray<Json>): Effect.Effect<Json> => {
      const [id, number, opening, items, end] = payload
      if (id === "find") {
        const session = typeof number === "string" ? engine.find(number) : undefined
        const found: Found = session === undefined ? "Unknown" : session.isUpgraded ? "Upgraded" : "Open"
        return Effect.succeed(found)
      }
      if (typeof id !== "string" || typeof number !== "number" || !Array.isArray(items)) return Effect.succeed("gone")
      let flow = flows.get(id)
      if (flow === undefined) {
        const taken = finished.get(id)
        if (taken !== undefined) return Effect.succeed(number < taken ? "ok" : "gone")
        const [kind, sid] = Array.isArray(opening) ? opening : []
        const node = id.slice(0, id.indexOf(":"))
        if (number !== 0 || typeof kind !== "string" || typeof sid !== "string" || flows.size >= 4 * maxFlows) {
          return Effect.succeed("gone")
        }
        flow = new Flow(line, id, node)
        flows.set(id, flow)
        serve(flow, kind, sid)
      }
      return flow.receive(number, items, end)
    }

    yield* questions.answer(name, (payload) =>
      Array.isArray(payload) ? take(payload as ReadonlyArray<Json>) : Effect.succeed("gone")
    )
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const flow of flows.values()) flow.lose()
      })
    )
    yield* nodes.listen({
      left: ({ id }) => {
        for (const flow of flows.values()) if (flow.node === id) flow.lose()
      }
    })

    // For those of other nodes.

    const open = (node: string, kind: Kind, sid: string): Flow => {
      const flow = new Flow(line, `${prefix}${count++}`, node, [kind, sid])
      flows.set(flow.id, flow)
      return flow
    }

    const ask = (node: string, kind: Kind, sid: string, body?: Uint8Array): Effect.Effect<Answer> =>
      Effect.callback((resume) => {
        if (flows.size >= maxFlows) return resume(Effect.succeed({ status: 503, body: "" }))
        const flow = open(node, kind, sid)
        let text = ""
        let isGivenUp = false
        flow.start({
          message: (data) => void (text += typeof data === "string" ? data : ""),
          // What is answered meanwhile has nobody to come to: it is not acknowledged, so that the session ends.
          room: Effect.suspend(() => (isGivenUp ? Effect.never : Effect.void)),
          ended: (_by: "lost" | "them" | "us", end: End | undefined) =>
            resume(
              Effect.succeed(
                end === undefined ? unknown : { status: end.code, body: end.text === "" ? text : end.text }
              )
            )
        })
        if (body !== undefined) flow.send(body)
        return Effect.sync(() => {
          isGivenUp = true
          flow.finish(0, "")
        })
      })

    const attach = (node: string, sid: string, socket: WebSocket): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (flows.size >= maxFlows) return Effect.ignore(socket.close(1013))
        const flow = open(node, "socket", sid)
        let go: (() => void) | undefined
        const isFull = () => !flow.isOver && flow.buffered >= outboxBytes
        const taker: Taker = {
          message: (data) => void run(Effect.ignore(socket.send(data))),
          room: socket.room,
          drained: () => {
            if (!isFull()) go?.()
          },
          ended: () => {
            go?.()
            run(Effect.andThen(Effect.timeoutOption(socket.room, closeTimeout), Effect.ignore(socket.close())))
          }
        }
        flow.start(taker)
        const room = Effect.callback<void>((resume) => {
          if (!isFull()) return resume(Effect.void)
          go = () => resume(Effect.void)
        })
        return socket.pull.pipe(
          Effect.flatMap((messages) => {
            for (const message of messages) flow.send(message._tag === "Text" ? message.text : message.bytes)
            return room
          }),
          Effect.forever({ disableYield: true }),
          Pull.catchDone(() => Effect.void),
          Effect.ignore,
          Effect.onExit(() => Effect.sync(() => flow.finish(1000, "")))
        )
      })

    return {
      nodeOf: (sid) => {
        const node = engine.nodeOf(sid)
        return node === undefined || node === self || nodes.get(node) === undefined ? undefined : node
      },
      find: (node, sid) =>
        Effect.match(questions.askNode(node, name, ["find", sid], { timeout: askTimeout }), {
          onFailure: () => "Unknown",
          onSuccess: (found) => (found === "Open" || found === "Upgraded" ? found : "Unknown")
        }),
      poll: (node, sid) => ask(node, "poll", sid),
      post: (node, sid, body) => ask(node, "post", sid, body),
      attach
    }
  })
