/** A page of another origin that gets no WebSocket, and talks over the browser's own `fetch`. */
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Origin from "@millrace/core/codec/Origin"
import { listen } from "../support/bareServer.ts"
import { serve } from "../support/chatOverHttp.ts"
import { launch } from "../support/chromium.ts"
import { eventually } from "../support/eventually.ts"
import * as Page from "../support/page.ts"

let browser: Browser
beforeAll(async () => {
  browser = await launch()
}, 60_000)
afterAll(() => browser.close())

describe("a page", () => {
  it.live("falls back to an event stream and POST, keeps that in its storage, and is let in by its origin alone", () =>
    Effect.gen(function* () {
      const { page, run } = yield* Page.open(browser)
      const own = yield* Effect.promise(() => page.evaluate(() => location.origin))
      const { connections, plain } = yield* serve({ origin: Result.getOrThrow(Origin.allow([own])) })
      const elsewhere = yield* serve({ origin: Result.getOrThrow(Origin.allow(["https://app.example"])) })
      // There is no WebSocket here.
      const bare = yield* listen((_, response) => void response.writeHead(404).end())
      const talk = (address: string) =>
        run(
          (modules, none, address) => {
            const { BrowserWebSocket, Client, Contract, Effect, EventStreamWire, Fallback, Fetch, Schema, Stream } =
              modules
            const Chat = Contract.make("chat", {
              version: "1",
              credentials: Schema.Struct({ token: Schema.String }),
              requests: {
                rename: { payload: Schema.String, success: Schema.String },
                mirror: { payload: Schema.Uint8Array, success: Schema.Uint8Array }
              },
              streams: { count: { payload: Schema.Number, element: Schema.Number } }
            })
            let kept = "null"
            const talk = Effect.gen(function* () {
              const open = yield* Fallback.make(
                [
                  BrowserWebSocket.open(none.replace("http", "ws")),
                  EventStreamWire.open(address, { fetch: Fetch.fromWeb(fetch) })
                ],
                {
                  memory: {
                    read: Effect.sync(() => JSON.parse(kept) ?? undefined),
                    write: (remembered) => Effect.sync(() => void (kept = JSON.stringify(remembered ?? null)))
                  }
                }
              )
              const chat = yield* Client.make(Chat, open, { credentials: Effect.succeed({ token: "ada" }) })
              const name = yield* chat.request("rename", "Grace", { timeout: "3 seconds" })
              const bytes = yield* chat.request("mirror", Uint8Array.of(1, 2, 3))
              const sum = yield* chat.stream("count", 5_000).pipe(
                Stream.runFold(
                  () => 0,
                  (sum, n) => sum + n
                )
              )
              return [name, [...bytes].join(), sum, JSON.parse(kept).way]
            })
            return Effect.runPromise(
              Effect.scoped(talk).pipe(Effect.matchEager({ onSuccess: (value) => value as unknown, onFailure: String }))
            )
          },
          bare.url,
          address
        )
      assert.deepStrictEqual(yield* talk(plain), ["ada:Grace", "3,2,1", 12_502_500, 1])
      yield* eventually(() => connections() === 0)
      assert.include(String(yield* talk(elsewhere.plain)), "rename")
    })
  )
})
