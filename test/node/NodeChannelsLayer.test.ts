/** Django's own layers, in a process of its own, and ours at one Redis. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { expect, it } from "vitest"
import * as Hub from "@millrace/core/cluster/Hub"
import * as LayerMessage from "@millrace/core/interop/channels/LayerMessage"
import * as Value from "@millrace/core/interop/Value"
import * as NodeChannelsLayer from "@millrace/node/NodeChannelsLayer"
import { describeWithChannels, djangoProcess } from "../support/djangoChannels.ts"
import { eventually } from "../support/eventually.ts"
import { Listener } from "../support/members.ts"
import { asker } from "../support/redisLink.ts"
import { redisServer } from "../support/redisServer.ts"

const run = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>): Promise<A> => Effect.runPromise(Effect.scoped(effect))

/** Values that a listener has heard. */
const dataOf = (listener: Listener) => listener.texts.map((text) => (JSON.parse(text) as { data: unknown }).data)

const bytes = { bytes: "00ff" }

const many = (count: number): ReadonlyArray<Buffer> =>
  Array.from({ length: count }, (_, n) =>
    Buffer.from(Result.getOrThrow(LayerMessage.encode({ type: "chat.message", n })))
  )

/** Redis, a layer of ours that is connected, and a process of Django's in the group. */
const meeting = (kind: "pubsub" | "queue", options: NodeChannelsLayer.Options = {}) =>
  Effect.gen(function* () {
    const redis = yield* redisServer()
    const layer = yield* NodeChannelsLayer.make({ redis: redis.url, ...options })
    // Back when it is connected.
    yield* layer.listen("nobody")
    const django = yield* djangoProcess(kind, redis.url)
    yield* django.add("chat_lobby")
    return { redis, layer, django }
  })

