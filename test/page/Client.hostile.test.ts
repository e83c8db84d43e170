/** What a client of a contract in a page makes of servers that speak something else: each a typed outcome to be shown. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { assert, describe, inject, it } from "@effect/vitest"
import * as BrowserWebSocket from "@millrace/browser/BrowserWebSocket"
import * as Client from "@millrace/core/messaging/Client"
import * as Contract from "@millrace/core/messaging/Contract"
import * as Session from "@millrace/core/messaging/Session"

const Chat = Contract.make("chat", {
  version: "1",
  events: { said: Schema.Struct({ text: Schema.String }) },
  requests: { rename: { payload: Schema.String, success: Schema.String } }
})

const welcome = JSON.stringify(["welcome", { contract: "chat", version: "1", hash: "", session: "s1" }])

/** A server that says these texts, and nothing else, when it has heard `hello`, or does something else. */
const open = (path: string, ...texts: ReadonlyArray<string>) => {
  const query = new URLSearchParams([["after", "1"], ...texts.map((text) => ["text", text])])
  return BrowserWebSocket.open(`ws://127.0.0.1:${inject("servers").wilful}${path}?${query}`, {
    subprotocols: Session.subprotocols()
  })
}

interface Shown {
  readonly reason: { readonly _tag: string; readonly message: string }
}

const told = ({ reason }: Shown) => `${reason._tag}: ${reason.message}`

const wordsOf = (cause: Client.Stopped["cause"]) =>
  cause !== undefined && "error" in cause && cause.error !== undefined ? told(cause.error as Shown) : "-"

/** Why it has stopped, or why it waits where it comes back; nothing while it stays. */
const fate = (connect: ReturnType<typeof open>) =>
  Effect.gen(function* () {
    const chat = yield* Client.make(Chat, connect, { openTimeout: 500 })
    const shown = Stream.filterMap(chat.states, (state) => {
      if (state._tag === "Waiting") return Result.succeed(`comes back: ${wordsOf(state.lost.cause)}`)
      return state._tag === "Stopped" ? Result.succeed(`stops: ${wordsOf(state.cause)}`) : Result.failVoid
    })
    return Option.getOrElse(Option.flatten(yield* Effect.timeoutOption(Stream.runHead(shown), 1_000)), () => "stays")
  })

const said = (text: unknown) => JSON.stringify(["emit", "said", { text }])

describe("a client of a contract", () => {
  it.live("stops or comes back, and says why, for each thing that is not a session of its own", () =>
    Effect.gen(function* () {
      const violation = "comes back: SessionViolation: the peer broke the rules:"
      const mismatch = "stops: Mismatch: the contracts differ: ours is chat 1, theirs"
      const lost = "Disconnected: the session has ended: the WebSocket connection was lost:"
      for (const [what, connect, expected] of [
        ["no JSON", open("/say", "hello there"), `${violation} malformed: not JSON`],
        ["no packet", open("/say", '{"hello":"there"}'), `${violation} not a packet: not an array`],
        ["no welcome", open("/say", '["end",1]'), `${violation} the first message is no welcome`],
        ["another contract", open("/say", welcome.replace("chat", "poll")), `${mismatch} poll 1`],
        ["another version", open("/say", welcome.replace('"1"', '"2"')), `${mismatch} chat 2`],
        ["a second welcome", open("/say", welcome, welcome), `${violation} a second welcome`],
        ["an unknown kind of packet, dropped", open("/say", welcome, '["what",1]'), "stays"],
        ["a refusal of the contract", open("/close/4500"), `${mismatch} `],
        ["a refusal of the credentials", open("/close/4501"), "stops: Rejected: the credentials were refused"],
        ["a close for good", open("/close/4999"), `stops: ${lost} sent 4999, received 4999`],
        ["a close for now", open("/close/1013"), `comes back: ${lost} sent 1013, received 1013`],
        ["a broken frame", open("/wire/c100"), `comes back: ${lost} sent nothing, received nothing`],
        ["silence", open("/silent"), "comes back: HandshakeTimeout: the connection was not open after 500 ms"]
      ] as const) {
        assert.strictEqual(yield* Effect.scoped(fate(connect)), expected, what)
      }
      assert.match(
        yield* Effect.scoped(fate(open("/refuse/401"))),
        /^comes back: Undisclosed: .* a page is not told why$/
      )
    })
  )

  it.live("counts and drops an event that is not in the contract, and hears the next", () =>
    Effect.gen(function* () {
      const chat = yield* Client.make(Chat, open("/say", welcome, said(1), '["emit","unheard",null]', said("hello")))
      const [first] = yield* Stream.runCollect(Stream.take(chat.events("said"), 1))
      assert.deepStrictEqual(first, { text: "hello" })
    })
  )

  it.live("fails a request whose answer does not decode, which does not come, or which the server cannot give", () =>
    Effect.gen(function* () {
      for (const [answer, expected] of [
        ['["ok",1,5]', "Undecodable"],
        ['["fail",1,"defect","out of order"]', 'Failed: "rename" failed (defect): out of order'],
        ['["err",1,{"_tag":"Unheard"}]', "Undecodable"],
        ['["cancel",9]', 'RequestTimeout: no answer to "rename" for 300 ms']
      ] as const) {
        const connect = open("/say", welcome, answer)
        const chat = yield* Client.make(Chat, connect)
        const error = yield* Effect.flip(chat.request("rename", "ada", { timeout: 300 }))
        assert.include(told(error), expected)
      }
    })
  )
})
