/**
 * Our server as Effect's `SocketServer`: for `RpcServer.layerProtocolSocketServer`, `DevToolsServer` and the like.
 *
 *     const server = RpcServer.layer(Group).pipe(
 *       Layer.provide(RpcServer.layerProtocolSocketServer),
 *       Layer.provide([handlers, RpcSerialization.layerJson, EffectSocketServer.layer({ port: 8080, path: "/rpc" })])
 *     )
 */
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import * as SocketServer from "effect/socket/SocketServer"
import * as EffectSocket from "./EffectSocket.ts"
import * as NodeWebSocketServer from "./NodeWebSocketServer.ts"

type Handler = (socket: Socket.Socket) => Effect.Effect<unknown, unknown>

/** One `run`, and the connections whose handlers it runs. */
class Run {
  readonly handler: Handler
  private readonly stopped = Latch.makeUnsafe(false)
  private readonly idle = Latch.makeUnsafe(true)
  private running = 0

  constructor(handler: Handler) {
    this.handler = handler
  }

  /** Ends with the handler, or as interrupted when the run ends before. */
  serve(connection: WebSocket): Effect.Effect<unknown, unknown> {
    return Effect.suspend(() => {
      this.running++
      this.idle.closeUnsafe()
      return Effect.raceFirst(
        this.handler(EffectSocket.fromConnection(connection)),
        Effect.andThen(this.stopped.await, Effect.interrupt)
      )
    }).pipe(
      Effect.ensuring(
        Effect.sync(() => {
          if (--this.running === 0) this.idle.openUnsafe()
        })
      )
    )
  }

  readonly stop: Effect.Effect<void> = Effect.suspend(() => {
    this.stopped.openUnsafe()
    return this.idle.await
  })
}

const make = <A, RH>(options: NodeWebSocketServer.ServeOptions<A, RH>) =>
  Effect.gen(function* () {
    const runs: Array<Run> = []
    const started = Latch.makeUnsafe(false)
    const served = yield* NodeWebSocketServer.serve(options, (connection) =>
      started.whenOpen(Effect.suspend(() => runs.at(-1)!.serve(connection)))
    )
    const address =
      options.socketPath === undefined
        ? NetAddress.inetAddressFromIpStringUnsafe(served.host, served.port)
        : NetAddress.unixPathAddress(options.socketPath)
    return SocketServer.SocketServer.of({
      address,
      run: <R, E, _>(handler: (socket: Socket.Socket) => Effect.Effect<_, E, R>) =>
        Effect.contextWith((context: Context.Context<R>) => {
          const services = Context.omit(Scope.Scope)(context as Context.Context<R | Scope.Scope>)
          const run = new Run((socket) =>
            Effect.updateContext(ignoreClose(handler(socket)) as Effect.Effect<unknown, unknown>, (own) =>
              Context.merge(own, services)
            )
          )
          const start = Effect.sync(() => {
            runs.push(run)
            started.openUnsafe()
          })
          const stop = Effect.suspend(() => {
            runs.splice(runs.indexOf(run), 1)
            if (runs.length === 0) started.closeUnsafe()
            return run.stop
          })
          return Effect.andThen(start, Effect.never).pipe(Effect.ensuring(stop))
        })
    })
  }).pipe(
    Effect.mapError((cause) => {
      return new SocketServer.SocketServerError({ reason: new SocketServer.SocketServerOpenError({ cause }) })
    })
  )

/** A handler that ends with the close that it was told of has done nothing wrong. */
const ignoreClose = <A, E, R>(handled: Effect.Effect<A, E, R>) =>
  Effect.catchIf(handled, EffectSocket.isClose, () => Effect.void)

/**
 * A server for `SocketServer.run`, with the options of `NodeWebSocketServer.serve`. It lasts as long as its scope.
 * Clients that come when nobody runs it are accepted and wait, and nothing of what they send is read.
 *
 * The scope of the handler's reader, or the end of the handler, closes its connection: with 1000, with 1011 when it
 * fails, which is logged, and with 1001 when `run` is interrupted or the server ends. `run` ends when its handlers have.
 *
 * Fails when the address cannot be listened on.
 */
export const layer = <A = undefined, RH = never>(
  options: NodeWebSocketServer.ServeOptions<A, RH> = {}
): Layer.Layer<SocketServer.SocketServer, SocketServer.SocketServerError, Exclude<RH, Scope.Scope>> =>
  Layer.effect(SocketServer.SocketServer, make(options))
