/** A route of an Effect application whose answer is a connection of ours. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import type * as HttpServerResponse from "effect/http/HttpServerResponse"
import { Refusal } from "@millrace/core/codec/HandshakeError"
import type * as Scope from "effect/Scope"
import * as Endpoint from "../Endpoint.ts"
import * as Upgrade from "../Upgrade.ts"
import { leave, type Pending, switched, toResponse, Upgrades } from "./Upgrades.ts"

/**
 * A route, for `HttpRouter.add("GET", ...)`, that opens a WebSocket; as an effect, the life of a connection.
 *
 * The handler and `handshake` have the services of the route, its request among them. The handler runs in a fiber of
 * its own, by the rules of `Endpoint.Handler`. The route waits for it, answers with 101 when the connection has ended,
 * and closes the connection with 1001 when it is interrupted itself.
 *
 * A refusal is an answer like that of any route, so what the application does to answers is done to it: 426 when the
 * request is no upgrade, 400 for a bad handshake, 403 for the origin, 503 while the server shuts down, and what
 * `handshake` refuses with. To the 101, which is sent before the handler runs, `handshake` alone can add fields. The
 * route dies when `handshake` does.
 */
export const upgrade: {
  <E = never, R = never>(
    handler: Endpoint.Handler<undefined, E, R>
  ): Effect.Effect<
    HttpServerResponse.HttpServerResponse,
    never,
    Exclude<R, Scope.Scope> | HttpServerRequest.HttpServerRequest | Upgrades
  >
  <A = undefined, E = never, R = never, RH = never>(
    options: Endpoint.Options<A, RH>,
    handler: Endpoint.Handler<A, E, R>
  ): Effect.Effect<
    HttpServerResponse.HttpServerResponse,
    never,
    Exclude<R, Scope.Scope> | RH | HttpServerRequest.HttpServerRequest | Upgrades
  >
} = <R>(
  ...[options, handler]:
    | [Endpoint.Handler<undefined, unknown, R>]
    | [Endpoint.Options<undefined, R>, Endpoint.Handler<undefined, unknown, R>]
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R | HttpServerRequest.HttpServerRequest | Upgrades> => {
  const endpoint = typeof options === "function" ? Endpoint.make({}, options) : Endpoint.make(options, handler!)
  return Effect.gen(function* () {
    const { source } = yield* HttpServerRequest.HttpServerRequest
    const { pending } = yield* Upgrades
    const found = pending.get(source)
    if (found === undefined) return yield* Effect.fail(notAnUpgrade)
    pending.delete(source)
    const { connections } = found
    if (connections.isDraining) return yield* Effect.fail(Upgrade.shuttingDown)
    const context = yield* Effect.context<R>()
    const fiber = connections.fork(endpoint, found.upgrade, (host) => live(endpoint, found, host), context)
    return yield* Fiber.join(fiber).pipe(
      // Effect would run it uninterruptible, where it is no route of a router.
      Effect.interruptible,
      Effect.onInterrupt(() => Effect.timeoutOption(Fiber.interrupt(fiber), endpoint.settings.closeTimeout + 1_000)),
      Effect.as(switched)
    )
  }).pipe(Effect.uninterruptible, Effect.catchTag("Refusal", toResponse))
}

const live = <A, E, R>(
  endpoint: Endpoint.Endpoint<A, E, R>,
  { response, upgrade }: Pending,
  host: Endpoint.Host
): Effect.Effect<void, Refusal, R> =>
  Effect.flatMap(Endpoint.open(endpoint, upgrade), (opened) => {
    leave(response)
    return Endpoint.run(endpoint, opened, host) as Effect.Effect<void, never, R>
  })

const notAnUpgrade = new Refusal({
  status: 426,
  headers: [],
  clause: "RFC 9110 15.5.22",
  detail: "this is a WebSocket endpoint"
})
