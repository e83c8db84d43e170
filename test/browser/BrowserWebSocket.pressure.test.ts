/** What a connection of a page holds when one end is slower than the other. */
// oxlint-disable unicorn/consistent-function-scoping -- what a page evaluates has no outer scope
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Origin from "@millrace/core/codec/Origin"
import type { Closed } from "@millrace/core/protocol/WebSocketProtocol"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { launch } from "../support/chromium.ts"
import { eventually } from "../support/eventually.ts"
import * as Page from "../support/page.ts"

let browser: Browser
beforeAll(async () => {
  browser = await launch()
}, 60_000)
afterAll(() => browser.close())

const piece = 16_384

/** Enough to fill the buffers of the two systems and of what is in between. */
const most = 32 << 20

/** Until what is counted has not grown for a while. */
const steady = (count: () => number) =>
  Effect.suspend(() => {
    let last = count()
    let since = performance.now()
    return eventually(() => {
      if (count() !== last) {
        last = count()
        since = performance.now()
      }
      return last > 0 && performance.now() - since > 500
    })
  })

describe.each(["BrowserWebSocket", "BrowserWebSocketStream"] as const)("%s", (platform) => {
  it.live("suspends who sends to a server that does not read, and goes on in order when it does", () =>
    Effect.gen(function* () {
      const read = yield* Deferred.make<void>()
      let received = 0
      let wrong = 0
      const { url } = yield* NodeWebSocketServer.serve({ origin: Origin.any }, (connection) =>
        Effect.andThen(
          Deferred.await(read),
          Stream.runForEach(connection.messages, (message) =>
            Effect.sync(() => {
              if (new DataView(message.bytes.buffer, message.bytes.byteOffset).getUint32(0) !== received++) wrong++
            })
          )
        )
      )
      const { page, run } = yield* Page.open(browser)
      const full = yield* run(
        async (modules, platform, url, piece, most) => {
          const { Effect, Fiber, Prepared, Scope } = modules
          const scope = Scope.makeUnsafe()
          const limits = { outboxBytes: 262_144 }
          const connection = await Effect.runPromise(Scope.provide(modules[platform].open(url, { limits }), scope))
          let sent = 0
          const sendOne = Effect.suspend(() => {
            const bytes = new Uint8Array(piece)
            new DataView(bytes.buffer).setUint32(0, sent)
            return Effect.andThen(
              connection.send(bytes),
              Effect.sync(() => sent++)
            )
          })
          const sending = Effect.runFork(Effect.forever(sendOne))
          const isSteady = async () => {
            for (let last = -1, times = 0; times < 25; times = sent === last ? times + 1 : 0, last = sent) {
              await new Promise((resolve) => setTimeout(resolve, 20))
            }
          }
          await isSteady()
          const fullAt = sent
          // One that is interrupted while it waits has sent nothing.
          await Effect.runPromise(Fiber.interrupt(sending))
          const written = connection.tryWriteUnsafe(Prepared.make("full"))
          const waiting = Effect.runFork(sendOne)
          Reflect.set(globalThis, "goOn", async () => {
            await Effect.runPromise(Fiber.join(waiting))
            await Effect.runPromise(connection.close())
            return sent
          })
          await isSteady()
          return { bytes: fullAt * piece, isBounded: fullAt * piece < most, hasWaited: sent === fullAt, written }
        },
        platform,
        url,
        piece,
        most
      )
      assert.deepStrictEqual({ ...full, bytes: 0 }, { bytes: 0, isBounded: true, hasWaited: true, written: "Full" })
      assert.isAtLeast(full.bytes, 262_144)
      assert.strictEqual(received, 0)
      yield* Deferred.succeed(read, undefined)
      const sent = yield* Effect.promise(() => page.evaluate("goOn()"))
      yield* eventually(() => received === sent)
      assert.strictEqual(wrong, 0)
    })
  )

  it.live("tells who waits to send that it is closing", () =>
    Effect.gen(function* () {
      const { url } = yield* NodeWebSocketServer.serve({ origin: Origin.any }, () => Effect.never)
      const { run } = yield* Page.open(browser)
      const outcome = yield* run(
        (modules, platform, url) => {
          const { Effect, Fiber } = modules
          return modules.outcome(
            Effect.gen(function* () {
              const limits = { outboxBytes: 1, closeTimeout: 200, maxMessageBytes: 1 }
              const connection = yield* modules[platform].open(url, { limits })
              yield* connection.send(new Uint8Array(32 << 20))
              const waiting = yield* Effect.forkChild(connection.sendAll(["never", "ever"]), { startImmediately: true })
              yield* connection.close()
              return (yield* Effect.flip(Fiber.join(waiting))).reason._tag
            })
          )
        },
        platform,
        url
      )
      assert.deepStrictEqual(outcome, { value: "NotOpen" })
    })
  )
})

