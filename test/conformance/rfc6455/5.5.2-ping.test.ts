/** RFC 6455 section 5.5.2: every Ping has its Pong, until the peer has closed. */
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import { hex } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { open, turn } from "./connection.ts"
import { Endpoint, roles } from "./endpoint.ts"

clause("5.5.2-1", "a client answers with a masked Pong", () => {
  const client = new Endpoint("client", { maskingKeys: [0x37fa213d] })
  client.receive(hex("89 05 48 65 6c 6c 6f"))
  expect(client.written).toEqual(["8a 85 37 fa 21 3d 7f 9f 4d 51 58"])
})

clause("5.5.2-1", "a server answers with a Pong that is not masked", () => {
  const server = new Endpoint("server")
  server.receive(hex("89 85 37 fa 21 3d 7f 9f 4d 51 58"))
  expect(server.written).toEqual(["8a 05 48 65 6c 6c 6f"])
})

clause.each("5.5.2-1", "answers between its own Close and the peer's", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.close(1000)
  endpoint.receive("89 02 68 69")
  expect(endpoint.seen).toMatchObject([{ opcode: 8 }, { opcode: 10, payload: hex("68 69") }])
})

clause.each("5.5.2-1", "does not answer after the peer's Close", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("88 02 03 e8 89 02 68 69")
  endpoint.receive("89 00")
  expect(endpoint.seen.map(({ opcode }) => opcode)).toEqual([8])
})

clause.each("5.5.2-1", "does not answer a Pong", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("8a 02 68 69 8a 00")
  expect(endpoint.written).toEqual([])
})

clause.effect("5.5.2-1", "a Ping is answered though the application reads nothing, and though it sends nothing", () =>
  Effect.gen(function* () {
    const { far } = yield* open("server")
    far.receive("81 02 68 69 89 01 61 81 02 68 6f 89 01 62")
    yield* turn
    expect(far.log.join(" ")).toBe("8a 01 61 8a 01 62")
  })
)

clause.effect("5.5.2-1", "Pings while the network takes nothing have one Pong when it does, for the last of them", () =>
  Effect.gen(function* () {
    const { far } = yield* open("server", { outboxBytes: 1000 })
    far.backlog = 1000
    far.receive("89 01 61 89 01 62")
    far.receive("89 01 63")
    yield* turn
    expect(far.log).toEqual([])
    far.drain()
    yield* turn
    expect(far.log).toEqual(["8a 01 63"])
  })
)
