/** A WHATWG `fetch` as a network: the real `Response` and `ReadableStream`, and a `fetch` of the test's own. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Fetch from "@millrace/core/connection/Fetch"
import { start, turn } from "../../support/connection.ts"
import { utf8 } from "../../support/wire.ts"

const request: Fetch.Request = {
  method: "GET",
  url: "https://example.com/events",
  headers: [
    ["Accept", "text/event-stream"],
    ["X-Key", "1"],
    ["X-Key", "2"]
  ],
  body: undefined,
  credentials: true
}

interface Kept {
  readonly resolve: (response: Response) => void
  readonly reject: (error: unknown) => void
}

/** A promise that the test keeps. */
const pending = () => {
  const kept: Array<Kept> = []
  const promise = new Promise<Response>((resolve, reject) => kept.push({ resolve, reject }))
  return { promise, ...kept[0]! }
}

/** A `fetch` that says when it is called, and is answered by the test. */
const scripted = () => {
  const calls: Array<{ readonly url: string; readonly init: Fetch.WebInit }> = []
  const { promise, resolve, reject } = pending()
  // As any `fetch` it rejects when it is aborted.
  const fetch: typeof globalThis.fetch = (url, init) => {
    calls.push({ url: `${url as string}`, init: init as Fetch.WebInit })
    init?.signal?.addEventListener("abort", () => reject(new Error("aborted")))
    return promise
  }
  return { fetch, calls, resolve, reject }
}

/** A body that is told what becomes of it. */
const body = () => {
  const log: Array<string> = []
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined
  const stream = new ReadableStream<Uint8Array>(
    {
      start: (given) => {
        controller = given
      },
      pull: () => void log.push("pull"),
      cancel: () => void log.push("cancel")
    },
    { highWaterMark: 0 }
  )
  return { log, stream, controller: controller! }
}

const answer = (options: Fetch.WebOptions, response: Response) =>
  Effect.suspend(() => {
    const { calls, fetch, resolve } = scripted()
    resolve(response)
    return Effect.map(Fetch.fromWeb(fetch, options)(request), (answered) => ({ ...answered, ...calls[0]! }))
  })

describe("the request of fromWeb", () => {
  it.effect("is what was asked, from no cache, with redirects left to us", () =>
    Effect.gen(function* () {
      const { init, url } = yield* answer({}, new Response(null))
      const { signal, ...rest } = init
      assert.strictEqual(url, request.url)
      assert.deepStrictEqual(rest as object, {
        method: "GET",
        headers: request.headers,
        cache: "no-store",
        redirect: "manual"
      })
      assert.isFalse(signal.aborted)
      const posted = scripted()
      posted.resolve(new Response(null))
      const bytes = utf8("hello") as Uint8Array<ArrayBuffer>
      yield* Fetch.fromWeb(posted.fetch)({ ...request, method: "POST", body: bytes })
      assert.deepStrictEqual([posted.calls[0]!.init.method, posted.calls[0]!.init.body], ["POST", bytes])
    })
  )

  it.effect("has the options that were given, and no credentials where there are to be none", () =>
    Effect.gen(function* () {
      const dispatcher = {}
      const options = { redirect: "follow", credentials: "include", dispatcher } as const
      const { init } = yield* answer(options, new Response(null))
      assert.deepInclude(init as object, { redirect: "follow", credentials: "include" })
      assert.strictEqual((init as { readonly dispatcher?: unknown }).dispatcher, dispatcher)
      const abroad = scripted()
      abroad.resolve(new Response(null))
      yield* Fetch.fromWeb(abroad.fetch, options)({ ...request, credentials: false })
      assert.strictEqual(abroad.calls[0]!.init.credentials, "omit")
    })
  )

  it.effect("fails as the network does, with what is below a fetch that has failed", () =>
    Effect.gen(function* () {
      const causeFor = (error: unknown) => {
        const { fetch, reject } = scripted()
        reject(error)
        return Effect.map(Effect.flip(Fetch.fromWeb(fetch)(request)), (failure) => failure.cause)
      }
      const refused = new Error("connect ECONNREFUSED")
      assert.strictEqual(yield* causeFor(new TypeError("fetch failed", { cause: refused })), refused)
      assert.strictEqual(yield* causeFor(refused), refused)
      const thrown = yield* Effect.flip(
        Fetch.fromWeb(() => {
          throw refused
        })(request)
      )
      assert.strictEqual(thrown.cause, refused)
    })
  )

  it.effect("that is interrupted is aborted, and an answer that comes all the same is let go of", () =>
    Effect.gen(function* () {
      const { calls, fetch } = scripted()
      const asking = yield* start(Fetch.fromWeb(fetch)(request))
      yield* Fiber.interrupt(asking)
      assert.isTrue(calls[0]!.init.signal.aborted)
      const { log, stream } = body()
      const deaf = pending()
      const late = yield* start(Fetch.fromWeb(() => deaf.promise)(request))
      yield* Fiber.interrupt(late)
      deaf.resolve(new Response(stream))
      yield* turn
      assert.deepStrictEqual(log, ["cancel"])
    })
  )
})

