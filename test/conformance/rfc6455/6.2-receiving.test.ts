/** RFC 6455 section 6.2: how bytes become messages. */
import { expect } from "vitest"
import { hex } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { Endpoint, roles } from "./endpoint.ts"

clause("6.2-1", "a server parses the frames that the RFC prints", () => {
  const server = new Endpoint("server")
  server.receive(hex("81 85 37 fa 21 3d 7f 9f 4d 51 58"))
  expect(server.messages).toEqual(["Hello"])
})

clause("6.2-1", "a client parses the frames that the RFC prints", () => {
  const client = new Endpoint("client")
  client.receive(hex("81 05 48 65 6c 6c 6f 01 03 48 65 6c 80 02 6c 6f 89 05 48 65 6c 6c 6f"))
  client.receive(hex("82 7e 01 00".concat(" 01".repeat(256))))
  client.receive(hex("82 7f 00 00 00 00 00 01 00 00".concat(" 02".repeat(65_536))))
  expect(client.messages).toEqual(["Hello", "Hello", `0x${"01".repeat(256)}`, `0x${"02".repeat(65_536)}`])
  expect(client.written).toEqual(["8a 85 00 00 00 00 48 65 6c 6c 6f"])
})

clause.each("6.2-2", "Ping and Close are answered, Pong is taken, none of them is a message", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("8a 01 61 89 01 62 88 02 03 e8")
  expect(endpoint.seen).toMatchObject([
    { opcode: 10, payload: hex("62") },
    { opcode: 8, payload: hex("03 e8") }
  ])
  expect(endpoint.messages).toEqual([])
})

clause.each("6.2-3", "the opcode says whether a message is text or bytes", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("81 02 68 69 82 02 68 69 01 01 68 80 01 69 02 01 68 80 01 69")
  expect(endpoint.messages).toEqual(["hi", "0x6869", "hi", "0x6869"])
})

clause.each("6.2-4", "a frame after FIN starts another message, of its own type", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("01 01 61 80 01 62 82 01 63 81 00 02 01 64 80 00")
  expect(endpoint.messages).toEqual(["ab", "0x63", "", "0x64"])
})

clause("6.2-5", "a server unmasks every frame with its own key", () => {
  const server = new Endpoint("server")
  server.receive(hex("01 83 37 fa 21 3d 7f 9f 4d 80 82 01 02 03 04 6d 6d 82 85 ff 00 ff 00 00 00 00 00 00"))
  expect(server.messages).toEqual(["Hello", "0xff00ff00ff"])
})

clause("6.2-5", "a server unmasks a frame that comes in chunks, cut anywhere", () => {
  const wire = hex("82 8b 01 02 03 04 01 02 03 04 01 02 03 04 01 02 03")
  for (let at = 0; at <= wire.length; at++) {
    for (let next = at; next <= wire.length; next++) {
      const server = new Endpoint("server")
      server.receive(wire.subarray(0, at))
      server.receive(wire.subarray(at, next))
      server.receive(wire.subarray(next))
      expect(server.messages, `cut at ${at} and ${next}`).toEqual([`0x${"00".repeat(11)}`])
    }
  }
})

clause("6.2-5", "a server unmasks a long frame whole", () => {
  const server = new Endpoint("server")
  const body = Uint8Array.from({ length: 70_001 }, (_, i) => hex("37 fa 21 3d")[i % 4]! ^ 0x5a)
  server.receive(hex("82 ff 00 00 00 00 00 01 11 71 37 fa 21 3d"))
  server.receive(body.subarray(0, 10_001))
  server.receive(body.subarray(10_001))
  expect(server.messages[0] === `0x${"5a".repeat(70_001)}`).toBe(true)
})
