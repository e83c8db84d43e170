/** Applications of Effect's own router, middleware and server, with our WebSocket routes, over loopback. */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import * as EffectHttpServer from "@millrace/node/EffectHttpServer"

/** A handler that says what it hears. */
export const echo = <A>(connection: WebSocket<A>) => Stream.runForEach(connection.messages, connection.send)

/** A free port that only this machine can reach. */
export const local = { host: "127.0.0.1", port: 0 }

/** What middleware saw of a request: 101 for one that became a WebSocket. */
export interface Seen {
  readonly target: string
  readonly status: number
}

export interface Logged {
  readonly level: string
  readonly message: string
  readonly cause: string
}

/** Serves an application as long as the scope is open, and tells what its middleware saw. */
export const serveIn = <E>(
  scope: Scope.Scope,
  application: Layer.Layer<never, E, HttpServer.HttpServer | EffectHttpServer.Upgrades>,
  options: EffectHttpServer.Options = {}
) =>
  Effect.gen(function* () {
    const logs: Array<Logged> = []
    const logger = Logger.make(({ cause, logLevel, message }) => {
      logs.push({ level: logLevel, message: String(message), cause: String(Cause.squash(cause)) })
    })
    const context = yield* application.pipe(
      Layer.provideMerge(EffectHttpServer.layer({ ...local, ...options })),
      Layer.provide(Layer.succeed(References.MinimumLogLevel, "Debug")),
      Layer.provideMerge(Logger.layer([logger])),
      Layer.buildWithScope(scope)
    )
    const { address } = Context.get(context, HttpServer.HttpServer)
    const port = "port" in address ? address.port : 0
    return { port, logs, url: `ws://127.0.0.1:${port}` }
  })

/** Serves routes as long as the test lasts, or until `stop`. */
export const serve = <
  E,
  R extends
    | HttpRouter.HttpRouter
    | HttpRouter.Request<"Requires", EffectHttpServer.Upgrades>
    | HttpRouter.Request<"Error", unknown>
>(
  routes: Layer.Layer<never, E, R>,
  options?: EffectHttpServer.Options
) =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(yield* Effect.scope)
    const seen: Array<Seen> = []
    const application = HttpRouter.serve(routes as Layer.Layer<never, E, HttpRouter.HttpRouter>, {
      disableLogger: true,
      disableListenLog: true,
      middleware: (handled) =>
        Effect.onExit(handled, (exit) =>
          Effect.map(HttpServerRequest.HttpServerRequest, ({ url }) => {
            seen.push({ target: url, status: HttpServerError.exitResponse(exit).status })
          })
        )
    })
    const served = yield* serveIn(scope, application, options)
    return { ...served, seen, stop: Scope.close(scope, Exit.void) }
  })

/** An ordinary request, and its answer. */
export const fetched = (port: number, path: string) =>
  Effect.promise(async () => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`)
    return { status: response.status, headers: response.headers, body: await response.text() }
  })

/** How long an effect takes, in milliseconds. */
export const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const before = performance.now()
    return Effect.map(effect, () => performance.now() - before)
  })