describe("the response of fromWeb", () => {
  it.effect("has status, headers and its URL; where fetch says none it is that of the request", () =>
    Effect.gen(function* () {
      const response = new Response("x", { status: 401, headers: { "WWW-Authenticate": "Bearer", "X-A": "1" } })
      const { headers, status, url, coding, detail } = yield* answer({}, response)
      assert.deepStrictEqual([status, url, coding, detail], [401, request.url, undefined, undefined])
      assert.deepStrictEqual(headers, [
        ["content-type", "text/plain;charset=UTF-8"],
        ["www-authenticate", "Bearer"],
        ["x-a", "1"]
      ])
      const moved = Object.defineProperty(new Response("x"), "url", { value: "https://example.org/b" })
      const { fetch, resolve } = scripted()
      resolve(moved)
      assert.strictEqual((yield* Fetch.fromWeb(fetch)(request)).url, "https://example.org/b")
    })
  )

  it.effect("says so when the platform does not show a redirect", () =>
    Effect.gen(function* () {
      const opaque = Object.defineProperties(Response.error(), {
        type: { value: "opaqueredirect" },
        status: { value: 0 }
      })
      const { body, detail, status } = yield* answer({}, opaque)
      assert.deepStrictEqual([status, detail], [0, "a redirect, which this platform does not show"])
      assert.deepStrictEqual(yield* Stream.runCollect(body), [])
    })
  )

  it.effect("is read chunk by chunk, each when it is pulled", () =>
    Effect.gen(function* () {
      const { controller, log, stream } = body()
      const { fetch, resolve } = scripted()
      resolve(new Response(stream))
      const response = yield* Fetch.fromWeb(fetch)(request)
      const pull = yield* Stream.toPull(response.body)
      yield* turn
      assert.deepStrictEqual(log, [])
      const first = yield* start(pull)
      yield* turn
      assert.deepStrictEqual(log, ["pull"])
      controller.enqueue(utf8("a"))
      assert.deepStrictEqual(yield* Fiber.join(first), [utf8("a")])
      // A chunk that came for somebody who was interrupted is for the next.
      const second = yield* start(pull)
      yield* turn
      yield* Fiber.interrupt(second)
      controller.enqueue(utf8("b"))
      yield* turn
      assert.deepStrictEqual(yield* pull, [utf8("b")])
      controller.close()
      assert.isTrue(Exit.isFailure(yield* Effect.exit(pull)))
    })
  )

  it.effect("that breaks off is a failure of the network", () =>
    Effect.gen(function* () {
      const { controller, stream } = body()
      const { fetch, resolve } = scripted()
      resolve(new Response(stream))
      const response = yield* Fetch.fromWeb(fetch)(request)
      const reading = yield* start(Effect.flip(Stream.runDrain(response.body)))
      const reset = new Error("ECONNRESET")
      controller.error(new TypeError("terminated", { cause: reset }))
      const error = yield* Fiber.join(reading)
      assert.deepStrictEqual([error._tag, error.cause], ["NetworkError", reset])
    })
  )

  it.effect("is let go of with the scope, and whoever reads it then is at its end", () =>
    Effect.gen(function* () {
      const { log, stream } = body()
      const { fetch, resolve } = scripted()
      resolve(new Response(stream))
      const scope = yield* Scope.make()
      const response = yield* Scope.provide(Fetch.fromWeb(fetch)(request), scope)
      const reading = yield* start(Stream.runDrain(response.body))
      yield* turn
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(reading)
      assert.deepStrictEqual(log, ["pull", "cancel"])
    })
  )
})
