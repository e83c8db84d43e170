/** RFC 6455 section 6.1: a message that is sent reaches the network. */
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import { hex } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { open, turn } from "./connection.ts"
import { read } from "./endpoint.ts"

clause.effect("6.1-1", "a client and a server send a text and bytes by all the steps", () =>
  Effect.gen(function* () {
    const client = yield* open("client", {}, () => 0x37fa213d)
    yield* client.socket.send("Hello")
    yield* client.socket.send(hex("00 ff"))
    yield* turn
    expect(client.far.log.join(" ")).toBe("81 85 37 fa 21 3d 7f 9f 4d 51 58 82 82 37 fa 21 3d 37 05")
    const server = yield* open("server")
    yield* server.socket.send("Hello")
    yield* server.socket.send(hex("00 ff"))
    yield* turn
    expect(server.far.log.join(" ")).toBe("81 05 48 65 6c 6c 6f 82 02 00 ff")
  })
)

clause.effect("6.1-1", "the first step fails the message when the connection is not open any more", () =>
  Effect.gen(function* () {
    const { far, socket } = yield* open("server")
    far.receive("88 02 03 e8")
    const error = yield* Effect.flip(socket.send("late"))
    expect(error.reason._tag).toBe("NotOpen")
    yield* turn
    expect(far.story).toEqual(["close 1000", "end"])
  })
)

clause.effect("6.1-8", "frames reach the transport in the turn in which they were sent, in order", () =>
  Effect.gen(function* () {
    const { far, socket } = yield* open("server")
    yield* socket.send("a")
    yield* socket.sendAll(["b", hex("63")])
    yield* socket.send("d".repeat(70_000))
    yield* socket.send("é")
    yield* turn
    expect(read(hex(far.log.join(" "))).map(({ fin, opcode, payload }) => [fin, opcode, payload.length])).toEqual([
      [true, 1, 1],
      [true, 1, 1],
      [true, 2, 1],
      [true, 1, 70_000],
      [true, 1, 2]
    ])
  })
)

clause.effect("6.1-8", "a Close leaves behind all that was sent before it", () =>
  Effect.gen(function* () {
    const { far, socket } = yield* open("server")
    yield* socket.send("a")
    far.receive("88 02 03 e8")
    yield* turn
    expect(far.story).toEqual(["text", "close 1000", "end"])
  })
)
