import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { BrokerError, Unavailable } from "@millrace/core/cluster/BrokerError"
import * as Hub from "@millrace/core/cluster/Hub"
import { Rejection } from "@millrace/core/cluster/HubAccess"
import * as HubClient from "@millrace/core/cluster/HubClient"
import type { HubClientError } from "@millrace/core/cluster/HubClientError"
import { HubPresence } from "@millrace/core/cluster/HubPresence"
import * as HubStore from "@millrace/core/cluster/HubStore"
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"
import * as Target from "@millrace/core/cluster/Target"
import { counted, start } from "../../support/connection.ts"
import { hubNetwork, listening, turns, words } from "../../support/hubNetwork.ts"
import { cluster } from "../../support/presences.ts"
import { Network } from "../../support/returning.ts"

/** Why it fails, by the tag of its reason. */
const reasonOf = <A>(effect: Effect.Effect<A, HubClientError>) =>
  Effect.match(effect, { onSuccess: () => "succeeded", onFailure: ({ reason }) => reason._tag as string })

/** A hub in memory, and a client of it that has connected. */
const world = (options?: Omit<HubClient.Options, "store">, serving?: Parameters<typeof hubNetwork>[1]) =>
  Effect.gen(function* () {
    const hub = yield* Hub.make()
    const network = hubNetwork(hub, serving)
    const client = yield* HubClient.make(network.connect, options)
    yield* turns
    const say = (topic: string, data: unknown) =>
      Effect.andThen(
        hub.publish(
          topic,
          `{"type":"message","topic":"${topic}","data":${JSON.stringify(data)},"from":"bob","time":1}`
        ),
        turns
      )
    return { hub, network, client, say }
  })

/** Nobody may do anything with this topic. */
const no = (_: unknown, topic: string) =>
  topic === "locked" ? Effect.fail(new Rejection({ message: "not you" })) : Effect.void

/** A hub that hears everything and answers nothing. */
const mute = () => {
  const network = new Network()
  network.serve = ({ server }) =>
    Effect.andThen(server.send('{"type":"welcome","client":"ada","protocol":1}'), Effect.never)
  return network
}

/** Lets it come back. */
const later = Effect.andThen(TestClock.adjust("1 second"), turns)

