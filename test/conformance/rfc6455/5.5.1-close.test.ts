/** RFC 6455 section 5.5.1: the Close frame, its body, its answer, and what comes after. */
import { expect } from "vitest"
import { hex } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { Endpoint, expectFailed, roles } from "./endpoint.ts"

clause.each("5.5.1-1", "the status code is written in network byte order, the reason after it", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.close(4001, "bye")
  expect(endpoint.seen).toMatchObject([{ opcode: 8, payload: hex("0f a1 62 79 65") }])
})

clause.each("5.5.1-1", "the status code is read in network byte order, the reason after it", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("88 05 0f a1 62 79 65")
  expect(endpoint.state).toMatchObject({ received: { code: 4001, reason: "bye" } })
})

clause.each("5.5.1-1", "a body of one byte, whichever, cannot hold a code: 1002", roles, (role) => {
  for (let byte = 0; byte < 256; byte++) {
    const endpoint = new Endpoint(role)
    endpoint.receive(`88 01 ${byte.toString(16)}`)
    expectFailed(endpoint, 1002)
  }
})

clause.each("5.5.1-1", "an empty body is no status code, and no mistake", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("88 00")
  expect(endpoint.state).toMatchObject({ received: { code: 1005, reason: "" }, violation: undefined })
  expect(endpoint.seen).toMatchObject([{ opcode: 8, payload: hex("") }])
})

clause.each(
  "5.5.1-1",
  "a code that section 7.4 does not let onto the wire fails the connection with 1002",
  ["00 00", "03 e7", "03 ec", "03 ed", "03 ee", "03 f7", "03 f8", "07 d0", "0b b7", "13 88", "ff ff"].map((body) => [
    String(Number.parseInt(body.replace(" ", ""), 16)),
    body
  ]),
  (_, body) => {
    for (const [role] of roles) {
      const endpoint = new Endpoint(role)
      endpoint.receive(`88 02 ${body}`)
      expectFailed(endpoint, 1002)
    }
  }
)

clause.each(
  "5.5.1-1",
  "a code that section 7.4 and its registry define is taken and echoed",
  [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999].map((code) => [
    String(code),
    code
  ]),
  (_, code) => {
    for (const [role] of roles) {
      const endpoint = new Endpoint(role)
      endpoint.receive(`88 02 ${(code >> 8).toString(16).padStart(2, "0")} ${(code & 255).toString(16)}`)
      expect(endpoint.state).toMatchObject({ received: { code, reason: "" }, violation: undefined })
      expect(endpoint.closeCodes).toEqual([code])
    }
  }
)

clause("5.5.1-3", "a client's Close is masked, the first and the answer", () => {
  const first = new Endpoint("client", { maskingKeys: [0x37fa213d] })
  first.close(1000)
  expect(first.written).toEqual(["88 82 37 fa 21 3d 34 12"])
  const answer = new Endpoint("client", { maskingKeys: [0x37fa213d] })
  answer.receive(hex("88 02 03 e9"))
  expect(answer.written).toEqual(["88 82 37 fa 21 3d 34 13"])
})

clause("5.5.1-3", "a server does not take a Close that is not masked", () => {
  const server = new Endpoint("server")
  server.receive(hex("88 02 03 e8"))
  expectFailed(server, 1002)
})

clause.each("5.5.1-4", "no message, fragment or Ping can be sent after our Close", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.close(1000)
  expect(endpoint.sendText("late")).toBe("NotOpen")
  expect(endpoint.sendBinary(hex("00"), false)).toBe("NotOpen")
  expect(endpoint.ping(hex(""))).toBe("NotOpen")
  expect(endpoint.seen).toHaveLength(1)
})

clause.each("5.5.1-4", "nor the rest of a message that was begun before it", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.sendText("begun", false)
  endpoint.close(1000)
  expect(endpoint.sendText("late")).toBe("NotOpen")
  expect(endpoint.seen.map(({ opcode }) => opcode)).toEqual([1, 8])
})

clause.each("5.5.1-4", "nor after the Close that answers the peer's", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("88 00")
  expect(endpoint.sendText("late")).toBe("NotOpen")
  expect(endpoint.seen.map(({ opcode }) => opcode)).toEqual([8])
})

clause.each("5.5.1-5", "a Close is answered with a Close that echoes its status code", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("88 05 03 e9 62 79 65")
  expect(endpoint.closeCodes).toEqual([1001])
  expect(endpoint.state).toMatchObject({ _tag: "Closing", received: { code: 1001, reason: "bye" } })
})

clause.each("5.5.1-5", "a Close that answers ours is not answered", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.close(1000)
  endpoint.receive("88 02 03 e9")
  expect(endpoint.closeCodes).toEqual([1000])
})

clause.each("5.5.1-5", "a second Close of the peer is not answered", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("88 02 03 e9")
  endpoint.receive("88 02 03 e8")
  expect(endpoint.closeCodes).toEqual([1001])
})

clause.each("5.5.1-5", "what the peer sent before its Close is delivered before the answer", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("81 02 68 69 88 02 03 e8 81 02 68 6f")
  expect(endpoint.messages).toEqual(["hi"])
  expect(endpoint.closeCodes).toEqual([1000])
})

clause("5.5.1-7", "a server asks for the TCP connection to be closed with the answer to a Close", () => {
  const server = new Endpoint("server")
  server.receive("88 02 03 e8")
  expect(server.closeCodes).toEqual([1000])
  expect(server.ended).toBe(true)
})

clause("5.5.1-7", "a server asks for it when its own Close is answered, and not before", () => {
  const server = new Endpoint("server")
  server.close(1001)
  expect(server.ended).toBe(false)
  server.receive("88 02 03 e9")
  expect(server.ended).toBe(true)
})

clause("5.5.1-7", "a server asks for it when both ends closed at the same time", () => {
  const server = new Endpoint("server")
  server.close(1001)
  server.receive("88 02 03 e8")
  expect(server.closeCodes).toEqual([1001])
  expect(server.ended).toBe(true)
})
