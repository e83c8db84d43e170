/**
 * Requests of an Effect application that ask for an upgrade: who is to answer them, and `HttpServerRequest.upgrade`,
 * which makes a `Socket` of one.
 *
 * Not in here: the route that makes a connection of one (`Route`).
 */
import type * as http from "node:http"
import type { Socket as NetSocket } from "node:net"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as Handshake from "@millrace/core/codec/Handshake"
import { Refusal } from "@millrace/core/codec/HandshakeError"
import * as HttpHead from "@millrace/core/codec/HttpHead"
import * as HttpHeaders from "@millrace/core/codec/HttpHeaders"
import * as Negotiation from "@millrace/core/codec/Negotiation"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Cookies from "effect/http/Cookies"
import type * as Headers from "effect/http/Headers"
import { HttpServerError, InternalError, RequestParseError } from "effect/http/HttpServerError"
import * as HttpServerRespondable from "effect/http/HttpServerRespondable"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import type * as Connections from "../Connections.ts"
import * as EffectSocket from "../EffectSocket.ts"
import * as Endpoint from "../Endpoint.ts"
import type * as Http1Upgrade from "../Http1Upgrade.ts"
import * as Upgrade from "../Upgrade.ts"
import type { Exchange, Request } from "./Request.ts"

/** What holds for all WebSockets that `HttpServerRequest.upgrade` opens. Nothing of it is required. */
export interface Options extends Omit<Endpoint.Options<undefined>, "handshake" | "handshakeTimeout"> {}

/** A request to open a WebSocket that nobody has answered yet. */
export interface Pending {
  readonly upgrade: Http1Upgrade.Http1Upgrade
  /** For any answer but the one that opens the connection. */
  readonly response: http.ServerResponse
  readonly connections: Connections.Connections
}

/** What `upgrade` needs of the server that it is served by: a route on another one does not compile. */
export class Upgrades extends Context.Service<Upgrades, { readonly pending: WeakMap<object, Pending> }>()(
  "@millrace/node/EffectHttpServer/Upgrades"
) {}

/** The socket is the connection's. A response that has ended is one that the server has no more to do for. */
export const leave = (response: http.ServerResponse): void => {
  const { socket } = response
  if (socket !== null) response.detachSocket(socket)
  response.end()
}

/** Told to the application; the client got its own when the connection was opened. */
export const switched = HttpServerResponse.empty({ status: 101 })

/** Dies when the refusal cannot be sent: a mistake of whoever made it. */
export const toResponse = (refusal: Refusal): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
  const refused = Handshake.refuse(refusal)
  if (Result.isFailure(refused)) return Effect.die(refused.failure)
  const { body, response } = refused.success
  const fields = new Map<string, string>()
  for (const [name] of response.headers) {
    const values = HttpHeaders.combined(response.headers, name)
    if (values !== undefined && !HttpHeaders.equalsIgnoringCase(name, "Set-Cookie")) fields.set(name, values)
  }
  return Effect.succeed(
    HttpServerResponse.uint8Array(body, {
      status: response.status,
      headers: fields,
      cookies: Cookies.fromSetCookie(HttpHeaders.values(response.headers, "Set-Cookie"))
    })
  )
}

/** The client's fault, and its answer wherever the application does not care. */
class RefusedUpgrade extends RequestParseError {
  override [HttpServerRespondable.symbol]() {
    return toResponse(this.cause as Refusal)
  }
}

const refuse = (request: Request, cause: Refusal) =>
  Effect.fail(new HttpServerError({ reason: new RefusedUpgrade({ request, description: cause.detail, cause }) }))

const mistake = (request: Request, description: string, cause?: unknown) =>
  Effect.fail(new HttpServerError({ reason: new InternalError({ request, description, cause }) }))

const openError = (cause: unknown) =>
  new Socket.SocketError({ reason: new Socket.SocketOpenError({ kind: "Unknown", cause }) })

// WebSockets.

/** An endpoint for what `HttpServerRequest.upgrade` opens, whose handler is yet to come. */
export const endpoint = (options: Options): Endpoint.Endpoint<undefined, never, never> =>
  Endpoint.make(options, () => Effect.void)

/** The fields for the 101; one of them may choose the subprotocol. */
const accepted = (headers: Headers.Headers): Endpoint.Accepted<undefined> => {
  const fields = Object.entries(headers)
  const { "sec-websocket-protocol": subprotocol } = headers
  return Endpoint.accept(undefined, {
    subprotocol,
    headers: fields.filter(([name]) => name !== "sec-websocket-protocol")
  })
}

/**
 * `HttpServerRequest.upgrade` for a WebSocket. It fails with the refusal of a client that may not connect, which is the
 * answer unless the application has another one. The connection is opened when the socket's reader is acquired, once, and
 * lives as long as the reader's scope. A server that ends closes it with 1001.
 */
