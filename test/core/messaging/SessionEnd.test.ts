/** How a session ended, for streams, for questions and in a word. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import { ConnectionLost, Unresponsive, WebSocketError } from "@millrace/core/connection/WebSocketError"
import * as SessionEnd from "@millrace/core/messaging/SessionEnd"
import { SessionViolation } from "@millrace/core/messaging/SessionError"

const lost = new ConnectionLost({ by: "remote", sent: undefined, received: { code: 4_000, reason: "" } })

const tagOf = (exit: Exit.Exit<unknown, unknown>): unknown => {
  const error = Exit.findErrorOption(exit)
  if (error._tag === "None") return "none"
  return Cause.isDone(error.value) ? "Done" : (error.value as { reason: { _tag: string } }).reason._tag
}

describe("the end of a session", () => {
  it.each([
    ["an ordinary close", SessionEnd.of(Exit.fail(Cause.Done())), "Done", "Disconnected", "Closed"],
    ["an interruption", SessionEnd.of(Exit.interrupt()), "Done", "Disconnected", "Closed"],
    [
      "a close with another code",
      SessionEnd.of(Exit.fail(new WebSocketError({ reason: lost }))),
      "Disconnected",
      "Disconnected",
      "ConnectionLost"
    ],
    [
      "silence",
      SessionEnd.of(Exit.fail(new WebSocketError({ reason: new Unresponsive({ silence: 1 }) }))),
      "Disconnected",
      "Disconnected",
      "Unresponsive"
    ],
    [
      "a breach of the rules",
      SessionEnd.failed(new SessionViolation({ code: 4400, detail: "" })),
      "SessionViolation",
      "SessionViolation",
      "SessionViolation"
    ]
  ] as const)("by %s", (_, end, forStreams, forCalls, cause) => {
    assert.strictEqual(tagOf(end.forStreams), forStreams)
    assert.strictEqual(tagOf(end.forCalls), forCalls)
    assert.strictEqual(SessionEnd.causeOf(end), cause)
  })
})
