/** RFC 6455 section 5.5: control frames are short and whole. */
import { expect } from "vitest"
import { clause } from "./clause.ts"
import { Endpoint, expectFailed, roles, toward } from "./endpoint.ts"

for (const [role] of roles) {
  clause.each(
    "5.5-1",
    "fails the connection with 1002 at a control frame of more than 125 bytes",
    [
      [`${role}, Ping of 126`, "89 7e 00 7e"],
      [`${role}, Pong of 126`, "8a 7e 00 7e"],
      [`${role}, Close of 126`, "88 7e 00 7e 03 e8"],
      [`${role}, Ping of 65,536`, "89 7f 00 00 00 00 00 01 00 00"]
    ],
    (_, wire) => {
      const endpoint = new Endpoint(role)
      // No byte of the payload is sent: the header is enough.
      endpoint.receive(wire)
      expectFailed(endpoint, 1002)
    }
  )

  clause.each(
    "5.5-1",
    "fails the connection with 1002 at a control frame without FIN",
    [
      [`${role}, Ping`, "09 01 61"],
      [`${role}, Pong`, "0a 01 61"],
      [`${role}, Close`, "08 00"]
    ],
    (_, wire) => {
      const endpoint = new Endpoint(role)
      endpoint.receive(wire)
      expectFailed(endpoint, 1002)
    }
  )
}

clause.each("5.5-1", "takes a control frame of 125 bytes", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive(toward(role, "89 7d".concat(" 61".repeat(125))))
  expect(endpoint.seen).toMatchObject([{ opcode: 10, payload: new Uint8Array(125).fill(0x61) }])
  endpoint.receive(toward(role, "88 7d 03 e8".concat(" 61".repeat(123))))
  expect(endpoint.closeCodes).toEqual([1000])
})

clause.each("5.5-1", "writes at most 125 bytes into a Ping or a Close, whatever it is given", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.ping(new Uint8Array(126))
  // 61 characters of two bytes fit beside the code; half of one more would.
  endpoint.close(1000, "é".repeat(62))
  expect(endpoint.seen.map(({ opcode, fin, payload }) => [opcode, fin, payload.length])).toEqual([
    [9, true, 125],
    [8, true, 2 + 61 * 2]
  ])
})
