/** What becomes of a handler that said or asked something in its turn, which nobody was there for. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Disconnected, SessionError } from "@millrace/core/messaging/SessionError"
import { start } from "../../support/connection.ts"
import { logged } from "../../support/logged.ts"
import { serverOf, silent, turn } from "../../support/session.ts"

const lost = Effect.fail(new SessionError({ reason: new Disconnected({ cause: undefined }) }))

describe("a handler that fails with a SessionError", () => {
  it.effect("is no defect: the peer is told that it is unavailable, and the log is told nothing", () =>
    logged((entries) =>
      Effect.gen(function* () {
        const { peer, session } = yield* serverOf()
        yield* start(
          session.handle({ ...silent, say: () => lost, rename: () => lost, count: () => Stream.fromEffect(lost) })
        )
        yield* peer.say(["emit", "say", "hello"], ["ask", 1, "rename", "ada"], ["open", 2, "count", 3, 8])
        yield* turn
        assert.deepStrictEqual(peer.heard, [
          ["fail", 1, "unavailable", "what it needs is not there"],
          ["fail", 2, "unavailable", "what it needs is not there"]
        ])
        assert.deepStrictEqual(entries, [])
      })
    )
  )
})
