/** What is not DEFLATE, is too much of it, or was sent to do harm, in every way in which it can be inflated. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"
import { onTestFinished } from "vitest"
import * as Deflate from "@millrace/core/connection/Deflate"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import { bomb, deflate, ends, fresh, noise, receive, receiveStream, send, text, ways } from "../support/compression.ts"
import { start, turn } from "../support/connection.ts"
import { eventually } from "../support/eventually.ts"
import { concat } from "../support/frames.ts"
import * as memory from "../support/memory.ts"
import * as puff from "../support/puff.ts"
import { hex, utf8 } from "../support/wire.ts"
import { countZlibHandles } from "../support/zlibHandles.ts"

const mebibyte = 1_048_576

/** What the bytes are by RFC 1951 and section 7.2 of RFC 7692; `undefined` for nothing. */
const inflated = (bytes: Uint8Array): Uint8Array | undefined => {
  if (bytes.length === 0) return bytes
  // Section 7.2.1: what was left out is the end of an empty block without compression.
  const whole = read(concat([bytes, Deflate.tail]))
  if (whole?.last.type === 0 && whole.last.length === 0) return whole.bytes
  // Section 7.2.3.4, without the byte behind the final block.
  const final = read(bytes)
  return final?.last.final === true ? final.bytes : undefined
}

const read = (bytes: Uint8Array) => {
  try {
    const inflated = puff.inflate(bytes)
    return { ...inflated, last: inflated.blocks.at(-1)! }
  } catch {
    return undefined
  }
}

const levels = [0, 1, 6].map((level) => NodeDeflate.make({ level }))

/** A message, deflated. */
const deflated = fc
  .record({
    bytes: fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 300 }),
      fc.array(fc.constantFrom("water ", "weir ", "é"), { minLength: 1, maxLength: 200 }).map((a) => utf8(a.join("")))
    ),
    service: fc.constantFrom(...levels)
  })
  .map(({ bytes, service }) => service.deflateNow(bytes, fresh))

/** Hello in a final block, more of those that are empty, and Hello again. */
const finals = (count: number) =>
  concat([hex("f3 48 cd c9 c9 07 00"), ...Array.from({ length: count - 1 }, () => hex("03 00")), hex("f2 00 11 00 00")])

describe.each(ways)("inflating %s", (_, inflate) => {
  it.effect("fails for what is cut short or changed, where the specification has it so", () => {
    const changes = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 2 })
    const cut = fc.option(fc.nat(), { nil: undefined })
    const property = fc.asyncProperty(deflated, changes, cut, async (sent, changes, cut) => {
      const changed = sent.slice()
      for (const [at, value] of changes) changed[at % changed.length] = value
      const received = cut === undefined ? changed : changed.subarray(0, cut % (changed.length + 1))
      const exit = await Effect.runPromiseExit(inflate(received, { ...fresh, maxBytes: mebibyte }))
      const expected = inflated(received)
      if (expected !== undefined) assert.deepStrictEqual(exit, Exit.succeed(expected))
      else assert.instanceOf(Exit.isFailure(exit) && Cause.squash(exit.cause), Deflate.CorruptData)
    })
    return Effect.promise(() => fc.assert(property, { numRuns: 200 }))
  })

  it.effect("fails for a message that is cut short, at any byte", () =>
    Effect.gen(function* () {
      for (const sent of [deflate.deflateNow(utf8(text(3_000)), fresh), deflate.deflateNow(noise(500), fresh)]) {
        // The first byte of a block without compression is a message by itself: the empty one.
        for (let length = sent[0] === 0 ? 2 : 1; length < sent.length; length++) {
          const error = yield* Effect.flip(inflate(sent.subarray(0, length), { ...fresh, maxBytes: mebibyte }))
          assert.strictEqual(error._tag, "CorruptData")
        }
      }
    })
  )

  it.effect("takes no message for one that is cut short, whatever it says", () =>
    Effect.gen(function* () {
      for (const said of ["04 00 fb ff", "07 07 07 07", "04 00 fb ff 07 07 07 07", "00 00 ff ff", "03 00 00", "00"]) {
        for (const service of levels) {
          const sent = service.deflateNow(hex(said), fresh)
          assert.deepStrictEqual(yield* inflate(sent, { ...fresh, maxBytes: 8 }), hex(said))
        }
      }
    })
  )

  it.effect("takes a message that ends with a final block and has no byte behind it", () =>
    Effect.gen(function* () {
      const options = { ...fresh, maxBytes: 10 }
      assert.deepStrictEqual(yield* inflate(hex("f3 48 cd c9 c9 07 00"), options), utf8("Hello"))
      assert.deepStrictEqual(yield* inflate(hex("f3 48 cd c9 c9 07 00 f3 00 11 00"), options), utf8("HelloHello"))
      assert.deepStrictEqual(yield* inflate(hex("03 00"), options), new Uint8Array(0))
      const error = yield* Effect.flip(inflate(hex("f3 48 cd c9 c9 07 00"), { ...fresh, maxBytes: 4 }))
      assert.deepStrictEqual(error, new Deflate.TooLong({ maxBytes: 4 }))
    })
  )

  it.effect("fails for what comes behind a message: the tail, or anything", () =>
    Effect.gen(function* () {
      const hello = "f2 48 cd c9 c9 07 00"
      const final = "f3 48 cd c9 c9 07 00"
      for (const sent of [`${hello} 00 00 ff ff`, `${hello} 07`, `${hello} ff ff`, `${final} 07`, "03 00 00 00"]) {
        const error = yield* Effect.flip(inflate(hex(sent), { ...fresh, maxBytes: 100 }))
        assert.strictEqual(error._tag, "CorruptData")
      }
    })
  )

  it.effect("goes on behind 256 final blocks with the window, and not behind 257", () =>
    Effect.gen(function* () {
      const counted = countZlibHandles()
      onTestFinished(counted.stop)
      const options = { windowBits: 15, dictionary: utf8("before"), maxBytes: 2_000 } as const
      assert.deepStrictEqual(yield* inflate(finals(256), options), utf8("HelloHello"))
      // Also with what came before the message.
      const before = concat([hex("03 00"), deflate.deflateNow(utf8("before"), options)])
      assert.isBelow(before.length, 10)
      assert.deepStrictEqual(yield* inflate(before, options), utf8("before"))
      const tooMany = new Deflate.CorruptData({ detail: "it has more than 256 final blocks" })
      assert.deepStrictEqual(yield* Effect.flip(inflate(finals(257), options)), tooMany)
      // A mebibyte of them costs no more.
      const made = counted.made
      const many = new Uint8Array(mebibyte).map((_, i) => (i % 2 === 0 ? 3 : 0))
      assert.deepStrictEqual(yield* Effect.flip(inflate(many, options)), tooMany)
      assert.isAtMost(counted.made - made, 257)
      assert.strictEqual(counted.open, 0)
    })
  )

  it.skipIf(!memory.isMeasured)(
    "takes for a gibibyte in a mebibyte no more memory than may come out of it",
    async () => {
      const bytes = bomb(1_024)
      const options = { ...fresh, maxBytes: mebibyte }
      assert.isBelow(bytes.length, 1.1 * mebibyte)
      // Once for all that is made only once.
      await Effect.runPromise(Effect.flip(inflate(bytes, options)))
      const before = process.memoryUsage().rss
      memory.resetPeak(process.pid)
      for (let times = 0; times < 5; times++) {
        const error = await Effect.runPromise(Effect.flip(inflate(bytes, options)))
        assert.deepStrictEqual(error, new Deflate.TooLong({ maxBytes: mebibyte }))
      }
      assert.isBelow(memory.peak(process.pid) - before, 16 * mebibyte)
    }
  )
})

