/** A server that a page keeps informed: what the page says of itself survives its navigations, where `evaluate` does not. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Origin from "@millrace/core/codec/Origin"
import * as Contract from "@millrace/core/messaging/Contract"
import type * as Session from "@millrace/core/messaging/Session"
import * as NodeSessionServer from "@millrace/node/NodeSessionServer"

export const Life = Contract.make("life", {
  version: "1",
  events: { told: Schema.String },
  commands: { say: Schema.String }
})

export const serve = Effect.gen(function* () {
  /** What pages have said, in order. */
  const said: Array<string> = []
  const sessions: Array<Session.Server<typeof Life>> = []
  /** How each of them ended. */
  const ends: Array<string> = []
  const server = yield* NodeSessionServer.serve(
    Life,
    { path: "/life", drain: { window: 10 }, origin: Origin.any },
    (session) => {
      sessions.push(session)
      const handling = session.handle({ say: (text) => Effect.sync(() => void said.push(text)) })
      return Effect.onExit(handling, (exit) => Effect.sync(() => ends.push(exit._tag)))
    }
  )
  return { said, sessions, ends, port: Number(new URL(server.url).port), url: `${server.url}/life` }
})