/** Sends numbered messages without an end, and says how many it has sent. */
const flood = Effect.gen(function* () {
  const state: { sent: number; closed: Closed | undefined } = { sent: 0, closed: undefined }
  const { url } = yield* NodeWebSocketServer.serve({ origin: Origin.any }, (connection) =>
    Effect.gen(function* () {
      const one = Effect.suspend(() => {
        const bytes = new Uint8Array(piece)
        new DataView(bytes.buffer).setUint32(0, state.sent)
        return Effect.andThen(
          connection.send(bytes),
          Effect.sync(() => state.sent++)
        )
      })
      yield* Effect.ignore(Effect.forever(one))
      state.closed = yield* connection.closed
    })
  )
  return { state, url }
})

describe("BrowserWebSocket", () => {
  it.live("closes when more has come than it may keep, and still gives what it kept", () =>
    Effect.gen(function* () {
      const { state, url } = yield* flood
      const { run } = yield* Page.open(browser)
      const seen = yield* run(
        async (modules, url, piece) => {
          const { Effect, Stream } = modules
          const received: Array<number> = []
          const end = await modules.outcome(
            Effect.gen(function* () {
              const limits = { inboxBytes: 1_000_000 }
              const connection = yield* modules.BrowserWebSocket.open(url, { limits })
              yield* connection.closed
              yield* Stream.runForEach(connection.messages, ({ bytes }) =>
                Effect.sync(() => received.push(new DataView(bytes.buffer).getUint32(0)))
              )
            })
          )
          return { end, kept: received.length * piece, isInOrder: received.every((n, i) => n === i) }
        },
        url,
        piece
      )
      assert.deepStrictEqual(seen, {
        end: {
          error: "WebSocketError",
          message: "more than 1000000 bytes came that were not pulled",
          reason: { _tag: "InboxFull", limit: 1_000_000 }
        },
        // As many as it takes with 64 bytes each to be over it.
        kept: 61 * piece,
        isInOrder: true
      })
      yield* eventually(() => state.closed !== undefined)
      assert.deepStrictEqual(state.closed?.received, { code: 4009, reason: "not pulled in time" })
    })
  )

  it.live("keeps what comes while it is busy, twice for text, and is not full as long as it keeps up", () =>
    Effect.gen(function* () {
      const { url } = yield* NodeWebSocketServer.serve({ origin: Origin.any }, (connection) =>
        Stream.runForEach(connection.messages, () => connection.send("x".repeat(1_000)))
      )
      const { run } = yield* Page.open(browser)
      const outcome = yield* run((modules, url) => {
        const { Effect } = modules
        return modules.outcome(
          Effect.gen(function* () {
            // As much as two of them without their overhead: over it they are not to be three.
            const connection = yield* modules.BrowserWebSocket.open(url, { limits: { inboxBytes: 4_000 } })
            for (let i = 0; i < 10; i++) {
              yield* connection.sendAll(["go", "go"])
              yield* connection.receive
              yield* connection.receive
            }
            yield* connection.sendAll(["go", "go", "go"])
            yield* connection.closed
            yield* connection.pull
            return modules.outcomeOf(yield* Effect.exit(connection.pull))
          })
        )
      }, url)
      const message = "more than 4000 bytes came that were not pulled"
      const reason = { _tag: "InboxFull", limit: 4_000 }
      assert.deepStrictEqual(outcome, { value: { error: "WebSocketError", message, reason } })
    })
  )
})

describe("BrowserWebSocketStream", () => {
  it.live("makes a server wait that sends more than it pulls, and loses nothing", () =>
    Effect.gen(function* () {
      const { state, url } = yield* flood
      const { page, run } = yield* Page.open(browser)
      yield* run(async (modules, url) => {
        const { Effect, Scope, Stream } = modules
        const scope = Scope.makeUnsafe()
        const connection = await Effect.runPromise(Scope.provide(modules.BrowserWebSocketStream.open(url), scope))
        Reflect.set(globalThis, "read", (count: number) => {
          let next = 0
          let wrong = 0
          return Effect.runPromise(
            Stream.runForEach(Stream.take(connection.messages, count), ({ bytes }) =>
              Effect.sync(() => {
                if (new DataView(bytes.buffer).getUint32(0) !== next++) wrong++
              })
            )
          ).then(() => ({ next, wrong }))
        })
      }, url)
      yield* steady(() => state.sent)
      const sent = state.sent
      assert.isBelow(sent * piece, most)
      const seen = yield* Effect.promise(() => page.evaluate(`read(${sent * 2})`))
      assert.deepStrictEqual(seen, { next: sent * 2, wrong: 0 })
    })
  )
})
