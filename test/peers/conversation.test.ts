/** What any two implementations of RFC 6455 must be able to say to one another, with one of ours at either end. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as fc from "fast-check"
import {
  builtinClient,
  type Data,
  digest,
  type End,
  type Options,
  type Pair,
  wsClient,
  wsServer
} from "../support/ends.ts"
import { counting } from "../support/frames.ts"

const pairs: ReadonlyArray<readonly [string, (options?: Options) => Effect.Effect<Pair, never, Scope.Scope>]> = [
  ["ws as the client of our server", wsClient],
  ["our client and ws as the server", wsServer],
  ["Node's own WebSocket as the client of our server", builtinClient]
]

/** Both directions of a pair. */
const directions = ({ ours, theirs }: Pair): ReadonlyArray<readonly [from: End, to: End]> => [
  [ours, theirs],
  [theirs, ours]
]

const say = (end: End, data: ReadonlyArray<Data>) => Effect.forEach(data, end.send, { discard: true })

const lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 1 << 20]

describe.each(pairs)("%s", (_name, open) => {
  it.live("exchange text and binary of every length at which a header changes, and 1 MiB", () =>
    Effect.gen(function* () {
      for (const [from, to] of directions(yield* open())) {
        for (const length of lengths) {
          for (const data of ["x".repeat(length), counting(length)]) {
            yield* from.send(data)
            assert.strictEqual(digest(yield* to.next), digest(data))
          }
        }
        const text = "é€🌊\u0000\ufeff".repeat(1_000)
        yield* from.send(text)
        assert.strictEqual(yield* to.next, text)
      }
    })
  )

  it.live("agree on the subprotocol, or on none", () =>
    Effect.gen(function* () {
      for (const [offered, spoken, agreed] of [
        [["b", "a"], ["a"], "a"],
        [["a"], undefined, undefined],
        [undefined, ["a"], undefined]
      ] as const) {
        // Other clients end a connection whose server chose none of what they offer.
        if (agreed === undefined && offered !== undefined && open !== wsServer) continue
        const pair = yield* open({ offered, spoken })
        assert.deepStrictEqual([pair.ours.subprotocol, pair.theirs.subprotocol], [agreed, agreed])
      }
    })
  )

  it.live("close with code and reason, whoever begins", () =>
    Effect.gen(function* () {
      for (const [code, reason] of [
        [1000, ""],
        [1000, "done"],
        [3000, "é🌊"],
        [4999, "x".repeat(123)]
      ] as const) {
        for (const who of [0, 1]) {
          const [from, to] = directions(yield* open())[who]!
          from.close(code, reason)
          assert.deepStrictEqual({ ...(yield* to.closed) }, { code, reason })
          assert.strictEqual((yield* from.closed).code, code)
        }
      }
    })
  )

  it.live("lose nothing that was sent before a Close", () =>
    Effect.gen(function* () {
      const sent: ReadonlyArray<Data> = [
        ...Array.from({ length: 500 }, (_, i) => `message ${i}`),
        counting(300_000),
        "the last"
      ]
      for (const who of [0, 1]) {
        const [from, to] = directions(yield* open())[who]!
        for (const data of sent) yield* from.send(data)
        from.close(1000, "")
        assert.deepStrictEqual((yield* to.rest).map(digest), sent.map(digest))
        assert.strictEqual((yield* to.closed).code, 1000)
      }
    })
  )

  it.live("have the same history of messages, whatever it is", () => {
    const message: fc.Arbitrary<Data> = fc.oneof(
      fc.string({ unit: "binary", maxLength: 200 }),
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom(...lengths.slice(0, -1)).map(counting)
    )
    const history = fc.record({
      ours: fc.array(message, { maxLength: 30 }),
      theirs: fc.array(message, { maxLength: 30 }),
      closer: fc.constantFrom(0, 1)
    })
    return Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(history, ({ closer, ...sent }) =>
          Effect.runPromise(
            Effect.scoped(
              Effect.gen(function* () {
                const pair = yield* open()
                yield* Effect.all([say(pair.ours, sent.ours), say(pair.theirs, sent.theirs)], { concurrency: 2 })
                const [from, to] = directions(pair)[closer]!
                const [fromSent, toSent] = closer === 0 ? [sent.ours, sent.theirs] : [sent.theirs, sent.ours]
                // Who closes has heard everything; who does not hears everything all the same.
                const heard = yield* Effect.forEach(toSent, () => from.next)
                from.close(1000, "")
                assert.deepStrictEqual(heard.map(digest), toSent.map(digest))
                assert.deepStrictEqual((yield* to.rest).map(digest), fromSent.map(digest))
              })
            )
          )
        ),
        { numRuns: 15 }
      )
    )
  })
})
