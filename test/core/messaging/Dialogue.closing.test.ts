/** What becomes of a session whose peer has broken the rules, while its connection takes its time to close. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import * as Session from "@millrace/core/messaging/Session"
import type { Wire } from "@millrace/core/messaging/Wire"
import { start } from "../../support/connection.ts"
import { Chat, hello, silent, turn } from "../../support/session.ts"

/** A server over a connection that takes a second to close, whose client has broken the rules; and what became of it. */
const broken = Effect.gen(function* () {
  const happened: Array<string> = []
  const { client, server } = yield* WebSocket.makePair()
  const close = (code?: number) =>
    Effect.onExit(
      Effect.andThen(
        Effect.sync(() => happened.push(`closes with ${code}`)),
        Effect.sleep("1 second")
      ),
      (exit) => Effect.sync(() => happened.push(Exit.isSuccess(exit) ? "is closed" : "is left"))
    )
  const { closed, pull, receive, send, subprotocol } = server
  const wire: Wire = { close, closed, pull, receive, send, subprotocol }
  const scope = yield* Effect.acquireRelease(Scope.make(), Scope.close)
  yield* start(Effect.ignoreCause(Effect.forever(client.receive)))
  yield* client.send(JSON.stringify(hello))
  const session = yield* Scope.provide(Session.accept(Chat, wire), scope)
  const ping = () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => happened.push("stops answering")))
  yield* start(session.handle({ ...silent, ping }))
  yield* client.send(JSON.stringify(["ask", 1, "ping"]))
  yield* client.send(JSON.stringify(hello))
  yield* turn
  return { happened, scope }
})

describe("a session whose peer has broken the rules", () => {
  it.effect("stops answering at once, and waits until its connection is closed", () =>
    Effect.gen(function* () {
      const { happened } = yield* broken
      assert.deepStrictEqual(happened, ["closes with 4400", "stops answering"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(happened, ["closes with 4400", "stops answering", "is closed"])
    })
  )

  it.effect("does not wait for that any more when its scope ends", () =>
    Effect.gen(function* () {
      const { happened, scope } = yield* broken
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(happened, ["closes with 4400", "stops answering", "is left"])
    })
  )
})
