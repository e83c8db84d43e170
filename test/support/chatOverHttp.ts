/** A contract with everything in it, a server that has it over both ways, and a client over each. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Fetch from "@millrace/core/connection/Fetch"
import * as Contract from "@millrace/core/messaging/Contract"
import * as EventStreamWire from "@millrace/core/messaging/EventStreamWire"
import * as Session from "@millrace/core/messaging/Session"
import * as NodeSessionServer from "@millrace/node/NodeSessionServer"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"

export const Chat = Contract.make("chat", {
  version: "1",
  credentials: Schema.Struct({ token: Schema.String }),
  events: { said: Schema.Struct({ from: Schema.String, text: Schema.String }), pushed: Schema.Uint8Array },
  commands: { say: Schema.String },
  requests: {
    rename: { payload: Schema.String, success: Schema.String, error: Schema.Struct({ taken: Schema.String }) },
    heard: { success: Schema.Array(Schema.String) },
    mirror: { payload: Schema.Uint8Array, success: Schema.Uint8Array },
    never: {}
  },
  streams: { count: { payload: Schema.Number, element: Schema.Number, error: Schema.String } }
})

/** What a server has seen. */
export interface Seen {
  readonly said: Array<string>
  /** Elements that were made, of all streams. */
  made: number
  /** Streams and requests that were interrupted. */
  interrupted: number
  readonly sessions: Array<Session.Server<typeof Chat, string>>
}

export const handlersOf = (session: Session.Server<typeof Chat, string>, seen: Seen) => ({
  say: (text: string) =>
    Effect.andThen(
      Effect.sync(() => seen.said.push(text)),
      Effect.ignore(session.emit("said", { from: session.known, text }))
    ),
  rename: (name: string) =>
    name === "Ada" ? Effect.fail({ taken: name }) : Effect.succeed(`${session.known}:${name}`),
  heard: () => Effect.sync(() => [...seen.said]),
  mirror: (bytes: Uint8Array) => Effect.succeed(bytes.toReversed()),
  never: () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => void seen.interrupted++)),
  count: (to: number) =>
    Stream.range(1, to).pipe(
      Stream.tap(() => Effect.sync(() => void seen.made++)),
      Stream.onExit(() => Effect.sync(() => void seen.interrupted++))
    )
})

type Options = NodeSessionServer.ServeOptions<typeof Chat, string, never>

/** Whoever has a token is let in, unless it is "wrong". */
export const authenticate = ({ token }: { readonly token: string }) =>
  token === "wrong" ? Session.refuse("no such token") : Effect.succeed(token)

export const serve = (options: Partial<Options> = {}) =>
  Effect.gen(function* () {
    const seen: Seen = { said: [], made: 0, interrupted: 0, sessions: [] }
    const server = yield* NodeSessionServer.serve(
      Chat,
      { path: "/chat", authenticate, drain: { window: 10 }, ...options },
      (session) => {
        seen.sessions.push(session)
        return session.handle(handlersOf(session, seen))
      }
    )
    return { ...server, seen, address: `${server.url}/chat`, plain: `${server.url.replace(/^ws/, "http")}/chat` }
  })

export const credentials = { token: "ada" }

/** How a client gets to it. */
export const ways = {
  webSocket: (url: string, subprotocols?: ReadonlyArray<string>) => NodeWebSocket.open(url, { subprotocols }),
  eventStream: (url: string, subprotocols?: ReadonlyArray<string>) =>
    EventStreamWire.open(url, { fetch: Fetch.fromWeb(globalThis.fetch as Fetch.WebFetch), subprotocols })
}

export type Way = keyof typeof ways

/** A session over one of them. */
export const connect = (
  way: Way,
  url: string,
  options: Omit<Session.ConnectOptions<typeof Chat>, "credentials"> = {}
): Effect.Effect<Session.Client<typeof Chat>, unknown, Scope.Scope> =>
  Effect.flatMap(ways[way](url, Session.subprotocols(options.codecs)), (wire) =>
    Session.connect(Chat, wire, { credentials, ...options })
  )
