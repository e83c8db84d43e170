/**
 * The broker of one process: what is published is kept in memory, and delivered before `publish` succeeds. It is always
 * up. It is also what the others are compared with: they promise the same.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { Broker, maxCastBytes, type Delivery, type Status, type Subscriber } from "./Broker.ts"
import { BrokerError, StaleKey, TooLarge } from "./BrokerError.ts"
import * as Identifier from "../messaging/Identifier.ts"
import * as History from "./History.ts"
import type { Parcel } from "./Parcel.ts"
import * as Producers from "./Producers.ts"

/** What is kept of what was published, and for how long repeats are known. Nothing of it is required. */
export interface Options extends History.Options {
  readonly repeats?: Producers.Options | undefined
  /** Of this broker and no other, also when the process is started again. Default: a random one. */
  readonly epoch?: string | undefined
}

/** 48 random bits: clients are told it with each message. */
const epochLength = 8

interface Attached {
  readonly subscriber: Subscriber
  readonly topics: Set<string>
}

/** An object of its own each time: the same function may hear twice, and stop once. */
interface Hearing {
  readonly heard: (bytes: Uint8Array) => void
}

/** A broker of its own. It needs no scope: what it holds are its attachments, and those have scopes. */
export const make = (options: Options = {}): Effect.Effect<Broker["Service"]> =>
  Effect.contextWith((context: Context.Context<never>) =>
    Effect.sync(() => {
      const clock = Context.get(context, Clock.Clock)
      const random = Context.get(context, Identifier.Source)
      const history = History.make<Parcel>(options.epoch ?? random().slice(0, epochLength), options)
      const producers = new Producers.Producers(options.repeats)
      const attached = new Set<Attached>()
      const channels = new Map<string, Set<Hearing>>()
      const status: Status = { _tag: "Up", since: clock.currentTimeMillisUnsafe() }
      let delivering: Array<Delivery> | undefined
      let casting: Array<() => void> | undefined

      /** A subscriber may wake somebody who publishes: that comes behind what is being delivered, for all of them. */
      const deliver = (first: Delivery): void => {
        if (delivering !== undefined) return void delivering.push(first)
        delivering = [first]
        for (const delivery of delivering) {
          for (const { subscriber, topics } of attached) {
            if (topics.has(delivery.topic)) subscriber.deliver(delivery)
          }
        }
        delivering = undefined
      }

      /** Who hears may cast, which is heard behind that, by all. */
      const castUnsafe = (channel: string, bytes: Uint8Array): void => {
        const hear = () => {
          for (const { heard } of channels.get(channel) ?? []) heard(bytes)
        }
        if (casting !== undefined) return void casting.push(hear)
        casting = [hear]
        for (const each of casting) each()
        casting = undefined
      }

      const publishUnsafe = (topic: string, parcel: Parcel) => {
        const now = clock.currentTimeMillisUnsafe()
        const { key } = parcel
        const answer = key === undefined ? undefined : producers.ask(key, now)
        if (answer?._tag === "Stale") return Effect.fail(new BrokerError({ reason: new StaleKey({ key: key! }) }))
        if (answer?._tag === "Repeat") {
          return Effect.succeed({ position: { epoch: history.position.epoch, offset: answer.offset }, repeated: true })
        }
        const position = history.append(topic, parcel, parcel.message.length, now)
        if (key !== undefined) producers.record(key, position.offset, now)
        deliver({ topic, position, parcel })
        return Effect.succeed({ position, repeated: false })
      }

      return Broker.of({
        name: "memory",
        isLocal: true,
        node: random(),
        attach: (subscriber) =>
          Effect.map(
            Effect.acquireRelease(
              Effect.sync(() => {
                const self: Attached = { subscriber, topics: new Set() }
                attached.add(self)
                return self
              }),
              (self) => Effect.sync(() => attached.delete(self))
            ),
            ({ topics }) => ({
              subscribe: (topic) =>
                Effect.sync(() => {
                  topics.add(topic)
                  return history.position
                }),
              unsubscribe: (topic) => void topics.delete(topic)
            })
          ),
        publish: (topic, parcel) => Effect.suspend(() => publishUnsafe(topic, parcel)),
        since: (topics, position) =>
          Effect.sync(() => history.since(topics, position, clock.currentTimeMillisUnsafe())),
        position: Effect.sync(() => history.position),
        cast: (channel, bytes) =>
          Effect.suspend(() => {
            if (bytes.length > maxCastBytes) {
              const reason = new TooLarge({ length: bytes.length, limit: maxCastBytes })
              return Effect.fail(new BrokerError({ reason }))
            }
            castUnsafe(channel, bytes)
            return Effect.void
          }),
        hear: (channel, heard) =>
          Effect.asVoid(
            Effect.acquireRelease(
              Effect.sync(() => {
                const mine: Hearing = { heard }
                const hearing = channels.get(channel) ?? new Set()
                channels.set(channel, hearing.add(mine))
                return mine
              }),
              (mine) =>
                Effect.sync(() => {
                  const hearing = channels.get(channel)
                  hearing?.delete(mine)
                  if (hearing?.size === 0) channels.delete(channel)
                })
            )
          ),
        status: () => status,
        statuses: Stream.concat(Stream.succeed(status), Stream.never)
      })
    })
  )

/** The broker of `millrace serve`, when no other is asked for. */
export const layer = (options?: Options): Layer.Layer<Broker> => Layer.effect(Broker, make(options))
