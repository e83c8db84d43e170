/** The emitter of Socket.IO itself, at a real Redis. */
import { Emitter } from "@socket.io/redis-emitter"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { expect, it } from "vitest"
import * as Hub from "@millrace/core/cluster/Hub"
import * as Target from "@millrace/core/cluster/Target"
import * as Value from "@millrace/core/interop/Value"
import type { Message } from "@millrace/core/protocol/Message"
import * as SocketIoEmitters from "@millrace/node/SocketIoEmitters"
import { describeWith } from "../support/describeWith.ts"
import { eventually } from "../support/eventually.ts"
import { asker } from "../support/redisLink.ts"
import { redisServer } from "../support/redisServer.ts"

const run = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>): Promise<A> => Effect.runPromise(Effect.scoped(effect))

/** A member with the values that it has heard. */
class Ear {
  readonly heard: Array<unknown> = []
  readonly from = new Set<string | undefined>()
  readonly id: string | undefined

  constructor(id?: string) {
    this.id = id
  }

  tryWriteUnsafe({ message }: { readonly message: Message }): "Written" {
    const { from, value } = Value.ofMessage(message)
    this.heard.push(value)
    this.from.add(from)
    return "Written"
  }

  readonly close = () => Effect.void
}

/** Those of a hub that listens to emitters, each in its topics; and an emitter. */
const meeting = (members: Readonly<Record<string, ReadonlyArray<string>>>, options: SocketIoEmitters.Options = {}) =>
  Effect.gen(function* () {
    const redis = yield* redisServer()
    const hub = yield* Hub.make()
    yield* SocketIoEmitters.listen({ redis: redis.url, ...options }, hub)
    const ears: Record<string, Ear> = {}
    for (const [name, topics] of Object.entries(members)) {
      const ear = new Ear(name)
      ears[name] = ear
      for (const topic of topics) yield* hub.join(topic, ear)
    }
    const client = yield* asker(redis.port)
    return { redis, hub, ears, client, emitter: new Emitter(client) }
  })

const all = "/#"

