/** RFC 7692 section 6: the bit of messages that are compressed, and what is in their frames. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import * as Message from "@millrace/core/protocol/Message"
import { plain, reasonOf, turn, world } from "../../support/connection.ts"
import { Shift } from "../../support/extensions.ts"
import { concat, toHex } from "../../support/frames.ts"
import { inflate } from "../../support/puff.ts"
import { hex, utf8 } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { agree, noise, type Opened, open, over } from "./connection.ts"
import { tail } from "./deflate.ts"

/** What was written, a line a frame: FIN, RSV, opcode and payload. */
const written = ({ far }: Opened) =>
  far.frames.map(({ fin, opcode, payload, rsv }) => `${fin ? "fin" : "..."} ${rsv} ${opcode} ${toHex(payload)}`)

const roles = ["client", "server"] as const

/** "Hello" as section 7.2.3.1 prints it. */
const hello = "f2 48 cd c9 c9 07 00"

clause.effect(
  "6.1-1",
  "a message that is compressed has the bit and its own opcode, as section 7.2.3.1 prints it",
  () =>
    Effect.gen(function* () {
      for (const role of roles) {
        const opened = yield* open(role, "permessage-deflate; server_no_context_takeover; client_no_context_takeover")
        yield* opened.connection.send(Message.compressed("Hello"))
        yield* opened.connection.send(Message.compressed(utf8("Hello")))
        yield* turn
        expect(written(opened)).toEqual([`fin 4 1 ${hello}`, `fin 4 2 ${hello}`])
      }
    })
)

clause.effect(
  "6.1-1",
  "a message in fragments has it on the first of them, and its bytes are those of one message",
  () =>
    Effect.gen(function* () {
      const pieces = ["What is sent in pieces ", "is one message. ", "What is sent in pieces ", "is one message."]
      for (const role of roles) {
        const { connection, far } = yield* open(role, "permessage-deflate")
        yield* connection.sendStream("text", Stream.fromArray(pieces), { fragmentBytes: 10 })
        yield* turn
        const [first, ...more] = far.frames
        expect([first?.rsv, first?.opcode, first?.fin]).toEqual([4, 1, false])
        expect(more.length).toBeGreaterThan(4)
        expect(more.filter(({ opcode, rsv }) => rsv !== 0 || opcode !== 0)).toEqual([])
        expect(far.frames.filter(({ fin }) => fin)).toEqual([more.at(-1)])
        const payload = concat(far.frames.map(({ payload }) => payload))
        expect(inflate(concat([payload, tail])).bytes).toEqual(utf8(pieces.join("")))
      }
    })
)

/** Compression first, and then an extension with a bit of its own, which adds 1 to every byte. */
const followed = (role: "client" | "server") => {
  const compression = agree(role, "permessage-deflate")
  const shift = { rsv: 2, makeCoder: () => new Shift() }
  return { ...compression, rsv: 6, coders: [...compression.coders, shift] }
}

clause.effect("6.1-1", "the next extension gets what was compressed, and the bit stays set", () =>
  Effect.gen(function* () {
    for (const role of roles) {
      const opened = yield* over(role, followed(role))
      yield* opened.connection.send(Message.compressed("Hello"))
      yield* turn
      expect(written(opened)).toEqual(["fin 6 1 f3 49 ce ca ca 08 01"])
    }
  })
)

clause.effect("6.1-2", "a message that is not compressed goes out as it is, without the bit", () =>
  Effect.gen(function* () {
    for (const role of roles) {
      const opened = yield* open(role, "permessage-deflate")
      yield* opened.connection.sendAll([Message.uncompressed("Hello"), Message.uncompressed("a".repeat(50))])
      yield* opened.connection.sendStream("binary", Stream.make(utf8("ab")), {
        compress: false,
        fragmentBytes: 1
      })
      yield* turn
      expect(written(opened)).toEqual([
        "fin 0 1 48 65 6c 6c 6f",
        `fin 0 1 ${Array.from({ length: 50 }, () => "61").join(" ")}`,
        "... 0 2 61",
        "... 0 0 62",
        "fin 0 0 "
      ])
    }
  })
)