describe("a gibibyte in a mebibyte", () => {
  it.effect("is a violation with 1009 also where it refers to the messages before it", () =>
    Effect.gen(function* () {
      const { client, server } = ends({}, { compressorWindowBits: 15 })
      const zeros = new Uint8Array(32_768)
      yield* receive(client, yield* send(server, zeros))
      const before = yield* send(server, zeros)
      yield* receive(client, before)
      const part = deflate.deflateNow(new Uint8Array(mebibyte), { windowBits: 15, dictionary: zeros })
      const parts = Array.from({ length: 1_024 }, () => concat([part, Deflate.tail]))
      const bytes = concat([...parts, part])
      for (const decoding of [
        receive(client, { payload: bytes, rsv: 4 }, mebibyte),
        receiveStream(client, [bytes], 4, mebibyte)
      ]) {
        const { closeCode } = yield* Effect.flip(decoding)
        assert.strictEqual(closeCode, 1009)
      }
    })
  )

  it.live.skipIf(!memory.isMeasured)("waits for whoever reads it as a stream, a piece ahead and no further", () =>
    Effect.gen(function* () {
      const counted = countZlibHandles()
      onTestFinished(counted.stop)
      const bytes = bomb(1_024)
      let pulled = 0
      const input = Stream.range(0, 15).pipe(
        Stream.rechunk(1),
        Stream.map((i) => bytes.subarray(i << 16, (i + 1) << 16)),
        Stream.tap(() => Effect.sync(() => pulled++))
      )
      const pieces: Array<number> = []
      const before = process.memoryUsage().rss
      memory.resetPeak(process.pid)
      const reading = yield* start(
        Stream.runForEach(deflate.inflateStream({ ...fresh, maxBytes: Infinity })(input), ({ length }) => {
          pieces.push(length)
          return pieces.length === 3 ? Effect.never : Effect.void
        })
      )
      yield* eventually(() => pieces.length === 3)
      for (let turns = 0; turns < 200; turns++) yield* turn
      assert.deepStrictEqual(pieces, [65_536, 65_536, 65_536])
      // Three pieces taken, one that waits, and one that is at work on.
      assert.deepStrictEqual([pulled, counted.open], [1, 1])
      assert.isAtMost(counted.steps, 5)
      assert.isBelow(memory.peak(process.pid) - before, 8 * mebibyte)
      yield* Fiber.interrupt(reading)
      assert.strictEqual(counted.open, 0)
    })
  )
})
