/**
 * Django Channels at the same Redis: what a Django process sends to a group reaches us, and what we send reaches its
 * consumers, which are not changed for it. docs/guides/django.md says what is promised.
 *
 *     const layer = yield* NodeChannelsLayer.make({ redis: "redis://localhost:6379" })
 *     yield* layer.groupSend("chat_lobby", { type: "chat.message", text: "hello" })
 *     yield* NodeChannelsLayer.bridge(layer, { hub, groups: { chat_lobby: "chat/lobby" } })
 *
 * It speaks as `channels_redis` does with one Redis host, MessagePack and no encryption.
 */
import { randomBytes } from "node:crypto"
import type { BrokerError } from "@millrace/core/cluster/BrokerError"
import type { Hub } from "@millrace/core/cluster/Hub"
import * as HubName from "@millrace/core/cluster/HubName"
import type { Position } from "@millrace/core/cluster/Position"
import * as Subscription from "@millrace/core/cluster/Subscription"
import * as LayerMessage from "@millrace/core/interop/channels/LayerMessage"
import * as Value from "@millrace/core/interop/Value"
import * as Identifier from "@millrace/core/messaging/Identifier"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as RedisPubSub from "./interop/RedisPubSub.ts"

export interface Options extends LayerMessage.Options {
  /** Where Redis is, the one of the layer's `hosts`. Default: port 6379 of this machine. */
  readonly redis?: RedisPubSub.Where | undefined
  /** The layer's `prefix`. Default `asgi`. */
  readonly prefix?: string | undefined
  /** Messages of a group that wait to be pulled, at most: see `whenFull`. Default 1,024. */
  readonly capacity?: number | undefined
}

/** Nothing of it is required. */
export interface ListenOptions {
  /**
   * What is done where so much waits. `DropOldest`: the group has its newest messages. `Wait`: nothing more is read from
   * Redis, for none of the layer's groups, until half is pulled. Redis keeps it, and cuts us off where that is more than
   * its `client-output-buffer-limit` for `pubsub`. Default `DropOldest`.
   */
  readonly whenFull?: "DropOldest" | "Wait" | undefined
}

/** Of the layer of queues, as its own options are called. */
export interface QueueOptions {
  /** Most messages that wait for one process. Default 100. */
  readonly capacity?: number | undefined
  /** How long a message may wait, in seconds. Default 60. */
  readonly expiry?: number | undefined
  /** How long a channel is in a group that it was added to, in seconds. Default a day. */
  readonly groupExpiry?: number | undefined
}

export const defaults = { capacity: 1_024 } as const

export const queueDefaults = { capacity: 100, expiry: 60, groupExpiry: 86_400 } as const

/** What became of a message for queues. */
export interface Queued {
  /** In how many queues it was put: one for each process that has somebody in the group. */
  readonly processes: number
  /** In how many it was not, as they are full. */
  readonly full: number
}

type Failure = BrokerError | LayerMessage.UnsendableMessage

export interface ChannelsLayer {
  /**
   * For layers of pub/sub: reaches who is in the group now, at most once. Succeeds with how many connections of Redis have
   * it: one of each process, and our own where we `receive`. Fails while Redis is away, which was sent then to nobody or,
   * where its outcome is `Unknown`, maybe to all.
   */
  readonly groupSend: (group: string, message: LayerMessage.Message) => Effect.Effect<number, Failure>
  /**
   * What is sent to a group by layers of pub/sub, ourselves included, from when it is run on. It has no end, and comes
   * back with Redis: what is sent in between is lost. What is no message is logged and left out. Dies of a `TypeError` for
   * a name that no group has.
   */
  readonly receive: (group: string) => Stream.Stream<LayerMessage.Message, BrokerError>
  /** The same, from when this comes back, as long as the scope is open. */
  readonly listen: (
    group: string,
    options?: ListenOptions
  ) => Effect.Effect<Stream.Stream<LayerMessage.Message>, BrokerError, Scope.Scope>
  /** For layers of queues: `group_send` in the same steps as its own. */
  readonly groupSendQueued: (
    group: string,
    message: LayerMessage.Message,
    options?: QueueOptions
  ) => Effect.Effect<Queued, Failure>
}

const unnamed = (group: string) =>
  new LayerMessage.UnsendableMessage({ detail: `${JSON.stringify(group)} is no name of a group` })

/** The caller's fault. */
const named = (group: string): Effect.Effect<void, LayerMessage.UnsendableMessage> =>
  LayerMessage.isName(group) ? Effect.void : Effect.fail(unnamed(group))

/**
 * Keys: queues. Arguments: a message for each, then the score, for how many seconds, and how many may wait. Answers with
 * how many were full.
 */
const putScript = `
local full = 0
local now, expiry, capacity = ARGV[#KEYS + 1], ARGV[#KEYS + 2], tonumber(ARGV[#KEYS + 3])
for i = 1, #KEYS do
  if redis.call("ZCOUNT", KEYS[i], "-inf", "+inf") < capacity then
    redis.call("ZADD", KEYS[i], now, ARGV[i])
    redis.call("EXPIRE", KEYS[i], expiry)
  else
    full = full + 1
  end
end
return full
`

