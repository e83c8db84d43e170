/**
 * Several nodes in one process: brokers over one bus, which carries what nodes say to each other and nothing else, and
 * can be cut, be slow, lose and repeat. Time and chance are the effect's own.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Broker } from "@millrace/core/cluster/Broker"
import { BrokerError, Unavailable } from "@millrace/core/cluster/BrokerError"
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"

/** What the bus does to each message on its way to each node. */
export interface Faults {
  /** How many of 1 are lost. */
  loss: number
  /** How many of 1 come twice. */
  repeats: number
  /** Milliseconds on the way, at least and at most: where they differ one message may overtake another. */
  delay: readonly [number, number]
}

export interface Bus {
  readonly brokers: ReadonlyArray<Broker["Service"]>
  readonly faults: Faults
  /** Cuts it: nodes hear those of their own group only. Who is in none hears itself. */
  readonly partition: (...groups: ReadonlyArray<ReadonlyArray<number>>) => void
  readonly heal: () => void
  /** The node says nothing any more, and hears nothing; it can still do what it does at its end. */
  readonly kill: (node: number) => void
  /** Its broker says that it cannot be reached, and cannot be. */
  readonly down: (node: number, isDown?: boolean) => void
  /** What was said, and what was delivered, since the start: messages, and bytes. */
  readonly counts: { said: number; delivered: number; bytes: number; largest: number }
  /** How many hear something. */
  readonly hearing: () => number
  /** Delivers something on a channel to all, as nobody of them has said it. */
  readonly forge: (channel: string, bytes: Uint8Array) => void
}

const together = () => 0

/** As long as the scope is open: what is on its way then does not come. */
export const make = (count: number): Effect.Effect<Bus, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const random = yield* Random.Random
    const clock = yield* Clock.Clock
    const faults: Faults = { loss: 0, repeats: 0, delay: [0, 0] }
    const counts = { said: 0, delivered: 0, bytes: 0, largest: 0 }
    const channels = Array.from({ length: count }, () => new Map<string, Set<(bytes: Uint8Array) => void>>())
    const dead = new Set<number>()
    const unreachable = new Set<number>()
    let groupOf: (node: number) => number = together

    const deliver = (to: number, channel: string, bytes: Uint8Array) => {
      if (dead.has(to) || unreachable.has(to)) return
      for (const heard of channels[to]!.get(channel) ?? []) {
        counts.delivered++
        heard(bytes)
      }
    }

    const send = (from: number, to: number, channel: string, bytes: Uint8Array): Effect.Effect<void> => {
      if (channels[to]!.get(channel) === undefined || groupOf(from) !== groupOf(to)) return Effect.void
      if (random.nextDoubleUnsafe() < faults.loss && from !== to) return Effect.void
      const [least, most] = faults.delay
      const delay = least + random.nextDoubleUnsafe() * (most - least)
      if (delay <= 0) return Effect.sync(() => deliver(to, channel, bytes))
      return Effect.asVoid(
        Effect.forkIn(
          Effect.delay(
            Effect.sync(() => {
              if (groupOf(from) === groupOf(to)) deliver(to, channel, bytes)
            }),
            delay
          ),
          scope
        )
      )
    }

    const unavailable = Effect.suspend(() =>
      Effect.fail(new BrokerError({ reason: new Unavailable({ outcome: "NotPublished", cause: "cut off" }) }))
    )

    const brokers = yield* Effect.forEach(Array.from(channels.keys()), (self) =>
      Effect.map(MemoryBroker.make(), (memory): Broker["Service"] => ({
        ...memory,
        name: "test",
        isLocal: false,
        node: `node-${self}`,
        status: () =>
          unreachable.has(self)
            ? {
                _tag: "Down",
                since: clock.currentTimeMillisUnsafe(),
                attempts: 1,
                error: new BrokerError({ reason: new Unavailable({ outcome: "NotPublished", cause: "cut off" }) })
              }
            : memory.status(),
        statuses: Stream.never,
        cast: (channel, bytes) =>
          Effect.suspend(() => {
            if (unreachable.has(self)) return unavailable
            if (dead.has(self)) return Effect.void
            counts.said++
            counts.bytes += bytes.length
            counts.largest = Math.max(counts.largest, bytes.length)
            return Effect.forEach(
              channels,
              (_, to) => {
                const once = send(self, to, channel, bytes)
                return random.nextDoubleUnsafe() < faults.repeats
                  ? Effect.andThen(once, send(self, to, channel, bytes))
                  : once
              },
              { discard: true }
            )
          }),
        hear: (channel, heard) =>
          Effect.asVoid(
            Effect.acquireRelease(
              Effect.sync(() => {
                const hearing = channels[self]!.get(channel) ?? new Set()
                channels[self]!.set(channel, hearing.add(heard))
              }),
              () =>
                Effect.sync(() => {
                  const hearing = channels[self]!.get(channel)
                  hearing?.delete(heard)
                  if (hearing?.size === 0) channels[self]!.delete(channel)
                })
            )
          )
      }))
    )

    return {
      brokers,
      faults,
      counts,
      partition: (...groups) => {
        groupOf = (node) => {
          const at = groups.findIndex((group) => group.includes(node))
          return at === -1 ? -1 - node : at
        }
      },
      heal: () => {
        groupOf = together
      },
      kill: (node) => void dead.add(node),
      down: (node, isDown = true) => void (isDown ? unreachable.add(node) : unreachable.delete(node)),
      hearing: () => channels.reduce((sum, its) => sum + [...its.values()].reduce((n, { size }) => n + size, 0), 0),
      forge: (channel, bytes) => {
        for (const to of channels.keys()) deliver(to, channel, bytes)
      }
    }
  })
