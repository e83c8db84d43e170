/** What a host holds for its nodes, and lets go of. */
import * as net from "node:net"
import { expect, it } from "@effect/vitest"
import * as Host from "@millrace/node/brokers/workers/Host"
import * as Listen from "@millrace/node/Listen"
import * as Effect from "effect/Effect"
import { eventually } from "../../../support/eventually.ts"

const frame = (...packet: ReadonlyArray<number>) => new Uint8Array([0x82, packet.length, ...packet])

it.live("forgets a node that has gone, and what only that one listened to", () =>
  Effect.gen(function* () {
    const host = new Host.Host("e", () => 0)
    const { port } = yield* Listen.listen(
      net.createServer((socket) => host.serve(socket)),
      {}
    )
    const sockets = [net.connect(port, "127.0.0.1"), net.connect(port, "127.0.0.1")]
    for (const [i, socket] of sockets.entries()) {
      socket.write(frame(4, 0, 0, 0, 1, 0, 1, 120))
      socket.write(frame(7, 0, 0, 0, 2, 0, 1, 97 + i))
    }
    yield* eventually(() => host.names === 3)
    expect(host.size).toBe(2)
    sockets[0]!.destroy()
    yield* eventually(() => host.size === 1)
    expect(host.names).toBe(2)
    host.end(new Error("enough"))
    expect([host.size, host.names]).toEqual([0, 0])
  }).pipe(Effect.scoped)
)
