/** A message in as many encodings as its members want, each made once. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Hub from "@millrace/core/cluster/Hub"
import type { Encoding, Publication } from "@millrace/core/cluster/Publication"
import * as TestClock from "effect/testing/TestClock"

/** Says what it is asked to encode. */
const counting = (encode: (publication: Publication) => Uint8Array | undefined) => {
  const asked: Array<string> = []
  const encoding: Encoding = {
    encode: (publication) => {
      asked.push(`${publication.topic} ${publication.position}`)
      return encode(publication)
    }
  }
  return { asked, encoding }
}

const member = (encoding: Encoding, written: Array<Uint8Array | undefined>): Hub.Member => ({
  tryWriteUnsafe: (_, publication) => {
    written.push(publication.encodedBy(encoding))
    return "Written"
  },
  close: () => Effect.void
})

describe("a publication", () => {
  it.effect("is encoded once for each encoding, whatever the number of members, also to nothing", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make({ history: { epoch: "e" } })
      const written: Array<Uint8Array | undefined> = []
      const bytes = counting(({ message }) => message.message.bytes.slice())
      const nothing = counting(() => undefined)
      for (let i = 0; i < 3; i++) {
        hub.joinUnsafe("a", member(bytes.encoding, written))
        hub.joinUnsafe("a", member(nothing.encoding, written))
      }
      yield* hub.publish("a", "hello")
      assert.deepStrictEqual([bytes.asked, nothing.asked], [["a e:1"], ["a e:1"]])
      assert.strictEqual(written.length, 6)
      assert.strictEqual(written[0], written[2])
      assert.strictEqual(written[1], undefined)
      yield* hub.publish("a", "hello")
      assert.strictEqual(bytes.asked.length, 2)
    })
  )

  it.effect(
    "has its position where there is a history, which keeps it with the time of the clock, members or not",
    () =>
      Effect.gen(function* () {
        const hub = yield* Hub.make({ history: { epoch: "e", maxAge: "1 minute" } })
        const { asked, encoding } = counting(() => undefined)
        yield* hub.publish("a", "to nobody")
        hub.joinUnsafe("a", member(encoding, []))
        yield* TestClock.adjust("40 seconds")
        yield* hub.publish("a", "hello")
        assert.deepStrictEqual(asked, ["a e:2"])
        const at = { epoch: "e", offset: 0 }
        const texts = Effect.map(hub.since(["a"], at), ({ entries }) =>
          entries.map(({ value: { message } }) => (message._tag === "Text" ? message.text : ""))
        )
        yield* TestClock.adjust("20 seconds")
        assert.deepStrictEqual(yield* texts, ["to nobody", "hello"])
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* texts, ["hello"])
      })
  )
})
