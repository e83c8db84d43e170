/** A line that carries so many bytes a second in each direction, and lets whoever sends more wait. */
import { createServer, connect, type AddressInfo, type Socket } from "node:net"
import { setTimeout as wait } from "node:timers/promises"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** What is passed on at a time. */
const piece = 16_384

const pass = async (from: Socket, to: Socket, bytesPerSecond: number): Promise<void> => {
  try {
    for await (const chunk of from as AsyncIterable<Buffer>) {
      for (let at = 0; at < chunk.length; at += piece) {
        const part = chunk.subarray(at, at + piece)
        await wait((part.length / bytesPerSecond) * 1_000)
        to.write(part)
      }
    }
    to.end()
  } catch {
    to.destroy()
  }
}

/** Its port, as long as the scope is open; `port` is where it leads. */
export const slow = (port: number, bytesPerSecond: number): Effect.Effect<number, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(
        () =>
          new Promise<{ readonly port: number; readonly close: () => Promise<void> }>((resolve) => {
            const sockets = new Set<Socket>()
            const known = (socket: Socket): Socket => {
              sockets.add(socket)
              return socket.on("error", () => {}).on("close", () => sockets.delete(socket))
            }
            const server = createServer((near) => {
              const far = connect(port, "127.0.0.1")
              void pass(known(near), known(far), bytesPerSecond)
              void pass(far, near, bytesPerSecond)
            })
            server.listen(0, "127.0.0.1", () =>
              resolve({
                port: (server.address() as AddressInfo).port,
                close: () =>
                  new Promise((done) => {
                    for (const socket of sockets) socket.destroy()
                    server.close(() => done())
                  })
              })
            )
          })
      ),
      ({ close }) => Effect.promise(close)
    ),
    ({ port }) => port
  )