describe("A client of the hub", () => {
  it.effect("hears what it and others publish, and is told that the hub has it", () =>
    Effect.gen(function* () {
      const { client } = yield* world()
      const { heard } = yield* listening(client.subscribe("lobby"))
      yield* turns
      const receipt = yield* client.publish("lobby", { text: "hello" })
      yield* turns
      expect(receipt).toMatchObject({ receivers: 1, repeated: false })
      expect(words(heard)).toEqual(["Subscribed", { text: "hello" }])
      expect(heard[1]).toMatchObject({ topic: "lobby", from: "ada", position: receipt.position })
      expect(yield* client.name).toBe("ada")
      expect(Duration.toMillis(yield* client.ping)).toBe(0)
    })
  )

  it.effect("comes back to where each stream was, and says again what was not answered", () =>
    Effect.gen(function* () {
      const { client, network, say } = yield* world()
      const { heard } = yield* listening(client.subscribe("lobby"))
      yield* turns
      yield* client.publish("lobby", 1)
      network.last.cut()
      yield* say("lobby", 2)
      const asked = yield* start(client.publish("lobby", 3))
      yield* later
      expect((yield* Fiber.join(asked)).repeated).toBe(false)
      yield* turns
      expect(words(heard)).toEqual(["Subscribed", 1, 2, 3])
      expect(network.attempts).toBe(2)
    })
  )

  it.effect("gives a second stream what is new, or what it wants of before, and the first nothing twice", () =>
    Effect.gen(function* () {
      const { client, say } = yield* world()
      const first = yield* listening(client.subscribe("lobby"))
      yield* turns
      yield* say("lobby", 1)
      yield* say("lobby", 2)
      const second = yield* listening(client.subscribe("lobby"))
      const { position } = first.heard[1] as HubClient.Message
      const third = yield* listening(client.subscribe("lobby", { position }))
      yield* turns
      yield* say("lobby", 3)
      expect(words(first.heard)).toEqual(["Subscribed", 1, 2, 3])
      expect(words(second.heard)).toEqual(["Subscribed", 3])
      expect(words(third.heard)).toEqual(["Subscribed", 2, 3])
    })
  )

  it.effect("leaves a topic with its last stream", () =>
    Effect.gen(function* () {
      const { client, hub } = yield* world()
      const first = yield* listening(client.subscribe("lobby"))
      const second = yield* listening(client.subscribe("lobby"))
      yield* turns
      yield* Fiber.interrupt(first.fiber)
      yield* turns
      expect(hub.members("lobby")).toBe(1)
      yield* Fiber.interrupt(second.fiber)
      yield* turns
      expect(hub.members("lobby")).toBe(0)
    })
  )

  it.effect("is held up by no stream that is not pulled, which gets everything later", () =>
    Effect.gen(function* () {
      const { client, hub } = yield* world({ capacity: 2 })
      const held = yield* Stream.toPull(client.subscribe("slow"))
      yield* held
      const other = yield* listening(client.subscribe("other"))
      yield* turns
      for (let i = 0; i < 9; i++) {
        yield* client.publish("slow", i)
        yield* client.publish("other", i)
      }
      yield* turns
      expect(hub.members("slow")).toBe(0)
      expect(words(other.heard)).toEqual(["Subscribed", 0, 1, 2, 3, 4, 5, 6, 7, 8])
      const got: Array<unknown> = []
      while (got.length < 9) {
        got.push(...words(yield* held))
        yield* turns
      }
      expect(got).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8])
    })
  )

  it.effect("ends the streams of a topic that it is taken out of, behind what came before, and may come back", () =>
    Effect.gen(function* () {
      const { client, hub, say } = yield* world()
      const first = yield* listening(client.subscribe("lobby"))
      yield* turns
      yield* say("lobby", 1)
      yield* hub.kick(Target.topic("lobby"), "lobby", "be nice")
      expect(words(first.heard)).toEqual(["Subscribed", 1])
      const exit = yield* Fiber.join(first.fiber)
      expect(yield* reasonOf(Effect.suspend(() => exit))).toBe("Kicked")
      const second = yield* listening(client.subscribe("lobby"))
      yield* turns
      yield* say("lobby", 2)
      expect(words(second.heard)).toEqual(["Subscribed", 2])
    })
  )

  it.effect("follows where it is moved, and comes back there", () =>
    Effect.gen(function* () {
      const { client, hub, network, say } = yield* world()
      const { heard } = yield* listening(client.subscribe("lobby"))
      yield* turns
      yield* hub.move(Target.topic("lobby"), "lobby", "attic")
      yield* turns
      yield* say("attic", 1)
      network.last.cut()
      yield* say("attic", 2)
      yield* say("lobby", "elsewhere")
      yield* later
      expect(words(heard)).toEqual(["Subscribed", "Moved", 1, 2])
      expect(heard[1]).toMatchObject({ topic: "attic", from: "lobby" })
      expect(hub.members("lobby")).toBe(0)
    })
  )

  it.effect("fails who may not, and nobody else", () =>
    Effect.gen(function* () {
      const { client } = yield* world({}, { authorize: { join: no, publish: no } })
      const { heard } = yield* listening(client.subscribe("open"))
      expect(yield* reasonOf(Stream.runDrain(client.subscribe("locked")))).toBe("Refused")
      expect(yield* reasonOf(client.publish("locked", 1))).toBe("Refused")
      yield* client.publish("open", 1)
      yield* turns
      expect(words(heard)).toEqual(["Subscribed", 1])
    })
  )

  it.effect("says nothing that cannot be said", () =>
    Effect.gen(function* () {
      const { client, network } = yield* world({ maxMessageBytes: 300 })
      const deep = JSON.parse("[".repeat(64) + "]".repeat(64)) as unknown
      for (const data of [1n, undefined, deep, "x".repeat(300)]) {
        expect(yield* reasonOf(client.publish("t", data))).toBe("Unsayable")
      }
      for (const topic of ["", "$hub", "a\nb", "x".repeat(257)]) {
        expect(yield* reasonOf(client.publish(topic, 1))).toBe("Unsayable")
        expect(yield* reasonOf(Stream.runDrain(client.subscribe(topic)))).toBe("Unsayable")
        expect(yield* reasonOf(client.present(topic))).toBe("Unsayable")
      }
      yield* client.publish("t", JSON.parse("[".repeat(63) + "]".repeat(63)))
      expect(network.attempts).toBe(1)
    })
  )

  it.effect("tells who is there, and what changes, to the streams that want to know", () =>
    Effect.gen(function* () {
      const { all } = yield* cluster(1)
      const hub = yield* Hub.make()
      const fork = Effect.runForkWith(yield* Effect.context<never>())
      const shown = new HubPresence(all[0]!.presence, (effect) => void fork(effect))
      const ada = yield* HubClient.make(hubNetwork(hub, { presence: shown, user: "ada" }).connect)
      const bob = yield* HubClient.make(hubNetwork(hub, { presence: shown, user: "bob" }).connect)
      const { heard } = yield* listening(ada.subscribe("lobby", { presence: { info: { mood: "fine" } } }))
      const plain = yield* listening(ada.subscribe("lobby"))
      yield* turns
      const { fiber } = yield* listening(bob.subscribe("lobby", { presence: true }))
      yield* turns
      yield* Fiber.interrupt(fiber)
      yield* turns
      yield* TestClock.adjust("6 seconds")
      yield* turns
      expect(words(heard)).toEqual(["Subscribed", "Present", "Joined", "Left"])
      expect(heard[1]).toMatchObject({ users: [{ user: "ada", info: { mood: "fine" } }] })
      expect(heard[3]).toMatchObject({ user: { user: "bob" } })
      expect(words(plain.heard)).toEqual(["Subscribed"])
      expect((yield* bob.present("lobby")).count).toEqual({ users: 1, connections: 1 })
    })
  )

  it.effect("tells that nobody is shown, and gives messages all the same", () =>
    Effect.gen(function* () {
      const { client, say } = yield* world()
      const { heard } = yield* listening(client.subscribe("lobby", { presence: true }))
      yield* turns
      yield* say("lobby", 1)
      expect(words(heard)).toEqual(["Subscribed", "NoPresence", 1])
      expect(yield* reasonOf(client.present("lobby"))).toBe("Refused")
    })
  )

  it.effect("says again what the hub's broker could not take, in order, when it is back", () =>
    Effect.gen(function* () {
      const broker = yield* MemoryBroker.make()
      let isAway = true
      const away = new BrokerError({ reason: new Unavailable({ outcome: "NotPublished", cause: "down" }) })
      const hub = yield* Hub.on({
        ...broker,
        publish: (topic, parcel) => (isAway ? Effect.fail(away) : broker.publish(topic, parcel))
      })
      const client = yield* HubClient.make(hubNetwork(hub).connect)
      const asked = yield* start(
        Effect.all(
          [1, 2, 3].map((data) => client.publish("t", data)),
          { concurrency: 3 }
        )
      )
      yield* turns
      yield* TestClock.adjust("5 seconds")
      yield* turns
      isAway = false
      yield* TestClock.adjust("8 seconds")
      yield* turns
      const receipts = yield* Fiber.join(asked)
      expect(receipts.map(({ position }) => position!.offset)).toEqual([1, 2, 3])
    })
  )

  it.effect("publishes in the order of the calls, no more than it may at a time", () =>
    Effect.gen(function* () {
      const { client } = yield* world({ maxUnanswered: 2 })
      const all = Array.from({ length: 20 }, (_, i) => client.publish("t", i))
      const receipts = yield* Effect.all(all, { concurrency: "unbounded" })
      expect(receipts.map(({ position }) => position!.offset)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
    })
  )

  it.effect("does not publish what was given up before it was said", () =>
    Effect.gen(function* () {
      const { client, network } = yield* world()
      network.last.cut()
      yield* turns
      const asked = yield* start(client.publish("t", "given up"))
      yield* Fiber.interrupt(asked)
      yield* later
      expect((yield* client.publish("t", "said")).position!.offset).toBe(1)
    })
  )

  it.effect("does not say again what the hub may have forgotten, and says what it never said", () =>
    Effect.gen(function* () {
      const network = mute()
      const client = yield* HubClient.make(network.connect)
      yield* turns
      const said = yield* start(reasonOf(client.publish("t", 1)))
      yield* turns
      network.answer = () => Effect.never
      network.last.cut()
      yield* turns
      const unsaid = yield* start(client.publish("t", 2))
      yield* TestClock.adjust("119 seconds")
      expect(said.pollUnsafe()).toBeUndefined()
      yield* TestClock.adjust("2 seconds")
      yield* turns
      expect(yield* Fiber.join(said)).toBe("Uncertain")
      expect(unsaid.pollUnsafe()).toBeUndefined()
      network.answer = () => Effect.void
      network.serve = hubNetwork(yield* Hub.make()).serve
      yield* TestClock.adjust("1 minute")
      yield* turns
      expect((yield* Fiber.join(unsaid)).position!.offset).toBe(1)
    })
  )

  it.effect("gives up a hub that owes an answer and says nothing", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const network = mute()
      const client = yield* HubClient.make(network.connect)
      yield* turns
      const asked = yield* start(client.publish("t", 1))
      yield* turns
      network.serve = hubNetwork(hub).serve
      yield* TestClock.adjust("12 seconds")
      expect(network.attempts).toBe(1)
      yield* TestClock.adjust("20 seconds")
      yield* turns
      expect((yield* Fiber.join(asked)).position!.offset).toBe(1)
    })
  )

  it.effect("stops before a hub of another protocol", () =>
    Effect.gen(function* () {
      const network = mute()
      network.serve = ({ server }) =>
        Effect.andThen(server.send('{"type":"welcome","client":"ada","protocol":2}'), Effect.never)
      const client = yield* HubClient.make(network.connect)
      const asked = yield* start(reasonOf(client.publish("t", 1)))
      const stream = yield* start(reasonOf(Stream.runDrain(client.subscribe("t"))))
      const named = yield* start(reasonOf(client.name))
      yield* turns
      for (const fiber of [asked, stream, named]) expect(yield* Fiber.join(fiber)).toBe("Stopped")
      expect(yield* reasonOf(client.publish("t", 2))).toBe("Stopped")
      expect((yield* client.state)._tag).toBe("Stopped")
    })
  )

  it.effect("leaves nothing behind: no fiber and no timer", () =>
    counted((running) =>
      Effect.gen(function* () {
        const hub = yield* Hub.make()
        const network = hubNetwork(hub)
        yield* turns
        const before = { ...running }
        const scope = yield* Scope.make()
        const client = yield* Scope.provide(HubClient.make(network.connect), scope)
        const { fiber } = yield* listening(client.subscribe("t"))
        yield* turns
        yield* client.publish("t", 1)
        network.last.cut()
        const asked = yield* start(reasonOf(client.publish("t", 2)))
        yield* turns
        yield* Scope.close(scope, Exit.void)
        expect(yield* Fiber.join(asked)).toBe("Stopped")
        yield* Fiber.join(fiber)
        yield* turns
        expect({ ...running }).toEqual(before)
        expect(hub.members("t")).toBe(0)
      })
    )
  )
})

