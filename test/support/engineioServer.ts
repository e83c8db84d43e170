/** A server of Engine.IO for the tests of its clients, as plain functions. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Origin from "@millrace/core/codec/Origin"
import type * as Protocol from "@millrace/core/interop/engineio/EngineProtocol"
import type { EngineSession } from "@millrace/core/interop/engineio/EngineSession"
import * as NodeEngineServer from "@millrace/node/NodeEngineServer"

export interface Options {
  /** Default `/engine.io/`. */
  readonly path?: string
  readonly pingInterval?: number
  readonly pingTimeout?: number
  readonly cluster?: NodeEngineServer.Options["cluster"]
  /** What is done with a message. */
  readonly onMessage: (session: Session, data: string | Uint8Array) => void
}

export class Session {
  readonly reasons: Array<Protocol.Reason> = []
  readonly #session: () => EngineSession

  constructor(session: () => EngineSession) {
    this.#session = session
  }

  get sid(): string {
    return this.#session().sid
  }

  get isPolled(): boolean {
    return this.#session().isPolled
  }

  get isUpgraded(): boolean {
    return this.#session().isUpgraded
  }

  send(...messages: ReadonlyArray<string | Uint8Array>): void {
    Effect.runFork(Effect.ignore(this.#session().send(messages)))
  }

  shutdown(): void {
    this.#session().shutdownUnsafe()
  }
}

export interface Server {
  readonly url: string
  /** All that there were, in the order in which they came. */
  readonly sessions: ReadonlyArray<Session>
  /** How many there are. */
  readonly size: () => number
  readonly close: () => Promise<void>
}

/** On a free port of the loopback. */
export const serve = async ({ onMessage, ...options }: Options): Promise<Server> => {
  const sessions: Array<Session> = []
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const scope = Scope.makeUnsafe()
  const attached = await Effect.runPromise(
    Scope.provide(
      NodeEngineServer.attach(server, { ...options, origin: Origin.any }, () =>
        Effect.succeed((session) => {
          const known = new Session(session)
          sessions.push(known)
          return {
            deliver: (data) => Effect.sync(() => onMessage(known, data)),
            ended: (reason) => void known.reasons.push(reason)
          }
        })
      ),
      scope
    )
  )
  server.on("request", (request, response) => {
    if (!attached.respond(request, response)) response.writeHead(404).end()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sessions,
    size: attached.sessions,
    close: async () => {
      await Effect.runPromise(Scope.close(scope, Exit.void))
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  }
}