export const toWebSocket =
  (pending: Upgrades["Service"]["pending"], shared: Endpoint.Endpoint<undefined, never, never>) =>
  (request: Request, headers: Headers.Headers): Effect.Effect<Socket.Socket, HttpServerError> =>
    Effect.suspend(() => {
      const { exchange } = request
      const found = pending.get(exchange.incoming)
      if (found === undefined) return mistake(request, "the connection was upgraded already")
      if (found.connections.isDraining) return refuse(request, Upgrade.shuttingDown)
      const asked = Result.flatMap(found.upgrade.read(shared.maxima), ({ request: { client } }) =>
        Negotiation.checkOrigin(client, shared.options.origin)
      )
      if (Result.isFailure(asked)) return refuse(request, asked.failure)
      const handshake = Object.keys(headers).length === 0 ? undefined : () => Effect.succeed(accepted(headers))
      const endpoint = { ...shared, options: { ...shared.options, handshake } }
      const open = Effect.suspend(() => {
        const found = pending.get(exchange.incoming)
        if (found === undefined) return Effect.fail(openError(new Error("the connection was opened already")))
        pending.delete(exchange.incoming)
        return openIn(exchange, found, endpoint)
      })
      return EffectSocket.over(open, false)
    })

/** Opens the connection in a fiber of its own, which a drain can interrupt, and which ends with the scope. */
const openIn = (
  exchange: Exchange,
  { connections, response, upgrade }: Pending,
  endpoint: Endpoint.Endpoint<undefined, never, never>
): Effect.Effect<WebSocket, Socket.SocketError, Scope.Scope> =>
  Effect.gen(function* () {
    const opened = yield* Deferred.make<WebSocket, Socket.SocketError>()
    const released = yield* Deferred.make<void>()
    const handler = (connection: WebSocket) =>
      Effect.andThen(Deferred.succeed(opened, connection), Deferred.await(released)).pipe(
        Effect.onInterrupt(() => interruptLate(exchange, connection))
      )
    const live = (host: Endpoint.Host) =>
      Effect.matchCauseEffect(Endpoint.open(endpoint, upgrade), {
        onFailure: (cause) =>
          Deferred.fail(opened, openError(cause.reasons.find((r) => r._tag === "Fail")?.error ?? cause)),
        onSuccess: (accepted) => {
          exchange.switched = switched
          leave(response)
          return Endpoint.run({ ...endpoint, handler }, accepted, host)
        }
      })
    const context = yield* Effect.context<never>()
    return yield* Effect.acquireRelease(
      Effect.suspend(() => {
        connections.fork(endpoint, upgrade, live, context)
        return Deferred.await(opened)
      }),
      (connection, exit) =>
        Effect.andThen(
          Effect.ignore(connection.close(EffectSocket.codeOf(exit))),
          Deferred.succeed(released, undefined)
        )
    )
  })

/**
 * Interrupts a request that does not notice the end of its connection. One whose connection is being closed, because the
 * server ends, will be told by its socket.
 */
const interruptLate = ({ fiber }: Exchange, connection: WebSocket): Effect.Effect<void> =>
  Effect.map(Effect.raceFirst(Effect.as(connection.closed, true), Effect.succeed(false)), (hasEnded) => {
    if (hasEnded) fiber?.interruptUnsafe()
  })

// Other protocols.

/** `HttpServerRequest.upgrade` for anything else: the bytes of the connection behind a 101, as a `Socket`. */
export const toRawSocket =
  ({ duplex, head, incoming }: Http1Upgrade.Http1Upgrade) =>
  (request: Request, headers: Headers.Headers): Effect.Effect<Socket.Socket, HttpServerError> =>
    Effect.suspend(() => {
      const { exchange } = request
      const printed = HttpHead.printResponse({
        status: 101,
        reason: "Switching Protocols",
        headers: [["Connection", "Upgrade"], ["Upgrade", incoming.headers.upgrade ?? ""], ...Object.entries(headers)]
      })
      if (Result.isFailure(printed)) return mistake(request, "a field that cannot be sent", printed.failure)
      const open = Effect.suspend(() => {
        if (duplex.destroyed || exchange.switched !== undefined) {
          return Effect.fail(openError(new Error("the connection is not there any more")))
        }
        exchange.switched = HttpServerResponse.empty({ status: 101, headers })
        leave(exchange.response)
        if (head.length > 0) duplex.unshift(head)
        duplex.write(printed.success)
        return Effect.succeed(duplex)
      })
      return NodeSocket.fromDuplex(
        Effect.acquireRelease(open, () => Effect.sync(() => (duplex as NetSocket).destroySoon()))
      )
    })
