/** Event streams as routes of an Effect application. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Stream from "effect/Stream"
import * as EffectEventStream from "@millrace/node/EffectEventStream"
import { serve } from "../support/effectServer.ts"
import { ask } from "../support/eventStreamServer.ts"
import { eventually } from "../support/eventually.ts"

class Greeting extends Context.Service<Greeting, { readonly word: string }>()("test/Greeting") {}

describe("a route", () => {
  it.live("answers with events, at once, to who asks from an event on", () =>
    Effect.gen(function* () {
      let left = 0
      const events = Stream.concat(
        Stream.map(Stream.fromEffect(Greeting), ({ word }) => ({ data: word })),
        Stream.ensuring(
          Stream.never,
          Effect.sync(() => left++)
        )
      )
      const route = EffectEventStream.respond(
        ({ lastEventId, query }) => Stream.concat(Stream.succeed({ id: `${lastEventId}/${query.get("q")}` }), events),
        { retry: "2 seconds", headers: [["X-More", "yes"]], lastEventIdParameter: "lastEventId" }
      )
      const { port } = yield* serve(
        HttpRouter.add("GET", "/events", Effect.provideService(route, Greeting, { word: "hello" }))
      )
      const id = Buffer.from("ü").toString("latin1")
      const answer = yield* ask("node:http", port, { path: "/events?q=1", headers: { "last-event-id": id } })
      yield* answer.says("retry: 2000\n\nid: ü/1\n\ndata: hello\n\n")
      assert.deepStrictEqual(
        ["content-type", "cache-control", "x-accel-buffering", "x-more"].map((name) => answer.header(name)),
        ["text/event-stream", "no-cache, no-store, no-transform", "no", "yes"]
      )
      answer.leave()
      yield* eventually(() => left === 1)
    })
  )

  it.live("has its head out before there is an event, and says that it lives", () =>
    Effect.gen(function* () {
      const route = EffectEventStream.respond(() => Stream.never, { heartbeat: "20 millis" })
      const { port } = yield* serve(HttpRouter.add("GET", "/events", route))
      const answer = yield* ask("node:http", port, { path: "/events" })
      yield* eventually(() => answer.text().startsWith(": \n\n:\n\n:\n\n"))
    })
  )

  it.live("is refused to who wants no event stream", () =>
    Effect.gen(function* () {
      const route = EffectEventStream.respond(() => Stream.never)
      const { port } = yield* serve(HttpRouter.add("GET", "/events", route))
      const answer = yield* ask("node:http", port, { path: "/events", headers: { accept: "text/html" } })
      assert.strictEqual(answer.status, 406)
    })
  )
})
