/** RFC 6455 section 5.5.3: a Pong says what the Ping said. */
import { expect } from "vitest"
import { hex } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { Endpoint, roles } from "./endpoint.ts"

for (const [role] of roles) {
  clause.each(
    "5.5.3-1",
    "the Pong has the bytes of the Ping",
    [
      [`${role}, none`, "89 00", ""],
      [`${role}, one`, "89 01 00", "00"],
      [`${role}, what is not UTF-8`, "89 04 ff fe 80 c0", "ff fe 80 c0"],
      [`${role}, 125`, "89 7d".concat(" a5".repeat(125)), "a5".concat(" a5".repeat(124))]
    ],
    (_, wire, payload) => {
      const endpoint = new Endpoint(role)
      endpoint.receive(wire)
      expect(endpoint.seen).toMatchObject([{ fin: true, opcode: 10, payload: hex(payload) }])
    }
  )
}

clause.each("5.5.3-1", "also when the Ping comes byte by byte, and the next one right after it", roles, (role) => {
  const endpoint = new Endpoint(role)
  const mask = role === "server" ? " 01 02 04 08" : ""
  const bit = role === "server" ? "83" : "03"
  const body = role === "server" ? "60 60 67" : "61 62 63"
  for (const byte of hex(`89 ${bit}${mask} ${body} 89 ${bit}${mask} ${body}`)) endpoint.receive(Uint8Array.of(byte))
  expect(endpoint.seen.at(-1)).toMatchObject({ opcode: 10, payload: hex("61 62 63") })
})
