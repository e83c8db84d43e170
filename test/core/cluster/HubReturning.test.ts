/** What goes on around a client of the hub, and at which moment: the page, the network, its store, and who interrupts it. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Hub from "@millrace/core/cluster/Hub"
import * as HubClient from "@millrace/core/cluster/HubClient"
import { HubPresence } from "@millrace/core/cluster/HubPresence"
import * as HubStore from "@millrace/core/cluster/HubStore"
import { toJson } from "@millrace/core/cluster/JsonText"
import * as Target from "@millrace/core/cluster/Target"
import type { Happening } from "@millrace/core/connection/Surroundings"
import { start } from "../../support/connection.ts"
import { type Entry, logged } from "../../support/logged.ts"
import { hubNetwork, listening, turns, words } from "../../support/hubNetwork.ts"
import { cluster } from "../../support/presences.ts"

/** A hub, and a client of it with surroundings that the test says. */
const world = (options?: Omit<HubClient.Options, "store">) =>
  Effect.gen(function* () {
    const hub = yield* Hub.make()
    const network = hubNetwork(hub)
    const queue = yield* Queue.unbounded<Happening>()
    const client = yield* HubClient.make(network.connect, { surroundings: Stream.fromQueue(queue), ...options })
    const happen = (...happenings: ReadonlyArray<Happening>) =>
      Effect.andThen(
        Effect.forEach(happenings, (happening) => Queue.offer(queue, happening), { discard: true }),
        turns
      )
    yield* turns
    return { hub, network, client, happen, queue }
  })

/** Ada and Bob, of a hub that shows who is there. */
const shown = Effect.gen(function* () {
  const { all } = yield* cluster(1)
  const hub = yield* Hub.make()
  const fork = Effect.runForkWith(yield* Effect.context<never>())
  const presence = new HubPresence(all[0]!.presence, (effect) => void fork(effect))
  const network = hubNetwork(hub, { presence, user: "ada" })
  const ada = yield* HubClient.make(network.connect)
  const bob = yield* HubClient.make(hubNetwork(hub, { presence, user: "bob" }).connect)
  yield* turns
  return { hub, network, ada, bob }
})

const later = (duration: Parameters<typeof TestClock.adjust>[0]) => Effect.andThen(TestClock.adjust(duration), turns)

