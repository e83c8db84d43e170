/** Typed messages of a connection, without a contract. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { assert, describe, it } from "@effect/vitest"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import * as TypedMessages from "@millrace/core/messaging/TypedMessages"
import * as Message from "@millrace/core/protocol/Message"

/** A connection to which these have come, in these reads, and what is sent over it. */
const connection = (...reads: ReadonlyArray<readonly [Message.Sendable, ...ReadonlyArray<Message.Sendable>]>) => {
  const left = [...reads]
  const sent: Array<Message.Sendable> = []
  const half: Pick<WebSocket, "pull" | "send"> = {
    pull: Effect.suspend(() => {
      const next = left.shift()
      return next === undefined
        ? Cause.done()
        : Effect.succeed([Message.from(next[0]), ...next.slice(1).map(Message.from)])
    }),
    send: (message) => Effect.sync(() => void sent.push(message))
  }
  return { half, sent }
}

const number = (json: unknown) =>
  typeof json === "number" ? Result.succeed(json) : Result.fail(`${JSON.stringify(json)} is no number`)

const encode = (date: Date) => ({ at: date.getTime() })

describe("typed messages", () => {
  it.effect("are the values that JSON says, in the batches in which they came", () =>
    Effect.gen(function* () {
      const { half } = connection(["1", "2"], ["3"])
      const batches: Array<ReadonlyArray<number>> = []
      const { messages } = TypedMessages.over(half, { decode: number })
      yield* Stream.runForEachArray(messages, (values) => Effect.sync(() => batches.push(values)))
      assert.deepStrictEqual(batches, [[1, 2], [3]])
    })
  )

  it.effect(
    "fail at one that is not what it should be, behind those before it, and go on behind it when run anew",
    () =>
      Effect.gen(function* () {
        const bytes = Uint8Array.of(49)
        const { messages } = TypedMessages.over(connection(["1", "{", '"two"', bytes, "3"]).half, { decode: number })
        const seen: Array<number> = []
        const read = Stream.runForEach(messages, (value) => Effect.sync(() => seen.push(value)))
        const first = yield* Effect.flip(read)
        assert.deepStrictEqual([seen, first._tag], [[1], "UndecodableMessage"])
        assert.include(first.message, "a message is not what it should be: ")
        assert.isTrue("cause" in first && first.cause instanceof SyntaxError)
        assert.strictEqual((yield* Effect.flip(read)).message, 'a message is not what it should be: "two" is no number')
        assert.strictEqual((yield* Effect.flip(read)).message, "a message is not what it should be: it is no text")
        yield* read
        assert.deepStrictEqual(seen, [1, 3])
      })
  )

  it.effect("are sent as JSON, encoded as the program says", () =>
    Effect.gen(function* () {
      const { half, sent } = connection()
      yield* TypedMessages.over(half, { decode: number }).send(1)
      yield* TypedMessages.over(half, { decode: number, encode }).send(new Date(5))
      assert.deepStrictEqual(sent, ["1", '{"at":5}'])
    })
  )

  it.effect("may be checked by a schema", () =>
    Effect.gen(function* () {
      const Said = Schema.Struct({ text: Schema.String })
      const { half } = connection(['{"text":"hello"}', '{"text":5}'])
      const { messages } = TypedMessages.over(half, { decode: Schema.decodeUnknownResult(Said) })
      const seen: Array<string> = []
      const error = yield* Effect.flip(Stream.runForEach(messages, ({ text }) => Effect.sync(() => seen.push(text))))
      assert.deepStrictEqual([seen, error._tag], [["hello"], "UndecodableMessage"])
    })
  )
})