describeWithChannels("The layer of pub/sub", () => {
  it("gets what a Django process sends to a group, in order", () =>
    run(
      Effect.gen(function* () {
        const { django, layer } = yield* meeting("pubsub")
        const received = yield* layer.listen("chat_lobby")
        const three = yield* Effect.forkChild(Stream.runCollect(Stream.take(received, 3)))
        yield* django.send("chat_other", { type: "a" })
        yield* django.send("chat_lobby", { type: "chat.message", text: "hé 🌊", n: [1, -2.5, null, true] })
        yield* django.send("chat_lobby", { type: "chat.bytes", raw: bytes })
        yield* django.send("chat_lobby", { type: "chat.end" })
        expect(yield* Fiber.join(three)).toEqual([
          { type: "chat.message", text: "hé 🌊", n: [1, -2.5, null, true] },
          { type: "chat.bytes", raw: new Uint8Array([0, 255]) },
          { type: "chat.end" }
        ])
      })
    ))

  it("sends to the consumers of a Django process, and says how many connections have it", () =>
    run(
      Effect.gen(function* () {
        const { django, layer } = yield* meeting("pubsub")
        const message = { type: "chat.message", text: "hé 🌊", n: [1, -2.5, null, true], raw: new Uint8Array([0, 255]) }
        expect(yield* layer.groupSend("chat_lobby", message)).toBe(1)
        expect(yield* layer.groupSend("chat_other", message)).toBe(0)
        expect(yield* django.receive).toEqual({ ...message, raw: bytes })
      })
    ))

  it("refuses names that no group has", () =>
    run(
      Effect.gen(function* () {
        const { layer } = yield* meeting("pubsub")
        const refused = { _tag: "UnsendableMessage" }
        expect(yield* Effect.flip(layer.groupSend("chat/lobby", { type: "a" }))).toMatchObject(refused)
        expect(yield* Effect.flip(layer.groupSendQueued("chat/lobby", { type: "a" }))).toMatchObject(refused)
      })
    ))

  it("passes over what is no message", () =>
    run(
      Effect.gen(function* () {
        const { django, layer, redis } = yield* meeting("pubsub")
        const received = yield* layer.listen("chat_lobby")
        const first = yield* Effect.forkChild(Stream.runCollect(Stream.take(received, 1)))
        const other = yield* asker(redis.port)
        yield* Effect.promise(() => other.publish("asgi__group__chat_lobby", "nonsense"))
        // Once they cannot read a message, layers of Django's go on, too.
        yield* django.send("chat_lobby", { type: "chat.end" })
        expect(yield* Fiber.join(first)).toEqual([{ type: "chat.end" }])
      })
    ))

  it("reads nothing while a group has as much as may wait, and goes on when that group is not listened to any more", () =>
    run(
      Effect.gen(function* () {
        const redis = yield* redisServer()
        const layer = yield* NodeChannelsLayer.make({ redis: redis.url, capacity: 10 })
        const own = yield* Scope.make()
        yield* Scope.provide(layer.listen("a", { whenFull: "Wait" }), own)
        const newest = yield* layer.listen("a")
        const other = yield* layer.listen("b")
        const client = yield* asker(redis.port)
        for (const message of many(50)) void client.publish("asgi__group__a", message)
        // As many have come as may wait.
        yield* Stream.runDrain(Stream.take(newest, 10))
        yield* Effect.promise(() => client.publish("asgi__group__b", many(1)[0]!))
        yield* Scope.close(own, Exit.void)
        expect(yield* Stream.runCollect(Stream.take(other, 1))).toEqual([{ type: "chat.message", n: 0 }])
      })
    ))

  it("fails while Redis is away, and goes on when it is back", () =>
    run(
      Effect.gen(function* () {
        const { layer, redis } = yield* meeting("pubsub")
        const received = yield* layer.listen("chat_lobby")
        const first = yield* Effect.forkChild(Stream.runCollect(Stream.take(received, 1)))
        yield* redis.kill
        expect(yield* Effect.flip(layer.groupSend("chat_lobby", { type: "lost" }))).toMatchObject({
          _tag: "BrokerError",
          reason: { _tag: "Unavailable" }
        })
        yield* redis.restart
        const send = Effect.flatMap(Effect.option(layer.groupSend("chat_lobby", { type: "found" })), (sent) =>
          sent._tag === "Some" && sent.value > 0 ? Effect.void : Effect.fail("not yet")
        )
        yield* Effect.retry(Effect.andThen(Effect.yieldNow, send), { times: 100_000 })
        expect(yield* Fiber.join(first)).toEqual([{ type: "found" }])
      })
    ))
})

describeWithChannels("The layer of queues", () => {
  it("is sent to as by Django: to each process once, for all its channels, until its queue is full", () =>
    run(
      Effect.gen(function* () {
        const { django, layer, redis } = yield* meeting("queue")
        const message = { type: "chat.message", text: "hé 🌊", raw: new Uint8Array([0, 255]) }
        expect(yield* layer.groupSendQueued("chat_lobby", message)).toEqual({ processes: 1, full: 0 })
        expect(yield* django.receive).toEqual({ ...message, raw: bytes })
        const second = yield* djangoProcess("queue", redis.url)
        yield* second.add("chat_lobby")
        const options = { capacity: 2 }
        expect(yield* layer.groupSendQueued("chat_lobby", { type: "1" }, options)).toEqual({ processes: 2, full: 0 })
        expect(yield* second.receive).toEqual({ type: "1" })
        const other = yield* asker(redis.port)
        const queues = yield* Effect.promise(() => other.keys("asgispecific.*"))
        for (const queue of queues) yield* Effect.promise(() => other.zadd(queue, 1e10, "a", 1e10, "b", 1e10, "c"))
        expect(yield* layer.groupSendQueued("chat_lobby", { type: "2" }, options)).toMatchObject({
          full: queues.length
        })
        expect(yield* layer.groupSendQueued("chat_nobody", { type: "1" })).toEqual({ processes: 0, full: 0 })
      })
    ))

  it("forgets channels that were added longer ago than a group lasts, and messages that have waited too long", () =>
    run(
      Effect.gen(function* () {
        const { layer, redis } = yield* meeting("queue")
        const other = yield* asker(redis.port)
        yield* Effect.promise(() =>
          other.zadd("asgi:group:old", 1, "specific.a!1", 9e9, "specific.b!1", 9e9, "specific.b!2")
        )
        yield* Effect.promise(() => other.zadd("asgispecific.b!", 1, "late"))
        expect(yield* layer.groupSendQueued("old", { type: "a" }, { capacity: 1 })).toEqual({ processes: 1, full: 0 })
        expect(yield* Effect.promise(() => other.exists("asgispecific.a!"))).toBe(0)
        expect(yield* Effect.promise(() => other.zcard("asgispecific.b!"))).toBe(1)
        expect(yield* Effect.promise(() => other.ttl("asgispecific.b!"))).toBeGreaterThan(50)
      })
    ))
})

