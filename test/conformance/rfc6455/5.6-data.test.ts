/** RFC 6455 section 5.6: text is UTF-8 as a whole, binary is anything. */
import { expect } from "vitest"
import { hex } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { Endpoint, expectFailed, roles } from "./endpoint.ts"

clause.each("5.6-1", "a character may be cut by the frames", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("01 01 f0 00 01 9f 00 00 00 01 98 80 01 80")
  expect(endpoint.messages).toEqual(["😀"])
})

clause.each("5.6-1", "the message must end with a whole character: 1007", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("01 03 61 e2 82 80 00")
  expect(endpoint.messages).toEqual([])
  expectFailed(endpoint, 1007)
})

clause.each("5.6-1", "half a character does not go over into the next message", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("81 01 e2 81 02 82 ac")
  expect(endpoint.messages).toEqual([])
  expectFailed(endpoint, 1007)
})

clause.each("5.6-1", "the same bytes are welcome in a binary message", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("82 01 e2 02 01 82 80 01 ff")
  expect(endpoint.messages).toEqual(["0xe2", "0x82ff"])
})

clause.each("5.6-1", "what is sent as text is UTF-8", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.sendText("a€😀")
  expect(endpoint.seen).toMatchObject([{ opcode: 1, payload: hex("61 e2 82 ac f0 9f 98 80") }])
})
