/** Bytes as `channels_redis` 4.0 has written them, and what is none of its messages. */
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as LayerMessage from "@millrace/core/interop/channels/LayerMessage"
import { mutated, nested, wireValue } from "../../../support/wireValues.ts"

const hex = (text: string) => Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))

/** By `msgpack.packb({"type": "chat.message", "text": "hé", "raw": b"\x00\xff", "n": -3})`. */
const written = hex("84a474797065ac636861742e6d657373616765a474657874a368c3a9a3726177c40200ffa16efd")
const value = { type: "chat.message", text: "hé", raw: new Uint8Array([0, 255]), n: -3 }

const failure = <A, E>(result: Result.Result<A, E>) => Result.getOrThrow(Result.flip(result))

describe("A message of Django's", () => {
  it("is read as it was written", () => {
    expect(LayerMessage.decode(written)).toEqual(Result.succeed(value))
  })

  it("is written as Python writes it", () => {
    expect(Uint8Array.from(Result.getOrThrow(LayerMessage.encode(value)))).toEqual(written)
  })

  it("has 12 random bytes before it in a queue, and the channels in it", () => {
    const random = new Uint8Array(12).fill(9)
    const queued = { message: { type: "a" }, channels: ["specific.x!y", "specific.x!z"] }
    const bytes = Result.getOrThrow(LayerMessage.encodeQueued(queued, random))
    expect(bytes.subarray(0, 12)).toEqual(random)
    expect(bytes.subarray(12, 19)).toEqual(hex("82a474797065a1"))
    expect(LayerMessage.decodeQueued(bytes)).toEqual(Result.succeed(queued))
  })

  it("names one channel as a text, where it was sent to that alone", () => {
    const sent = hex(`${"00".repeat(12)}82a474797065a161b05f5f617367695f6368616e6e656c5f5fa3612162`)
    expect(LayerMessage.decodeQueued(sent)).toEqual(Result.succeed({ message: { type: "a" }, channels: ["a!b"] }))
  })

  it.each([
    ["nothing", "", "syntax"],
    ["a text", "a161", "value"],
    ["an array", "91a161", "value"],
    ["a map without a type", "81a161a162", "value"],
    ["a type that is a number", "81a47479706501", "value"],
    ["a key that is a number", "820102a474797065a161", "syntax"],
    ["one that ends early", "82a474797065a161", "syntax"],
    ["one with more behind it", "81a474797065a161c0", "syntax"],
    ["the name __proto__", "82a474797065a161a95f5f70726f746f5f5f80", "syntax"],
    ["a number beyond 2^53", "82a474797065a161a16ecfffffffffffffffff", "syntax"],
    ["four milliards of values", "dfffffffff", "syntax"]
  ])("is not %s", (_, text, reason) => {
    expect(failure(LayerMessage.decode(hex(text)))).toMatchObject({ _tag: "LayerViolation", reason })
  })

  it.each([
    ["too short for its random bytes", "00".repeat(11), "syntax"],
    ["for nobody", `${"00".repeat(12)}81a474797065a161`, "value"],
    ["for a number", `${"00".repeat(12)}82a474797065a161b05f5f617367695f6368616e6e656c5f5f9101`, "value"]
  ])("is none in a queue, where it is %s", (_, text, reason) => {
    expect(failure(LayerMessage.decodeQueued(hex(text)))).toMatchObject({ _tag: "LayerViolation", reason })
  })

  it("has a limit, in either direction", () => {
    const options = { maxBytes: written.length - 1 }
    expect(failure(LayerMessage.decode(written, options))).toMatchObject({ reason: "limit" })
    expect(failure(LayerMessage.encode(value, options))).toMatchObject({ _tag: "UnsendableMessage" })
    const exact = { maxBytes: written.length }
    expect(Result.isSuccess(LayerMessage.decode(written, exact))).toBe(true)
    expect(Result.isSuccess(LayerMessage.encode(value, exact))).toBe(true)
    const queued = { ...options, maxBytes: 1_048_576 }
    expect(Result.isSuccess(LayerMessage.encodeQueued({ message: value, channels: [] }, written, queued))).toBe(true)
  })

  it("is nested as deep as is allowed, in either direction", () => {
    expect(Result.isSuccess(LayerMessage.encode({ type: "a", deep: nested(63) }))).toBe(true)
    expect(failure(LayerMessage.encode({ type: "a", deep: nested(64) }))).toMatchObject({ _tag: "UnsendableMessage" })
    const bytes = Result.getOrThrow(LayerMessage.encode({ type: "a", deep: nested(64) }, { maxDepth: 65 }))
    expect(failure(LayerMessage.decode(bytes))).toMatchObject({ reason: "syntax" })
  })

  it("is not written where it has no form", () => {
    for (const message of [{ type: "a", date: new Date(0) }, { type: "a", n: 1n }, { n: 1 }, null]) {
      expect(failure(LayerMessage.encode(message as never))).toMatchObject({ _tag: "UnsendableMessage" })
    }
  })
})

describe("Any message", () => {
  const message = fc
    .tuple(fc.string(), wireValue, wireValue)
    .map(([type, a, b]) => ({ type, a, b }) as LayerMessage.Message)

  it("is read as it was written, from a queue as well", () => {
    fc.assert(
      fc.property(
        message,
        fc.array(fc.string()),
        fc.uint8Array({ minLength: 12, maxLength: 12 }),
        (sent, channels, random) => {
          expect(Result.flatMap(LayerMessage.encode(sent), LayerMessage.decode)).toEqual(Result.succeed(sent))
          const queued = LayerMessage.encodeQueued({ message: sent, channels }, random)
          expect(Result.flatMap(queued, LayerMessage.decodeQueued)).toEqual(Result.succeed({ message: sent, channels }))
        }
      )
    )
  })

  it("or a violation are what any bytes are", () => {
    const bytes = message.map((sent) => Result.getOrThrow(LayerMessage.encode(sent)))
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), mutated(bytes)), (any) => {
        for (const decoded of [LayerMessage.decode(any), LayerMessage.decodeQueued(any)] as const) {
          if (Result.isFailure(decoded as Result.Result<unknown, unknown>)) {
            expect((decoded as Result.Failure<unknown, unknown>).failure).toBeInstanceOf(LayerMessage.LayerViolation)
          }
        }
      })
    )
  })
})

describe("Names", () => {
  it("are of 1 to 99 characters that no key and no channel mean otherwise", () => {
    for (const name of ["a", "chat_lobby", "A.b-9", "x".repeat(99)]) expect(LayerMessage.isName(name)).toBe(true)
    for (const name of ["", "x".repeat(100), "chat/lobby", "a!b", "é", "a\n", "a b", "*"]) {
      expect(LayerMessage.isName(name)).toBe(false)
    }
  })

  it("lead to where the layers have them", () => {
    expect(LayerMessage.groupChannel("asgi", "chat_lobby")).toBe("asgi__group__chat_lobby")
    expect(LayerMessage.groupKey("asgi", "chat_lobby")).toBe("asgi:group:chat_lobby")
    expect(LayerMessage.queueKey("asgi", "specific.0a!7f")).toBe("asgispecific.0a!")
    expect(LayerMessage.queueKey("asgi", "jobs")).toBe("asgijobs")
  })
})
