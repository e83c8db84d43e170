/** A proxy that cuts every connection, each one later than the one before. */
import * as net from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export interface CuttingProxy {
  readonly port: number
  /** How many connections there were. */
  readonly connections: () => number
}

/** Lets `step` bytes more of each connection pass than of the one before, then cuts: by a reset every other time. */
export const cutting = (port: number, step = 1): Effect.Effect<CuttingProxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    let connections = 0
    const sockets = new Set<net.Socket>()
    const server = net.createServer((near) => {
      const far = net.connect(port, "127.0.0.1")
      let left = ++connections * step
      const resets = connections % 2 === 0
      for (const socket of [near, far]) {
        sockets.add(socket)
        socket.on("error", () => {}).on("close", () => sockets.delete(socket))
      }
      near.pipe(far)
      near.on("close", () => far.destroy())
      far.on("data", (chunk: Buffer) => {
        const passed = chunk.subarray(0, left)
        left -= passed.length
        if (left > 0) return void near.write(passed)
        far.destroy()
        // What was written before a reset may be lost with it.
        near.write(passed, () => (resets ? near.resetAndDestroy() : near.end()))
      })
      far.on("end", () => near.end())
    })
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
      () =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const socket of sockets) socket.destroy()
        })
    )
    return { port: (server.address() as net.AddressInfo).port, connections: () => connections }
  })
