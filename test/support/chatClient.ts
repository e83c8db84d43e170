/** Clients that come back, over a network of the test's own. */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import * as Client from "@millrace/core/messaging/Client"
import { chatting, type Handlers, Network } from "./returning.ts"
import { Chat, turn } from "./session.ts"

export type Options = Client.Options<typeof Chat, never>

export const connect = (options: Options = {}, handlers: Handlers = {}) =>
  Effect.gen(function* () {
    const network = new Network()
    const { serve, sessions } = chatting(handlers)
    network.serve = serve
    const client = yield* Client.make(Chat, network.connect, { reconnect: Schedule.spaced("1 second"), ...options })
    yield* turn
    return { client, network, sessions }
  })

/** A second later there is a connection again. */
export const second = Effect.andThen(TestClock.adjust("1 second"), turn)

/** The connection is lost. */
export const cut = (network: Network) =>
  Effect.suspend(() => {
    network.last.cut()
    return turn
  })

/** A handler that keeps what it is told. */
export const keeping =
  <A>(kept: Array<A>) =>
  (value: A) =>
    Effect.sync(() => void kept.push(value))
