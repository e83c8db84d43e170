/** What a broker on an engine adds: see `brokerKit` for what all brokers promise. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { Broker, Delivery, Gap } from "@millrace/core/cluster/Broker"
import { BrokerError, Rejected, StaleKey, Unavailable } from "@millrace/core/cluster/BrokerError"
import * as EngineBroker from "@millrace/core/cluster/EngineBroker"
import * as Parcel from "@millrace/core/cluster/Parcel"
import * as Message from "@millrace/core/protocol/Message"
import { counted, start, turn } from "../../support/connection.ts"
import { settled } from "../../support/eventually.ts"
import * as FaultyEngine from "../../support/faultyEngine.ts"
import { logged } from "../../support/logged.ts"

const text = (value: string) => Parcel.make(new Message.Text(value))
const reconnect = Schedule.spaced("1 second")

/** A broker on a server of the test's own. */
const broker = (server: FaultyEngine.FaultyServer, options?: EngineBroker.Options, node = "a") =>
  EngineBroker.make(server.engine(node), { reconnect, ...options })

/** One that is up. */
const up = (server: FaultyEngine.FaultyServer, options?: EngineBroker.Options, node = "a") =>
  Effect.tap(broker(server, options, node), () => turn)

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

/** How many of these calls ask what was missed. */
const asked = (names: ReadonlyArray<string>) => names.filter((name) => name.startsWith("since")).length

/** How it ended: an offset, or why it failed. */
const short = (exit: Exit.Exit<{ readonly position: { readonly offset: number } }, BrokerError>): string => {
  if (Exit.isSuccess(exit)) return `${exit.value.position.offset}`
  const [reason] = exit.cause.reasons
  if (reason?._tag !== "Fail") return `${reason?._tag}`
  const why = reason.error.reason
  return why._tag === "Unavailable" ? why.outcome : why._tag
}

/** Publishes without waiting, and writes down how each ended. */
const publisher = (its: Broker["Service"]) => {
  const ended: Array<string> = []
  const publish = (...values: ReadonlyArray<string>) =>
    Effect.forEach(
      values,
      (value) =>
        start(
          Effect.map(Effect.exit(its.publish("t", text(value))), (exit) => void ended.push(`${value} ${short(exit)}`))
        ),
      { discard: true }
    )
  return { ended, publish }
}

const rejected = (cause: string) => new BrokerError({ reason: new Rejected({ cause }) })

const callsOf = (server: FaultyEngine.FaultyServer, ...kinds: ReadonlyArray<string>) =>
  server.calls.filter((call) => kinds.includes(call.split(" ")[0]!))

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