describeWith("redis-server")("Emitters of Socket.IO", () => {
  it("reach the topic of a room, which keeps what they said", () =>
    run(
      Effect.gen(function* () {
        const { ears, emitter, hub } = yield* meeting({ ann: ["lobby"], bob: ["hall", all] })
        emitter.to("lobby").emit("said", "hé 🌊", { n: [1, -2.5, null, true] })
        emitter.to("lobby").emit("end")
        yield* eventually(() => ears["ann"]!.heard.length === 2)
        expect(ears["ann"]!.heard).toEqual([["said", "hé 🌊", { n: [1, -2.5, null, true] }], ["end"]])
        expect([...ears["ann"]!.from]).toEqual(["@socket.io"])
        expect(ears["bob"]!.heard).toEqual([])
        const { entries } = yield* hub.since(["lobby"], { epoch: (yield* hub.broker.position).epoch, offset: 0 })
        expect(entries.length).toBe(2)
      })
    ))

  it("reach who is in several rooms once, and nobody who is in one that is left out", () =>
    run(
      Effect.gen(function* () {
        const { ears, emitter } = yield* meeting({
          ann: ["lobby", "hall", all],
          bob: ["hall", all],
          cem: ["lobby", "quiet", all],
          dan: [all]
        })
        emitter.to(["lobby", "hall"]).emit("1")
        emitter.to("lobby").to("hall").except("quiet").emit("2")
        emitter.to("lobby").except(["quiet", "hall"]).emit("3")
        emitter.except("quiet").emit("4")
        emitter.emit("5")
        yield* eventually(() => Object.values(ears).every(({ heard }) => heard.flat().includes("5")))
        expect(Object.entries(ears).map(([name, { heard }]) => [name, heard.flat().join("")])).toEqual([
          ["ann", "1245"],
          ["bob", "1245"],
          ["cem", "15"],
          ["dan", "45"]
        ])
      })
    ))

  it("say bytes", () =>
    run(
      Effect.gen(function* () {
        const { ears, emitter } = yield* meeting({ ann: ["lobby"] })
        emitter.to("lobby").emit("up", Buffer.from([0, 255]), { more: Buffer.from("a") })
        yield* eventually(() => ears["ann"]!.heard.length > 0)
        expect(ears["ann"]!.heard).toEqual([["up", new Uint8Array([0, 255]), { more: new Uint8Array([97]) }]])
      })
    ))

  it("say times, which are text as from Socket.IO's own servers", () =>
    run(
      Effect.gen(function* () {
        const { ears, emitter } = yield* meeting({ ann: ["lobby"] })
        const times = ["1970-01-01T00:00:00.000Z", "2026-11-24T04:22:03.017Z", "1969-07-20T20:17:40.250Z"]
        emitter
          .to("lobby")
          .emit("at", ...times.map((time) => ({ time: new Date(time) })), new Date("9999-12-31T23:59:59.999Z"))
        yield* eventually(() => ears["ann"]!.heard.length > 0)
        const more = "9999-12-31T23:59:59.999Z"
        expect(ears["ann"]!.heard).toEqual([["at", ...times.map((time) => ({ time })), more]])
      })
    ))

  it("have rooms of their own in each namespace", () =>
    run(
      Effect.gen(function* () {
        const { ears, emitter } = yield* meeting({ main: ["lobby", all], admin: ["/admin#lobby", "/admin#"] })
        emitter.of("/admin").to("lobby").emit("1")
        emitter.of("admin").emit("2")
        emitter.of("/other").emit("nobody")
        emitter.to("lobby").emit("3")
        emitter.of("/admin").emit("end")
        yield* eventually(() => ears["admin"]!.heard.length === 3)
        expect(ears["admin"]!.heard.flat()).toEqual(["1", "2", "end"])
        expect(ears["main"]!.heard.flat()).toEqual(["3"])
      })
    ))

  it("speak to one socket by its id", () =>
    run(
      Effect.gen(function* () {
        const id = "abcdefghijklmnopqrs-_7"
        const { ears, emitter } = yield* meeting({ [id]: ["lobby"], ann: ["lobby"] })
        emitter.to(id).emit("1")
        emitter.to("lobby").except(id).emit("2")
        emitter.to("lobby").emit("end")
        yield* eventually(() => ears["ann"]!.heard.length === 2)
        expect(ears["ann"]!.heard.flat()).toEqual(["2", "end"])
        expect(ears[id]!.heard.flat()).toEqual(["1", "end"])
      })
    ))

  it("have rooms that a function maps, and a key of their own", () =>
    run(
      Effect.gen(function* () {
        const { client, ears, emitter } = yield* meeting(
          { ann: ["room/lobby"], bob: ["x"] },
          { key: "my*app", target: (_, room) => (room === "bob" ? Target.member("bob") : `room/${room ?? "all"}`) }
        )
        const own = new Emitter(client, { key: "my*app" })
        emitter.to("lobby").emit("of another key")
        new Emitter(client, { key: "my-app" }).to("lobby").emit("of another key")
        own.to("bob").emit("1")
        own.to("lobby").emit("2")
        yield* eventually(() => ears["ann"]!.heard.length > 0)
        expect(ears["ann"]!.heard.flat()).toEqual(["2"])
        expect(ears["bob"]!.heard.flat()).toEqual(["1"])
      })
    ))

  it("hold nobody up by what cannot be published", () =>
    run(
      Effect.gen(function* () {
        const { client, ears, emitter } = yield* meeting({ ann: ["lobby"] })
        yield* Effect.promise(() => client.publish("socket.io#/#lobby#", "nonsense"))
        emitter.to("lobby").emit("more than is safe", 2 ** 60)
        emitter.to("$hub").emit("to a topic of the hub's own")
        emitter.to(["$hub", "lobby"]).emit("1")
        emitter.to("lobby").emit("end")
        yield* eventually(() => ears["ann"]!.heard.length === 2)
        expect(ears["ann"]!.heard.flat()).toEqual(["1", "end"])
      })
    ))

  it("lose nothing by saying more at once than waits to be published", () =>
    run(
      Effect.gen(function* () {
        const { client, ears, emitter } = yield* meeting({ ann: ["lobby"] }, { capacity: 10 })
        const count = 2_000
        for (let i = 0; i < count; i++) emitter.to("lobby").emit("said", i)
        yield* Effect.promise(() => client.ping())
        yield* eventually(() => ears["ann"]!.heard.length === count)
        expect(ears["ann"]!.heard).toEqual(Array.from({ length: count }, (_, i) => ["said", i]))
      })
    ))

  it("are heard again when Redis was away", () =>
    run(
      Effect.gen(function* () {
        const { ears, redis } = yield* meeting({ ann: ["lobby"] })
        yield* redis.restart
        const client = yield* asker(redis.port)
        const heard = Effect.flatMap(
          Effect.promise(() => client.pubsub("NUMPAT")),
          (count) => (Number(count) === 1 ? Effect.void : Effect.fail("not yet"))
        )
        yield* Effect.retry(heard, { times: 100_000 })
        new Emitter(client).to("lobby").emit("again")
        yield* eventually(() => ears["ann"]!.heard.length > 0)
        expect(ears["ann"]!.heard).toEqual([["again"]])
      })
    ))

  it("are not waited for by who is refused", () =>
    run(
      Effect.gen(function* () {
        const redis = yield* redisServer({
          args: ["--user", "default", "on", "nopass", "~*", "resetchannels", "+@all"]
        })
        const hub = yield* Hub.make()
        expect(yield* Effect.flip(SocketIoEmitters.listen({ redis: redis.url }, hub))).toMatchObject({
          _tag: "BrokerError",
          reason: { _tag: "Rejected" }
        })
      })
    ))
})
