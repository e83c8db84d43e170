/** RFC 6455 section 5.1: who masks, and what becomes of who does not. */
import { expect } from "vitest"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import { hex, utf8 } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { Endpoint, expectFailed } from "./endpoint.ts"

clause("5.1-1", "a client masks messages, fragments, Ping, Pong and Close", () => {
  const client = new Endpoint("client", { maskingKeys: [0x37fa213d] })
  client.sendText("Hello")
  client.sendBinary(hex("00 ff"), false)
  client.sendBinary(hex("0f"))
  client.ping(utf8("hi"))
  client.receive("89 01 21")
  client.close(1000)
  expect(client.written).toEqual([
    "81 85 37 fa 21 3d 7f 9f 4d 51 58",
    "02 82 37 fa 21 3d 37 05",
    "80 81 37 fa 21 3d 38",
    "89 82 37 fa 21 3d 5f 93",
    "8a 81 37 fa 21 3d 16",
    "88 82 37 fa 21 3d 34 12"
  ])
})

clause("5.1-1", "a client masks what has no payload", () => {
  const client = new Endpoint("client", { maskingKeys: [0x01020304] })
  client.sendText("")
  client.ping(hex(""))
  expect(client.written).toEqual(["81 80 01 02 03 04", "89 80 01 02 03 04"])
})

clause("5.1-1", "a connection in the role of a client cannot be set up without masking keys", () => {
  expect(() => WebSocket.settings("client")).toThrow(TypeError)
  expect(WebSocket.settings("client", {}, () => 1).maskingKey?.()).toBe(1)
})

clause.each(
  "5.1-2",
  "a server fails the connection with 1002",
  [
    ["unmasked text", "81 05 48 65 6c 6c 6f"],
    ["unmasked and empty", "81 00"],
    ["an unmasked Ping", "89 00"],
    ["an unmasked Close", "88 02 03 e8"],
    ["the two bytes that show it, before the payload is there", "82 7e"]
  ],
  (_, wire) => {
    const server = new Endpoint("server")
    server.receive(hex(wire))
    expect(server.messages).toEqual([])
    expectFailed(server, 1002)
  }
)

clause("5.1-2", "what came masked before it is delivered, what comes masked after it is not", () => {
  const server = new Endpoint("server")
  server.receive(hex("81 82 00 00 00 00 68 69 81 00 81 82 00 00 00 00 68 6f"))
  expect(server.messages).toEqual(["hi"])
  expectFailed(server, 1002)
})

clause("5.1-3", "a server masks no message, fragment, Ping, Pong or Close", () => {
  const server = new Endpoint("server")
  server.sendText("Hello")
  server.sendText("Hel", false)
  server.sendText("lo")
  server.ping(utf8("hi"))
  server.receive("89 01 21")
  server.close(1000)
  expect(server.written).toEqual([
    "81 05 48 65 6c 6c 6f",
    "01 03 48 65 6c",
    "80 02 6c 6f",
    "89 02 68 69",
    "8a 01 21",
    "88 02 03 e8"
  ])
})

clause.each(
  "5.1-4",
  "a client fails the connection with 1002",
  [
    ["masked text", "81 85 37 fa 21 3d 7f 9f 4d 51 58"],
    ["masked with a key of zeros", "81 82 00 00 00 00 68 69"],
    ["a masked Pong", "8a 80 37 fa 21 3d"],
    ["the two bytes that show it", "81 85"]
  ],
  (_, wire) => {
    const client = new Endpoint("client")
    client.receive(hex(wire))
    expect(client.messages).toEqual([])
    expectFailed(client, 1002)
  }
)
