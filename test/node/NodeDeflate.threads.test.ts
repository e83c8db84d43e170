/** Work on threads: so much at a time and no more, given back whatever happens, and nothing of zlib left behind. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { onTestFinished } from "vitest"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import { deflate, fresh, noise, text, ways } from "../support/compression.ts"
import { start } from "../support/connection.ts"
import { hex, utf8 } from "../support/wire.ts"
import { countZlibHandles } from "../support/zlibHandles.ts"

/** The native streams of zlib, for as long as the test runs. */
const counting = () => {
  const handles = countZlibHandles()
  onTestFinished(handles.stop)
  return handles
}

const long = utf8(text(40_000))

describe("threads", () => {
  it.live("work on so many messages at a time as was said", () =>
    Effect.gen(function* () {
      const handles = counting()
      const limited = NodeDeflate.make({ maxThreads: 3, threadedInflateBytes: 0 })
      const there = Effect.gen(function* () {
        const sent = yield* limited.deflate(long, fresh)
        assert.deepStrictEqual(yield* limited.inflate(sent, { ...fresh, maxBytes: 40_000 }), long)
      })
      yield* Effect.all(
        Array.from({ length: 20 }, () => there),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual([handles.made, handles.most, handles.open], [40, 3, 0])
    })
  )

  it.live("are given back by whoever is interrupted, at work or waiting", () =>
    Effect.gen(function* () {
      const handles = counting()
      const one = NodeDeflate.make({ maxThreads: 1 })
      const bytes = noise(4_000_000)
      const working = yield* start(one.deflate(bytes, fresh))
      const waiting = yield* start(one.deflate(bytes, fresh))
      const next = yield* start(one.deflate(long, fresh))
      assert.deepStrictEqual([handles.made, handles.open], [1, 1])
      yield* Fiber.interrupt(waiting)
      yield* Fiber.interrupt(working)
      assert.deepStrictEqual(yield* Fiber.join(next), deflate.deflateNow(long, fresh))
      assert.strictEqual(handles.open, 0)
    })
  )

  it.live("are given back when what they work on is corrupt or too long", () =>
    Effect.gen(function* () {
      const one = NodeDeflate.make({ maxThreads: 1, threadedInflateBytes: 0 })
      yield* Effect.flip(one.inflate(hex("ff"), { ...fresh, maxBytes: 100 }))
      yield* Effect.flip(one.inflate(deflate.deflateNow(long, fresh), { ...fresh, maxBytes: 100 }))
      assert.deepStrictEqual(yield* one.deflate(long, fresh), deflate.deflateNow(long, fresh))
    })
  )
})

describe("a native stream of zlib", () => {
  it.live("lives as long as the stream that it inflates for: to its end, its failure, its interruption", () =>
    Effect.gen(function* () {
      const first = deflate.deflateNow(long, fresh)
      const handles = counting()
      const inflate = deflate.inflateStream({ ...fresh, maxBytes: 1_000_000 })
      // What goes on behind the end of it is in the same scope.
      const behind: Array<number> = []
      const after = Stream.suspend(() => {
        behind.push(handles.open)
        return Stream.empty
      })
      yield* Stream.runDrain(Stream.concat(inflate(Stream.make(first)), after))
      assert.deepStrictEqual(behind, [0])
      yield* Stream.runDrain(Stream.take(inflate(Stream.make(first)), 1))
      assert.strictEqual(handles.open, 0)
      yield* Effect.flip(Stream.runDrain(inflate(Stream.concat(Stream.make(first), Stream.fail("gone")))))
      assert.strictEqual(handles.open, 0)
      const waiting = yield* start(Stream.runDrain(inflate(Stream.concat(Stream.make(first), Stream.never))))
      yield* Fiber.interrupt(waiting)
      assert.deepStrictEqual([handles.made, handles.open], [4, 0])
    })
  )

  it.live("interrupts whoever comes back to a stream that was interrupted, which could not go on", () =>
    Effect.gen(function* () {
      const first = deflate.deflateNow(long, fresh)
      const arriving = Stream.concat(Stream.make(first), Stream.never)
      const pull = yield* Stream.toPull(deflate.inflateStream({ ...fresh, maxBytes: 1_000_000 })(arriving))
      assert.strictEqual((yield* pull)[0].length, 40_000)
      yield* Fiber.interrupt(yield* start(pull))
      assert.isTrue(Exit.hasInterrupts(yield* Effect.exit(pull)))
    })
  )

  it.live("is none left of after thousands of messages: good, corrupt, too long, interrupted", () =>
    Effect.gen(function* () {
      const handles = counting()
      const threaded = NodeDeflate.make({ threadedDeflateBytes: 0 })
      const big = deflate.deflateNow(utf8(text(100_000)), fresh)
      const all = [
        big,
        deflate.deflateNow(utf8(text(200)), fresh),
        deflate.deflateNow(noise(40_000), fresh),
        big.subarray(0, 100),
        hex("ff"),
        hex("03 00 03 00 ff")
      ]
      let interrupted = 0
      yield* Effect.forEach(
        Array.from({ length: 3_000 }, (_, i) => i),
        (i) =>
          Effect.gen(function* () {
            const inflate = ways[i % 3]![1]
            const inflating = inflate(all[i % all.length]!, { ...fresh, maxBytes: i % 5 === 0 ? 500 : 200_000 })
            const running = yield* start(
              Effect.exit(i % 7 === 0 ? Effect.asVoid(threaded.deflate(long, fresh)) : Effect.asVoid(inflating))
            )
            for (let turns = i % 4; turns > 0; turns--) yield* Effect.yieldNow
            if (i % 2 === 0 && running.pollUnsafe() === undefined) {
              interrupted++
              yield* Fiber.interrupt(running)
            }
            yield* Fiber.await(running)
          }),
        { concurrency: 20, discard: true }
      )
      assert.isAbove(interrupted, 500)
      assert.isAbove(handles.made, 2_000)
      assert.strictEqual(handles.open, 0)
    })
  )
})
