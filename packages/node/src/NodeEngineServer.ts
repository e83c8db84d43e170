/**
 * Engine.IO v4 on Node.js: sessions over long-polling and WebSockets, at one path of a server that is there.
 *
 *     const engine = yield* NodeEngineServer.attach(server, { path: "/engine.io/" }, () =>
 *       Effect.succeed((session) => ({
 *         deliver: (data) => Effect.ignore(session().send([data])),
 *         ended: () => {}
 *       })))
 *
 * What is said in a session is Socket.IO's, mostly: see `NodeSocketIoServer`.
 */
import type { Cluster } from "@millrace/core/cluster/Cluster"
import type { Refusal } from "@millrace/core/codec/HandshakeError"
import * as Origin from "@millrace/core/codec/Origin"
import type { Extension } from "@millrace/core/connection/Extension"
import * as EngineRequest from "@millrace/core/interop/engineio/EngineRequest"
import * as EngineProtocol from "@millrace/core/interop/engineio/EngineProtocol"
import * as EngineServer from "@millrace/core/interop/engineio/EngineServer"
import type { EngineSession } from "@millrace/core/interop/engineio/EngineSession"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Claims from "./Claims.ts"
import * as Endpoint from "./Endpoint.ts"
import { EngineFront } from "./engine/EngineFront.ts"
import * as EngineRelay from "./engine/EngineRelay.ts"
import * as NodeWebSocketServer from "./NodeWebSocketServer.ts"
import { type AnyRequest, type AnyResponse, type Asking, askingOf } from "./session/Asking.ts"
import type * as Upgrade from "./Upgrade.ts"

export type { Asking }

export interface Options extends Omit<EngineServer.Options, "node">, NodeWebSocketServer.AttachOptions {
  /** Begins with a slash, and mostly ends with one: compared as it is sent. Default `/engine.io/`. */
  readonly path?: string | undefined
  /** Which pages may connect, over either way. Default: those of the same origin. */
  readonly origin?: Origin.Policy | undefined
  /** How much may wait to be written to a WebSocket until who sends has to wait, in bytes. Default 1 MiB. */
  readonly outboxBytes?: number | undefined
  /** Spoken over WebSockets where a client offers them. Default: none, so nothing is compressed. */
  readonly extensions?: ReadonlyArray<Extension> | undefined
  /**
   * The cluster, where several nodes serve the same path: then it does not matter to which of them a request comes, or a
   * WebSocket. Each path once in a cluster's node.
   */
  readonly cluster?: Pick<Cluster["Service"], "nodes" | "questions"> | undefined
}

/** Decides on a session, and says to whom it belongs. */
export type Accept<R> = (
  request: Asking
) => Effect.Effect<EngineServer.MakeOwner, EngineRequest.EngineRefusal | Refusal, R>

export interface Attached {
  /** How many sessions there are now. */
  readonly sessions: () => number
  /**
   * Answers a request that is for the path, and tells whether it was. To be called first of all by the server's listener
   * for requests; a WebSocket needs no call.
   */
  readonly respond: (request: AnyRequest, response: AnyResponse) => boolean
}

/** What a WebSocket is for. */
type Wanted =
  | { readonly _tag: "Session"; readonly session: EngineSession }
  | { readonly _tag: "Elsewhere"; readonly node: string; readonly sid: string }
  /** Forgotten when it is made: a connection keeps what its handshake came to. */
  | { readonly _tag: "New"; makeOwner: EngineServer.MakeOwner | undefined }

const refuse = ({ json, status }: EngineRequest.EngineRefusal) =>
  Endpoint.refuse(status, { headers: [["Content-Type", "application/json"]], body: json })

/** Adds sessions to a server of `node:http`, `node:https` or `node:http2`, as long as the scope is open. */
export const attach = <R>(
  server: Claims.Server,
  { cluster, drain, extensions, origin = Origin.sameOrigin, outboxBytes, path = "/engine.io/", ...options }: Options,
  accept: Accept<R>
): Effect.Effect<Attached, never, R | Scope.Scope> =>
  Effect.gen(function* () {
    const engine = yield* EngineServer.make({ ...options, node: cluster?.nodes.self().id })
    const relay =
      cluster === undefined
        ? undefined
        : yield* EngineRelay.make({
            cluster,
            path,
            engine,
            maxFlows: options.maxSessions ?? EngineServer.defaults.maxSessions,
            maxAnswerBytes: options.protocol?.maxQueuedBytes ?? EngineProtocol.defaults.maxQueuedBytes
          })
    const context = yield* Effect.context<R>()
    const maxMessageBytes = engine.maxPayload

    const wanted = (request: Upgrade.UpgradeRequest): Effect.Effect<Wanted, EngineRequest.EngineRefusal | Refusal, R> =>
      Effect.gen(function* () {
        const { sid } = yield* Effect.fromResult(EngineRequest.parse("GET", request.query, true))
        if (sid === undefined) {
          if (engine.isFull) return yield* Endpoint.refuse(503, { headers: [["Retry-After", "5"]] })
          return { _tag: "New", makeOwner: yield* accept(request) }
        }
        const session = engine.find(sid)
        const node = session === undefined ? relay?.nodeOf(sid) : undefined
        if (node !== undefined) {
          const found = yield* relay!.find(node, sid)
          if (found === "Open") return { _tag: "Elsewhere", node, sid }
          return yield* new EngineRequest.EngineRefusal({ code: found === "Upgraded" ? 3 : 1 })
        }
        if (session === undefined) return yield* new EngineRequest.EngineRefusal({ code: 1 })
        return session.isUpgraded ? yield* new EngineRequest.EngineRefusal({ code: 3 }) : { _tag: "Session", session }
      })

    const route = NodeWebSocketServer.route(
      {
        path,
        origin,
        extensions,
        // The sessions ping themselves.
        limits: {
          maxMessageBytes,
          pingInterval: "1 hour",
          ...(outboxBytes === undefined ? {} : { outboxBytes })
        },
        handshake: (request) =>
          Effect.matchEffect(wanted(request), {
            onFailure: (error) => (error._tag === "Refusal" ? Effect.fail(error) : refuse(error)),
            onSuccess: (found) => Effect.succeed(NodeWebSocketServer.accept(found))
          })
      },
      (connection) => {
        const found = connection.handshake
        if (found._tag === "Session") return found.session.attach(connection)
        if (found._tag === "Elsewhere") return relay!.attach(found.node, found.sid, connection)
        const { makeOwner } = found
        found.makeOwner = undefined
        return engine.openUnsafe(makeOwner!, connection).read(connection)
      }
    )
    yield* NodeWebSocketServer.attach(server, [route], { drain })
    const fork = Effect.runForkWith(context)
    const front = new EngineFront({
      engine,
      relay,
      origin,
      admit: (request) => Effect.provideContext(accept(askingOf(request)), context),
      run: (effect) => fork(effect)
    })
    return {
      sessions: () => engine.size,
      respond: (request: AnyRequest, response: AnyResponse) => {
        if ((request.url ?? "").split("?", 1)[0] !== path) return false
        front.respond(request, response)
        return true
      }
    }
  }) as Effect.Effect<Attached, never, R | Scope.Scope>
