/** Who subscribes at a broker on an engine: what is told of breaks, and who waits for what. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"
import * as TestClock from "effect/testing/TestClock"
import { BrokerError } from "@millrace/core/cluster/BrokerError"
import * as Parcel from "@millrace/core/cluster/Parcel"
import * as Message from "@millrace/core/protocol/Message"
import { start, turn } from "../../support/connection.ts"
import { settled } from "../../support/eventually.ts"
import * as FaultyEngine from "../../support/faultyEngine.ts"
import { asked, broker, callsOf, listener, rejected, text, up } from "../../support/engineBroker.ts"

describe("subscribing", () => {
  it.effect("asks for all topics of a turn at once, and for one of them once", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server)
      const [one, other] = [yield* listener(its), yield* listener(its)]
      yield* Effect.all(
        ["a", "b", "c", "a"].flatMap((topic) => [one.subscribe(topic), other.subscribe(topic)]),
        { concurrency: "unbounded" }
      )
      yield* one.subscribe("a")
      expect(callsOf(server, "listen", "since")).toEqual(["listen a,b,c"])
      expect(callsOf(server, "position")).toHaveLength(2)
    })
  )

  it.effect("asks for a thousand topics in one call, and no more", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const { subscribe } = yield* listener(yield* up(server))
      yield* Effect.forEach(
        Array.from({ length: 2_500 }, (_, i) => `${i}`),
        subscribe,
        { concurrency: "unbounded" }
      )
      expect(callsOf(server, "listen").map((call) => call.split(",").length)).toEqual([1_000, 1_000, 500])
    })
  )

  it.effect("unlistens when the last one has left, and in the order of the calls", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server)
      const [one, other] = [yield* listener(its), yield* listener(its)]
      yield* Effect.all([one.subscribe("a"), other.subscribe("a")], { concurrency: "unbounded" })
      one.unsubscribe("a")
      yield* turn
      expect(callsOf(server, "unlisten")).toEqual([])
      other.unsubscribe("a")
      expect(yield* one.subscribe("a")).toBeDefined()
      yield* its.publish("a", text("x"))
      expect([one.told, other.told]).toEqual([["1 x"], []])
      expect(callsOf(server, "listen", "unlisten")).toEqual(["listen a", "unlisten a", "listen a"])
    })
  )

  it.effect("lets go of what nobody wants any more when it is there", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make({ network: { delay: 100 } })
      const its = yield* up(server)
      yield* TestClock.adjust("1 second")
      const { subscribe, unsubscribe } = yield* listener(its)
      const left = yield* start(subscribe("left"))
      const interrupted = yield* start(subscribe("interrupted"))
      yield* turn
      unsubscribe("left")
      yield* Fiber.interrupt(interrupted)
      expect(yield* Fiber.join(left)).toBeUndefined()
      yield* TestClock.adjust("1 second")
      expect(callsOf(server, "listen", "unlisten")).toEqual(["listen left,interrupted", "unlisten left,interrupted"])
    })
  )

  it.effect("leaves nothing of an attachment whose scope is closed", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server)
      const { told } = yield* Effect.scoped(Effect.tap(listener(its), ({ subscribe }) => subscribe("t")))
      yield* its.publish("t", text("x"))
      yield* settled
      expect(told).toEqual([])
      expect(callsOf(server, "unlisten")).toEqual(["unlisten t"])
    })
  )

  it.effect("fails where the broker refuses, and nowhere else", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      server.refuse = (call) => (call.startsWith("listen") && call.includes("secret") ? rejected("no") : undefined)
      const its = yield* up(server)
      const { subscribe, told } = yield* listener(its)
      const all = yield* Effect.all(
        ["a", "secret", "b"].map((topic) => Effect.exit(subscribe(topic))),
        { concurrency: "unbounded" }
      )
      expect(all.map(Exit.isSuccess)).toEqual([true, false, true])
      yield* its.publish("a", text("x"))
      yield* its.publish("secret", text("y"))
      expect([told, its.status()._tag]).toEqual([["1 x"], "Up"])
      server.refuse = () => undefined
      yield* subscribe("secret")
      yield* its.publish("secret", text("z"))
      expect(told).toEqual(["1 x", "3 z"])
    })
  )

  it.effect("waits for nobody who was refused, whatever came of it before", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server)
      const { subscribe, told } = yield* listener(its)
      yield* subscribe("t")
      // It is listened to, told of, and refused all the same: the server says so late.
      server.refuse = (call) => {
        if (call !== "listen secret") return undefined
        server.listen("a", "secret")
        server.append("secret", Parcel.encode(text("x")))
        return rejected("no")
      }
      expect(Exit.isFailure(yield* Effect.exit(subscribe("secret")))).toBe(true)
      yield* its.publish("t", text("y"))
      expect(told).toEqual(["2 y"])
      const other = yield* listener(its)
      expect(yield* other.subscribe("t")).toEqual({ epoch: "life0", offset: 2 })
    })
  )

  it.effect("to a channel that the broker refuses fails, and nothing else does", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      server.refuse = (call) => (call.startsWith("hear") && call.includes("secret") ? rejected("no") : undefined)
      const its = yield* up(server)
      const heard: Array<number> = []
      const hear = (channel: string) => its.hear(channel, (bytes) => void heard.push(bytes[0]!))
      const all = yield* Effect.all([Effect.exit(Effect.scoped(hear("secret"))), Effect.exit(hear("open"))], {
        concurrency: "unbounded"
      })
      expect([...all.map(Exit.isSuccess), its.status()._tag]).toEqual([false, true, "Up"])
      yield* its.cast("open", Uint8Array.of(1))
      server.refuse = () => undefined
      yield* hear("secret")
      yield* its.cast("secret", Uint8Array.of(2))
      expect(heard).toEqual([1, 2])
    })
  )

  it.effect("to a channel holds for each who hears, also of one effect that is run twice", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server)
      const heard: Array<number> = []
      const hear = its.hear("c", (bytes) => void heard.push(bytes[0]!))
      yield* hear
      yield* Effect.scoped(hear)
      yield* its.cast("c", Uint8Array.of(1))
      expect(heard).toEqual([1])
    })
  )

  it.effect("is over when the last of those who wait for it is interrupted", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make({ network: { delay: 100 } })
      const its = yield* up(server)
      yield* TestClock.adjust("1 second")
      const { subscribe } = yield* listener(its)
      const [one, other] = [yield* start(subscribe("t")), yield* start(subscribe("t"))]
      yield* Fiber.interrupt(one)
      yield* Fiber.interrupt(other)
      yield* TestClock.adjust("1 second")
      expect(callsOf(server, "listen", "unlisten").at(-1)).not.toBe("listen t")
    })
  )

  it.effect("is not known where while the broker is down, and tells a gap when it begins", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const [its, other] = [yield* up(server), yield* up(server, {}, "b")]
      const first = yield* listener(its)
      yield* first.subscribe("t")
      server.cut("a")
      yield* turn
      const second = yield* listener(its)
      expect([yield* second.subscribe("t"), yield* second.subscribe("u")]).toEqual([undefined, undefined])
      yield* other.publish("t", text("x"))
      yield* other.publish("u", text("y"))
      yield* TestClock.adjust("1 second")
      yield* other.publish("t", text("z"))
      expect(first.told).toEqual(["1 x", "3 z"])
      expect(second.told.slice(0, 2)).toEqual(expect.arrayContaining(Array(2).fill("lost undefined:undefined life0:2")))
      expect(second.told.slice(2)).toEqual(["3 z"])
    })
  )

  it.effect("waits for the first link, and no longer", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      server.pause()
      const its = yield* broker(server, { connectTimeout: "3 seconds" })
      const { subscribe } = yield* listener(its)
      const hears = yield* start(Effect.scoped(its.hear("c", () => {})))
      const subscribing = yield* start(subscribe("t"))
      yield* TestClock.adjust("2 seconds")
      expect([its.status()._tag, subscribing.pollUnsafe()]).toEqual(["Connecting", undefined])
      yield* TestClock.adjust("1 second")
      expect(its.status()).toMatchObject({ _tag: "Down", attempts: 1 })
      expect(yield* Fiber.join(subscribing)).toBeUndefined()
      yield* Fiber.join(hears)
      expect(yield* subscribe("u")).toBeUndefined()
    })
  )

  it.effect("begins on the next link when the first broke before it was known where", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server)
      const { subscribe, told } = yield* listener(its)
      server.refuse = (call) => {
        if (call === "position") server.cut("a")
        return undefined
      }
      expect(yield* subscribe("t")).toBeUndefined()
      server.refuse = () => undefined
      yield* TestClock.adjust("1 second")
      yield* its.publish("t", text("x"))
      expect(told).toEqual(["lost undefined:undefined life0:0", "1 x"])
    })
  )

  it.effect("does not come back for what was left while it was being asked for", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server)
      const { subscribe, unsubscribe } = yield* listener(its)
      server.network.delay = 1_000
      yield* start(subscribe("t"))
      yield* settled
      unsubscribe("t")
      server.cut("a")
      server.network.delay = 0
      yield* TestClock.adjust("2 seconds")
      yield* settled
      expect(its.status()._tag).toBe("Up")
      expect(callsOf(server, "listen")).toEqual(["listen t"])
    })
  )

  it.effect("delivers what is published by who is told behind what they are told, to all", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const [its, other] = [yield* up(server), yield* up(server, {}, "b")]
      const answering = yield* its.attach({
        deliver: ({ parcel }) => {
          if ((parcel.message as Message.Text).text === "a") Effect.runFork(its.publish("t", text("b")))
        },
        lost: () => {}
      })
      const { subscribe, told } = yield* listener(its)
      yield* answering.subscribe("t")
      yield* subscribe("t")
      yield* other.publish("t", text("a"))
      yield* settled
      expect(told).toEqual(["1 a", "2 b"])
    })
  )

  for (const ops of [3, 4, 5, 7, 11, 17, 40]) {
    it.effect(`loses nothing when fibers yield after ${ops} operations`, () =>
      Effect.gen(function* () {
        const server = yield* FaultyEngine.make()
        const its = yield* broker(server)
        const hear = its.hear("c", () => {})
        yield* hear
        yield* its.position
        const { subscribe, told, unsubscribe } = yield* listener(its)
        for (let i = 0; i < 20; i++) {
          const topic = `${i % 3}`
          expect(yield* subscribe(topic)).toBeDefined()
          const { position } = yield* its.publish(topic, text(`${i}`))
          expect(told.at(-1)).toBe(`${position.offset} ${i}`)
          if (i % 2 === 0) unsubscribe(topic)
          for (let k = 0; k < i % 7; k++) yield* Effect.yieldNow
        }
      }).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, ops))
    )
  }

  for (const ops of [3, 4, 5, 6, 7, 8, 9, 11, 13, 17]) {
    it.effect(`waits for no link that is there already, when fibers yield after ${ops} operations`, () =>
      Effect.gen(function* () {
        const server = yield* FaultyEngine.make()
        for (let before = 0; before < 4; before++) {
          const its = yield* broker(server)
          const asking: Array<Fiber.Fiber<unknown, BrokerError>> = []
          for (let i = 0; i < before; i++) yield* Effect.yieldNow
          for (let i = 0; i < 200 && its.status()._tag === "Connecting"; i++) {
            asking.push(yield* start(its.position))
            if (i % 2 === 0) asking.push(yield* start(Effect.andThen(Effect.void, its.position)))
            yield* Effect.yieldNow
          }
          yield* settled
          expect(asking.map((fiber) => fiber.pollUnsafe()?._tag)).toEqual(asking.map(() => "Success"))
          const { subscribe } = yield* listener(its)
          const subscribing: Array<Fiber.Fiber<unknown, BrokerError>> = []
          for (let i = 0; i < 60; i++) {
            subscribing.push(yield* start(subscribe(`${i}`)))
            for (let k = 0; k < i % 9; k++) yield* Effect.yieldNow
          }
          yield* settled
          expect(subscribing.map((fiber) => fiber.pollUnsafe()?._tag)).toEqual(subscribing.map(() => "Success"))
        }
      }).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, ops))
    )
  }

  it.effect("holds as much after a break as before it", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server, { maxHeldBytes: 1_500 })
      const { subscribe, told } = yield* listener(its)
      yield* subscribe("t")
      /** One is lost, and the next is held while it is asked for. */
      const hole = Effect.suspend(() => {
        server.network.drop = 1
        server.append("t", Parcel.encode(text("lost")))
        server.network.drop = 0
        server.append("t", Parcel.encode(text("x".repeat(800))))
        return turn
      })
      server.pause()
      yield* hole
      server.cut("a")
      server.resume()
      yield* TestClock.adjust("1 second")
      yield* settled
      const before = callsOf(server, "since").length
      server.pause()
      yield* hole
      server.append("t", Parcel.encode(text("y")))
      server.resume()
      yield* settled
      expect(told).toHaveLength(5)
      expect(callsOf(server, "since").length - before).toBe(1)
    })
  )

  it.effect("does not ask what was missed of what nobody wants any more", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server, { maxAsks: 1 })
      const { subscribe, unsubscribe } = yield* listener(its)
      for (const topic of ["a", "b", "c"]) yield* subscribe(topic)
      server.cut("a")
      server.refuse = (call) => {
        if (call.startsWith("listen")) server.network.delay = 100
        return undefined
      }
      yield* TestClock.adjust("1 second")
      yield* settled
      for (let i = 0; i < 50 && callsOf(server, "since").length === 0; i++) yield* TestClock.adjust(10)
      unsubscribe("b")
      yield* TestClock.adjust("1 second")
      expect(callsOf(server, "since")).toEqual(["since a", "since c"])
    })
  )

  it.effect("is told of all topics in the order of the log, also of what was missed in a break", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make({ network: { delay: 0 } })
      const its = yield* up(server, { maxAsks: 2 })
      const { subscribe, told } = yield* listener(its)
      const topics = Array.from({ length: 7 }, (_, i) => `${i}`)
      yield* Effect.forEach(topics, subscribe)
      const append = (count: number) => {
        for (let i = 0; i < count; i++) server.append(topics[(i * 3) % 7]!, Parcel.encode(text(`${i}`)))
      }
      append(10)
      yield* TestClock.adjust("1 second")
      server.cut("a")
      yield* turn
      append(20)
      server.network.delay = 500
      // What is published while it catches up comes on the way, too.
      for (let i = 0; i < 100; i++) {
        yield* TestClock.adjust(50)
        if (i % 10 === 0) append(3)
      }
      yield* TestClock.adjust("10 seconds")
      const offsets = told.map((each) => Number.parseInt(each))
      expect(offsets).toEqual(Array.from({ length: 60 }, (_, i) => i + 1))
    })
  )

  it.effect("is told of what it missed although who was waited for has left", () =>
    Effect.gen(function* () {
      for (let before = 0; before < 12; before++) {
        const server = yield* FaultyEngine.make()
        const its = yield* up(server)
        const { subscribe, told, unsubscribe } = yield* listener(its)
        const topics = Array.from({ length: 1_001 }, (_, i) => `${i}`)
        yield* Effect.forEach(topics, subscribe, { concurrency: "unbounded" })
        server.cut("a")
        yield* turn
        server.append("0", Parcel.encode(text("missed")))
        // The last of them leaves when the others are listened to.
        const leave = Effect.gen(function* () {
          for (let i = 0; i < before; i++) yield* Effect.yieldNow
          unsubscribe("1000")
        })
        server.refuse = (call) => {
          if (call.startsWith("listen 0")) Effect.runFork(leave)
          return undefined
        }
        yield* TestClock.adjust("1 second")
        yield* settled
        expect(told).toEqual(["1 missed"])
        expect(yield* subscribe("0")).toEqual({ epoch: "life0", offset: 1 })
      }
    })
  )

  it.effect("does not wait for topics that are subscribed to meanwhile, however many", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server)
      const { subscribe, told } = yield* listener(its)
      yield* subscribe("t")
      server.cut("a")
      yield* turn
      server.append("t", Parcel.encode(text("missed")))
      let count = 0
      server.refuse = (call) => {
        if (call.startsWith("listen") && count < 50) Effect.runFork(subscribe(`new ${count++}`))
        return undefined
      }
      yield* TestClock.adjust("1 second")
      yield* settled
      expect([told, count]).toEqual([["1 missed"], 50])
      const calls = callsOf(server, "open", "listen", "since")
      expect(calls.slice(calls.lastIndexOf("open") + 1, calls.indexOf("since t"))).toEqual(["listen t"])
    })
  )

  it.effect("is told in the order of each topic, also when the log went back in a break", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server)
      const { subscribe, told } = yield* listener(its)
      for (const topic of ["held", "t"]) yield* subscribe(topic)
      const append = (topic: string, ...values: ReadonlyArray<string>) => {
        for (const value of values) server.append(topic, Parcel.encode(text(value)))
      }
      append("t", "a", "b")
      // What was missed of one topic is not known when the link breaks: what came of the other waits.
      server.pause()
      server.network.drop = 1
      append("held", "lost")
      server.network.drop = 0
      append("held", "found")
      append("t", "c")
      expect(told).toEqual(["1 a", "2 b"])
      server.cut("a")
      // As from a copy that is older.
      server.rewind()
      append("t", "d")
      server.resume()
      yield* TestClock.adjust("1 second")
      yield* settled
      const ofT = told.filter((each) => !each.includes("found") && !/ (lost)$/.test(each))
      expect(ofT).toEqual(["1 a", "2 b", "5 c", "lost life0:5 life0:0", "1 d"])
    })
  )

  it.effect("asks about so many topics at once after a break, and no more", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make({ network: { delay: 0 } })
      const its = yield* up(server, { maxAsks: 3 })
      const { subscribe, told } = yield* listener(its)
      const topics = Array.from({ length: 10 }, (_, i) => `${i}`)
      yield* Effect.forEach(topics, subscribe)
      server.cut("a")
      yield* turn
      for (const topic of topics) server.append(topic, Parcel.encode(text(topic)))
      server.network.delay = 500
      yield* TestClock.adjust("1 second")
      let highest = 0
      for (let i = 0; i < 200 && told.length < 10; i++) {
        yield* TestClock.adjust(50)
        highest = Math.max(highest, asked(server.calls) - asked(server.answered))
      }
      expect([told.length, highest]).toEqual([10, 3])
    })
  )
})
