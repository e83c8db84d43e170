/** RFC 6455 section 7.1.2: starting the closing handshake. */
import { expect } from "vitest"
import { hex } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { Endpoint, roles } from "./endpoint.ts"

clause.each("7.1.2-1", "sends a Close frame with the code and the reason", roles, (role) => {
  const endpoint = new Endpoint(role)
  expect(endpoint.close(1001, "à bientôt")).toBe("sent")
  expect(endpoint.seen).toMatchObject([
    { fin: true, opcode: 8, payload: hex("03 e9 c3 a0 20 62 69 65 6e 74 c3 b4 74") }
  ])
  expect(endpoint.state).toMatchObject({ _tag: "Closing", sent: { code: 1001, reason: "à bientôt" } })
})

clause.each("7.1.2-1", "the reason is optional", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.close(1000)
  expect(endpoint.seen).toMatchObject([{ opcode: 8, payload: hex("03 e8") }])
})

clause.each("7.1.2-1", "sends one Close, however often it is asked to", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.close(1000)
  expect(endpoint.close(1001)).toBe("NotOpen")
  expect(endpoint.closeCodes).toEqual([1000])
})
