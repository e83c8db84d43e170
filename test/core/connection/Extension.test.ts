/** Extensions as values: which go together, what two ends agree on, and several at work on one message. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import * as Result from "effect/Result"
import type * as Extensions from "@millrace/core/codec/Extensions"
import { HandshakeViolation } from "@millrace/core/codec/HandshakeError"
import * as Coding from "@millrace/core/connection/Coding"
import * as Compression from "@millrace/core/connection/Compression"
import * as Extension from "@millrace/core/connection/Extension"
import { deflate, outgoing, receive, receiveStream, send, stream, text } from "../../support/compression.ts"
import { Shift } from "../../support/extensions.ts"
import { cut, utf8 } from "../../support/wire.ts"

const element = (name: string, ...params: Extensions.Extension["params"]): Extensions.Extension => ({ name, params })

const isAnswer = ({ params: [first] }: Extensions.Extension) => first?.[0] === "by" && first[1] === "1"

/** Accepts the first offer whose parameter is `by=1`, and answers it with that. */
const shift = (name = "x-shift", rsv = 2): Extension.Extension => {
  const answer = element(name, ["by", "1"])
  return {
    name,
    rsv,
    offers: [element(name, ["by", "2"]), answer],
    accept: (offered) => (offered.some(isAnswer) ? { response: answer, makeCoder: () => new Shift() } : undefined),
    verify: (answered) =>
      answered.every(isAnswer)
        ? Result.succeed(() => new Shift())
        : Result.fail(
            new HandshakeViolation({ field: "Sec-WebSocket-Extensions", clause: "of the test", detail: "no" })
          )
  }
}

const compression = Compression.over(deflate, { threshold: 0 })

describe("extensions that are used together", () => {
  it("are those that were given, in their order", () => {
    const both = [shift(), compression]
    assert.deepStrictEqual(Extension.compose(both), both)
    assert.deepStrictEqual(Extension.compose([]), [])
  })

  it.each([
    ["have one name", [compression, Compression.over(deflate)], "the extension permessage-deflate is there twice"],
    ["have one name and different bits", [shift("a", 2), shift("a", 1)], "the extension a is there twice"],
    ["claim one bit", [shift("a", 2), shift("b", 3)], "the extension b claims a reserved bit that is taken"],
    [
      "claim RSV1 beside compression",
      [compression, shift("b", 4)],
      "the extension b claims a reserved bit that is taken"
    ],
    ["claim a bit that no frame has", [shift("a", 8)], "the extension a claims bits that no frame has"]
  ] as const)("are refused when they %s", (_, extensions, message) => {
    assert.throws(() => Extension.compose(extensions), TypeError, message)
  })

  it("may claim a bit each, of the three that there are", () => {
    assert.strictEqual(Extension.compose([shift("a", 1), shift("b", 2), compression]).length, 3)
  })
})

const both = [compression, shift()]
const plain = element("permessage-deflate")
const shifted = element("x-shift", ["by", "1"])

/** Names of what was agreed on, in order. */
const names = (agreed: Extension.Agreed) => agreed.response.map(({ name }) => name)

describe("what a server agrees to", () => {
  it("is nothing where nothing is offered, or nothing is there, or nothing fits", () => {
    assert.deepStrictEqual(Extension.accept(both, []), Extension.none)
    assert.deepStrictEqual(Extension.accept([], [plain]), Extension.none)
    assert.deepStrictEqual(
      Extension.accept(both, [element("x-other"), element("x-shift", ["by", "2"])]),
      Extension.none
    )
  })

  it("is what it is ready for, in its own order, with the bits and the coders of that alone", () => {
    const agreed = Extension.accept(both, [shifted, element("x-other"), plain])
    assert.deepStrictEqual(agreed.response, [plain, shifted])
    assert.strictEqual(agreed.rsv, 6)
    assert.deepStrictEqual(
      agreed.coders.map(({ rsv }) => rsv),
      [4, 2]
    )
    assert.deepStrictEqual(names(Extension.accept(both.toReversed(), [plain, shifted])), ["x-shift", plain.name])
    const [only, ...more] = Extension.accept(both, [shifted]).coders
    assert.instanceOf(only?.makeCoder(), Shift)
    assert.deepStrictEqual(more, [])
  })

  it("is the first offer of an extension that fits", () => {
    const agreed = Extension.accept(both, [
      element("permessage-deflate", ["unknown", undefined]),
      element("permessage-deflate", ["server_max_window_bits", "10"]),
      element("permessage-deflate", ["server_max_window_bits", "9"])
    ])
    assert.deepStrictEqual(agreed.response, [element("permessage-deflate", ["server_max_window_bits", "10"])])
  })
})

