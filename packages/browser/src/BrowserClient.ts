/**
 * Clients of a contract in a page or a worker, that come back and know what goes on around them.
 *
 *     const chat = yield* BrowserClient.make(Chat, "/chat")
 *     yield* chat.emit("say", { text: "hello" })
 *     yield* Stream.runForEach(chat.events("said"), ({ text }) => Console.log(text))
 *
 * It is `Client` of core over a `BrowserWebSocket`, with the page's life around it. Not in here: anything else.
 */
import * as Client from "@millrace/core/messaging/Client"
import type * as Contract from "@millrace/core/messaging/Contract"
import * as Session from "@millrace/core/messaging/Session"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as BrowserWebSocket from "./BrowserWebSocket.ts"
import * as PageLife from "./PageLife.ts"

/**
 * Of the client, and of its connections. What is given replaces what a page has by default: `surroundings` of
 * `Stream.empty` are none, and a `heartbeat` of `Infinity` is none.
 */
export type Options<C extends Contract.Contract, R> = Client.Options<C, R> & Connections

interface Connections {
  /** How its connections are opened. Their subprotocols are those of `codecs`. */
  readonly socket?: BrowserWebSocket.Options | undefined
}

/**
 * A client of the server at `url`, which is as in a link: see `Client.make`. By default its `surroundings` are
 * `PageLife.surroundings`, and its `heartbeat` is 25 s, as a page can send no Ping.
 */
export const make = <D extends Contract.Definition, R = never>(
  contract: Contract.Contract<D>,
  url: string | URL,
  ...[options = {} as never]: {} extends Options<Contract.Contract<D>, R>
    ? [options?: Options<Contract.Contract<D>, R>]
    : [options: Options<Contract.Contract<D>, R>]
): Effect.Effect<Client.Client<Contract.Contract<D>>, never, R | Scope.Scope> => {
  const given: Client.CommonOptions<never, R> & Connections = options
  const { codecs, heartbeat = "25 seconds", socket, surroundings = PageLife.surroundings } = given
  const open = BrowserWebSocket.open(url, { subprotocols: Session.subprotocols(codecs), ...socket })
  return Client.make(contract, open, { ...given, heartbeat, surroundings } as never) as never
}
