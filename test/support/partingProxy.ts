/** A proxy that cuts all its connections when it is told, or lets nothing pass and tells nobody. */
import * as net from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export interface PartingProxy {
  readonly port: number
  /** Ends all connections; new ones can be made at once. */
  readonly cut: Effect.Effect<void>
  /** Nothing passes, and nobody is told, as long as the scope is open; then all connections are ended. */
  readonly part: Effect.Effect<void, never, Scope.Scope>
}

export const parting = (port: number): Effect.Effect<PartingProxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    const sockets = new Set<net.Socket>()
    let isParted = false
    const cut = Effect.sync(() => {
      for (const socket of sockets) socket.destroy()
    })
    const server = net.createServer((near) => {
      const far = net.connect(port, "127.0.0.1")
      for (const [socket, other] of [
        [near, far],
        [far, near]
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
      Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
      () =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const socket of sockets) socket.destroy()
        })
    )
    return {
      port: (server.address() as net.AddressInfo).port,
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
