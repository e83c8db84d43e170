/** A Redis of the benchmark's own: a real server, on the core of the servers, whose CPU time is counted with theirs. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { Redis as Client } from "ioredis"
import { redisServer } from "../test/support/redisServer.ts"
import * as servers from "../test/support/servers.ts"
import * as Child from "./Child.ts"

export interface Redis {
  readonly url: string
  /** User and system time of all its threads since it began, in microseconds, by its own account. */
  readonly cpu: () => Promise<number>
  readonly stop: () => Promise<void>
}

/** Whether this machine has one: on the path, named by `$REDIS_SERVER`, or unpacked by `npm test`. */
export const isThere = (): boolean => servers.find("redis-server") !== undefined

const running = new Set<Redis>()

/** Ends every one that still runs, whatever happened. */
export const stopAll = async (): Promise<void> => {
  await Promise.all([...running].map((redis) => redis.stop()))
}

/** Starts one that keeps nothing on disk. It dies with this process, however that dies. */
export const start = async (): Promise<Redis> => {
  const scope = Scope.makeUnsafe()
  const close = () => Effect.runPromise(Scope.close(scope, Exit.void))
  try {
    const server = await Effect.runPromise(Scope.provide(redisServer(), scope))
    Child.pin(server.pid, "server")
    const client = new Client(server.url)
    const redis: Redis = {
      url: server.url,
      cpu: async () => {
        const said = await client.info("cpu")
        const seconds = (name: string) => Number(new RegExp(`^${name}:([\\d.]+)`, "m").exec(said)?.[1])
        return (seconds("used_cpu_user") + seconds("used_cpu_sys")) * 1e6
      },
      stop: async () => {
        running.delete(redis)
        client.disconnect()
        await close()
      }
    }
    running.add(redis)
    return redis
  } catch (error) {
    await close()
    throw error
  }
}
