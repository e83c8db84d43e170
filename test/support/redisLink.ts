/** Links to a real Redis, with all that they are told; and somebody who asks it anything. */
import { Redis, type RedisOptions } from "ioredis"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { BrokerError } from "@millrace/core/cluster/BrokerError"
import type { Appended, Link } from "@millrace/core/cluster/Engine"
import * as RedisEngine from "@millrace/node/brokers/RedisEngine"

export interface Told {
  readonly link: Link
  readonly appended: Array<Appended>
  readonly heard: Array<readonly [channel: string, text: string]>
  /** What was appended, as `topic offset previous text`. */
  readonly lines: () => ReadonlyArray<string>
}

export const opened = (options: RedisEngine.Options): Effect.Effect<Told, BrokerError, Scope.Scope> =>
  Effect.suspend(() => {
    const appended: Array<Appended> = []
    const heard: Array<readonly [string, string]> = []
    const open = RedisEngine.make(options).open({
      appended: (one) => void appended.push(one),
      heard: (channel, bytes) => void heard.push([channel, text(bytes)])
    })
    return Effect.map(open, (link) => ({
      link,
      appended,
      heard,
      lines: () =>
        appended.map(({ bytes, position, previous, topic }) => `${topic} ${position.offset} ${previous} ${text(bytes)}`)
    }))
  })

/** A connection of the test's own. */
export const asker = (
  options: number | Omit<RedisOptions, "retryStrategy">
): Effect.Effect<Redis, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const all: RedisOptions = typeof options === "number" ? { port: options } : options
      const redis = new Redis({ ...all, retryStrategy: null, replyMapping: "legacy" })
      redis.on("error", () => {})
      return redis
    }),
    (redis) => Effect.sync(() => redis.disconnect())
  )

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export const bytes = (text: string): Uint8Array => encoder.encode(text)
export const text = (bytes: Uint8Array): string => decoder.decode(bytes)
