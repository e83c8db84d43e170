/** DEFLATE by zlib: what comes out, how long it may be, and where the work is done. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import * as Deflate from "@millrace/core/connection/Deflate"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import { deflate, fresh, noise, text, ways } from "../support/compression.ts"
import { concat } from "../support/frames.ts"
import { utf8 } from "../support/wire.ts"

/** Zeros, deflated. */
const zeros = (length: number) => deflate.deflateNow(new Uint8Array(length), fresh)

const isInCall = (bytes: Uint8Array, maxBytes = 1_000_000) =>
  Exit.isExit(deflate.inflate(bytes, { ...fresh, maxBytes }))

/** Lengths about those at which zlib, or we, take more room. */
const lengths = [0, 1, 2, 63, 64, 65, 1_000, 65_535, 65_536, 65_537, 131_072, 500_000]

describe("deflating", () => {
  it("is done in the call below 32 KiB, and by a thread from there on", () => {
    assert.isTrue(Exit.isExit(deflate.deflate(noise(32_767), fresh)))
    assert.isFalse(Exit.isExit(deflate.deflate(noise(32_768), fresh)))
  })

  it.effect("gives the same bytes in the call and by a thread, without the tail", () =>
    Effect.gen(function* () {
      const threaded = NodeDeflate.make({ threadedDeflateBytes: 0 })
      for (const length of lengths) {
        for (const bytes of [utf8(text(length)), noise(length)]) {
          const inCall = deflate.deflateNow(bytes, fresh)
          assert.deepStrictEqual(yield* threaded.deflate(bytes, fresh), inCall)
          assert.notDeepEqual(inCall.slice(-4), Deflate.tail)
          assert.deepStrictEqual(yield* deflate.inflate(inCall, { ...fresh, maxBytes: length }), bytes)
        }
      }
    })
  )

  it("is as hard at it as it was told", () => {
    const bytes = noise(20_000).map((byte) => byte & 15)
    const [none, fast, best, little, much] = [
      { level: 0 },
      { level: 1 },
      { level: 9 },
      { memLevel: 1 },
      { memLevel: 9 }
    ].map((options) => NodeDeflate.make(options).deflateNow(bytes, fresh).length)
    assert.isAbove(none!, 20_000)
    assert.isAbove(fast!, best!)
    assert.isAbove(little!, much!)
  })
})

describe("inflating", () => {
  it("is done in the call below 32 KiB of input and up to 256 KiB of output", () => {
    assert.deepStrictEqual([isInCall(noise(32_767)), isInCall(noise(32_768))], [true, false])
    assert.deepStrictEqual([isInCall(zeros(262_144)), isInCall(zeros(262_145))], [true, false])
    assert.isTrue(isInCall(zeros(262_145), 262_144))
  })

  it.effect("pulls the next piece when all that comes out of the one before has been taken", () =>
    Effect.gen(function* () {
      const events: Array<string> = []
      const input = [zeros(100_000), Deflate.tail, deflate.deflateNow(utf8("the end"), fresh)]
      const pieces = Stream.fromArray(input).pipe(
        Stream.rechunk(1),
        Stream.tap(({ length }) => Effect.sync(() => events.push(`${length} in`)))
      )
      yield* Stream.runForEach(deflate.inflateStream({ ...fresh, maxBytes: 1_000_000 })(pieces), ({ length }) =>
        Effect.sync(() => events.push(`${length} out`))
      )
      const [first, , last] = input.map(({ length }) => `${length} in`)
      assert.deepStrictEqual(events, [first, "65536 out", "34464 out", "4 in", last, "7 out"])
    })
  )
})

describe("inflating a stream", () => {
  it.effect("takes any number of pieces that came together, empty ones too", () =>
    Effect.gen(function* () {
      const sent = deflate.deflateNow(noise(3_000), fresh)
      const pieces = Array.from({ length: 200_000 }, (_, i) =>
        i < 190_000 ? new Uint8Array(0) : sent.subarray(i - 190_000, i - 189_999)
      )
      const stream = deflate.inflateStream({ ...fresh, maxBytes: 3_000 })(Stream.fromArray(pieces))
      assert.deepStrictEqual(concat(yield* Stream.runCollect(stream)), noise(3_000))
    })
  )

  it.effect("gives pieces that keep little else in memory, and are no Buffers", () =>
    Effect.gen(function* () {
      const input = [noise(100), Deflate.tail, noise(40_000), Deflate.tail, noise(70_000)]
      const deflated = input.map((bytes) => (bytes === Deflate.tail ? bytes : deflate.deflateNow(bytes, fresh)))
      const pieces = Stream.fromArray(deflated).pipe(Stream.rechunk(1))
      const inflated = yield* Stream.runCollect(deflate.inflateStream({ ...fresh, maxBytes: 1_000_000 })(pieces))
      for (const piece of inflated) {
        assert.strictEqual(Object.getPrototypeOf(piece), Uint8Array.prototype)
        assert.isAtMost(piece.buffer.byteLength, 2 * piece.length)
      }
    })
  )
})