describe("A client of the hub", () => {
  it.effect("is gone while its page is put away, and has missed nothing when that is shown again", () =>
    Effect.gen(function* () {
      const { client, happen, hub, network } = yield* world()
      const { heard } = yield* listening(client.subscribe("lobby"))
      yield* happen("Leave")
      expect([(yield* client.state)._tag, network.open, hub.members("lobby")]).toEqual(["Away", 0, 0])
      const asked = yield* start(client.publish("lobby", 1))
      yield* later("1 hour")
      expect(network.attempts).toBe(1)
      yield* happen("Return")
      expect((yield* Fiber.join(asked)).receivers).toBe(1)
      expect(words(heard)).toEqual(["Subscribed", 1])
    })
  )

  it.effect("is done with a connection that it leaves as soon as it is there", () =>
    Effect.gen(function* () {
      const { client, happen, network, queue } = yield* world()
      const { heard } = yield* listening(client.subscribe("lobby"))
      let isFirst = true
      yield* Effect.forkScoped(
        Stream.runForEach(client.states, ({ _tag }) => {
          if (_tag !== "Open" || network.attempts === 1 || !isFirst) return Effect.void
          isFirst = false
          return Queue.offer(queue, "Leave")
        })
      )
      yield* turns
      network.last.cut()
      yield* later("1 second")
      expect((yield* client.state)._tag).toBe("Away")
      yield* happen("Return")
      const asked = yield* start(client.publish("lobby", 1))
      yield* turns
      yield* later("1 second")
      expect((yield* Fiber.join(asked)).receivers).toBe(1)
      expect(words(heard)).toEqual(["Subscribed", 1])
    })
  )

  it.effect("survives a storm of happenings in one turn, with one connection at its end", () =>
    Effect.gen(function* () {
      const { client, happen, hub, network } = yield* world()
      const { heard } = yield* listening(client.subscribe("lobby"))
      for (let i = 0; i < 20; i++) {
        const asked = yield* start(client.publish("lobby", i))
        yield* happen("Leave", "Return", "Check", "Retry", "Leave", "Leave", "Retry", "Check", "Return", "Return")
        yield* later("5 seconds")
        yield* Fiber.join(asked)
      }
      expect(words(heard)).toEqual(["Subscribed", ...Array.from({ length: 20 }, (_, i) => i)])
      expect([network.open, hub.members("lobby")]).toEqual([1, 1])
    })
  )

  it.effect("has a connection show that it lives when it is to be checked, and leaves one that does not", () =>
    Effect.gen(function* () {
      const { client, happen, network } = yield* world()
      yield* happen("Check")
      yield* later("6 seconds")
      expect(network.attempts).toBe(1)
      network.silence()
      yield* happen("Check")
      yield* later("5 seconds")
      yield* later("1 second")
      expect(network.attempts).toBe(2)
      expect((yield* client.publish("t", 1)).receivers).toBe(0)
      // The silent one is waited for until it has had its time to close.
      yield* later("30 seconds")
    })
  )

  it.effect("asks a hub that is silent for long whether it is there, and leaves it when it is not", () =>
    Effect.gen(function* () {
      const { client, network } = yield* world({ heartbeat: "1 minute", surroundings: undefined })
      yield* later("10 minutes")
      expect(network.attempts).toBe(1)
      network.silence()
      yield* later("2 minutes")
      yield* later("21 seconds")
      expect(network.attempts).toBe(2)
      expect((yield* client.state)._tag).toBe("Open")
    })
  )

  it.effect("is there for others again when it comes back, and who is there is told anew", () =>
    Effect.gen(function* () {
      const { ada, bob, network } = yield* shown
      const other = yield* listening(bob.subscribe("lobby", { presence: true }))
      yield* turns
      const own = yield* listening(ada.subscribe("lobby", { presence: { info: "fine" } }))
      yield* turns
      network.last.cut()
      yield* later("1 second")
      yield* later("10 seconds")
      expect(words(own.heard)).toEqual(["Subscribed", "Present", "Present"])
      expect(own.heard[2]).toMatchObject({ count: { users: 2, connections: 2 } })
      expect(words(other.heard).filter((word) => word !== "Updated")).toEqual(["Subscribed", "Present", "Joined"])
      expect((yield* bob.present("lobby")).users).toContainEqual(
        expect.objectContaining({ user: "ada", info: "fine", connections: 1 })
      )
    })
  )

  it.effect("is there for others where it is moved, and is there still when it comes back", () =>
    Effect.gen(function* () {
      const { ada, bob, hub, network } = yield* shown
      const own = yield* listening(ada.subscribe("lobby", { presence: { info: "fine" } }))
      yield* turns
      yield* hub.move(Target.topic("lobby"), "lobby", "attic")
      yield* later("6 seconds")
      expect(words(own.heard)).toEqual(["Subscribed", "Present", "Moved", "Present"])
      network.last.cut()
      yield* later("1 second")
      yield* later("6 seconds")
      expect(words(own.heard)).toEqual(["Subscribed", "Present", "Moved", "Present", "Present"])
      expect((yield* bob.present("attic")).users).toMatchObject([{ user: "ada", info: "fine", connections: 1 }])
      expect((yield* bob.present("lobby")).users).toEqual([])
    })
  )

  it.effect("may publish from within its own subscription, one at a time", () =>
    Effect.gen(function* () {
      const { client } = yield* world({ maxUnanswered: 1 })
      const heard: Array<unknown> = []
      const replying = Stream.runForEach(client.subscribe("t"), (element) => {
        if (element._tag !== "Message") return Effect.void
        heard.push(element.data)
        const next = (element.data as number) + 1
        return next < 50 ? Effect.asVoid(client.publish("t", next)) : Effect.void
      })
      yield* start(replying)
      yield* turns
      yield* client.publish("t", 0)
      for (let i = 0; i < 50; i++) yield* turns
      expect(heard).toEqual(Array.from({ length: 50 }, (_, i) => i))
    })
  )

  it.effect("passes over a gap of more topics than a call takes arguments", () =>
    Effect.gen(function* () {
      const { client, network } = yield* world()
      const { heard } = yield* listening(client.subscribe("t"))
      yield* turns
      const topics = JSON.stringify(Array.from({ length: 200_000 }, () => "t"))
      yield* network.last.server.send(`{"type":"gap","topics":${topics}}`)
      yield* turns
      yield* client.publish("t", 1)
      yield* turns
      expect((yield* client.state)._tag).toBe("Open")
      expect(heard.length).toBeGreaterThan(1)
    })
  )

  it.effect("gives each of 3,000 streams of one topic everything, over one subscription", () =>
    Effect.gen(function* () {
      const { client, hub, network } = yield* world()
      let heard = 0
      const streams = Array.from({ length: 3_000 }, () =>
        Stream.runForEach(client.subscribe("t"), (element) =>
          Effect.sync(() => {
            if (element._tag === "Message") heard++
          })
        )
      )
      const reading = yield* start(Effect.all(streams, { concurrency: "unbounded", discard: true }))
      yield* turns
      yield* client.publish("t", 1)
      network.last.cut()
      yield* later("1 second")
      yield* client.publish("t", 2)
      yield* turns
      expect([heard, hub.members("t")]).toEqual([6_000, 1])
      yield* Fiber.interrupt(reading)
      yield* turns
      expect(hub.members("t")).toBe(0)
    })
  )
})

