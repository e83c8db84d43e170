/** What the nodes of a soak stand on, and what may be done to it. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { natsServer } from "../../test/support/natsServer.ts"
import { redisServer } from "../../test/support/redisServer.ts"
import * as servers from "../../test/support/servers.ts"

export const brokers = ["memory", "workers", "redis", "nats"] as const

export type Broker = (typeof brokers)[number]

/** What a node is told. */
export interface Where {
  readonly broker: Broker
  /** The URL of a server, or the folder where workers meet. */
  readonly at: string
}

export interface Surroundings {
  readonly where: Where
  /** What stands between the nodes, where it is a process of its own. */
  readonly server:
    | {
        readonly pause: () => Promise<void>
        readonly resume: () => Promise<void>
        /** Kills it, and starts it with what it has on disk. */
        readonly restart: () => Promise<void>
        /** Kills it, and starts it with nothing. */
        readonly restartEmpty: () => Promise<void>
      }
    | undefined
  readonly end: () => Promise<void>
}

const needed = { redis: "redis-server", nats: "nats-server" } as const

/** The server that this machine has not and the broker needs. */
export const missing = (broker: Broker): servers.Name | undefined => {
  const name = broker === "redis" || broker === "nats" ? needed[broker] : undefined
  return name !== undefined && servers.find(name) === undefined ? name : undefined
}

const withServer = async (broker: "redis" | "nats"): Promise<Surroundings> => {
  const scope = Scope.makeUnsafe()
  const start = broker === "redis" ? redisServer() : natsServer()
  const server = await Effect.runPromise(Scope.provide(start, scope))
  return {
    where: { broker, at: server.url },
    server: {
      pause: () => Effect.runPromise(server.pause),
      resume: () => Effect.runPromise(server.resume),
      restart: () => Effect.runPromise(server.restart),
      restartEmpty: () => Effect.runPromise(server.restartEmpty)
    },
    end: () => Effect.runPromise(Scope.close(scope, Exit.void))
  }
}

export const begin = async (broker: Broker): Promise<Surroundings> => {
  if (broker === "redis" || broker === "nats") return withServer(broker)
  const at = mkdtempSync(join(tmpdir(), "millrace-"))
  return {
    where: { broker, at },
    server: undefined,
    end: () => {
      rmSync(at, { recursive: true })
      return Promise.resolve()
    }
  }
}
