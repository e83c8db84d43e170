/** RFC 6455 section 10.3: no program can choose the bytes that a client puts on the wire. */
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import { hex } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { open, turn } from "./connection.ts"

const counting = () => {
  let next = 0
  return () => ++next * 0x01010101
}

clause.effect("10.3-1", "a key is drawn for every frame, whatever it carries and whoever caused it", () =>
  Effect.gen(function* () {
    const { far, socket } = yield* open("client", {}, counting())
    yield* socket.send("a")
    yield* socket.sendAll([hex("62"), "c"])
    yield* socket.send(new Uint8Array(10_000))
    far.receive("89 01 64")
    far.receive("88 02 03 e8")
    yield* turn
    expect(far.seen.map(({ opcode, key }) => [opcode, key])).toEqual([
      [1, "01 01 01 01"],
      [2, "02 02 02 02"],
      [1, "03 03 03 03"],
      [2, "04 04 04 04"],
      [10, "05 05 05 05"],
      [8, "06 06 06 06"]
    ])
  })
)

clause.effect("10.3-2", "bytes changed after they were sent are on the wire as they were, short or long", () =>
  Effect.gen(function* () {
    for (const length of [1, 125, 4096, 4097, 100_000]) {
      const { far, socket } = yield* open("client", {}, () => 0x37fa213d)
      const bytes = new Uint8Array(length).fill(0x61)
      yield* socket.send(bytes)
      bytes.fill(0x62)
      yield* turn
      expect(far.seen.map(({ payload }) => payload)).toEqual([new Uint8Array(length).fill(0x61)])
    }
  })
)

clause.effect("10.3-3", "bytes that are changed and sent again are another frame with another key", () =>
  Effect.gen(function* () {
    const { far, socket } = yield* open("client", {}, counting())
    const bytes = hex("61 61")
    yield* socket.send(bytes)
    bytes.fill(0x62)
    yield* socket.send(bytes)
    yield* turn
    expect(far.seen).toMatchObject([
      { key: "01 01 01 01", payload: hex("61 61") },
      { key: "02 02 02 02", payload: hex("62 62") }
    ])
  })
)

clause.effect("10.3-4", "the key is not drawn before the bytes are taken", () =>
  Effect.gen(function* () {
    const bytes = hex("61 61")
    const { far, socket } = yield* open("client", {}, () => {
      // The last moment at which the payload could be changed in knowledge of the key.
      queueMicrotask(() => bytes.fill(0x62))
      return 0x37fa213d
    })
    yield* socket.send(bytes)
    yield* turn
    yield* turn
    expect(far.log).toEqual(["82 82 37 fa 21 3d 56 9b"])
  })
)