/** As long as the scope is open. Does not wait for Redis: while it is away, sending fails and receiving waits. */
export const make = (options: Options = {}): Effect.Effect<ChannelsLayer, never, Scope.Scope> =>
  Effect.map(RedisPubSub.make(options.redis), (redis): ChannelsLayer => {
    const prefix = options.prefix ?? LayerMessage.defaultPrefix
    const capacity = options.capacity ?? defaults.capacity

    /** Those that are full, and wait. */
    const full = new Set<Queue.Queue<Uint8Array>>()
    const release = (waiting: Queue.Queue<Uint8Array>): void => {
      if (full.delete(waiting) && full.size === 0) redis.resumeUnsafe()
    }

    const listen: ChannelsLayer["listen"] = (group, { whenFull = "DropOldest" } = {}) =>
      Effect.gen(function* () {
        if (!LayerMessage.isName(group)) return yield* Effect.die(new TypeError(unnamed(group).detail))
        // What was read together when it was full is taken where it waits.
        const queue = whenFull === "Wait" ? Queue.unbounded<Uint8Array>() : Queue.sliding<Uint8Array>(capacity)
        const waiting = yield* Effect.acquireRelease(queue, (waiting) =>
          Effect.andThen(
            Queue.shutdown(waiting),
            Effect.sync(() => release(waiting))
          )
        )
        const channel = LayerMessage.groupChannel(prefix, group)
        yield* redis.listen({ _tag: "Channel", name: channel }, (_, bytes) => {
          Queue.offerUnsafe(waiting, bytes)
          if (whenFull !== "Wait" || Queue.sizeUnsafe(waiting) < capacity) return
          full.add(waiting)
          redis.pauseUnsafe()
        })
        return Stream.flatMap(Stream.fromQueue(waiting), (bytes) => {
          if (Queue.sizeUnsafe(waiting) <= capacity / 2) release(waiting)
          const decoded = LayerMessage.decode(bytes, options)
          if (Result.isSuccess(decoded)) return Stream.succeed(decoded.success)
          const warned = Effect.logWarning(`Django Channels: not taken from ${channel}`, decoded.failure)
          return Stream.drain(Stream.fromEffect(warned))
        })
      })

    const groupSendQueued: ChannelsLayer["groupSendQueued"] = (group, message, its = {}) =>
      Effect.gen(function* () {
        yield* named(group)
        const { capacity, expiry, groupExpiry } = {
          capacity: its.capacity ?? queueDefaults.capacity,
          expiry: its.expiry ?? queueDefaults.expiry,
          groupExpiry: its.groupExpiry ?? queueDefaults.groupExpiry
        }
        const now = (yield* Clock.currentTimeMillis) / 1_000
        const key = LayerMessage.groupKey(prefix, group)
        yield* redis.command((client) => client.zremrangebyscore(key, 0, Math.floor(now) - groupExpiry))
        const channels = yield* redis.command((client) => client.zrange(key, "0", "-1"))
        const queues = new Map<string, Array<string>>()
        for (const channel of channels) {
          const queue = LayerMessage.queueKey(prefix, channel)
          const known = queues.get(queue)
          if (known === undefined) queues.set(queue, [channel])
          else known.push(channel)
        }
        const values: Array<Uint8Array> = []
        for (const channels of queues.values()) {
          const random = randomBytes(LayerMessage.randomLength)
          const value = LayerMessage.encodeQueued({ message, channels }, random, options)
          values.push(yield* Effect.fromResult(value))
        }
        if (queues.size === 0) return { processes: 0, full: 0 }
        const keys = [...queues.keys()]
        for (const queue of keys) {
          yield* redis.command((client) => client.zremrangebyscore(queue, 0, Math.floor(now) - expiry))
        }
        const given = [...values.map((value) => Buffer.from(value)), `${now}`, `${expiry}`, `${capacity}`]
        const full = yield* redis.command((client) => client.eval(putScript, keys.length, ...keys, ...given))
        return { processes: keys.length - Number(full), full: Number(full) }
      })

    return {
      groupSend: (group, message) =>
        Effect.andThen(
          named(group),
          Effect.flatMap(Effect.fromResult(LayerMessage.encode(message, options)), (bytes) =>
            redis.command((client) => client.publish(LayerMessage.groupChannel(prefix, group), Buffer.from(bytes)))
          )
        ),
      listen,
      receive: (group) => Stream.unwrap(listen(group)),
      groupSendQueued
    }
  })

/** What was published to a topic, for a group. */
export interface FromHub extends Value.Said {
  readonly topic: string
  readonly group: string
}

