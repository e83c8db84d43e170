/** What a broker on an engine adds: see `brokerKit` for what all brokers promise. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import type { Broker, Delivery, Gap } from "@millrace/core/cluster/Broker"
import * as EngineBroker from "@millrace/core/cluster/EngineBroker"
import * as Parcel from "@millrace/core/cluster/Parcel"
import * as Message from "@millrace/core/protocol/Message"
import { start, turn } from "../../support/connection.ts"
import * as FaultyEngine from "../../support/faultyEngine.ts"

const text = (value: string) => Parcel.make(new Message.Text(value))
const reconnect = Schedule.spaced("1 second")

/** A broker on a server of the test's own. */
const broker = (server: FaultyEngine.FaultyServer, options?: EngineBroker.Options, node = "a") =>
  EngineBroker.make(server.engine(node), { reconnect, ...options })

const listener = (its: Broker["Service"]) =>
  Effect.gen(function* () {
    const told: Array<string> = []
    const attachment = yield* its.attach({
      deliver: ({ parcel, position }: Delivery) =>
        void told.push(`${position.offset} ${(parcel.message as Message.Text).text}`),
      lost: ({ from, to }: Gap) => void told.push(`lost ${from?.epoch}:${from?.offset} ${to.epoch}:${to.offset}`)
    })
    return { told, ...attachment }
  })

describe("a broker on an engine", () => {
  it.effect("delivers what is published, when it is subscribed to", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const [one, other] = [yield* broker(server), yield* broker(server, {}, "b")]
      const { subscribe, told } = yield* listener(one)
      expect(yield* subscribe("t")).toEqual({ epoch: "life0", offset: 0 })
      expect(yield* other.publish("t", text("x"))).toEqual({ position: { epoch: "life0", offset: 1 }, repeated: false })
      yield* one.publish("t", text("y"))
      expect(told).toEqual(["1 x", "2 y"])
    })
  )

  it.effect("restores what was subscribed to, and fills what was missed from the log", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const [one, other] = [yield* broker(server), yield* broker(server, {}, "b")]
      const { subscribe, told } = yield* listener(one)
      yield* subscribe("t")
      server.cut("a")
      yield* turn
      expect(one.status()).toMatchObject({ _tag: "Down", attempts: 0 })
      yield* other.publish("t", text("x"))
      yield* TestClock.adjust("1 second")
      yield* other.publish("t", text("y"))
      expect(one.status()._tag).toBe("Up")
      expect(told).toEqual(["1 x", "2 y"])
    })
  )

  it.effect("tells that the server has forgotten, and begins anew", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const one = yield* broker(server)
      const { subscribe, told } = yield* listener(one)
      yield* subscribe("t")
      yield* one.publish("t", text("x"))
      server.kill()
      yield* turn
      server.start()
      yield* TestClock.adjust("1 second")
      yield* one.publish("t", text("y"))
      expect(told).toEqual(["1 x", "lost life0:1 life1:0", "1 y"])
    })
  )

  it.effect("publishes again what was on its way when the link broke, with the same key", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const one = yield* broker(server)
      const { subscribe, told } = yield* listener(one)
      yield* subscribe("t")
      server.network.delay = 1_000
      const receipts = yield* start(
        Effect.forEach(["a", "b", "c"], (each) => one.publish("t", text(each)), { concurrency: "unbounded" })
      )
      yield* turn
      server.cut("a")
      server.network.delay = 0
      yield* TestClock.adjust("2 seconds")
      expect((yield* Fiber.join(receipts)).map(({ position, repeated }) => [position.offset, repeated])).toEqual([
        [1, false],
        [2, false],
        [3, false]
      ])
      expect(told).toEqual(["1 a", "2 b", "3 c"])
    })
  )
})
