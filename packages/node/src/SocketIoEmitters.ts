/**
 * Emitters of Socket.IO, in any language: what they publish in Redis reaches the hub's topics, and so the clients of all
 * wires. So does what servers of Socket.IO with the adapter for Redis's pub/sub broadcast.
 *
 *     yield* SocketIoEmitters.listen({ redis: "redis://localhost:6379" }, hub)
 *
 * An event for one room is published to its topic, as the array `[name, ...arguments]`. One for several, or without some,
 * is for a target: each member gets it once, and it has no place in the log. One listener is enough for a cluster, and
 * with two each event is there twice. What emitters ask beside it, such as `socketsJoin`, is not heard.
 */
import type { BrokerError } from "@millrace/core/cluster/BrokerError"
import type { Hub } from "@millrace/core/cluster/Hub"
import * as HubName from "@millrace/core/cluster/HubName"
import * as Target from "@millrace/core/cluster/Target"
import * as Emission from "@millrace/core/interop/socketio/Emission"
import * as RoomTopic from "@millrace/core/interop/socketio/RoomTopic"
import * as Value from "@millrace/core/interop/Value"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as RedisPubSub from "./interop/RedisPubSub.ts"

export interface Options extends Emission.Options {
  /** Where Redis is. Default: port 6379 of this machine. */
  readonly redis?: RedisPubSub.Where | undefined
  /** The `key` of the emitters. Default `socket.io`. */
  readonly key?: string | undefined
  /**
   * The topic of a room, or whom else it stands for; and of no room, that is all of the namespace. Default: `targetOf`.
   */
  readonly target?: ((namespace: string, room: string | undefined) => Target.Target | string) | undefined
  /**
   * Events that wait to be published, about: with so many no more are read from Redis until half of them are. Redis keeps
   * them, and cuts us off where they are more than its `client-output-buffer-limit` for `pubsub`; what it kept is lost
   * then. Default 1,024.
   */
  readonly capacity?: number | undefined
}

export const defaults = { capacity: 1_024 } as const

/** `from` in what emitters have said. */
export const emitterClient = "@socket.io"

/** As `Identifier` makes those of our sockets. */
const socketId = /^[A-Za-z0-9_-]{22}$/

/** As `RoomTopic.of` has it; and where a room has the form of a socket's id, that socket, too: Socket.IO has a room for each. */
export const targetOf = (namespace: string, room: string | undefined): Target.Target | string => {
  const topic = RoomTopic.of(namespace, room)
  return room !== undefined && socketId.test(room) ? Target.union(Target.topic(topic), Target.member(room)) : topic
}

/** Whom an event is for; a topic by its name where it is that alone. */
const placeOf = (
  { except, namespace, rooms }: Emission.Emission,
  of: NonNullable<Options["target"]>
): Target.Target | string => {
  const asTarget = (room: string | undefined): Target.Target => {
    const target = of(namespace, room)
    return typeof target === "string" ? Target.topic(target) : target
  }
  if (except.length === 0 && rooms.length <= 1) return of(namespace, rooms[0])
  const to = rooms.length === 0 ? asTarget(undefined) : Target.union(...rooms.map(asTarget))
  return except.length === 0 ? to : Target.except(to, Target.union(...except.map(asTarget)))
}

/**
 * As long as the scope is open; comes back when Redis has answered, and fails when it refuses. While Redis is away what
 * emitters say is lost, as it is for servers of Socket.IO. What is nothing that an emitter says, and what cannot be
 * published, is logged.
 */
export const listen = (options: Options, hub: Hub["Service"]): Effect.Effect<void, BrokerError, Scope.Scope> =>
  Effect.gen(function* () {
    const { capacity = defaults.capacity, key = Emission.defaultKey, target = targetOf } = options
    const redis = yield* RedisPubSub.make(options.redis)
    // As long as what was read together when it was full.
    const waiting = yield* Effect.acquireRelease(Queue.unbounded<Uint8Array>(), Queue.shutdown)
    let isFull = false

    const publish = (bytes: Uint8Array) =>
      Effect.gen(function* () {
        const emission = yield* Effect.fromResult(Emission.decode(bytes, options))
        const to = placeOf(emission, target)
        if (typeof to === "string" && !HubName.isTopic(to)) {
          return yield* Effect.logWarning("Socket.IO's emitters: an event for a room that is no topic")
        }
        const time = yield* Clock.currentTimeMillis
        const topic = typeof to === "string" ? to : RoomTopic.of(emission.namespace)
        const said = Value.toPublish([emission.name, ...emission.args], { topic, from: emitterClient, time })
        yield* hub.publish(to, yield* Effect.fromResult(said))
      }).pipe(Effect.catchCause((cause) => Effect.logWarning("Socket.IO's emitters: an event is not published", cause)))

    const one = Effect.gen(function* () {
      yield* publish(yield* Queue.take(waiting))
      if (!isFull || Queue.sizeUnsafe(waiting) > capacity / 2) return
      isFull = false
      redis.resumeUnsafe()
    })
    yield* Effect.forkScoped(Effect.forever(one))
    yield* redis.listen(RedisPubSub.beginningWith(Emission.channels(key)), (_, bytes) => {
      Queue.offerUnsafe(waiting, bytes)
      if (Queue.sizeUnsafe(waiting) < capacity) return
      isFull = true
      redis.pauseUnsafe()
    })
  })
