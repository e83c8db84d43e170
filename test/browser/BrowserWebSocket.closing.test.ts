/**
 * How connections of a page end: who says so, with which code, and what both ends see of it. What servers do of themselves
 * is in test/page.
 */
// oxlint-disable unicorn/consistent-function-scoping -- what a page evaluates has no outer scope
import { once } from "node:events"
import type { AddressInfo, Socket } from "node:net"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Origin from "@millrace/core/codec/Origin"
import type { Closed } from "@millrace/core/protocol/WebSocketProtocol"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { type WebSocket, WebSocketServer } from "ws"
import { launch } from "../support/chromium.ts"
import { eventually } from "../support/eventually.ts"
import * as Page from "../support/page.ts"

let browser: Browser
beforeAll(async () => {
  browser = await launch()
}, 60_000)
afterAll(() => browser.close())

/** Says "hello", answers "close CODE REASON" with that, and keeps how its connections ended. */
const server = Effect.gen(function* () {
  const ended: Array<Closed> = []
  const { url } = yield* NodeWebSocketServer.serve({ origin: Origin.any }, (connection) =>
    Effect.gen(function* () {
      yield* connection.send("hello")
      yield* Stream.runForEach(connection.messages, (message) => {
        const [, code, reason] = message._tag === "Text" ? (/^close (\d+) (.*)$/.exec(message.text) ?? []) : []
        return code === undefined ? connection.send(message) : connection.close(Number(code), reason)
      }).pipe(Effect.ignore)
      ended.push(yield* connection.closed)
    })
  )
  return { ended, url }
})

/** A server that does as it is told with the socket itself. */
const rude = (handle: (socket: Socket, webSocket: WebSocket) => void) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const server = new WebSocketServer({ port: 0, host: "127.0.0.1" })
        server.on("connection", (webSocket, { socket }) => {
          webSocket.on("error", () => {})
          handle(socket, webSocket)
        })
        await once(server, "listening")
        return server
      }),
      (server) =>
        Effect.sync(() => {
          for (const client of server.clients) client.terminate()
          server.close()
        })
    ),
    (server) => `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`
  )

const status = (code: number, reason = "") => ({ code, reason })

