/** How a page closes its connections, as the server sees it. */
import * as Effect from "effect/Effect"
import { assert, describe, inject, it } from "@effect/vitest"
import * as BrowserWebSocket from "@millrace/browser/BrowserWebSocket"
import * as BrowserWebSocketStream from "@millrace/browser/BrowserWebSocketStream"
import type { Seen } from "../support/wilful.ts"

const { wilful } = inject("servers")

/** How it ended for the server, when it has. */
const closedFor = (key: string) =>
  Effect.promise(async () => {
    const response = await fetch(`http://127.0.0.1:${wilful}/seen/${key}`)
    return (await response.json()) as Seen
  }).pipe(
    Effect.repeat({ until: ({ closed }) => closed !== undefined }),
    Effect.map(({ closed }) => closed)
  )

describe.each([
  ["BrowserWebSocket", BrowserWebSocket.open],
  ["BrowserWebSocketStream", BrowserWebSocketStream.open]
] as const)("%s", (name, open) => {
  it.live("is closed with its scope: with 1000 on success and when interrupted, with 4011 on failure", () =>
    Effect.gen(function* () {
      for (const [how, end, code] of [
        ["succeed", Effect.void, 1000],
        ["interrupt", Effect.interrupt, 1000],
        ["fail", Effect.fail("wrong"), 4011]
      ] as const) {
        const key = `${name}-${how}`
        yield* Effect.exit(Effect.scoped(Effect.andThen(open(`ws://127.0.0.1:${wilful}/silent?key=${key}`), end)))
        assert.deepStrictEqual(yield* closedFor(key), { code, reason: "" })
      }
    })
  )
})
