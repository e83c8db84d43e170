/** RFC 6455 section 10.4: frames and messages that are too big are refused before they are held. */
import { expect } from "vitest"
import { hex } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { Endpoint, expectFailed, roles, toward } from "./endpoint.ts"

clause.each("10.4-1", "a message at the limit is taken", roles, (role) => {
  const endpoint = new Endpoint(role, { maxMessageBytes: 200 })
  endpoint.receive(toward(role, "82 7e 00 c8".concat(" 00".repeat(200))))
  endpoint.receive(toward(role, "02 64".concat(" 00".repeat(100), " 80 64", " 00".repeat(100))))
  expect(endpoint.messages.map((message) => message.length)).toEqual([402, 402])
})

clause.each(
  "10.4-1",
  "a frame over the limit fails with 1009 at its header, without a byte of it",
  [
    ["one byte over", "82 7e 00 c9"],
    ["64 KiB", "82 7f 00 00 00 00 00 01 00 00"],
    ["2^53 and one", "82 7f 00 20 00 00 00 00 00 01"],
    ["2^63 less one", "82 7f 7f ff ff ff ff ff ff ff"]
  ],
  (_, wire) => {
    for (const [role] of roles) {
      const endpoint = new Endpoint(role, { maxMessageBytes: 200 })
      endpoint.receive(Uint8Array.from(hex(wire), (byte, i) => (i === 1 && role === "server" ? byte | 0x80 : byte)))
      expectFailed(endpoint, 1009)
    }
  }
)

clause.each("10.4-1", "a message over the limit fails with 1009, though each of its frames is short", roles, (role) => {
  const endpoint = new Endpoint(role, { maxMessageBytes: 200 })
  endpoint.receive("02 64".concat(" 00".repeat(100), " 00 64", " 00".repeat(100)))
  expect(endpoint.closeCodes).toEqual([])
  endpoint.receive("80 01 00")
  expect(endpoint.messages).toEqual([])
  expectFailed(endpoint, 1009)
})

clause.each("10.4-1", "a message in too many fragments fails with 1008, be they empty", roles, (role) => {
  const endpoint = new Endpoint(role, { maxFragments: 10 })
  endpoint.receive("02 00".concat(" 00 00".repeat(9)))
  expect(endpoint.closeCodes).toEqual([])
  endpoint.receive("80 00")
  expect(endpoint.messages).toEqual([])
  expectFailed(endpoint, 1008)
})

clause.each("10.4-1", "a limit on messages is none on control frames", roles, (role) => {
  const endpoint = new Endpoint(role, { maxMessageBytes: 1 })
  endpoint.receive("89 02 68 69 88 05 03 e8 62 79 65")
  expect(endpoint.seen).toMatchObject([
    { opcode: 10, payload: hex("68 69") },
    { opcode: 8, payload: hex("03 e8 62 79 65") }
  ])
})
