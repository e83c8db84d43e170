/** RFC 6455 section 5.2: reserved bits, unknown opcodes, and the length in its shortest form. */
import { expect } from "vitest"
import { hex } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { Endpoint, expectFailed, read, roles, toward } from "./endpoint.ts"

/** One of everything that an endpoint can write. */
const everything = (endpoint: Endpoint) => {
  endpoint.sendText("a")
  endpoint.sendText("b", false)
  endpoint.sendText("c")
  endpoint.sendBinary(new Uint8Array(200))
  endpoint.sendBinary(new Uint8Array(70_000))
  endpoint.ping(hex("01"))
  endpoint.receive("89 01 01")
  endpoint.close(1000, "bye")
  return endpoint.seen
}

clause.each("5.2-1", "writes nothing with a reserved bit while no extension is in use", roles, (role) => {
  const seen = everything(new Endpoint(role))
  expect(seen.map(({ opcode }) => opcode)).toEqual([1, 1, 0, 2, 2, 9, 10, 8])
  expect(seen.map(({ rsv }) => rsv)).toEqual([0, 0, 0, 0, 0, 0, 0, 0])
})

for (const [role] of roles) {
  clause.each(
    "5.2-2",
    "fails the connection with 1002 at a reserved bit that nothing gave a meaning",
    [
      [`${role}, RSV1 on text`, "c1 02 68 69"],
      [`${role}, RSV2 on text`, "a1 02 68 69"],
      [`${role}, RSV3 on text`, "91 02 68 69"],
      [`${role}, all three on binary`, "f2 01 00"],
      [`${role}, RSV1 on a Ping`, "c9 00"],
      [`${role}, RSV2 on a Pong`, "aa 00"],
      [`${role}, RSV3 on a Close`, "98 00"]
    ],
    (_, wire) => {
      const endpoint = new Endpoint(role)
      endpoint.receive(wire)
      expect(endpoint.messages).toEqual([])
      expectFailed(endpoint, 1002)
    }
  )

  clause.each(
    "5.2-3",
    "fails the connection with 1002 at an opcode that is not defined",
    [0x3, 0x4, 0x5, 0x6, 0x7, 0xb, 0xc, 0xd, 0xe, 0xf].map((opcode) => [`${role}, 0x${opcode.toString(16)}`, opcode]),
    (_, opcode) => {
      const endpoint = new Endpoint(role)
      endpoint.receive(toward(role, `${(0x80 + opcode).toString(16)} 00`))
      expect(endpoint.messages).toEqual([])
      expectFailed(endpoint, 1002)
    }
  )
}

clause.each("5.2-2", "fails the connection at a reserved bit on a continuation", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("01 01 61 c0 01 62")
  expect(endpoint.messages).toEqual([])
  expectFailed(endpoint, 1002)
})

clause.each(
  "5.2-4",
  "fails the connection with 1002 when the first bit of a 64-bit length is set",
  [
    ["nothing but the bit", "80 00 00 00 00 00 00 00"],
    ["the bit and a length that would be fine", "80 00 00 00 00 01 00 00"],
    ["every bit", "ff ff ff ff ff ff ff ff"]
  ],
  (_, length) => {
    for (const [role] of roles) {
      // A limit that no length passes, so that it is the bit that fails, not the size.
      const endpoint = new Endpoint(role, { maxMessageBytes: Number.POSITIVE_INFINITY })
      endpoint.receive(hex(`82 ${role === "server" ? "ff" : "7f"} ${length}`))
      expectFailed(endpoint, 1002)
    }
  }
)

clause.each(
  "5.2-5",
  "writes a length in the fewest bytes",
  [
    ["0 bytes", 0, "82 00", "82 80"],
    ["124 bytes", 124, "82 7c", "82 fc"],
    ["125 bytes", 125, "82 7d", "82 fd"],
    ["126 bytes", 126, "82 7e 00 7e", "82 fe 00 7e"],
    ["65,535 bytes", 65_535, "82 7e ff ff", "82 fe ff ff"],
    ["65,536 bytes", 65_536, "82 7f 00 00 00 00 00 01 00 00", "82 ff 00 00 00 00 00 01 00 00"]
  ],
  (_, length, fromServer, fromClient) => {
    const server = new Endpoint("server")
    const client = new Endpoint("client", { maskingKeys: [0x01020304] })
    server.sendBinary(new Uint8Array(length))
    client.sendBinary(new Uint8Array(length))
    expect(server.written[0]!.slice(0, fromServer.length)).toBe(fromServer)
    expect(server.written[0]!.split(" ")).toHaveLength(fromServer.split(" ").length + length)
    expect(client.written[0]!.slice(0, fromClient.length + 12)).toBe(`${fromClient} 01 02 03 04`)
    expect(read(hex(client.written[0]!))[0]!.payload).toEqual(new Uint8Array(length))
  }
)

clause.each(
  "5.2-5",
  "fails the connection with 1002 at a length that is not in the fewest bytes",
  [
    ["124 as 126, 0, 124", "82 7e 00 7c"],
    ["125 in 16 bits", "82 7e 00 7d"],
    ["0 in 16 bits", "82 7e 00 00"],
    ["126 in 64 bits", "82 7f 00 00 00 00 00 00 00 7e"],
    ["65,535 in 64 bits", "82 7f 00 00 00 00 00 00 ff ff"]
  ],
  (_, wire) => {
    const client = new Endpoint("client")
    client.receive(hex(wire))
    expectFailed(client, 1002)
    const server = new Endpoint("server")
    server.receive(Uint8Array.from(hex(wire), (byte, i) => (i === 1 ? byte | 0x80 : byte)))
    expectFailed(server, 1002)
  }
)

clause.each(
  "5.2-5",
  "takes the least and the greatest length of every form",
  [
    ["0 bytes", 0, "82 00"],
    ["125 bytes", 125, "82 7d"],
    ["126 bytes", 126, "82 7e 00 7e"],
    ["65,535 bytes", 65_535, "82 7e ff ff"],
    ["65,536 bytes", 65_536, "82 7f 00 00 00 00 00 01 00 00"]
  ],
  (_, length, header) => {
    const client = new Endpoint("client")
    client.receive(hex(header))
    expect(client.messages).toHaveLength(length === 0 ? 1 : 0)
    client.receive(new Uint8Array(length).fill(0x5a))
    expect(client.messages).toEqual([`0x${"5a".repeat(length)}`])
    client.receive("81 02 68 69")
    expect(client.messages[1]).toBe("hi")
  }
)

clause.each("5.2-7", "fails the connection at RSV1 alone", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("c2 00")
  expectFailed(endpoint, 1002)
})

clause.each("5.2-8", "fails the connection at RSV2 alone", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("a2 00")
  expectFailed(endpoint, 1002)
})

clause.each("5.2-9", "fails the connection at RSV3 alone", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("92 00")
  expectFailed(endpoint, 1002)
})
