/** Who publishes by a broker on an engine: what waits, what is said again, and what is told of what is not known. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { Broker } from "@millrace/core/cluster/Broker"
import { BrokerError, StaleKey, Unavailable } from "@millrace/core/cluster/BrokerError"
import * as Parcel from "@millrace/core/cluster/Parcel"
import * as Message from "@millrace/core/protocol/Message"
import { start, turn } from "../../support/connection.ts"
import { settled } from "../../support/eventually.ts"
import * as FaultyEngine from "../../support/faultyEngine.ts"
import { broker, callsOf, listener, rejected, text, up } from "../../support/engineBroker.ts"

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