export interface BridgeOptions {
  readonly hub: Hub["Service"]
  /** The topic of each group: none of either twice. */
  readonly groups: Readonly<Record<string, string>>
  /**
   * What is sent to Django, `undefined` for nothing. Its `type` says which method of the consumers is called, which is not
   * for clients to choose. Default: `{ type: "hub.message", topic, data, from, time }`.
   */
  readonly toDjango?: ((said: FromHub) => LayerMessage.Message | undefined) | undefined
  /** What is published on the hub, `undefined` for nothing. Default: the message as it is. */
  readonly toHub?: ((message: LayerMessage.Message, group: string) => unknown) | undefined
  /** By which of its layers Django is spoken to. By `Queue` it only hears, and says nothing. Default `PubSub`. */
  readonly layer?: "PubSub" | "Queue" | undefined
}

/** `from` in what was Django's. */
export const djangoClient = "@django"

/** In messages of a bridge, for consumers to pass over: by it they are known when they come back. */
export const bridgeField = "__millrace__"

/** Of a message that comes from a topic, for `hub_message`. */
export const hubType = "hub.message"

const toDjangoDefault = ({ from, time, topic, value }: FromHub): LayerMessage.Message => ({
  type: hubType,
  topic,
  data: value,
  ...(from === undefined ? {} : { from }),
  ...(time === undefined ? {} : { time })
})

/**
 * What Django sends to a group is published to its topic, and what is published to the topic, by whomever on whichever
 * node, is sent to the group: never back to where it came from. As long as the scope is open; comes back when both are
 * listened to, and fails when Redis or the hub's broker refuses that. Dies of a `TypeError` for names that cannot be.
 *
 * One for a group, in the whole cluster: with two, each message is there twice.
 */
export const bridge = (
  layer: ChannelsLayer,
  { groups, hub, layer: by = "PubSub", toDjango = toDjangoDefault, toHub }: BridgeOptions
): Effect.Effect<void, BrokerError, Scope.Scope> =>
  Effect.gen(function* () {
    const pairs = Object.entries(groups)
    for (const [group, topic] of pairs) {
      if (!LayerMessage.isName(group)) return yield* Effect.die(new TypeError(unnamed(group).detail))
      if (!HubName.isTopic(topic)) {
        return yield* Effect.die(new TypeError(`${JSON.stringify(topic)} is no name of a topic`))
      }
    }
    if (new Set(pairs.map(([, topic]) => topic)).size < pairs.length) {
      return yield* Effect.die(new TypeError("a topic has two groups"))
    }
    const id = yield* Identifier.next

    const publish = (group: string, topic: string, message: LayerMessage.Message) =>
      Effect.gen(function* () {
        const { [bridgeField]: bridge, ...rest } = message
        if (bridge === id) return
        const plain = rest as LayerMessage.Message
        const value = toHub === undefined ? plain : toHub(plain, group)
        if (value === undefined) return
        const time = yield* Clock.currentTimeMillis
        const sendable = yield* Effect.fromResult(Value.toPublish(value, { topic, from: djangoClient, time }))
        yield* hub.publish(topic, sendable, { except: [id] })
      }).pipe(Effect.catchCause((cause) => Effect.logWarning(`Django Channels: not published to ${topic}`, cause)))

    const send = (group: string, topic: string, said: Value.Said) =>
      Effect.gen(function* () {
        const message = toDjango({ ...said, topic, group })
        if (message === undefined) return
        yield* by === "Queue"
          ? layer.groupSendQueued(group, message)
          : layer.groupSend(group, { ...message, [bridgeField]: id })
      }).pipe(Effect.catchCause((cause) => Effect.logWarning(`Django Channels: not sent to ${group}`, cause)))

    /** From the hub: goes on where it was when it was too slow, as far as the hub still has what it missed. */
    const follow = (group: string, topic: string, ready: Deferred.Deferred<void, BrokerError>) => {
      let since: Position | undefined
      const take = (element: Subscription.Element | Subscription.Snapshot<void>) => {
        if (element._tag !== "Message") return Effect.void
        since = element.position ?? since
        return send(group, topic, Value.ofMessage(element.message))
      }
      const options = { id, capacity: defaults.capacity }
      const first = Subscription.snapshotThenLive(
        hub,
        topic,
        () => Effect.as(Deferred.succeed(ready, undefined), { value: undefined }),
        options
      )
      const next = Stream.suspend(() => Subscription.stream(hub, [topic], { ...options, since }))
      return Stream.runForEach(first, take).pipe(
        Effect.catchTag("BrokerError", (error) => Deferred.fail(ready, error)),
        Effect.ignore,
        Effect.andThen(
          Effect.logWarning(`Django Channels: the bridge of ${topic} begins anew`).pipe(
            Effect.andThen(Stream.runForEach(next, take)),
            Effect.ignore,
            Effect.andThen(Effect.sleep("1 second")),
            Effect.forever
          )
        )
      )
    }

    for (const [group, topic] of pairs) {
      const ready = yield* Deferred.make<void, BrokerError>()
      yield* Effect.forkScoped(follow(group, topic, ready))
      yield* Deferred.await(ready)
      if (by === "Queue") continue
      const fromDjango = yield* layer.listen(group, { whenFull: "Wait" })
      yield* Effect.forkScoped(Stream.runForEach(fromDjango, (message) => publish(group, topic, message)))
    }
  })