describe.each(["BrowserWebSocket", "BrowserWebSocketStream"] as const)("%s", (platform) => {
  it.live("has what came before the end behind it, message by message", () =>
    Effect.gen(function* () {
      const { url } = yield* NodeWebSocketServer.serve({ origin: Origin.any }, (connection) =>
        connection.sendAll(["one", "to", "seven"])
      )
      const { run } = yield* Page.open(browser)
      const outcome = yield* run(
        (modules, platform, url) => {
          const { Effect, outcome } = modules
          return outcome(
            Effect.gen(function* () {
              const connection = yield* modules[platform].open(url)
              yield* connection.closed
              const lengths: Array<number> = []
              while (lengths.length < 3) lengths.push((yield* connection.receive).length)
              return [lengths, modules.outcomeOf(yield* Effect.exit(connection.receive))]
            })
          )
        },
        platform,
        url
      )
      assert.deepStrictEqual(outcome, { value: [[3, 2, 5], { end: "done" }] })
    })
  )

  it.live("says Close behind all that was sent", () =>
    Effect.gen(function* () {
      let received = 0
      const { url } = yield* NodeWebSocketServer.serve({ origin: Origin.any }, (connection) =>
        Stream.runForEach(connection.messages, () => Effect.sync(() => received++))
      )
      const { run } = yield* Page.open(browser)
      const outcome = yield* run(
        (modules, platform, url) => {
          const { Effect, outcome } = modules
          return outcome(
            Effect.gen(function* () {
              const limits = { outboxBytes: 16 << 20 }
              const connection = yield* modules[platform].open(url, { limits })
              yield* connection.sendAll(Array.from({ length: 100 }, () => new Uint8Array(65_536)))
              yield* connection.close()
              return (yield* connection.closed).received
            })
          )
        },
        platform,
        url
      )
      assert.deepStrictEqual(outcome, { value: status(1000) })
      assert.strictEqual(received, 100)
    })
  )

  it.live("closes with the codes that a page may send, and with one of those for the others", () =>
    Effect.gen(function* () {
      const { ended, url } = yield* server
      const { run } = yield* Page.open(browser)
      const long = `${"x".repeat(122)}é`
      for (const [args, sent] of [
        [[], status(1000)],
        [[1000, "done é"], status(1000, "done é")],
        [[1001], status(1000)],
        [[1005, "unsaid"], status(1005)],
        [[1002], status(4002)],
        [[1008, "slower"], status(4008, "slower")],
        [[1011], status(4011)],
        [[1014], status(4014)],
        [[3000], status(3000)],
        [[4999, long], status(4999, "x".repeat(122))]
      ] as ReadonlyArray<[[number?, string?], ReturnType<typeof status>]>) {
        const seen = yield* run(
          (modules, platform, url, args) => {
            const { Effect, outcome } = modules
            return outcome(
              Effect.gen(function* () {
                const connection = yield* modules[platform].open(url)
                const hello = yield* connection.receive
                yield* connection.close(...args)
                const closed = yield* connection.closed
                yield* connection.close(4000)
                const send = yield* Effect.flip(connection.send("late"))
                const written = connection.tryWriteUnsafe(modules.Prepared.make("late"))
                const end = modules.outcomeOf(yield* Effect.exit(connection.receive))
                return { closed, end, hello: hello.length, send: send.message, written }
              })
            )
          },
          platform,
          url,
          args
        )
        const closed = { _tag: "Closed", by: "local", sent, received: sent }
        const value = "value" in seen ? (seen.value as Record<string, unknown>) : {}
        assert.deepStrictEqual(value["closed"], closed, `${args}`)
        assert.deepStrictEqual(
          [value["hello"], value["send"], value["written"]],
          [5, "the WebSocket connection is closed", "NotOpen"]
        )
        const isOrdinary = sent.code === 1000 || sent.code === 1005
        const { end } = value as { readonly end: Page.Modules.Outcome }
        assert.strictEqual("end" in end ? end.end : end, isOrdinary ? "done" : end)
        yield* eventually(() => ended.length > 0)
        const { by, received } = ended.pop()!
        assert.deepStrictEqual({ by, received }, { by: "remote", received: sent })
      }
    })
  )

  it.live("fails with a code that nobody may send, and stays open", () =>
    Effect.gen(function* () {
      const { url } = yield* server
      const { run } = yield* Page.open(browser)
      const outcome = yield* run(
        (modules, platform, url) => {
          const { Effect, outcome } = modules
          return outcome(
            Effect.gen(function* () {
              const connection = yield* modules[platform].open(url)
              const reasons: Array<unknown> = []
              for (const code of [0, 999, 1004, 1006, 1015, 2999, 5000, 1000.5]) {
                const { reason } = yield* Effect.flip(connection.close(code))
                reasons.push([reason._tag, Reflect.get(reason, "code")])
              }
              yield* connection.receive
              yield* connection.send("still there")
              return { reasons, echo: (yield* connection.receive).length }
            })
          )
        },
        platform,
        url
      )
      const reasons = [0, 999, 1004, 1006, 1015, 2999, 5000, 1000.5].map((code) => ["InvalidCloseCode", code])
      assert.deepStrictEqual(outcome, { value: { reasons, echo: 11 } })
    })
  )

  it.live("is failed for what the peer did, with what came before still there", () =>
    Effect.gen(function* () {
      const { ended, url } = yield* server
      const { run } = yield* Page.open(browser)
      const outcome = yield* run(
        (modules, platform, url) => {
          const { Effect, outcome, outcomeOf, ProtocolViolation } = modules
          return outcome(
            Effect.gen(function* () {
              const connection = yield* modules[platform].open(url)
              yield* connection.send("twice")
              const hello = yield* connection.receive
              yield* connection.fail(
                new ProtocolViolation({ closeCode: 1007, clause: "RFC 8259 2", detail: "this is no JSON" })
              )
              const end = outcomeOf(yield* Effect.exit(connection.receive))
              const { violation, ...closed } = yield* connection.closed
              // The echo has come, or was on its way.
              const after = outcomeOf(yield* Effect.exit(connection.receive))
              const isSame = JSON.stringify(after) === JSON.stringify(end)
              return { hello: hello.length, end, isSame, closed, violation: violation?.message }
            })
          )
        },
        platform,
        url
      )
      assert.deepStrictEqual(outcome, {
        value: {
          hello: 5,
          end: {
            error: "WebSocketError",
            message: "this is no JSON (RFC 8259 2)",
            reason: {
              _tag: "ProtocolViolation",
              closeCode: 1007,
              clause: "RFC 8259 2",
              detail: "this is no JSON"
            }
          },
          isSame: true,
          closed: { _tag: "Closed", by: "local", sent: status(4007, "this is no JSON") },
          violation: "this is no JSON (RFC 8259 2)"
        }
      })
      yield* eventually(() => ended.length > 0)
      assert.deepStrictEqual(ended[0]?.received, status(4007, "this is no JSON"))
    })
  )

  it.live("takes no message over its limit, in bytes of UTF-8", () =>
    Effect.gen(function* () {
      const { ended, url } = yield* server
      const { run } = yield* Page.open(browser)
      for (const [text, fits] of [
        ["é".repeat(50), true],
        [`${"é".repeat(50)}x`, false],
        ["x".repeat(100), true],
        ["x".repeat(101), false]
      ] as const) {
        const outcome = yield* run(
          (modules, platform, url, text) => {
            const { Effect, outcome } = modules
            return outcome(
              Effect.gen(function* () {
                const connection = yield* modules[platform].open(url, { limits: { maxMessageBytes: 100 } })
                yield* connection.receive
                yield* connection.send(text)
                return (yield* connection.receive).length
              })
            )
          },
          platform,
          url,
          text
        )
        yield* eventually(() => ended.length > 0)
        const received = ended.pop()?.received
        if (fits) assert.deepStrictEqual([outcome, received], [{ value: 100 }, status(1000)])
        else {
          assert.strictEqual("message" in outcome && outcome.message, "message too big (RFC 6455 7.4.1)")
          assert.deepStrictEqual(received, status(4009, "message too big"))
        }
      }
    })
  )

  it.live("has an end in time also when nobody waits for it, with a server that does not answer", () =>
    Effect.gen(function* () {
      const url = yield* rude((socket) => void socket.pause())
      const { run } = yield* Page.open(browser)
      const outcome = yield* run(
        (modules, platform, url) => {
          const { Effect, outcome, ProtocolViolation } = modules
          return outcome(
            Effect.gen(function* () {
              const connection = yield* modules[platform].open(url, { limits: { closeTimeout: 300 } })
              yield* connection.fail(new ProtocolViolation({ closeCode: 1008, clause: "ours", detail: "enough" }))
              const { by, received, sent } = yield* connection.closed
              return { by, received, sent }
            })
          )
        },
        platform,
        url
      )
      assert.deepStrictEqual(outcome, { value: { by: "local", sent: status(4008, "enough") } })
    })
  )

  it.live("waits for a server that does not answer its Close as long as it is told, and no longer", () =>
    Effect.gen(function* () {
      const url = yield* rude((socket) => void socket.pause())
      const { run } = yield* Page.open(browser)
      const outcome = yield* run(
        (modules, platform, url) => {
          const { Effect, outcome } = modules
          return outcome(
            Effect.gen(function* () {
              const connection = yield* modules[platform].open(url, { limits: { closeTimeout: 300 } })
              const begin = performance.now()
              yield* connection.close(4000, "enough")
              const took = performance.now() - begin
              const end = modules.outcomeOf(yield* Effect.exit(connection.receive))
              const message = "message" in end && end.message
              return [took >= 290 && took < 4_000, yield* connection.closed, message]
            })
          )
        },
        platform,
        url
      )
      const sent = status(4000, "enough")
      const message = "the WebSocket connection was lost: sent 4000 enough, received nothing"
      assert.deepStrictEqual(outcome, { value: [true, { _tag: "Closed", by: "local", sent }, message] })
    })
  )
})