clause.effect("6.1-2", "so does one that would not become shorter, and the next one does not refer to it", () =>
  Effect.gen(function* () {
    const bytes = noise(1000)
    for (const role of roles) {
      const opened = yield* open(role, "permessage-deflate")
      yield* opened.connection.sendAll([bytes, bytes])
      yield* turn
      expect(written(opened)).toEqual([`fin 0 2 ${toHex(bytes)}`, `fin 0 2 ${toHex(bytes)}`])
    }
  })
)

clause.effect("6.1-2", "the next extension gets it as it is", () =>
  Effect.gen(function* () {
    for (const role of roles) {
      const opened = yield* over(role, followed(role))
      yield* opened.connection.send("Hello")
      yield* turn
      expect(written(opened)).toEqual(["fin 2 1 49 66 6d 6d 70"])
    }
  })
)

clause.effect("6.1-3", "Pings, Pongs, Closes and all but the first fragment go without the bit", () =>
  Effect.gen(function* () {
    for (const role of roles) {
      const { connection, far, receive } = yield* open(role, "permessage-deflate")
      yield* connection.sendStream(
        "text",
        Stream.make("a".repeat(100), "b".repeat(100)).pipe(
          Stream.tap(() => Effect.sync(() => receive(`89 64 ${"61 ".repeat(100)}`)))
        ),
        { fragmentBytes: 2 }
      )
      receive("88 02 03 e8")
      yield* connection.closed.pipe(Effect.race(turn))
      const withBit = far.frames.filter(({ rsv }) => rsv !== 0)
      expect(withBit).toEqual([far.frames.find(({ opcode }) => opcode === 1)])
      expect(new Set(far.frames.map(({ opcode }) => opcode))).toEqual(new Set([0, 1, 8, 10]))
    }
  })
)

const misplaced: ReadonlyArray<readonly [string, string]> = [
  ["a Ping with the bit", "c9 00"],
  ["a Pong with the bit", "ca 01 61"],
  ["a Close with the bit", "c8 02 03 e8"],
  ["a second fragment with the bit", "41 03 f2 48 cd c0 04 c9 c9 07 00"],
  ["a second fragment with the bit, of a message without", "01 01 61 c0 01 62"],
  ["a fragment in the middle with the bit", "41 02 f2 48 00 01 cd 40 01 c9 80 03 c9 07 00"]
]

/** Each case for both roles. */
const inBothRoles = <Rest extends ReadonlyArray<unknown>>(cases: ReadonlyArray<readonly [string, ...Rest]>) =>
  roles.flatMap((role) => cases.map(([name, ...rest]) => [`a ${role}, ${name}`, role, ...rest] as const))

/** The connection is failed with that code, once, and gives nothing more. */
const fails = ({ connection, far }: Opened, code: number) =>
  Effect.gen(function* () {
    expect(yield* reasonOf(Stream.runDrain(connection.messages))).toBe("ProtocolViolation")
    yield* turn
    expect(far.frames.map(({ opcode, payload }) => [opcode, payload[0]! * 256 + payload[1]!])).toEqual([[8, code]])
  })

clause.each("6.1-4", "the connection is failed", inBothRoles(misplaced), (_, role, wire) =>
  world(
    Effect.gen(function* () {
      const opened = yield* open(role, "permessage-deflate")
      opened.receive(wire)
      yield* fails(opened, 1002)
    })
  )
)

/** "Hello" compressed in each of the ways that section 7.2.3 prints, and in those that it allows. */
const ways: ReadonlyArray<readonly [string, string]> = [
  ["one block with fixed codes", "f2 48 cd c9 c9 07 00"],
  ["a block that is not compressed", "00 05 00 fa ff 48 65 6c 6c 6f 00"],
  ["a final block", "f3 48 cd c9 c9 07 00 00"],
  ["two blocks", "f2 48 05 00 00 00 ff ff ca c9 c9 07 00"],
  ["two final blocks", `01 02 00 fd ff 48 65 01 03 00 fc ff 6c 6c 6f 00`],
  ["an empty block at its end", "f2 48 cd c9 c9 07 00 00 00 ff ff 00"],
  ["empty blocks before it", "00 00 00 ff ff 00 00 00 ff ff f2 48 cd c9 c9 07 00"]
]

/** Bytes in hex behind their number. */
const counted = (bytes: ReadonlyArray<string>) => [toHex(Uint8Array.of(bytes.length)), ...bytes].join(" ")

