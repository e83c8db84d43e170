/** RFC 6455 section 10.7: nothing that comes is taken on trust. */
import { expect } from "vitest"
import { hex } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { Endpoint, expectFailed, roles } from "./endpoint.ts"
import { accepting, answer, asking, outcome, statusOf } from "./handshake.ts"

clause.each(
  "10.7-1",
  "every first byte but the six defined ones, with FIN or not, fails the connection",
  roles,
  (role) => {
    const whole = new Set([0x81, 0x82, 0x88, 0x89, 0x8a])
    const started = new Set([0x01, 0x02])
    for (let first = 0; first < 256; first++) {
      const endpoint = new Endpoint(role)
      endpoint.receive(`${first.toString(16)} 00`)
      if (whole.has(first) || started.has(first)) {
        expect(endpoint.state, first.toString(16)).not.toMatchObject({ violation: { closeCode: 1002 } })
      } else {
        expectFailed(endpoint, 1002)
      }
    }
  }
)

clause.each(
  "10.7-1",
  "an endpoint says with an appropriate code why it fails",
  [
    ["a broken rule of framing, 1002", "83 00", 1002],
    ["text that is not UTF-8, 1007", "81 01 ff", 1007],
    ["a Close code that means nothing, 1002", "88 02 00 01", 1002],
    ["a message that is too big, 1009", "82 05 00 00 00 00 00", 1009]
  ],
  (_, wire, code) => {
    for (const [role] of roles) {
      const endpoint = new Endpoint(role, { maxMessageBytes: 4 })
      endpoint.receive(wire)
      expectFailed(endpoint, code)
    }
  }
)

clause("10.7-1", "an HTTP request in the place of frames fails the connection", () => {
  const server = new Endpoint("server")
  server.receive(Uint8Array.from("GET / HTTP/1.1\r\n\r\n", (character) => character.charCodeAt(0)))
  expectFailed(server, 1002)
})

clause("10.7-1", "an HTTP response in the place of frames fails the connection", () => {
  const client = new Endpoint("client")
  client.receive(Uint8Array.from("HTTP/1.1 400 Bad Request\r\n\r\n", (character) => character.charCodeAt(0)))
  expectFailed(client, 1002)
})

clause("10.7-1", "frames in the place of a handshake are refused by either end", () => {
  const frames = String.fromCharCode(...hex("81 05 48 65 6c 6c 6f"))
  expect(statusOf(answer([frames]))).toBe(400)
  expect(outcome([frames])).toBe("MalformedHead")
})

clause("10.7-1", "a byte outside ASCII in the target of a handshake is refused", () => {
  expect(statusOf(answer(["GET /ch\u00ffat HTTP/1.1", ...asking.slice(1)]))).toBe(400)
})

clause.each(
  "10.7-1",
  "a handshake that goes on and on is refused",
  [
    ["one long field", [`X-Field: ${"x".repeat(10_000)}`]],
    ["many short fields", Array.from({ length: 200 }, (_, i) => `X-${i}: x`)]
  ],
  (_, fields) => {
    expect(statusOf(answer([...asking, ...fields]))).toBe(431)
    expect(outcome([...accepting, ...fields])).toBe("MalformedHead")
  }
)
