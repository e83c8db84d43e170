/** RFC 6455 section 5.5.1: after both Close frames the TCP connection is closed. */
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import { clause } from "./clause.ts"
import { open, start, turn } from "./connection.ts"

clause.effect("5.5.1-6", "a server that was closed by its client ends the transport behind the answer", () =>
  Effect.gen(function* () {
    const { far, socket } = yield* open("server")
    far.receive("88 02 03 e8")
    yield* turn
    expect(far.story).toEqual(["close 1000", "end"])
    far.finish(undefined)
    expect(yield* socket.closed).toMatchObject({ sent: { code: 1000 }, received: { code: 1000 } })
  })
)

clause.effect("5.5.1-6", "a server that closed ends the transport when the client has answered", () =>
  Effect.gen(function* () {
    const { far, socket } = yield* open("server")
    yield* start(socket.close(1001))
    expect(far.story).toEqual(["close 1001"])
    far.receive("88 02 03 e9")
    yield* turn
    expect(far.story).toEqual(["close 1001", "end"])
  })
)

clause.effect("5.5.1-6", "a client leaves the end to the server, and makes it when none comes in time", () =>
  Effect.gen(function* () {
    const { far, socket } = yield* open("client", { closeTimeout: "5 seconds" })
    far.receive("88 02 03 e8")
    yield* turn
    expect(far.story).toEqual(["close 1000"])
    yield* TestClock.adjust("4 seconds")
    expect(far.story).toEqual(["close 1000"])
    yield* TestClock.adjust("3 seconds")
    expect(far.story).toEqual(["close 1000", "destroy"])
    expect(yield* socket.closed).toMatchObject({ sent: { code: 1000 }, received: { code: 1000 } })
  })
)

clause.effect("5.5.1-6", "an endpoint whose Close is never answered closes the TCP connection all the same", () =>
  Effect.gen(function* () {
    for (const role of ["client", "server"] as const) {
      const { far, socket } = yield* open(role, { closeTimeout: "5 seconds" })
      yield* start(socket.close())
      expect(far.story).toEqual(["close 1000"])
      yield* TestClock.adjust("7 seconds")
      expect(far.story).toEqual(["close 1000", "destroy"])
    }
  })
)
