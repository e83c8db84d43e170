/**
 * Redis's pub/sub for what other systems publish there: channels with bytes, at most once. Unlike the link of a broker it
 * comes back by itself, as there is no log in which anybody could look up what was missed: what is published while the
 * connection is away is lost, and a warning is logged.
 */
import { Redis, type RedisOptions } from "ioredis"
import type { BrokerError } from "@millrace/core/cluster/BrokerError"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Refusal from "../brokers/redis/Refusal.ts"

export type { RedisOptions }

/** Where Redis is: `redis://user:password@host:6379/0`, or what `ioredis` is to be told. Default: port 6379 of this machine. */
export type Where = string | RedisOptions

/** What is ours: nothing waits where there is no connection, and what is listened to is listened to again. */
const fixed = {
  lazyConnect: true,
  enableOfflineQueue: false,
  autoResubscribe: false,
  autoResendUnfulfilledCommands: false,
  keyPrefix: "",
  replyMapping: "legacy"
} satisfies RedisOptions

/** In milliseconds: most between two attempts to connect, and for how long Redis may not answer. */
const longestWait = 2_000
const patience = 5_000

export type Heard = (channel: string, bytes: Uint8Array) => void

export interface RedisPubSub {
  /** Fails where there is no connection: nothing is kept to be said later. */
  readonly command: <A>(run: (redis: Redis) => Promise<A>) => Effect.Effect<A, BrokerError>
  /**
   * Calls `heard` for what is published to a channel, or to all that match a pattern, as long as the scope is open. Comes
   * back when it is listened to: where Redis is away it waits. Fails when Redis refuses.
   */
  readonly listen: (to: Listened, heard: Heard) => Effect.Effect<void, BrokerError, Scope.Scope>
  /**
   * Nothing more is read of what is published, until `resumeUnsafe`; what was read already is still told. Redis keeps it
   * meanwhile, and cuts us off where that is more than its `client-output-buffer-limit`.
   */
  readonly pauseUnsafe: () => void
  readonly resumeUnsafe: () => void
}

export interface Listened {
  readonly _tag: "Channel" | "Pattern"
  readonly name: string
}

/** A pattern that matches all that begins with a text. */
export const beginningWith = (text: string): Listened => ({
  _tag: "Pattern",
  name: `${text.replaceAll(/[*?[\]\\]/g, "\\$&")}*`
})

interface Wanted extends Listened {
  readonly heard: Set<Heard>
  readonly live: Deferred.Deferred<void, BrokerError>
}

const retryStrategy = (attempt: number): number => Math.min(attempt * 50, longestWait)

const clientOf = (where: Where): Redis =>
  typeof where === "string"
    ? new Redis(where, { retryStrategy, ...fixed })
    : new Redis({ retryStrategy, ...where, ...fixed })

const open = (client: Redis): Effect.Effect<Redis, never, Scope.Scope> =>
  Effect.acquireRelease(Effect.succeed(client), () =>
    Effect.sync(() => {
      client.disconnect()
      // Absent until it has been connected, whatever its type says.
      ;(client.stream as Redis["stream"] | undefined)?.destroy()
    })
  )

const keyOf = ({ _tag, name }: Listened): string => `${_tag} ${name}`

