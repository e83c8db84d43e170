/** Clients that come back over a network in memory, whose connections the test refuses, cuts and closes. */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { OpenError } from "@millrace/core/connection/OpenError"
import type { Transport } from "@millrace/core/connection/Transport"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import type * as Client from "@millrace/core/messaging/Client"
import * as Session from "@millrace/core/messaging/Session"
import { start } from "./connection.ts"
import { Chat, type Server, silent } from "./session.ts"

export interface Link {
  readonly client: WebSocket.WebSocket
  readonly server: WebSocket.WebSocket
  /** Ends the transport under both ends, without a Close. What is on its way may be lost. */
  readonly cut: () => void
  /** Lets nothing pass any more, and tells nobody. */
  readonly silence: () => void
}

export class Network {
  /** All that were opened. */
  readonly links: Array<Link> = []
  /** What the server does with each of them. */
  readonly serving: Array<Fiber.Fiber<void>> = []
  attempts = 0
  /** Who is connected now. */
  open = 0
  /** What becomes of an attempt; it opens unless this fails. */
  answer: (attempt: number) => Effect.Effect<unknown, OpenError> = () => Effect.void
  /** What the server does with a link. */
  serve: (link: Link) => Effect.Effect<unknown, unknown, Scope.Scope> = () => Effect.void

  readonly connect: Effect.Effect<WebSocket.WebSocket, OpenError, Scope.Scope> = Effect.gen(
    { self: this },
    function* () {
      yield* this.answer(++this.attempts)
      const transports: Array<Transport> = []
      let isSilent = false
      const tap = (transport: Transport): Transport => {
        transports.push(transport)
        return new Proxy(transport, {
          get: (target, name) => {
            const isWrite = name === "write" || name === "writeAll" || name === "end"
            if (isSilent && isWrite) return () => {}
            const value: unknown = Reflect.get(target, name, target)
            return typeof value === "function" ? value.bind(target) : value
          }
        })
      }
      const pair = yield* WebSocket.makePair({}, { client: tap, server: tap })
      const link: Link = {
        ...pair,
        cut: () => {
          for (const transport of transports) transport.destroy()
        },
        silence: () => {
          isSilent = true
        }
      }
      this.links.push(link)
      yield* Effect.acquireRelease(
        Effect.sync(() => this.open++),
        () => Effect.sync(() => this.open--)
      )
      // The server has its own life: its end of the link, and what it does there.
      const serving = Effect.ignoreCause(Effect.scoped(this.serve(link)))
      this.serving.push(yield* Effect.forkDetach(serving, { startImmediately: true }))
      return pair.client
    }
  )

  /** The last link is silent from now on. */
  silence(): void {
    this.last.silence()
  }

  get last(): Link {
    return this.links.at(-1)!
  }
}

/** What a server answers with. */
export type Handlers = Partial<Parameters<Server["handle"]>[0]>

/** A server of `Chat`, and its sessions. */
export const chatting = (handlers: Handlers = {}, options?: Session.Options, sessions: Array<Server> = []) => {
  const serve = ({ server }: Link) =>
    Effect.gen(function* () {
      const session: Server = yield* Session.accept(Chat, server, options)
      sessions.push(session)
      yield* session.handle({ ...silent, ...handlers } as never)
    })
  return { sessions, serve }
}

/** All states of a client from now on, as they come. */
export const watching = (client: Client.Returning) =>
  Effect.gen(function* () {
    const seen: Array<Client.State> = []
    const watch = Stream.runForEach(client.states, (state) => Effect.sync(() => seen.push(state)))
    yield* start(watch)
    return seen
  })
