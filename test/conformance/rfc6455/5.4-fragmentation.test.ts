/** RFC 6455 section 5.4: messages in pieces, and control frames between the pieces. */
import { expect } from "vitest"
import { cut, hex } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { Endpoint, expectFailed, roles, toward } from "./endpoint.ts"

clause.each("5.4-1", "a message is the same however its frames were cut", roles, (role) => {
  for (const wire of [
    "81 05 48 65 6c 6c 6f",
    "01 03 48 65 6c 80 02 6c 6f",
    "01 00 00 00 00 05 48 65 6c 6c 6f 80 00",
    "01 01 48 00 01 65 00 01 6c 00 01 6c 00 01 6f 80 00"
  ]) {
    const endpoint = new Endpoint(role)
    endpoint.receive(wire)
    expect(endpoint.messages, wire).toEqual(["Hello"])
  }
})

clause.each("5.4-1", "frames are found wherever the chunks of the stream are cut", roles, (role) => {
  const wire = toward(role, "01 03 48 65 6c 89 02 68 69 80 02 6c 6f 82 7e 00 7e".concat(" 07".repeat(126), " 81 00"))
  for (let at = 0; at <= wire.length; at++) {
    for (const chunks of [cut(wire, [at]), cut(wire, [at, at + 1, at + 5])]) {
      const endpoint = new Endpoint(role)
      for (const chunk of chunks) endpoint.receive(chunk)
      expect(endpoint.messages, `cut at ${at}`).toEqual(["Hello", `0x${"07".repeat(126)}`, ""])
      expect(endpoint.seen, `cut at ${at}`).toMatchObject([{ opcode: 10, payload: hex("68 69") }])
    }
  }
  const endpoint = new Endpoint(role)
  for (const byte of wire) endpoint.receive(Uint8Array.of(byte))
  expect(endpoint.messages).toEqual(["Hello", `0x${"07".repeat(126)}`, ""])
})

clause.each("5.4-2", "Ping, Pong and Close are written whole, also within a fragmented message", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.sendText("a", false)
  endpoint.ping(hex("01"))
  endpoint.receive("89 7d".concat(" 02".repeat(125)))
  endpoint.close(1000, "r".repeat(200))
  const control = endpoint.seen.filter(({ opcode }) => opcode >= 8)
  expect(control.map(({ opcode }) => opcode)).toEqual([9, 10, 8])
  expect(control.every(({ fin }) => fin)).toBe(true)
})

for (const [role] of roles) {
  clause.each(
    "5.4-2",
    "fails the connection with 1002 at a fragmented control frame",
    [
      [`${role}, Ping`, "09 00"],
      [`${role}, Pong`, "0a 00"],
      [`${role}, Close`, "08 02 03 e8"]
    ],
    (_, wire) => {
      const endpoint = new Endpoint(role)
      endpoint.receive(wire)
      expectFailed(endpoint, 1002)
    }
  )
}

clause.each("5.4-3", "pieces of three messages arrive in the order of the wire", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("02 01 01 00 01 02 80 01 03 81 01 61 02 01 09 80 02 08 07")
  expect(endpoint.messages).toEqual(["0x010203", "a", "0x090807"])
})

clause.each("5.4-3", "pieces are written in the order in which they were sent", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.sendText("one", false)
  endpoint.sendText("two", false)
  endpoint.sendText("three")
  expect(endpoint.seen.map(({ fin, opcode, payload }) => [fin, opcode, new TextDecoder().decode(payload)])).toEqual([
    [false, 1, "one"],
    [false, 0, "two"],
    [true, 0, "three"]
  ])
})

for (const [role] of roles) {
  clause.each(
    "5.4-4",
    "fails the connection with 1002 when a message starts within another",
    [
      [`${role}, text in text`, "01 01 61 81 01 62"],
      [`${role}, a fragment of binary in text`, "01 01 61 02 01 62"],
      [`${role}, binary in binary, after a continuation`, "02 01 61 00 01 62 82 01 63"],
      [`${role}, a continuation of nothing`, "80 01 61"],
      [`${role}, a continuation of nothing, not the last`, "00 00"]
    ],
    (_, wire) => {
      const endpoint = new Endpoint(role)
      endpoint.receive(wire)
      expect(endpoint.messages).toEqual([])
      expectFailed(endpoint, 1002)
    }
  )
}

clause.each("5.4-4", "a continuation after the last fragment belongs to no message", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("01 01 61 80 01 62 80 01 63")
  expect(endpoint.messages).toEqual(["ab"])
  expectFailed(endpoint, 1002)
})

clause.each("5.4-4", "refuses to send a message of another kind within one", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.sendText("a", false)
  expect(endpoint.sendBinary(hex("00"))).toBe("Interleaved")
  endpoint.sendText("b")
  expect(endpoint.sendBinary(hex("00"))).toBe("sent")
  expect(endpoint.seen.map(({ fin, opcode }) => [fin, opcode])).toEqual([
    [false, 1],
    [true, 0],
    [true, 2]
  ])
})

clause.each("5.4-5", "a Ping between two fragments is answered before the message is whole", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("01 03 48 65 6c 89 02 68 69")
  expect(endpoint.seen).toMatchObject([{ opcode: 10, payload: hex("68 69") }])
  expect(endpoint.messages).toEqual([])
  endpoint.receive("8a 01 21 80 02 6c 6f")
  expect(endpoint.messages).toEqual(["Hello"])
})

clause.each("5.4-5", "a Close between two fragments is answered, and the message is never whole", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("01 03 48 65 6c 88 02 03 e8 80 02 6c 6f")
  expect(endpoint.closeCodes).toEqual([1000])
  expect(endpoint.messages).toEqual([])
})

clause.each("5.4-5", "a Ping between two halves of a character does not harm it", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("01 02 e2 82 89 02 e2 82 80 01 ac")
  expect(endpoint.messages).toEqual(["€"])
  expect(endpoint.seen).toMatchObject([{ opcode: 10, payload: hex("e2 82") }])
})

clause.each("5.4-6", "receives a message in one frame, in two and in many", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("81 02 68 69")
  endpoint.receive("01 01 68 80 01 69")
  endpoint.receive("02 00".concat(" 00 01 07".repeat(500), " 80 00"))
  expect(endpoint.messages).toEqual(["hi", "hi", `0x${"07".repeat(500)}`])
  expect(endpoint.written).toEqual([])
})

clause.each("5.4-11", "all fragments have the type of the first", roles, (role) => {
  const endpoint = new Endpoint(role)
  // Bytes that would not be UTF-8 show that the continuations of a binary message are binary.
  endpoint.receive("02 01 ff 00 01 fe 80 01 80")
  expect(endpoint.messages).toEqual(["0xfffe80"])
  endpoint.receive("01 01 61 00 01 62 80 01 ff")
  expect(endpoint.messages).toEqual(["0xfffe80"])
  expectFailed(endpoint, 1007)
})