const warned = (entries: ReadonlyArray<Entry>) => entries.filter(({ level }) => level === "Warn").length

describe("The store of a client of the hub", () => {
  const memory = HubStore.memory

  it.effect("holds up the end of the client for 5 s at most", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const network = hubNetwork(yield* Hub.make())
      const store = { ...memory(), reached: () => Effect.never }
      const client = yield* Scope.provide(HubClient.make(network.connect, { store }), scope)
      yield* listening(client.subscribe("t"))
      yield* turns
      yield* client.publish("t", 1)
      yield* turns
      const closing = yield* start(Scope.close(scope, Exit.void))
      yield* later("4 seconds")
      expect(closing.pollUnsafe()).toBeUndefined()
      yield* later("1 second")
      expect(closing.pollUnsafe()).toBeDefined()
    })
  )

  it.effect("may break: what it was asked to keep fails, and what is behind it is said", () =>
    Effect.gen(function* () {
      const network = hubNetwork(yield* Hub.make())
      network.answer = () => Effect.never
      let isBroken = true
      const kept = memory()
      const store: HubStore.HubStore = {
        ...kept,
        said: (key, at) => Effect.suspend(() => (isBroken ? Effect.die(new Error("broken")) : kept.said(key, at)))
      }
      const client = yield* HubClient.make(network.connect, { store, reconnect: undefined })
      const first = yield* start(Effect.flip(client.publish("t", 1)))
      yield* turns
      network.answer = () => Effect.void
      yield* later("11 seconds")
      yield* later("1 second")
      expect((yield* Fiber.join(first)).reason._tag).toBe("StoreUnavailable")
      isBroken = false
      expect((yield* client.publish("t", 2)).position!.offset).toBe(1)
    })
  )

  it.effect("is told what becomes of the publications of an earlier life, also when the hub is never there", () =>
    Effect.gen(function* () {
      const network = hubNetwork(yield* Hub.make())
      network.answer = () => Effect.never
      const store = memory()
      const key = { producer: "p", epoch: 0, sequence: 0 }
      yield* store.keep({ topic: "t", dataJson: toJson(1), key, echo: true, at: 0, saidAt: 0 })
      const client = yield* HubClient.make(network.connect, { store })
      const outcomes = yield* start(Stream.runCollect(client.leftovers))
      yield* later("1 minute")
      expect(outcomes.pollUnsafe()).toBeUndefined()
      yield* later("1 minute")
      const [outcome] = yield* Fiber.join(outcomes)
      expect(outcome!.result).toMatchObject(Result.fail({ reason: { _tag: "Uncertain" } }))
      expect((yield* store.load).unanswered).toEqual([])
    })
  )

  it.effect("says once in the log that it has failed, until it works again", () =>
    logged((entries) =>
      Effect.gen(function* () {
        const hub = yield* Hub.make()
        const network = hubNetwork(hub)
        let isFull = true
        const kept = memory()
        const failure = Effect.fail(new HubStore.StoreUnavailable({ inUse: false, cause: "full" }))
        const store: HubStore.HubStore = {
          ...kept,
          reached: (topic, position) => Effect.suspend(() => (isFull ? failure : kept.reached(topic, position)))
        }
        const client = yield* HubClient.make(network.connect, { store })
        yield* listening(client.subscribe("t"))
        yield* turns
        const text = `{"type":"message","topic":"t","data":1,"from":"bob","time":1}`
        const say = Effect.andThen(hub.publish("t", text), turns)
        for (let i = 0; i < 3; i++) yield* say
        const before = warned(entries)
        isFull = false
        yield* say
        isFull = true
        yield* say
        return [before, warned(entries)]
      }).pipe(Effect.map((counts) => expect(counts).toEqual([1, 2])))
    )
  )

  it.effect("tells nothing of when something was said, where the clock was set back since", () =>
    Effect.gen(function* () {
      const network = hubNetwork(yield* Hub.make())
      const kept = memory()
      const key = { producer: "p", epoch: 0, sequence: 0 }
      yield* kept.keep({ topic: "t", dataJson: toJson(1), key, echo: true, at: 3_600_000, saidAt: 3_600_000 })
      const client = yield* HubClient.make(network.connect, { store: kept })
      const [outcome] = yield* Stream.runCollect(client.leftovers)
      expect(outcome!.result).toMatchObject(Result.fail({ reason: { _tag: "Uncertain" } }))
    })
  )
})
