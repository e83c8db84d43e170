import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Value from "@millrace/core/interop/Value"
import { Binary, Text } from "@millrace/core/protocol/Message"
import { utf8 } from "../../support/wire.ts"
import { nested, wireValue } from "../../support/wireValues.ts"

const said = { topic: "lobby", from: "@django", time: 7 }

const published = (value: unknown) => {
  const sendable = Result.getOrThrow(Value.toPublish(value, said))
  return typeof sendable === "string" ? new Text(sendable) : new Binary(sendable as Uint8Array)
}

describe("A value as a publication", () => {
  it("is a message of the hub's protocol", () => {
    expect(published({ text: "hé" })).toMatchObject({
      text: '{"type":"message","topic":"lobby","data":{"text":"hé"},"from":"@django","time":7}'
    })
    expect(Value.ofMessage(published({ text: "hé" }))).toEqual({ value: { text: "hé" }, from: "@django", time: 7 })
  })

  it("is binary where bytes are in it", () => {
    const message = published(["up", new Uint8Array([1, 2])])
    expect(message._tag).toBe("Binary")
    expect(Value.ofMessage(message)).toEqual({
      value: ["up", new Uint8Array([1, 2])],
      from: undefined,
      time: undefined
    })
  })

  it("comes back as it was", () => {
    fc.assert(
      fc.property(wireValue, (value) => {
        expect(Value.ofMessage(published(value)).value).toEqual(value)
      })
    )
  })

  it("is refused where it has no form", () => {
    for (const value of [1n, Number.NaN, new Date(0), { toString: () => 1 }, nested(64)]) {
      expect(Result.getFailure(Value.toPublish(value, said))).toMatchObject({ value: { name: "TypeError" } })
    }
    expect(Result.isSuccess(Value.toPublish(nested(63), said))).toBe(true)
  })
})

describe("What others have published", () => {
  it.each([
    ["JSON of its own", new Text('{"a":[1]}'), { a: [1] }],
    ["text that is none", new Text("hello {"), "hello {"],
    ["bytes that hold no value", new Binary(new Uint8Array([1, 2, 3])), new Uint8Array([1, 2, 3])],
    ["bytes that begin as a value does", new Binary(utf8("\0\0\0\t[null,[]] ")), utf8("\0\0\0\t[null,[]] ")]
  ])("is a value too: %s", (_, message, value) => {
    expect(Value.ofMessage(message)).toEqual({ value, from: undefined, time: undefined })
  })

  it("is some value, whatever it is", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), fc.uint8Array()), (any) => {
        const message = typeof any === "string" ? new Text(any) : new Binary(any)
        expect(Value.ofMessage(message)).toHaveProperty("value")
      })
    )
  })
})
