/**
 * The two connections of a node to Redis: one for commands, and one for what it is told, whatever the number of topics.
 * Neither is ever made again: when one ends, so does the other.
 *
 * With Redis Cluster they go to the one node that has the keys of the prefix, found anew each time.
 */
import { Cluster, type ClusterNode, type ClusterOptions, Redis, type RedisOptions } from "ioredis"
import type { BrokerError } from "@millrace/core/cluster/BrokerError"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Names from "./Names.ts"
import * as Refusal from "./Refusal.ts"

export type { ClusterNode, ClusterOptions, Redis, RedisOptions }

/** Where Redis is, and how to get there. */
export interface Options {
  /** `redis://user:password@host:6379/0`, or `rediss://` for TLS. Default: port 6379 of this machine. */
  readonly url?: string | undefined
  /**
   * What else `ioredis` is to be told, such as `tls`, `sentinels` and `name`; or the nodes of a cluster. What has to
   * do with reconnecting, queues and the prefixes of keys is ours, and not heeded.
   */
  readonly connection?:
    | RedisOptions
    | { readonly cluster: ReadonlyArray<ClusterNode>; readonly options?: ClusterOptions | undefined }
    | undefined
}

export interface Connections {
  readonly commands: Redis
  readonly subscribed: Redis
  /** The number of the database that they are in. */
  readonly database: number
  /** Whether one of them has ended, and why. */
  readonly over: () => BrokerError | undefined
  /** Succeeds with why, when one of them has ended or `end` was called. */
  readonly ended: Effect.Effect<BrokerError>
  readonly end: (why: BrokerError) => void
}

/** Not to be changed by who connects: a connection that comes back by itself would leave holes that nobody knows of. */
const fixed = {
  lazyConnect: true,
  retryStrategy: null,
  reconnectOnError: null,
  sentinelRetryStrategy: () => null,
  enableOfflineQueue: false,
  enableReadyCheck: false,
  enableAutoPipelining: false,
  autoResubscribe: false,
  autoResendUnfulfilledCommands: false,
  keyPrefix: "",
  stringNumbers: false,
  replyMapping: "legacy",
  disableClientInfo: true,
  monitor: false,
  readOnly: false
} satisfies RedisOptions

const clientOf = ({ connection, url }: Options): Redis => {
  const options = { ...(connection as RedisOptions | undefined), ...fixed }
  return url === undefined ? new Redis(options) : new Redis(url, options)
}

/** At once: what it has not said is not said, and a server that does not answer is not waited for. */
const drop = (client: Redis): void => {
  client.disconnect()
  // Absent until it has been connected, whatever its type says.
  ;(client.stream as Redis["stream"] | undefined)?.destroy()
}

/** Fails with what the server said, or the network: the promise alone only says that it is closed. */
const connected = (client: Redis): Effect.Effect<void, BrokerError> =>
  Effect.callback((resume) => {
    let cause: unknown
    client.on("error", (error: unknown) => (cause ??= error))
    client.connect().then(
      () => resume(Effect.void),
      (error: unknown) => resume(Effect.fail(Refusal.brokerError(cause ?? error, false)))
    )
  })

const scoped = (make: () => Redis): Effect.Effect<Redis, never, Scope.Scope> =>
  Effect.acquireRelease(Effect.sync(make), (client) => Effect.sync(() => drop(client)))

/** Finds the node of a cluster that has a slot, and makes a client for it, which is not connected yet. */
const nodeOf = (
  nodes: ReadonlyArray<ClusterNode>,
  options: ClusterOptions,
  slot: number
): Effect.Effect<Redis, BrokerError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const cluster = yield* Effect.acquireRelease(
        Effect.sync(
          () =>
            new Cluster([...nodes], {
              ...(options as object),
              lazyConnect: true,
              clusterRetryStrategy: null,
              scaleReads: "master"
            })
        ),
        (cluster) => Effect.sync(() => cluster.disconnect())
      )
      yield* Effect.callback<void, BrokerError>((resume) => {
        let cause: unknown
        cluster.on("error", (error: unknown) => {
          cause ??= (error as { readonly lastNodeError?: unknown }).lastNodeError ?? error
        })
        cluster.on("node error", (error: unknown) => (cause ??= error))
        cluster.connect().then(
          () => resume(Effect.void),
          (error: unknown) => resume(Effect.fail(Refusal.brokerError(cause ?? error, false)))
        )
      })
      const name = cluster.slots[slot]?.[0]
      const node = cluster.nodes("master").find((node) => `${node.options.host}:${node.options.port}` === name)
      if (node === undefined) {
        return yield* Effect.fail(Refusal.brokerError(new Error(`no node of the cluster has the slot ${slot}`), false))
      }
      return node.duplicate(fixed)
    })
  )

/** Whatever it says: a server that cannot write to its disk says no even to this. */
export const ping = (client: Redis): Promise<void> =>
  client.ping().then(
    () => {},
    (error: unknown) => {
      if (Refusal.codeOf(error) === undefined) throw error
    }
  )

/** On a connection on which nothing is said, nobody would notice that nothing is heard any more. */
const watch = (client: Redis, heartbeat: Duration.Input, end: (why: BrokerError) => void): Effect.Effect<void> =>
  Effect.sleep(heartbeat).pipe(
    Effect.andThen(
      Effect.timeoutOrElse(
        Effect.callback<boolean>((resume) => {
          ping(client).then(
            () => resume(Effect.succeed(true)),
            () => resume(Effect.succeed(false))
          )
        }),
        { duration: heartbeat, orElse: () => Effect.succeed(false) }
      )
    ),
    Effect.repeat({ while: (answered) => answered }),
    Effect.andThen(
      Effect.sync(() => end(Refusal.brokerError(new Error("the connection that listens has not answered"), true)))
    )
  )

/** Opens both, in a cluster to the node that has the prefix. They are closed with the scope. */
export const open = (
  options: Options,
  prefix: string,
  heartbeat: Duration.Input
): Effect.Effect<Connections, BrokerError, Scope.Scope> =>
  Effect.gen(function* () {
    const { connection } = options
    const first =
      connection !== undefined && "cluster" in connection
        ? yield* nodeOf(connection.cluster, connection.options ?? {}, Names.slotOf(prefix))
        : clientOf(options)
    const commands = yield* scoped(() => first)
    const subscribed = yield* scoped(() => first.duplicate())
    yield* Effect.all([connected(commands), connected(subscribed)], { concurrency: 2, discard: true })
    const ended = yield* Deferred.make<BrokerError>()
    let over: BrokerError | undefined
    const end = (why: BrokerError): void => {
      over ??= why
      Deferred.doneUnsafe(ended, Effect.succeed(why))
      drop(commands)
      drop(subscribed)
    }
    for (const client of [commands, subscribed]) {
      let cause: unknown
      client.on("error", (error: unknown) => (cause = error))
      client.once("end", () => end(Refusal.brokerError(cause ?? new Error("the connection is closed"), true)))
      // Of a cluster: what we listen to is another node's now.
      client.once("moved", () => end(Refusal.brokerError(new Error("the keys have moved to another node"), true)))
      if (client.status !== "ready") end(Refusal.brokerError(new Error("the connection is closed"), true))
    }
    yield* Effect.forkScoped(watch(subscribed, heartbeat, end))
    return {
      commands,
      subscribed,
      database: commands.options.db ?? 0,
      over: () => over,
      ended: Deferred.await(ended),
      end
    }
  })
