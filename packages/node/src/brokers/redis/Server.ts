/** What Redis says of itself, by INFO. Pure. */
import { BrokerError, Rejected, Unavailable } from "@millrace/core/cluster/BrokerError"
import * as Effect from "effect/Effect"

export interface Server {
  /**
   * Which server this is, from one start to the next, and whose master it is: another one may not have all that was
   * acknowledged by the one before.
   */
  readonly run: string
  /** Whether it is one of a Redis Cluster that has sharded pub/sub. */
  readonly hasShards: boolean
  /** Whether it forgets keys when it is full. */
  readonly evicts: boolean
}

const passing = (text: string): Effect.Effect<never, BrokerError> =>
  Effect.fail(new BrokerError({ reason: new Unavailable({ outcome: "NotPublished", cause: new Error(text) }) }))

/** Fails for a server that cannot be used, or not yet. */
export const read = (info: string): Effect.Effect<Server, BrokerError> => {
  const field = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, "m").exec(info)?.[1]
  const [major = 0, minor = 0] = (field("redis_version") ?? "").split(".").map(Number)
  if (major < 6 || (major === 6 && minor < 2)) {
    const cause = new Error(`Redis ${major}.${minor} is older than 6.2`)
    return Effect.fail(new BrokerError({ reason: new Rejected({ cause }) }))
  }
  if (field("loading") === "1") return passing("LOADING Redis is reading what it had on disk")
  if (field("role") === "slave") return passing("READONLY the server is a replica")
  return Effect.succeed({
    run: `${field("run_id")}.${field("master_replid")}`,
    hasShards: field("redis_mode") === "cluster" && major >= 7,
    evicts: (field("maxmemory_policy") ?? "noeviction") !== "noeviction"
  })
}
