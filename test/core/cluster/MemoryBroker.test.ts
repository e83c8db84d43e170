/** What the broker of one process does beside what all brokers do. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Broker, type Subscriber } from "@millrace/core/cluster/Broker"
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"
import * as Parcel from "@millrace/core/cluster/Parcel"
import * as Message from "@millrace/core/protocol/Message"

const text = (value: string, key?: Parcel.Key) => Parcel.make(new Message.Text(value), key)

/** Writes down what comes, and does something more with it. */
const writing = (told: Array<string>, more: (value: string) => void = () => {}): Subscriber => ({
  deliver: ({ parcel, position }) => {
    const value = (parcel.message as Message.Text).text
    told.push(`${position.offset} ${value}`)
    more(value)
  },
  lost: () => void told.push("lost")
})

describe("the broker of one process", () => {
  it.effect("has delivered when it has published, the same parcel to all", () =>
    Effect.gen(function* () {
      const broker = yield* MemoryBroker.make({ epoch: "e" })
      const parcels: Array<Parcel.Parcel> = []
      for (let i = 0; i < 2; i++) {
        const { subscribe } = yield* broker.attach({
          deliver: ({ parcel }) => void parcels.push(parcel),
          lost: () => {}
        })
        yield* subscribe("t")
      }
      const parcel = text("x")
      expect(Effect.runSync(broker.publish("t", parcel))).toEqual({
        position: { epoch: "e", offset: 1 },
        repeated: false
      })
      expect(parcels).toEqual([parcel, parcel])
      expect(parcels[0]).toBe(parcel)
    })
  )

  it.effect("delivers what is published while it delivers behind it, to all", () =>
    Effect.gen(function* () {
      const broker = yield* MemoryBroker.make()
      const [one, other]: [Array<string>, Array<string>] = [[], []]
      const answering = yield* broker.attach(
        writing(one, (value) => {
          if (value === "a") Effect.runSync(broker.publish("t", text("b")))
        })
      )
      const hearing = yield* broker.attach(writing(other))
      yield* answering.subscribe("t")
      yield* hearing.subscribe("t")
      yield* broker.publish("t", text("a"))
      expect([one, other]).toEqual([
        ["1 a", "2 b"],
        ["1 a", "2 b"]
      ])
    })
  )

  it.effect("delivers no more to who leaves while it delivers", () =>
    Effect.gen(function* () {
      const broker = yield* MemoryBroker.make()
      const told: Array<string> = []
      const first = yield* broker.attach(writing([], () => second.unsubscribe("t")))
      const second = yield* broker.attach(writing(told))
      yield* first.subscribe("t")
      yield* second.subscribe("t")
      yield* broker.publish("t", text("a"))
      expect(told).toEqual([])
    })
  )

  it.effect("lets all hear what is cast while they hear behind it, and the same function as often as it hears", () =>
    Effect.gen(function* () {
      const broker = yield* MemoryBroker.make()
      const [one, other]: [Array<number>, Array<number>] = [[], []]
      const first = (bytes: Uint8Array) => {
        one.push(bytes[0]!)
        if (bytes[0] === 1) Effect.runSync(broker.cast("c", Uint8Array.of(2)))
      }
      const second = (bytes: Uint8Array) => void other.push(bytes[0]!)
      yield* broker.hear("c", first)
      const hear = broker.hear("c", second)
      yield* hear
      yield* Effect.scoped(hear)
      yield* broker.cast("c", Uint8Array.of(1))
      expect([one, other]).toEqual([
        [1, 2],
        [1, 2]
      ])
    })
  )

  it.effect("knows a repeat for as long as it is told to", () =>
    Effect.gen(function* () {
      const broker = yield* MemoryBroker.make({ repeats: { window: 1_000 } })
      const key = { producer: "p", epoch: 0, sequence: 0 }
      yield* broker.publish("t", text("a", key))
      yield* TestClock.adjust("1 second")
      expect((yield* broker.publish("t", text("a", key))).repeated).toBe(true)
      yield* TestClock.adjust("1 millis")
      expect((yield* broker.publish("t", text("a", key))).repeated).toBe(false)
    })
  )

  it.effect("is up from the start, for ever, and is another one each time", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust("5 seconds")
      const [one, other] = [yield* MemoryBroker.make(), yield* MemoryBroker.make()]
      expect(one.status()).toEqual({ _tag: "Up", since: 5_000 })
      expect(yield* Stream.runCollect(Stream.take(one.statuses, 1))).toEqual([one.status()])
      expect(one.node).not.toBe(other.node)
      expect((yield* one.position).epoch).not.toBe((yield* other.position).epoch)
      expect([one.name, one.isLocal]).toEqual(["memory", true])
    })
  )

  it.effect("is a service, that keeps what it is told to keep", () =>
    Effect.gen(function* () {
      const broker = yield* Broker
      for (const value of ["a", "b", "c"]) yield* broker.publish("t", text(value))
      const { entries, gap } = yield* broker.since(["t"], { epoch: "e", offset: 0 })
      expect([entries.map(({ offset }) => offset), gap]).toEqual([[2, 3], ["t"]])
    }).pipe(Effect.provide(MemoryBroker.layer({ epoch: "e", maxEntries: 2 })))
  )
})