describe("publishing", () => {
  it.effect("waits while as many are on their way as may be, in the order of the calls", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server, { maxInFlight: 2 })
      server.network.delay = 1_000
      const { ended, publish } = publisher(its)
      yield* publish("a", "b", "c", "d", "e")
      expect(callsOf(server, "append")).toHaveLength(2)
      yield* TestClock.adjust("20 seconds")
      expect([...ended].sort()).toEqual(["a 1", "b 2", "c 3", "d 4", "e 5"])
    })
  )

  it.effect("waits while too many bytes are on their way; one message may always go", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server, { maxInFlightBytes: 300 })
      server.network.delay = 1_000
      const { ended, publish } = publisher(its)
      yield* publish("a", "b", "x".repeat(900), "c")
      expect(callsOf(server, "append").length).toBeLessThan(4)
      yield* TestClock.adjust("2 seconds")
      yield* TestClock.adjust("2 seconds")
      yield* TestClock.adjust("2 seconds")
      expect(ended).toHaveLength(4)
    })
  )

  it.effect("fails when more bytes wait than may; one message always may, and so may the next when they are gone", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server, { maxInFlight: 1, maxQueuedBytes: 6_250 })
      const { ended, publish } = publisher(its)
      yield* publish("a".repeat(9_000))
      yield* turn
      expect(ended.splice(0)).toEqual([`${"a".repeat(9_000)} 1`])
      server.pause()
      yield* publish("b".repeat(2_000), "c".repeat(1_000), "d".repeat(1_000), "e".repeat(100))
      expect(ended.splice(0)).toEqual([`${"d".repeat(1_000)} NotPublished`, `${"e".repeat(100)} NotPublished`])
      const gone = yield* start(its.publish("t", text("f")))
      yield* Fiber.interrupt(gone)
      expect(its.status()._tag).toBe("Up")
      server.cut()
      server.resume()
      yield* TestClock.adjust("2 seconds")
      expect(ended.splice(0).map((line) => line[0])).toEqual(["b", "c"])
      for (let round = 0; round < 3; round++) {
        server.pause()
        yield* publish("g".repeat(2_000), "h".repeat(1_000), "e".repeat(100))
        expect(ended.splice(0)).toEqual([`${"e".repeat(100)} NotPublished`])
        server.resume()
        yield* TestClock.adjust("1 second")
        expect(ended.splice(0).map((line) => line[0])).toEqual(["g", "h"])
      }
    })
  )

  it.effect("tells nobody who is interrupted while it waits, and sends nothing of it", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server, { maxInFlight: 1 })
      const { subscribe, told } = yield* listener(its)
      yield* subscribe("t")
      server.network.delay = 1_000
      const fibers = yield* Effect.forEach(["a", "b", "c"], (value) => start(its.publish("t", text(value))))
      yield* Fiber.interrupt(fibers[1]!)
      for (let i = 0; i < 6; i++) yield* TestClock.adjust("1 second")
      expect(told).toEqual(["1 a", "2 c"])
    })
  )

  it.effect("fails at once while the broker is down", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server)
      server.kill()
      yield* turn
      const { ended, publish } = publisher(its)
      yield* publish("a")
      expect(ended).toEqual(["a NotPublished"])
      server.start()
      yield* TestClock.adjust("1 second")
      yield* publish("b")
      expect(ended).toEqual(["a NotPublished", "b 1"])
    })
  )

  it.effect("fails when it could not be tried again in time, and says whether it may be there", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server, { maxInFlight: 1, publishTimeout: "3 seconds" })
      server.network.delay = 10_000
      const { ended, publish } = publisher(its)
      yield* publish("a", "b")
      server.partition("a")
      server.cut("a")
      yield* TestClock.adjust("2999 millis")
      expect(ended).toEqual([])
      yield* TestClock.adjust("1 millis")
      expect(ended).toEqual(["a Unknown", "b NotPublished"])
    })
  )

  it.effect("has its own time, from when its own link broke", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server, { maxInFlight: 1, publishTimeout: "3 seconds", callTimeout: "1 minute" })
      server.network.lose = 1
      const { ended, publish } = publisher(its)
      yield* publish("a")
      server.cut("a")
      server.network.lose = 0
      server.refuse = (call) => {
        if (call.startsWith("append")) server.network.lose = 1
        return undefined
      }
      yield* TestClock.adjust("2 seconds")
      expect(its.status()._tag).toBe("Up")
      yield* publish("b")
      server.partition("a")
      server.cut("a")
      yield* TestClock.adjust("1 second")
      expect(ended).toEqual(["a Unknown"])
      yield* TestClock.adjust("1999 millis")
      expect(ended).toEqual(["a Unknown"])
      yield* TestClock.adjust("1 millis")
      expect(ended).toEqual(["a Unknown", "b NotPublished"])
    })
  )

  it.effect("is not sent again when nobody waits for it any more", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server)
      server.network.lose = 1
      const [interrupted] = [yield* start(its.publish("t", text("a"))), yield* start(its.publish("t", text("b")))]
      yield* Fiber.interrupt(interrupted)
      server.cut("a")
      server.network.lose = 0
      yield* TestClock.adjust("1 second")
      expect(callsOf(server, "append")).toHaveLength(3)
      expect(server.at.offset).toBe(1)
    })
  )

  it.effect("has no more on its way than repeats of one producer are known", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server, { maxInFlight: 5_000 })
      server.network.delay = 1_000
      const { publish } = publisher(its)
      yield* publish(...Array.from({ length: 1_500 }, (_, i) => `${i}`))
      expect(callsOf(server, "append")).toHaveLength(1_000)
    })
  )

  it.effect("does not send again what the server may have had before it forgot", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server, { maxInFlight: 1 })
      const { subscribe, told } = yield* listener(its)
      yield* subscribe("t")
      server.network.lose = 1
      const { ended, publish } = publisher(its)
      yield* publish("a", "b")
      server.kill()
      server.start()
      server.network.lose = 0
      yield* TestClock.adjust("2 seconds")
      expect(ended).toEqual(["a Unknown", "b 1"])
      expect(told).toEqual(["lost life0:0 life1:0", "1 b"])
    })
  )

  it.effect("waits for the first link", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      server.pause()
      const its = yield* broker(server, { connectTimeout: "3 seconds", publishTimeout: "5 seconds" })
      const { ended, publish } = publisher(its)
      const position = yield* start(its.position)
      yield* publish("a")
      yield* TestClock.adjust("2 seconds")
      server.resume()
      yield* turn
      expect(ended).toEqual(["a 1"])
      expect((yield* Fiber.join(position)).epoch).toBe("life0")
    })
  )

  it.effect("tells the caller what the broker refuses, and keeps the link", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server)
      server.refuse = (call) => (call.startsWith("append") ? rejected("full") : undefined)
      const { ended, publish } = publisher(its)
      yield* publish("a")
      const key = { producer: "p", epoch: 0, sequence: 0 }
      server.refuse = (call) =>
        call.startsWith("append") ? new BrokerError({ reason: new StaleKey({ key }) }) : undefined
      // The key was made here: that it is too old says that nobody knows.
      yield* publish("b")
      expect(ended).toEqual(["a Rejected", "b Unknown"])
      expect(its.status()._tag).toBe("Up")
      server.refuse = () => undefined
      yield* publish("c")
      expect(ended.at(-1)).toBe("c 1")
    })
  )

  it.effect("ends the link over which it cannot be done, and does it over the next", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server)
      const gone = new BrokerError({ reason: new Unavailable({ outcome: "NotPublished", cause: "moved" }) })
      const seen: Array<string> = []
      yield* start(Stream.runForEach(its.statuses, ({ _tag }) => Effect.sync(() => seen.push(_tag))))
      server.refuse = (call) => (call.startsWith("append") ? gone : undefined)
      const { ended, publish } = publisher(its)
      yield* publish("a")
      yield* settled
      expect(its.status()).toMatchObject({ _tag: "Down", error: gone })
      server.refuse = () => undefined
      yield* TestClock.adjust("1 second")
      expect([ended, seen]).toEqual([["a 1"], ["Up", "Down", "Up"]])
    })
  )

  it.effect("is no repeat when it was there, as the answer was lost", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server)
      const losing = (parcel: Parcel.Parcel) =>
        Effect.gen(function* () {
          server.refuse = (call) => {
            // It is done, and the answer goes over the link that is cut now.
            if (call.startsWith("append")) server.network.delay = 100
            return undefined
          }
          const publishing = yield* start(its.publish("t", parcel))
          server.cut("a")
          server.network.delay = 0
          server.refuse = () => undefined
          yield* TestClock.adjust("1 second")
          const { position, repeated } = yield* Fiber.join(publishing)
          return [position.offset, repeated]
        })
      expect(yield* losing(text("own"))).toEqual([1, false])
      // Who has published with this key before is not to be told apart.
      const key = { producer: "p", epoch: 0, sequence: 0 }
      expect(yield* losing(Parcel.make(new Message.Text("keyed"), key))).toEqual([2, true])
    })
  )

  it.effect("ends the link of a server that takes longer than it may", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const its = yield* up(server, { callTimeout: "2 seconds", heartbeat: "1 hour", publishTimeout: "1 minute" })
      const { ended, publish } = publisher(its)
      yield* TestClock.adjust("1 second")
      server.network.lose = 1
      yield* publish("a")
      server.network.lose = 0
      yield* TestClock.adjust("1999 millis")
      expect(its.status()._tag).toBe("Up")
      yield* TestClock.adjust("1 millis")
      expect(its.status()._tag).toBe("Down")
      yield* TestClock.adjust("1 second")
      expect(ended).toEqual(["a 1"])
    })
  )

  it.effect("gives what waits an end when the scope is closed", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const scope = yield* Scope.make()
      const its = yield* Scope.provide(up(server, { maxInFlight: 1 }), scope)
      server.network.delay = 1_000
      const { ended, publish } = publisher(its)
      yield* publish("a", "b")
      yield* Scope.close(scope, Exit.void)
      yield* publish("c")
      expect(ended).toEqual(["a Unknown", "b NotPublished", "c NotPublished"])
      expect(server.size).toBe(0)
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
