/**
 * A broker on Redis: for nodes that share one, by `ioredis`.
 *
 *     const broker = RedisBroker.layer({ url: "redis://localhost:6379" })
 *
 * What it promises is `Broker`'s; what Redis keeps of it, and for how long, is in docs/brokers/redis.md.
 */
import type { Broker } from "@millrace/core/cluster/Broker"
import * as EngineBroker from "@millrace/core/cluster/EngineBroker"
import type * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as RedisEngine from "./RedisEngine.ts"

/** Where Redis is, what is kept in it, and what is done when it is away. Nothing of it is required. */
export interface Options extends RedisEngine.Options, EngineBroker.Options {}

/** It connects by itself, and comes back, as long as the scope is open. Throws a `RangeError` for a prefix or a bound that is none. */
export const make = (options: Options = {}): Effect.Effect<Broker["Service"], never, Scope.Scope> =>
  EngineBroker.make(RedisEngine.make(options), options)

/** The broker of nodes that were all given the same `url` and `prefix`. */
export const layer = (options: Options = {}): Layer.Layer<Broker> =>
  EngineBroker.layer(RedisEngine.make(options), options)
