/** RFC 6455 section 7.2: closures that nobody asked for. */
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import { TransportError } from "@millrace/core/connection/WebSocketError"
import { clause } from "./clause.ts"
import { open, start, turn } from "./connection.ts"

clause.effect("7.2.1-2", "a client whose transport breaks fails, and says that no Close came", () =>
  Effect.gen(function* () {
    const { far, socket } = yield* open("client")
    far.receive("81 02 68 69")
    far.finish(new TransportError({ cause: new Error("reset") }))
    expect(yield* socket.pull).toMatchObject([{ _tag: "Text" }])
    const error = yield* Effect.flip(socket.pull)
    expect(error).toMatchObject({ reason: { _tag: "TransportError" } })
    expect(yield* socket.closed).toMatchObject({ sent: undefined, received: undefined })
    expect(yield* Effect.flip(socket.send("late"))).toMatchObject({ reason: { _tag: "NotOpen" } })
  })
)

clause.effect("7.2.1-2", "also when it ends orderly, but without a Close: that is code 1006", () =>
  Effect.gen(function* () {
    const { far, socket } = yield* open("client")
    far.finish(undefined)
    const error = yield* Effect.flip(socket.pull)
    expect(error).toMatchObject({ reason: { _tag: "ConnectionLost", code: 1006 } })
  })
)

clause.effect("7.2.1-2", "also when it ends before our Close was answered", () =>
  Effect.gen(function* () {
    const { far, socket } = yield* open("client")
    yield* start(socket.close())
    far.finish(undefined)
    yield* turn
    const error = yield* Effect.flip(socket.pull)
    expect(error).toMatchObject({ reason: { _tag: "ConnectionLost", code: 1006 } })
    expect(far.story).toEqual(["close 1000"])
  })
)
