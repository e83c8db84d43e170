/** One contract and one handler over both ways: what is the same, which is all that a program sees. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as JsonCodec from "@millrace/core/messaging/JsonCodec"
import * as MessagePackCodec from "@millrace/core/messaging/MessagePackCodec"
import { connect, serve, type Way } from "../support/chatOverHttp.ts"
import { eventually } from "../support/eventually.ts"

const both: ReadonlyArray<Way> = ["webSocket", "eventStream"]

describe.each(both)("a session over %s", (way) => {
  it.live("asks, is answered, and fails with the error of the contract", () =>
    Effect.gen(function* () {
      const { address } = yield* serve()
      const chat = yield* connect(way, address)
      assert.strictEqual(yield* chat.request("rename", "Grace"), "ada:Grace")
      assert.deepStrictEqual(yield* Effect.flip(chat.request("rename", "Ada")), { taken: "Ada" })
    })
  )

  it.live("says and hears in order, however many say something at once", () =>
    Effect.gen(function* () {
      const { address, seen } = yield* serve()
      const chat = yield* connect(way, address)
      const heard = yield* Effect.forkScoped(
        chat.events("said").pipe(
          Stream.take(600),
          Stream.map(({ text }) => text),
          Stream.runCollect
        ),
        { startImmediately: true }
      )
      const speak = (who: string) =>
        Effect.forEach(
          Array.from({ length: 200 }, (_, i) => `${who}${i}`),
          (text) => chat.emit("say", text)
        )
      yield* Effect.all(["a", "b", "c"].map(speak), { concurrency: "unbounded" })
      const texts = yield* Fiber.join(heard)
      for (const who of ["a", "b", "c"]) {
        assert.deepStrictEqual(
          texts.filter((text) => text.startsWith(who)),
          Array.from({ length: 200 }, (_, i) => `${who}${i}`)
        )
      }
      assert.deepStrictEqual(seen.said, [...texts])
    })
  )

  it.live.each([
    ["json", JsonCodec.make()],
    ["MessagePack", MessagePackCodec.make()]
  ] as const)("carries bytes both ways in %s", ([, codec]) =>
    Effect.gen(function* () {
      const { address, seen } = yield* serve({ codecs: [codec] })
      const chat = yield* connect(way, address, { codecs: [codec] })
      const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => i % 251)
      assert.deepStrictEqual([...(yield* chat.request("mirror", bytes))], Array.from(bytes.toReversed()))
      const pushed = yield* Effect.forkScoped(Stream.runHead(chat.events("pushed")), { startImmediately: true })
      yield* seen.sessions[0]!.emit("pushed", bytes)
      const { value } = (yield* Fiber.join(pushed)) as { readonly value: Uint8Array }
      assert.deepStrictEqual([...value], [...bytes])
    })
  )

  it.live("makes no more of a stream than is read, and ends it there when it is not read on", () =>
    Effect.gen(function* () {
      const { address, seen } = yield* serve()
      const chat = yield* connect(way, address)
      const first = yield* chat
        .stream("count", 1_000_000, { credit: 16 })
        .pipe(Stream.rechunk(1), Stream.take(40), Stream.runCollect)
      assert.deepStrictEqual(
        [...first],
        Array.from({ length: 40 }, (_, i) => i + 1)
      )
      yield* eventually(() => seen.interrupted === 1)
      assert.isBelow(seen.made, 200)
    })
  )

  it.live("interrupts the handler of a request that is interrupted", () =>
    Effect.gen(function* () {
      const { address, seen } = yield* serve()
      const chat = yield* connect(way, address)
      const asking = yield* Effect.forkScoped(chat.request("never"))
      yield* chat.emit("say", "x")
      yield* Effect.yieldNow
      yield* Fiber.interrupt(asking)
      yield* eventually(() => seen.interrupted === 1)
    })
  )

  it.live("reads a long stream whole", () =>
    Effect.gen(function* () {
      const { address } = yield* serve()
      const chat = yield* connect(way, address)
      const sum = yield* chat.stream("count", 20_000).pipe(
        Stream.runFold(
          () => 0,
          (sum, n) => sum + n
        )
      )
      assert.strictEqual(sum, 200_010_000)
    })
  )
})