clause.each("6.2-1", "a compressed message comes out as it was", inBothRoles(ways), (_, role, payload) =>
  world(
    Effect.gen(function* () {
      const { connection, receive } = yield* open(role, "permessage-deflate")
      receive(`c1 ${counted(payload.split(" "))}`, `c2 ${counted(payload.split(" "))}`)
      expect(plain(yield* connection.pull)).toEqual(["Hello", utf8("Hello")])
    })
  )
)

clause.each(
  "6.2-1",
  "however it is cut into fragments, with Pings between them",
  inBothRoles(ways),
  (_, role, payload) =>
    world(
      Effect.gen(function* () {
        const { connection, far, receive } = yield* open(role, "permessage-deflate")
        const bytes = payload.split(" ")
        for (let at = 0; at <= bytes.length; at++) {
          const [first, second] = [bytes.slice(0, at), bytes.slice(at)]
          receive(`41 ${counted(first)} 89 00 80 ${counted(second)}`)
          expect(plain(yield* connection.pull)).toEqual(["Hello"])
        }
        yield* turn
        expect(far.frames.map(({ opcode }) => opcode)).toEqual(Array.from({ length: bytes.length + 1 }, () => 10))
      })
    )
)

clause.effect("6.2-1", "an empty message is a single octet, and the end of a message may be an empty fragment", () =>
  Effect.gen(function* () {
    for (const role of roles) {
      const { connection, receive } = yield* open(role, "permessage-deflate")
      receive("c1 01 00", `41 07 ${hello} 80 00`, `41 0b ${hello} 00 00 ff ff 80 01 00`)
      expect(plain(yield* connection.pull)).toEqual(["", "Hello", "Hello"])
    }
  })
)

clause.effect("6.2-1", "text is held to be UTF-8 when it has been decompressed, not before", () =>
  Effect.gen(function* () {
    for (const role of roles) {
      const opened = yield* open(role, "permessage-deflate")
      opened.receive("c1 0b 00 05 00 fa ff 48 65 6c 6c ff 00")
      yield* fails(opened, 1007)
      // What is compressed has no need to be: "ä" within, c3 a4, and octets without that are none.
      const { connection, receive } = yield* open(role, "permessage-deflate")
      receive("c1 08 00 02 00 fd ff c3 a4 00")
      expect(plain(yield* connection.pull)).toEqual(["ä"])
    }
  })
)

clause.each(
  "6.2-1",
  "what cannot be decompressed fails the connection",
  inBothRoles([
    ["a block of a type that there is not", "c1 02 06 00"],
    ["a length that does not match", "c1 0b 00 05 00 fa fe 48 65 6c 6c 6f 00"],
    ["further back than there is anything", "c1 05 f2 00 11 00 00"],
    ["a message that ends in the middle of a block", "c1 04 f2 48 cd c9"]
  ]),
  (_, role, wire) =>
    world(
      Effect.gen(function* () {
        const opened = yield* open(role, "permessage-deflate")
        opened.receive(wire)
        yield* fails(opened, 1007)
      })
    )
)

clause.effect("6.2-1", "an extension on either side of it does what its own bit says", () =>
  Effect.gen(function* () {
    for (const role of roles) {
      const { connection, receive } = yield* over(role, followed(role))
      receive("e1 07 f3 49 ce ca ca 08 01", `c1 07 ${hello}`)
      expect(plain(yield* connection.pull)).toEqual(["Hello", "Hello"])
    }
  })
)

clause.effect("6.2-2", "a message without the bit is taken as it is, though it might be compressed", () =>
  Effect.gen(function* () {
    for (const role of roles) {
      const { connection, receive } = yield* open(role, "permessage-deflate")
      receive(`82 07 ${hello}`, "81 05 48 65 6c 6c 6f", "01 02 48 65 80 03 6c 6c 6f")
      expect(plain(yield* connection.pull)).toEqual([hex(hello), "Hello", "Hello"])
    }
  })
)

clause.effect("6.2-2", "and the extension before it gets it as it is", () =>
  Effect.gen(function* () {
    for (const role of roles) {
      const { connection, receive } = yield* over(role, followed(role))
      receive("a1 05 49 66 6d 6d 70", "81 05 48 65 6c 6c 6f")
      expect(plain(yield* connection.pull)).toEqual(["Hello", "Hello"])
    }
  })
)