describe("what a client agrees to", () => {
  it("is nothing where the server chose nothing", () => {
    assert.deepStrictEqual(Extension.verify(both, []), Result.succeed(Extension.none))
  })

  it("is what the server chose, in the order of its answer", () => {
    for (const answer of [[plain, shifted], [shifted, plain], [shifted]]) {
      const agreed = Result.getOrThrow(Extension.verify(both, answer))
      assert.deepStrictEqual(agreed.response, answer)
      assert.deepStrictEqual(
        agreed.coders.map(({ rsv }) => rsv),
        answer.map(({ name }) => (name === "x-shift" ? 2 : 4))
      )
      assert.strictEqual(
        agreed.rsv,
        agreed.coders.reduce((sum, { rsv }) => sum + rsv, 0)
      )
    }
  })

  it.each([
    ["was not asked for", [plain, element("x-other")], "RFC 6455 4.1"],
    ["comes twice", [plain, shifted, plain], "RFC 7692 7.1"],
    ["is no answer to what was offered", [plain, element("x-shift", ["by", "2"])], "of the test"]
  ] as const)("is a violation of the server's where an extension %s", (_, answer, clause) => {
    const violation = Result.getOrThrow(Result.flip(Extension.verify(both, answer)))
    assert.deepStrictEqual([violation.field, violation.clause], ["Sec-WebSocket-Extensions", clause])
  })

  it("is what the server agreed to, whatever both are ready for", () => {
    const some = fc.subarray([compression, shift("a", 2), shift("b", 1)])
    const sorted = some.chain((extensions) => fc.shuffledSubarray([...extensions], { minLength: extensions.length }))
    fc.assert(
      fc.property(sorted, sorted, (client, server) => {
        const offered = Extension.compose(client).flatMap(({ offers }) => offers)
        const accepted = Extension.accept(Extension.compose(server), offered)
        const verified = Result.getOrThrow(Extension.verify(client, accepted.response))
        assert.deepStrictEqual(verified.response, accepted.response)
        assert.strictEqual(verified.rsv, accepted.rsv)
        assert.deepStrictEqual(
          names(accepted),
          server.map(({ name }) => name).filter((name) => client.some((extension) => extension.name === name))
        )
      })
    )
  })
})

/** The coders of both ends, for extensions in that order. */
const ends = (extensions: ReadonlyArray<Extension.Extension>) => {
  const accepted = Extension.accept(
    extensions,
    extensions.flatMap(({ offers }) => offers)
  )
  const verified = Result.getOrThrow(Extension.verify(extensions, accepted.response))
  return { server: Coding.make(accepted)!, client: Coding.make(verified)! }
}

describe("compression and another extension", () => {
  it.effect("are at work in order on what is sent, and in reverse on what is received", () =>
    Effect.gen(function* () {
      for (const order of [both, both.toReversed()]) {
        const { client, server } = ends(order)
        for (const said of [text(2_000), text(1_999), "", "short"]) {
          const whole = yield* send(server, said)
          assert.deepStrictEqual(yield* receive(client, whole), utf8(said))
          const streamed = yield* stream(server, cut(utf8(said), [100, 700]))
          assert.strictEqual(streamed.rsv, 6)
          assert.deepStrictEqual(yield* receiveStream(client, cut(streamed.payload, [1, 5]), 6), utf8(said))
        }
      }
    })
  )

  it.effect("each mark what they did with their own bit, so that either may leave a message alone", () =>
    Effect.gen(function* () {
      const { client, server } = ends(both)
      const compressed = yield* send(server, text(3_000))
      assert.strictEqual(compressed.rsv, 6)
      assert.isBelow(compressed.payload.length, 60)
      // What would not get shorter is only shifted, and what asks not to be coded is left alone.
      const short = yield* send(server, "abc")
      assert.deepStrictEqual(short, { payload: utf8("bcd"), rsv: 2 })
      const asIs = yield* send(server, text(3_000), false)
      assert.deepStrictEqual(asIs, { payload: utf8(text(3_000)), rsv: 0 })
      assert.deepStrictEqual(yield* receive(client, compressed), utf8(text(3_000)))
      assert.deepStrictEqual(yield* receive(client, short), utf8("abc"))
    })
  )

  it.effect("carry the window on, whatever the other does", () =>
    Effect.gen(function* () {
      const { client, server } = ends(both)
      yield* receive(client, yield* send(server, text(1_000)))
      const again = yield* send(server, text(1_000))
      assert.isBelow(again.payload.length, 15)
      assert.deepStrictEqual(yield* receive(client, again), utf8(text(1_000)))
    })
  )

  it("share what goes to many only where compression is all that was agreed on", () => {
    const { server } = ends([compression])
    assert.isDefined(server.shared)
    assert.strictEqual(ends(both).server.shared, undefined)
    assert.strictEqual(Coding.make(Extension.none), undefined)
    assert.isDefined(server.encode(outgoing(text(2_000))))
  })
})
