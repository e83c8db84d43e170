/** A proxy that cuts all its connections when it is told, or lets nothing pass and tells nobody. */
import * as net from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export interface PartingProxy {
  /** 0 for one on a unix socket. */
  readonly port: number
  /** Ends all connections; new ones can be made at once. */
  readonly cut: Effect.Effect<void>
  /** Nothing passes, and nobody is told, as long as the scope is open; then all connections are ended. */
  readonly part: Effect.Effect<void, never, Scope.Scope>
}

/** Before a port of this machine, on a free one; or before a unix socket, on another. */
export const parting = (far: number | (() => string), near?: string): Effect.Effect<PartingProxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    const sockets = new Set<net.Socket>()
    let isParted = false
    const cut = Effect.sync(() => {
      for (const socket of sockets) socket.destroy()
    })
    const server = net.createServer((incoming) => {
      const outgoing = typeof far === "number" ? net.connect(far, "127.0.0.1") : net.connect(far())
      for (const [socket, other] of [
        [incoming, outgoing],
        [outgoing, incoming]
      ] as const) {
        sockets.add(socket)
        socket.setNoDelay(true)
        socket.on("error", () => {})
        socket.on("close", () => {
          sockets.delete(socket)
          if (!isParted) other.destroy()
        })
        socket.on("data", (chunk) => void other.write(chunk))
        if (isParted) socket.pause()
      }
    })
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => {
        server.listen(near === undefined ? { port: 0, host: "127.0.0.1" } : { path: near }, () => resume(Effect.void))
      }),
      () =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const socket of sockets) socket.destroy()
        })
    )
    return {
      port: near === undefined ? (server.address() as net.AddressInfo).port : 0,
      cut,
      part: Effect.asVoid(
        Effect.acquireRelease(
          Effect.sync(() => {
            isParted = true
            for (const socket of sockets) socket.pause()
          }),
          () =>
            Effect.suspend(() => {
              isParted = false
              return cut
            })
        )
      )
    }
  })