describe.each(ways)("inflating %s", (_, inflate) => {
  it.effect("gives as many bytes as may be, and fails for one more", () =>
    Effect.gen(function* () {
      for (const length of lengths) {
        const bytes = deflate.deflateNow(utf8(text(length)), fresh)
        assert.deepStrictEqual(yield* inflate(bytes, { ...fresh, maxBytes: length }), utf8(text(length)))
        if (length === 0) continue
        const error = yield* Effect.flip(inflate(bytes, { ...fresh, maxBytes: length - 1 }))
        assert.deepStrictEqual(error, new Deflate.TooLong({ maxBytes: length - 1 }))
      }
    })
  )

  it.effect("may refer to the dictionary, in every window that there is", () =>
    Effect.gen(function* () {
      for (const windowBits of [9, 10, 11, 12, 13, 14, 15] as const) {
        const dictionary = noise(2 ** windowBits)
        const bytes = dictionary.slice(300, 500)
        const sent = deflate.deflateNow(bytes, { windowBits, dictionary })
        assert.isBelow(sent.length, 20)
        assert.deepStrictEqual(yield* inflate(sent, { windowBits, dictionary, maxBytes: 1_000 }), bytes)
        const error = yield* Effect.flip(inflate(sent, { windowBits, dictionary: undefined, maxBytes: 1_000 }))
        assert.strictEqual(error._tag, "CorruptData")
      }
      const dictionary = noise(256)
      const sent = deflate.deflateNow(dictionary.subarray(100), { windowBits: 9, dictionary })
      const options = { windowBits: 8, dictionary, maxBytes: 1_000 } as const
      assert.deepStrictEqual(yield* inflate(sent, options), dictionary.slice(100))
    })
  )

  it.effect("gives bytes that keep little else in memory, and are no Buffer", () =>
    Effect.gen(function* () {
      for (const length of [1, 10, 100, 1_000, 5_000, 20_000, 70_000, 300_000]) {
        const deflated = yield* deflate.deflate(noise(length), fresh)
        const bytes = yield* inflate(deflated, { ...fresh, maxBytes: length })
        for (const given of [deflated, bytes]) {
          assert.strictEqual(Object.getPrototypeOf(given), Uint8Array.prototype)
          assert.isAtMost(given.buffer.byteLength, 2 * given.length)
        }
      }
    })
  )
})

describe("what it is made with", () => {
  it("is refused when zlib has no use for it", () => {
    for (const options of [
      { level: -1 },
      { level: 10 },
      { level: 1.5 },
      { memLevel: 0 },
      { memLevel: 10 },
      { maxThreads: 0 },
      { maxThreads: Number.NaN },
      { threadedDeflateBytes: Number.NaN },
      { threadedInflateBytes: -1 },
      { threadedOutputBytes: Infinity }
    ]) {
      assert.throws(() => NodeDeflate.make(options), RangeError)
    }
  })

  it("is the documented defaults, and what compression is told about messages", () => {
    assert.deepStrictEqual(NodeDeflate.defaults, {
      level: 6,
      memLevel: 8,
      threadedDeflateBytes: 32_768,
      threadedInflateBytes: 32_768,
      threadedOutputBytes: 262_144,
      maxThreads: 2
    })
    const extension = NodeDeflate.compression({ level: 0, threshold: 4, server: { serverNoContextTakeover: true } })
    const accepted = extension.accept([{ name: extension.name, params: [] }])!
    assert.deepStrictEqual(accepted.response.params, [["server_no_context_takeover", undefined]])
    const encoded = accepted.makeCoder().shared!.encode({ kind: "text", payload: utf8("weir"), compress: true })
    assert.strictEqual(encoded?.payload.length, 10)
    assert.throws(() => NodeDeflate.compression({ compressorWindowBits: 8 }), RangeError)
  })
})
