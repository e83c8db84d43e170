/** RFC 6455 section 7.4.1: the codes that stand for what no frame said are in no frame. */
import { expect } from "vitest"
import { hex } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { Endpoint, expectFailed, roles } from "./endpoint.ts"

clause.each("7.4.1-1", "a Close without a status code is sent without a body, not with 1005", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.close(1005)
  expect(endpoint.seen).toMatchObject([{ opcode: 8, payload: hex("") }])
})

clause.each("7.4.1-1", "the answer to an empty Close is empty too", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("88 00")
  expect(endpoint.state).toMatchObject({ received: { code: 1005 } })
  expect(endpoint.seen).toMatchObject([{ opcode: 8, payload: hex("") }])
})

clause.each("7.4.1-1", "1005 in a frame fails the connection and is not echoed", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("88 02 03 ed")
  expectFailed(endpoint, 1002)
})

clause.each("7.4.1-2", "1006 cannot be sent", roles, (role) => {
  const endpoint = new Endpoint(role)
  expect(endpoint.close(1006)).toBe("InvalidCloseCode")
  expect(endpoint.written).toEqual([])
  expect(endpoint.close(1000)).toBe("sent")
})

clause.each("7.4.1-2", "1006 in a frame fails the connection and is not echoed", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("88 02 03 ee")
  expectFailed(endpoint, 1002)
})

clause.each("7.4.1-3", "1015 cannot be sent", roles, (role) => {
  const endpoint = new Endpoint(role)
  expect(endpoint.close(1015)).toBe("InvalidCloseCode")
  expect(endpoint.written).toEqual([])
  expect(endpoint.close(1000)).toBe("sent")
})

clause.each("7.4.1-3", "1015 in a frame fails the connection and is not echoed", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("88 02 03 f7")
  expectFailed(endpoint, 1002)
})
