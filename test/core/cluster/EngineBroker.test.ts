/** What a broker on an engine adds: see `brokerKit` for what all brokers promise. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as EngineBroker from "@millrace/core/cluster/EngineBroker"
import * as Parcel from "@millrace/core/cluster/Parcel"
import { counted, start, turn } from "../../support/connection.ts"
import { settled } from "../../support/eventually.ts"
import * as FaultyEngine from "../../support/faultyEngine.ts"
import { logged } from "../../support/logged.ts"
import { broker, callsOf, listener, reconnect, text, up } from "../../support/engineBroker.ts"

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

describe("what cannot be read", () => {
  it.effect("is counted and left out, and what comes behind it is delivered", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server)
      const { subscribe, told } = yield* listener(its)
      yield* subscribe("t")
      const before = (yield* Metric.value(EngineBroker.unreadable)).count
      server.append("t", Uint8Array.of(255))
      server.append("t", new Uint8Array(0))
      yield* its.publish("t", text("x"))
      expect(told).toEqual(["3 x"])
      const { entries, gap } = yield* its.since(["t"], { epoch: "life0", offset: 0 })
      expect([entries.map(({ offset }) => offset), gap]).toEqual([[3], []])
      expect((yield* Metric.value(EngineBroker.unreadable)).count - before).toBe(4)
    })
  )

  it.effect("is logged once, at debug, as it may come a million times", () =>
    logged((entries) =>
      Effect.gen(function* () {
        const server = yield* FaultyEngine.make()
        const its = yield* up(server)
        const { subscribe } = yield* listener(its)
        yield* subscribe("t")
        for (let i = 0; i < 3; i++) server.append("t", Uint8Array.of(255))
        expect(entries).toEqual([
          {
            level: "Debug",
            message: 'something in "t" is no parcel: it has flags that are not known; others are only counted'
          }
        ])
      })
    )
  )
})

describe("the history", () => {
  it.effect("is asked topic by topic, and given up to where all are known", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server)
      for (const topic of ["a", "b", "a"]) server.append(topic, Parcel.encode(text(topic)))
      // Something is published between one question and the next.
      server.refuse = (call) => {
        if (call === "since b") server.append("b", Parcel.encode(text("late")))
        return undefined
      }
      const missed = yield* its.since(["a", "b"], { epoch: "life0", offset: 0 })
      expect(missed.entries.map(({ offset }) => offset)).toEqual([1, 2, 3])
      expect([missed.to.offset, missed.gap]).toEqual([3, []])
      server.refuse = () => undefined
      const rest = yield* its.since(["a", "b"], missed.to)
      expect(rest.entries.map(({ offset }) => offset)).toEqual([4])
    })
  )

  it.effect("is asked for again when the server has forgotten in between", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server)
      server.append("a", Parcel.encode(text("a")))
      let isFirst = true
      server.refuse = (call) => {
        if (call === "since b" && isFirst) {
          isFirst = false
          server.forget()
          for (const topic of ["c", "c", "a"]) server.append(topic, Parcel.encode(text(topic)))
        }
        return undefined
      }
      const missed = yield* its.since(["a", "b"], { epoch: "life0", offset: 0 })
      expect(missed.entries.map(({ offset }) => offset)).toEqual([3])
      expect([missed.gap, missed.to]).toEqual([["a", "b"], { epoch: "life1", offset: 3 }])
    })
  )
})

describe("the link", () => {
  it.effect("fails what is asked over it when it breaks, at once", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server)
      server.pause()
      const asked = Effect.andThen(Effect.exit(its.position), Effect.exit(its.since(["t"], undefined)))
      const asking = yield* start(asked)
      yield* turn
      server.cut("a")
      yield* settled
      expect(asking.pollUnsafe()?._tag).toBe("Success")
      expect(Exit.isFailure(yield* Fiber.join(asking))).toBe(true)
    })
  )

  it.effect("is asked whether it is there when nothing else was heard", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server, { heartbeat: "5 seconds" })
      expect(callsOf(server, "position")).toHaveLength(1)
      yield* TestClock.adjust("4999 millis")
      yield* its.publish("t", text("x"))
      yield* TestClock.adjust("1 millis")
      expect(callsOf(server, "position")).toHaveLength(1)
      // What was published was news for this time; from now on there is none.
      for (const count of [2, 3, 4]) {
        yield* TestClock.adjust("4999 millis")
        expect(callsOf(server, "position")).toHaveLength(count - 1)
        yield* TestClock.adjust("1 millis")
        expect(callsOf(server, "position")).toHaveLength(count)
      }
      yield* its.since(["t"], undefined)
      const asked = callsOf(server, "position").length
      yield* TestClock.adjust("5 seconds")
      expect(callsOf(server, "position")).toHaveLength(asked)
      expect(its.status()._tag).toBe("Up")
    })
  )

  it.effect("is given up when it does not answer, and nobody has to ask for that", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server, { heartbeat: "5 seconds", callTimeout: "2 seconds", connectTimeout: "1 second" })
      server.pause()
      yield* TestClock.adjust("7 seconds")
      expect(its.status()).toMatchObject({ _tag: "Down", since: 7_000, attempts: 0 })
      yield* TestClock.adjust("4 seconds")
      expect(its.status()).toMatchObject({ _tag: "Down", since: 7_000, attempts: 2 })
      server.resume()
      yield* TestClock.adjust("1 second")
      expect(its.status()._tag).toBe("Up")
      expect(server.size).toBe(1)
    })
  )

  it.effect("is tried as the schedule has it, from its start when the last one held", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server, { reconnect: Schedule.exponential("1 second") })
      const seen: Array<string> = []
      yield* start(Stream.runForEach(its.statuses, ({ _tag }) => Effect.sync(() => seen.push(_tag))))
      const wait = Effect.gen(function* () {
        const began = server.calls.length
        for (let i = 1; i <= 20; i++) {
          yield* TestClock.adjust("1 second")
          if (server.calls.slice(began).includes("open")) return i
        }
        return 0
      })
      const waits: Array<number> = []
      for (let i = 0; i < 3; i++) {
        server.cut("a")
        yield* turn
        waits.push(yield* wait)
      }
      yield* TestClock.adjust("5 seconds")
      server.cut("a")
      yield* turn
      waits.push(yield* wait)
      expect(waits).toEqual([1, 2, 4, 1])
      expect(seen).toEqual(["Up", "Down", "Up", "Down", "Up", "Down", "Up", "Down", "Up"])
    })
  )

  it.effect("is not tried again when the schedule is over", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const once = Schedule.while(reconnect, ({ attempt }) => Effect.succeed(attempt <= 1))
      const its = yield* up(server, { reconnect: once })
      server.cut("a")
      yield* turn
      yield* TestClock.adjust("1 second")
      yield* settled
      expect(its.status()._tag).toBe("Up")
      server.cut("a")
      yield* TestClock.adjust("1 hour")
      expect([its.status()._tag, callsOf(server, "open").length]).toEqual(["Down", 2])
    })
  )

  it.effect("leaves no fiber, no sleep and no link behind, whenever the scope is closed", () =>
    counted((running) =>
      Effect.gen(function* () {
        for (const after of [0, 1, 500, 1_500, 6_000]) {
          const server = yield* FaultyEngine.make()
          const before = { ...running }
          const scope = yield* Scope.make()
          const its = yield* Scope.provide(broker(server), scope)
          yield* turn
          const { subscribe } = yield* Scope.provide(listener(its), scope)
          yield* subscribe("t")
          yield* Scope.provide(
            its.hear("c", () => {}),
            scope
          )
          yield* its.publish("t", text("x"))
          if (after > 1) server.cut("a")
          yield* TestClock.adjust(after)
          yield* Scope.close(scope, Exit.void)
          yield* turn
          expect([running, server.size], `after ${after} ms`).toEqual([before, 0])
        }
      })
    )
  )
})
