/** RFC 6455 section 8.1: what is not UTF-8 fails the connection. */
import { expect } from "vitest"
import { hex } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { Endpoint, expectFailed, roles, toHex } from "./endpoint.ts"
import { answer, asking, refusesToAsk, replacing, statusOf } from "./handshake.ts"

const byte = (n: number) => n.toString(16).padStart(2, "0")

/** The names are Unicode's; the bytes are those of RFC 3629 section 4 and its neighbours. */
const wrong = [
  ["a continuation byte alone", "80"],
  ["FE, which never occurs", "fe"],
  ["FF, which never occurs", "ff"],
  ["an overlong slash in two bytes", "c0 af"],
  ["an overlong U+007F in two bytes", "c1 bf"],
  ["an overlong slash in three bytes", "e0 80 af"],
  ["an overlong U+07FF in three bytes", "e0 9f bf"],
  ["an overlong slash in four bytes", "f0 80 80 af"],
  ["an overlong U+FFFF in four bytes", "f0 8f bf bf"],
  ["the surrogate U+D800", "ed a0 80"],
  ["the surrogate U+DFFF", "ed bf bf"],
  ["a pair of surrogates", "ed a0 bd ed b8 80"],
  ["U+110000", "f4 90 80 80"],
  ["a lead beyond U+10FFFF, F5", "f5 80 80 80"],
  ["a lead beyond U+10FFFF, F7", "f7 bf bf bf"],
  ["a lead of five bytes", "f8 88 80 80 80"],
  ["a lead followed by ASCII", "e2 41"],
  ["a character cut by the end", "e2 82"],
  ["a character cut by another", "f0 9f 98 c3 a9"]
] as const

for (const [role] of roles) {
  clause.each(
    "8.1-1",
    "fails the connection with 1007 at text",
    wrong.map(([name, bytes]) => [`${role}, ${name}`, bytes]),
    (_, bytes) => {
      const { length } = hex(bytes)
      for (const wire of [
        `81 ${byte(length)} ${bytes}`,
        `81 ${byte(length + 2)} 61 62 ${bytes}`,
        `01 ${byte(length)} ${bytes} 80 00`
      ]) {
        const endpoint = new Endpoint(role)
        endpoint.receive(wire)
        expect(endpoint.messages, wire).toEqual([])
        expectFailed(endpoint, 1007)
      }
    }
  )

  clause.each(
    "8.1-1",
    "fails the connection with 1007 at the reason of a Close",
    wrong.map(([name, bytes]) => [`${role}, ${name}`, bytes]),
    (_, bytes) => {
      const endpoint = new Endpoint(role)
      endpoint.receive(`88 ${byte(2 + hex(bytes).length)} 03 e8 ${bytes}`)
      expectFailed(endpoint, 1007)
    }
  )

  clause.each(
    "8.1-1",
    "takes text",
    [
      [`${role}, U+0000`, "00"],
      [`${role}, U+007F`, "7f"],
      [`${role}, U+0080`, "c2 80"],
      [`${role}, U+07FF`, "df bf"],
      [`${role}, U+0800`, "e0 a0 80"],
      [`${role}, U+D7FF`, "ed 9f bf"],
      [`${role}, U+E000`, "ee 80 80"],
      [`${role}, a byte order mark, U+FEFF`, "ef bb bf"],
      [`${role}, U+FFFF`, "ef bf bf"],
      [`${role}, U+10000`, "f0 90 80 80"],
      [`${role}, U+10FFFF`, "f4 8f bf bf"]
    ],
    (_, bytes) => {
      const endpoint = new Endpoint(role)
      endpoint.receive(`81 ${byte(hex(bytes).length)} ${bytes}`)
      endpoint.receive("81 01 61")
      expect(endpoint.messages).toHaveLength(2)
      expect(endpoint.written).toEqual([])
    }
  )
}

clause.each(
  "8.1-1",
  "fails at the first byte that cannot be, whatever follows, not at the end of the message",
  roles,
  (role) => {
    for (const body of ["61 c0", "61 c0 80", "61 80 61 62", "f4 90 61 61 61 61 61 61 61 61"]) {
      const endpoint = new Endpoint(role)
      // 126 bytes are announced; these show it.
      endpoint.receive(hex(role === "server" ? `81 fe 00 7e 00 00 00 00 ${body}` : `81 7e 00 7e ${body}`))
      expect(endpoint.closeCodes, body).toEqual([1007])
    }
  }
)

clause.each("8.1-1", "notices a mistake in a long text, at any place", roles, (role) => {
  for (const at of [0, 7, 8, 1000, 2047, 4095, 4999]) {
    const text = new Uint8Array(5000).fill(0x61)
    text[at] = 0xff
    const endpoint = new Endpoint(role)
    endpoint.receive(`81 7e 13 88 ${toHex(text)}`)
    expect(endpoint.messages, `at ${at}`).toEqual([])
    expectFailed(endpoint, 1007)
  }
})

clause("8.1-1", "in the handshake nothing is taken as UTF-8: what the target and Host mean is ASCII", () => {
  expect(statusOf(answer(["GET /caf\u00c3\u00a9 HTTP/1.1", ...asking.slice(1)]))).toBe(400)
  expect(statusOf(answer(replacing(asking, "Host: caf\u00c3\u00a9.example")))).toBe(400)
  expect(refusesToAsk({ target: "/café" })).toBe(true)
})