/** Two connections, which come and go as Redis does, as long as the scope is open. Never waits for them. */
export const make = (where: Where = {}): Effect.Effect<RedisPubSub, never, Scope.Scope> =>
  Effect.gen(function* () {
    const context = yield* Effect.context<never>()
    const fork = Effect.runForkWith(context)
    const commands = yield* open(clientOf(where))
    const subscribed = yield* open(commands.duplicate())

    const wanted = new Map<string, Wanted>()

    const ask = (one: Wanted): void => {
      const asked = one._tag === "Channel" ? subscribed.subscribe(one.name) : subscribed.psubscribe(one.name)
      asked.then(
        () => Deferred.doneUnsafe(one.live, Effect.void),
        (error: unknown) => {
          const refused = Refusal.brokerError(error, false)
          // Of a connection that has gone it is asked again, by the next.
          if (refused.reason._tag !== "Rejected") return
          if (Deferred.doneUnsafe(one.live, Effect.fail(refused))) return
          void fork(Effect.logWarning(`Redis does not let us listen to ${one.name} any more`, refused))
        }
      )
    }

    let wasReady = false
    let isOver = false
    /** As far as the connection goes that there is. */
    let isPaused = false
    for (const client of [commands, subscribed]) client.on("error", () => {})
    subscribed.on("ready", () => {
      wasReady = true
      for (const one of wanted.values()) ask(one)
    })
    subscribed.on("close", () => {
      isPaused = false
      if (!wasReady || isOver) return
      wasReady = false
      void fork(Effect.logWarning("the connection to Redis is lost, and what others publish until it is back"))
    })
    const tell = (key: string, channel: Buffer, bytes: Uint8Array) => {
      for (const heard of wanted.get(key)?.heard ?? []) heard(channel.toString(), bytes)
    }
    subscribed.on("messageBuffer", (channel, bytes) => tell(`Channel ${channel.toString()}`, channel, bytes))
    // Its type says that the pattern is a string, which it is not for bytes.
    subscribed.on("pmessageBuffer", (pattern, channel, bytes) => tell(`Pattern ${String(pattern)}`, channel, bytes))

    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        isOver = true
        wanted.clear()
      })
    )
    // Where nothing is said, nobody would notice that nothing is heard.
    yield* Effect.sleep(patience).pipe(
      Effect.andThen(
        Effect.suspend(() => {
          if (subscribed.status !== "ready" || isPaused) return Effect.void
          const answered = Effect.callback<boolean>((resume) => {
            subscribed.ping().then(
              () => resume(Effect.succeed(true)),
              () => resume(Effect.succeed(true))
            )
          })
          const silent = Effect.sync(() => {
            if (!isPaused) subscribed.stream.destroy()
            return false
          })
          return Effect.timeoutOrElse(answered, { duration: patience, orElse: () => silent })
        })
      ),
      Effect.forever,
      Effect.forkScoped
    )
    // What comes of it is told by their events.
    commands.connect().catch(() => {})
    subscribed.connect().catch(() => {})

    return {
      command: <A>(run: (redis: Redis) => Promise<A>) => {
        const answered = Effect.callback<A, BrokerError>((resume) => {
          run(commands).then(
            (value) => resume(Effect.succeed(value)),
            (error: unknown) => resume(Effect.fail(Refusal.brokerError(error, true)))
          )
        })
        const late = Effect.suspend(() => {
          commands.stream.destroy()
          return Effect.fail(Refusal.brokerError(new Error("Redis has not answered"), true))
        })
        return Effect.timeoutOrElse(answered, { duration: patience, orElse: () => late })
      },
      listen: (to, heard) => {
        const key = keyOf(to)
        const enter = Effect.sync(() => {
          let one = wanted.get(key)
          if (one === undefined) {
            one = { ...to, heard: new Set(), live: Deferred.makeUnsafe() }
            wanted.set(key, one)
            if (subscribed.status === "ready") ask(one)
          }
          one.heard.add(heard)
          return one
        })
        const leave = (one: Wanted) =>
          Effect.sync(() => {
            one.heard.delete(heard)
            if (one.heard.size > 0 || wanted.get(key) !== one) return
            wanted.delete(key)
            if (subscribed.status !== "ready") return
            const asked = to._tag === "Channel" ? subscribed.unsubscribe(to.name) : subscribed.punsubscribe(to.name)
            asked.catch(() => {})
          })
        return Effect.flatMap(Effect.acquireRelease(enter, leave), ({ live }) => Deferred.await(live))
      },
      pauseUnsafe: () => {
        isPaused = true
        subscribed.stream.pause()
      },
      resumeUnsafe: () => {
        isPaused = false
        subscribed.stream.resume()
      }
    }
  })
