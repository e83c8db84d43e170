/** RFC 6455 section 6.1: what it is to send a message. */
import { expect } from "vitest"
import { hex } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { Endpoint, roles } from "./endpoint.ts"

clause.each("6.1-2", "a message is sent while the connection is open, and refused afterwards", roles, (role) => {
  const endpoint = new Endpoint(role)
  expect(endpoint.sendText("now")).toBe("sent")
  endpoint.receive("88 02 03 e8")
  expect(endpoint.sendText("later")).toBe("NotOpen")
  expect(endpoint.seen.map(({ opcode }) => opcode)).toEqual([1, 8])
})

clause.each("6.1-3", "a message that is being sent ends where the peer closes", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.sendText("one", false)
  endpoint.receive("88 02 03 e8")
  expect(endpoint.sendText("two")).toBe("NotOpen")
  expect(endpoint.seen.map(({ opcode }) => opcode)).toEqual([1, 8])
})

clause.each("6.1-3", "and where the connection fails", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.sendBinary(hex("00"), false)
  endpoint.receive("83 00")
  expect(endpoint.sendBinary(hex("01"))).toBe("NotOpen")
  expect(endpoint.seen.map(({ opcode }) => opcode)).toEqual([2, 8])
})

clause("6.1-4", "the data are the payload of a frame", () => {
  const server = new Endpoint("server")
  server.sendText("Hello")
  server.sendBinary(hex("00 ff"))
  expect(server.written).toEqual(["81 05 48 65 6c 6c 6f", "82 02 00 ff"])
})

clause("6.1-4", "or of a series of frames", () => {
  const server = new Endpoint("server")
  server.sendText("Hel", false)
  server.sendText("", false)
  server.sendText("lo")
  expect(server.written).toEqual(["01 03 48 65 6c", "00 00", "80 02 6c 6f"])
})

clause.each("6.1-5", "the first frame says text or binary", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.sendText("a")
  endpoint.sendBinary(hex("61"))
  endpoint.sendText("a", false)
  endpoint.sendText("b")
  endpoint.sendBinary(hex("61"), false)
  endpoint.sendBinary(hex("62"))
  expect(endpoint.seen.map(({ opcode }) => opcode)).toEqual([1, 2, 1, 0, 2, 0])
})

clause.each("6.1-6", "the last frame has FIN, and only the last", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.sendText("a", false)
  endpoint.sendText("b", false)
  endpoint.sendText("")
  endpoint.sendText("c")
  expect(endpoint.seen.map(({ fin }) => fin)).toEqual([false, false, true, true])
})

clause("6.1-7", "a client masks each frame of a message", () => {
  const client = new Endpoint("client", { maskingKeys: [0x37fa213d, 0x01020304] })
  client.sendText("Hel", false)
  client.sendText("lo")
  expect(client.written).toEqual(["01 83 37 fa 21 3d 7f 9f 4d", "80 82 01 02 03 04 6d 6d"])
})
