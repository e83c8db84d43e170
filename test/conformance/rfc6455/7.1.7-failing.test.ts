/** RFC 6455 section 7.1.7: to fail a connection is to say why, to take nothing more, and to close it. */
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import { hex } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { open, turn } from "./connection.ts"
import { Endpoint, roles } from "./endpoint.ts"

clause.effect("7.1.7-1", "a client says why, waits for the server to end, and ends itself when it does not", () =>
  Effect.gen(function* () {
    const { far, socket } = yield* open("client", { closeTimeout: "5 seconds" })
    far.receive("83 00")
    yield* turn
    expect(far.story).toEqual(["close 1002"])
    const error = yield* Effect.flip(socket.pull)
    expect(error).toMatchObject({ reason: { _tag: "ProtocolViolation", clause: "RFC 6455 5.2" } })
    yield* TestClock.adjust("7 seconds")
    expect(far.story).toEqual(["close 1002", "destroy"])
    expect(yield* socket.closed).toMatchObject({ violation: { closeCode: 1002 }, received: undefined })
  })
)

clause.effect("7.1.7-2", "a server says why and ends the transport at once", () =>
  Effect.gen(function* () {
    const { far, socket } = yield* open("server")
    far.receive("83 00")
    yield* turn
    expect(far.story).toEqual(["close 1002", "end"])
    const error = yield* Effect.flip(socket.pull)
    expect(error).toMatchObject({ reason: { _tag: "ProtocolViolation", clause: "RFC 6455 5.2" } })
  })
)

clause.effect("7.1.7-2", "a server cuts a client that does not let go", () =>
  Effect.gen(function* () {
    const { far, socket } = yield* open("server", { closeTimeout: "5 seconds" })
    far.receive("83 00")
    yield* TestClock.adjust("7 seconds")
    expect(far.story).toEqual(["close 1002", "end", "destroy"])
    expect(yield* socket.closed).toMatchObject({ violation: { closeCode: 1002 } })
  })
)

clause.each("7.1.7-3", "the Close carries the code of what was wrong, once", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("81 01 ff 83 00 81 01 ff")
  expect(endpoint.closeCodes).toEqual([1007])
})

clause.each("7.1.7-3", "no second Close is sent when one was sent already", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.close(1000)
  endpoint.receive("83 00")
  expect(endpoint.closeCodes).toEqual([1000])
  expect(endpoint.state).toMatchObject({ _tag: "Closing", violation: { closeCode: 1002 } })
  expect(endpoint.ended).toBe(role === "server")
})

clause.each("7.1.7-4", "a Ping, a message and a Close after the fault are not looked at", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("83 00")
  const written = [...endpoint.written]
  for (const wire of ["89 00", "81 02 68 69", "82 01 00", "88 02 03 e8", "83 00"]) endpoint.receive(wire)
  expect(endpoint.written).toEqual(written)
  expect(endpoint.messages).toEqual([])
  expect(endpoint.state).toMatchObject({ received: undefined, violation: { closeCode: 1002 } })
})

clause.each("7.1.7-4", "nor is what stands behind it in the same chunk", roles, (role) => {
  const endpoint = new Endpoint(role)
  endpoint.receive("81 01 61 81 01 ff 81 01 62 89 00 88 00")
  expect(endpoint.messages).toEqual(["a"])
  expect(endpoint.seen.map(({ opcode }) => opcode)).toEqual([8])
  expect(endpoint.state).toMatchObject({ received: undefined })
})

clause.effect("7.1.7-4", "the application is given what came before the fault, then the fault, then nothing", () =>
  Effect.gen(function* () {
    const { far, socket } = yield* open("server")
    far.receive(hex("82 81 00 00 00 00 01 82 81 00 00 00 00 02 83 80 00 00 00 00 82 81 00 00 00 00 03"))
    far.receive("82 01 04")
    const messages = yield* socket.pull
    expect(messages.map(({ bytes }) => bytes)).toEqual([hex("01"), hex("02")])
    const error = yield* Effect.flip(socket.pull)
    expect(error).toMatchObject({ reason: { _tag: "ProtocolViolation" } })
    expect(yield* Effect.flip(socket.pull)).toBe(error)
  })
)