describe("What outlives a client of the hub", () => {
  it.effect("are publications, which are said before anything new, and what becomes of them", () =>
    Effect.gen(function* () {
      const store = HubStore.memory()
      const scope = yield* Scope.make()
      const first = yield* Scope.provide(HubClient.make(mute().connect, { store }), scope)
      yield* turns
      for (const data of [1, 2]) yield* start(Effect.exit(first.publish("t", data)))
      yield* turns
      yield* Scope.close(scope, Exit.void)
      const hub = yield* Hub.make()
      const second = yield* HubClient.make(hubNetwork(hub).connect, { store })
      const receipt = yield* second.publish("t", 3)
      const outcomes = yield* Stream.runCollect(second.leftovers)
      expect(outcomes.map(({ data }) => data)).toEqual([1, 2])
      expect(outcomes.map(({ result }) => Result.getOrThrow(result).position!.offset)).toEqual([1, 2])
      expect(receipt.position!.offset).toBe(3)
      yield* turns
      expect((yield* store.load).unanswered).toEqual([])
    })
  )

  it.effect("is said a day later when it never was, and not when it may have been", () =>
    Effect.gen(function* () {
      const store = HubStore.memory()
      const scope = yield* Scope.make()
      const network = mute()
      const first = yield* Scope.provide(HubClient.make(network.connect, { store }), scope)
      yield* turns
      yield* start(Effect.exit(first.publish("t", "said")))
      yield* turns
      network.answer = () => Effect.never
      network.last.cut()
      yield* turns
      yield* start(Effect.exit(first.publish("t", "unsaid")))
      yield* turns
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust("1 day")
      const second = yield* HubClient.make(hubNetwork(yield* Hub.make()).connect, { store })
      const outcomes = yield* Stream.runCollect(second.leftovers)
      expect(
        outcomes.map(({ data, result }) => [data, Result.isSuccess(result) ? "published" : result.failure.reason._tag])
      ).toEqual([
        ["said", "Uncertain"],
        ["unsaid", "published"]
      ])
    })
  )

  it.effect("is where the program was, and nothing that it has dealt with comes again", () =>
    Effect.gen(function* () {
      const store = HubStore.memory()
      const hub = yield* Hub.make()
      const say = (data: number) =>
        hub.publish("t", `{"type":"message","topic":"t","data":${data},"from":"bob","time":1}`)
      const scope = yield* Scope.make()
      const first = yield* Scope.provide(HubClient.make(hubNetwork(hub).connect, { store }), scope)
      const one = yield* listening(first.subscribe("t"))
      yield* turns
      for (const data of [1, 2]) yield* say(data)
      yield* turns
      yield* Scope.close(scope, Exit.void)
      yield* say(3)
      const second = yield* HubClient.make(hubNetwork(hub).connect, { store })
      const two = yield* listening(second.subscribe("t"))
      yield* turns
      expect([words(one.heard), words(two.heard)]).toEqual([
        ["Subscribed", 1, 2],
        ["Subscribed", 3]
      ])
      yield* Fiber.interrupt(two.fiber)
      yield* second.forget("t")
      yield* say(4)
      const three = yield* listening(second.subscribe("t"))
      yield* turns
      expect(words(three.heard)).toEqual(["Subscribed"])
    })
  )

  it.effect("knows of the last that the program has dealt with before there is another", () =>
    Effect.gen(function* () {
      const store = HubStore.memory()
      const hub = yield* Hub.make({ history: { epoch: "e" } })
      const client = yield* HubClient.make(hubNetwork(hub).connect, { store })
      yield* listening(client.subscribe("t"))
      yield* turns
      yield* hub.publish("t", `{"type":"message","topic":"t","data":1,"from":"bob","time":1}`)
      yield* turns
      expect([...(yield* store.load).positions]).toEqual([["t", "e:1"]])
    })
  )

  it.effect("is bounded: what the store has no room for is not said", () =>
    Effect.gen(function* () {
      const store = HubStore.memory(1)
      const client = yield* HubClient.make(mute().connect, { store })
      yield* turns
      yield* start(Effect.exit(client.publish("t", 1)))
      yield* turns
      expect(yield* reasonOf(client.publish("t", 2))).toBe("StoreFull")
    })
  )
})