describeWithChannels("A bridge", () => {
  it("brings what Django sends to the hub, and what is published there to Django, and nothing back", () =>
    run(
      Effect.gen(function* () {
        const { django, layer } = yield* meeting("pubsub")
        const hub = yield* Hub.make()
        yield* NodeChannelsLayer.bridge(layer, { hub, groups: { chat_lobby: "chat/lobby" } })
        const listener = new Listener()
        yield* hub.join("chat/lobby", listener)

        yield* django.send("chat_lobby", { type: "chat.message", text: "from Django" })
        expect(yield* django.receive).toEqual({ type: "chat.message", text: "from Django" })
        yield* eventually(() => listener.texts.length > 0)
        expect(JSON.parse(listener.texts[0]!)).toMatchObject({
          type: "message",
          topic: "chat/lobby",
          data: { type: "chat.message", text: "from Django" },
          from: "@django"
        })

        const said = { topic: "chat/lobby", from: "ann", time: 7 }
        const published = Value.toPublish({ text: "from the hub" }, said)
        yield* hub.publish("chat/lobby", yield* Effect.fromResult(published))
        expect(yield* django.receive).toMatchObject({
          type: "hub.message",
          topic: "chat/lobby",
          data: { text: "from the hub" },
          from: "ann",
          time: 7
        })
        // Nothing of it comes behind what is sent last, in either direction.
        yield* django.send("chat_lobby", { type: "chat.end" })
        expect(yield* django.receive).toEqual({ type: "chat.end" })
        yield* eventually(() => listener.texts.length >= 3)
        expect(dataOf(listener)).toEqual([
          { type: "chat.message", text: "from Django" },
          { text: "from the hub" },
          { type: "chat.end" }
        ])
      })
    ))

  it("loses nothing of what comes at once, however much it is", () =>
    run(
      Effect.gen(function* () {
        const redis = yield* redisServer()
        const layer = yield* NodeChannelsLayer.make({ redis: redis.url, capacity: 10 })
        const hub = yield* Hub.make()
        yield* NodeChannelsLayer.bridge(layer, { hub, groups: { chat_lobby: "chat/lobby" } })
        const listener = new Listener()
        yield* hub.join("chat/lobby", listener)
        const client = yield* asker(redis.port)
        const count = 2_000
        for (const message of many(count)) void client.publish("asgi__group__chat_lobby", message)
        yield* eventually(() => listener.texts.length === count)
        expect(dataOf(listener)).toEqual(Array.from({ length: count }, (_, n) => ({ type: "chat.message", n })))
      })
    ))

  it("says to Django what a program makes of it, and does not let a client choose the method", () =>
    run(
      Effect.gen(function* () {
        const { django, layer } = yield* meeting("pubsub")
        const hub = yield* Hub.make()
        yield* NodeChannelsLayer.bridge(layer, { hub, groups: { chat_lobby: "chat/lobby" } })
        yield* hub.publish("chat/lobby", '{"type":"websocket.disconnect","code":1000}')
        expect(yield* django.receive).toMatchObject({
          type: "hub.message",
          data: { type: "websocket.disconnect", code: 1000 }
        })
      })
    ))

  it("has functions for either direction, where nothing is nothing", () =>
    run(
      Effect.gen(function* () {
        const { django, layer } = yield* meeting("pubsub")
        const hub = yield* Hub.make()
        yield* NodeChannelsLayer.bridge(layer, {
          hub,
          groups: { chat_lobby: "chat/lobby" },
          toDjango: ({ value }) => (value === "no" ? undefined : { type: "chat.message", text: value }),
          toHub: ({ type, ...rest }) => (type === "chat.secret" ? undefined : rest["text"])
        })
        const listener = new Listener()
        yield* hub.join("chat/lobby", listener)
        yield* hub.publish("chat/lobby", '"no"')
        yield* hub.publish("chat/lobby", '"yes"')
        expect(yield* django.receive).toMatchObject({ type: "chat.message", text: "yes" })
        yield* django.send("chat_lobby", { type: "chat.secret", text: "no" })
        yield* django.send("chat_lobby", { type: "chat.message", text: "hello" })
        yield* eventually(() => listener.texts.length > 2)
        expect(listener.texts.slice(0, 2)).toEqual(['"no"', '"yes"'])
        expect(JSON.parse(listener.texts[2]!)).toMatchObject({ data: "hello" })
      })
    ))

  it("goes on when Redis was away", () =>
    run(
      Effect.gen(function* () {
        const { layer, redis } = yield* meeting("pubsub")
        const hub = yield* Hub.make()
        yield* NodeChannelsLayer.bridge(layer, { hub, groups: { chat_lobby: "chat/lobby" } })
        const received = yield* layer.listen("chat_lobby")
        const first = yield* Effect.forkChild(Stream.runCollect(Stream.take(received, 1)))
        yield* redis.restart
        yield* eventually(() => redis.isRunning)
        const other = yield* asker(redis.port)
        const listening = Effect.flatMap(
          Effect.promise(() => other.pubsub("NUMSUB", "asgi__group__chat_lobby")),
          (counts) => (Number((counts as ReadonlyArray<unknown>)[1]) === 1 ? Effect.void : Effect.fail("not yet"))
        )
        yield* Effect.retry(listening, { times: 100_000 })
        // The connection for commands may take a moment longer: what is said meanwhile is lost.
        const send = Effect.flatMap(Effect.option(layer.groupSend("nobody", { type: "a" })), (sent) =>
          sent._tag === "Some" ? Effect.void : Effect.fail("not yet")
        )
        yield* Effect.retry(Effect.andThen(Effect.yieldNow, send), { times: 100_000 })
        yield* hub.publish("chat/lobby", '"again"')
        expect(yield* Fiber.join(first)).toMatchObject([{ type: "hub.message", data: "again" }])
      })
    ))

  it("speaks to queues, too", () =>
    run(
      Effect.gen(function* () {
        const { django, layer } = yield* meeting("queue")
        const hub = yield* Hub.make()
        yield* NodeChannelsLayer.bridge(layer, { hub, groups: { chat_lobby: "chat/lobby" }, layer: "Queue" })
        yield* hub.publish("chat/lobby", '"hello"')
        expect(yield* django.receive).toEqual({ type: "hub.message", topic: "chat/lobby", data: "hello" })
      })
    ))

  it("is not made for names that cannot be", () =>
    run(
      Effect.gen(function* () {
        const layer = yield* NodeChannelsLayer.make({ redis: { port: 1 } })
        const hub = yield* Hub.make()
        for (const groups of [{ "a/b": "x" }, { a: "$x" }, { a: "x", b: "x" }]) {
          const exit = yield* Effect.exit(NodeChannelsLayer.bridge(layer, { hub, groups }))
          expect(String(exit)).toContain("TypeError")
        }
      })
    ))
})
