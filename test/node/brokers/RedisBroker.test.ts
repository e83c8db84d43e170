/** Every publication is counted at both ends, whatever happens to Redis between them. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { expect, it } from "@effect/vitest"
import { Broker, type Delivery, type Gap, type Subscriber } from "@millrace/core/cluster/Broker"
import type { BrokerError } from "@millrace/core/cluster/BrokerError"
import * as Parcel from "@millrace/core/cluster/Parcel"
import type { Position } from "@millrace/core/cluster/Position"
import * as Message from "@millrace/core/protocol/Message"
import * as RedisBroker from "@millrace/node/brokers/RedisBroker"
import { cutting } from "../../support/cuttingProxy.ts"
import { describeWith } from "../../support/describeWith.ts"
import { eventually } from "../../support/eventually.ts"
import type { RealServer } from "../../support/realServer.ts"
import { asker, bytes, text } from "../../support/redisLink.ts"
import { redisServer } from "../../support/redisServer.ts"

const topics = ["a", "b", "c"]

const options = (url: string): RedisBroker.Options => ({
  url,
  // More than is published while one is away, however long that is on a busy machine: a gap would be told otherwise, rightly.
  retention: { maxEntries: 100_000 },
  callTimeout: 400,
  connectTimeout: 1_000,
  heartbeat: 200,
  publishTimeout: 3_000,
  reconnect: Schedule.spaced(20)
})

/** How a publication ended. */
interface Published {
  readonly topic: string
  readonly text: string
  readonly position: Position | undefined
  readonly outcome: "Acknowledged" | "NotPublished" | "Unknown" | "Rejected"
}

/** One that listens to all topics, and what it was told. */
class Ear implements Subscriber {
  readonly deliveries: Array<Delivery> = []
  readonly gaps: Array<Gap> = []
  private readonly heard = new Set<string>()
  /** Told twice. */
  readonly twice: Array<string> = []
  deliver(delivery: Delivery): void {
    this.deliveries.push(delivery)
    const name = `${delivery.topic} ${text(delivery.parcel.message.bytes)}`
    if (this.heard.has(name)) this.twice.push(name)
    this.heard.add(name)
  }
  lost(gap: Gap): void {
    this.gaps.push(gap)
  }
  has({ text, topic }: Published): boolean {
    return this.heard.has(`${topic} ${text}`)
  }
  /** Whether it was told that it may have missed this. */
  missed({ position, topic }: Published): boolean {
    return this.gaps.some(
      ({ from, to, topic: of }) =>
        of === topic &&
        (from?.epoch === position!.epoch
          ? position!.offset > from.offset && (to.epoch !== from.epoch || position!.offset <= to.offset)
          : from === undefined || (to.epoch === position!.epoch && position!.offset <= to.offset))
    )
  }
}

const publish = (broker: Broker["Service"], topic: string, words: string): Effect.Effect<Published> =>
  Effect.match(broker.publish(topic, Parcel.make(new Message.Text(bytes(words)))), {
    onSuccess: ({ position }) => ({ topic, text: words, position, outcome: "Acknowledged" as const }),
    onFailure: ({ reason }: BrokerError) => {
      const outcome = reason._tag === "Unavailable" ? reason.outcome : reason._tag
      if (outcome === "TooLarge" || outcome === "StaleKey") throw reason
      return { topic, text: words, position: undefined, outcome }
    }
  })

const expectAccounted = (published: ReadonlyArray<Published>, ear: Ear): void => {
  expect(ear.twice).toEqual([])
  for (const each of published) {
    if (each.outcome === "Acknowledged") expect([each, ear.has(each) || ear.missed(each)]).toEqual([each, true])
    else if (each.outcome !== "Unknown") expect([each, ear.has(each)]).toEqual([each, false])
  }
  for (const topic of topics) {
    let last: Position | undefined
    for (const { position } of ear.deliveries.filter((delivery) => delivery.topic === topic)) {
      if (last?.epoch === position.epoch) expect(position.offset).toBeGreaterThan(last.offset)
      last = position
    }
  }
}

interface Settings {
  /** Of who publishes. */
  readonly near?: Partial<RedisBroker.Options>
  /** Of who listens. */
  readonly far?: Partial<RedisBroker.Options>
}

/** Two nodes publish, and two listen, of which one is not touched; something happens to the server in the middle. */
const account = (
  server: RealServer,
  happens: Effect.Effect<unknown, never, Scope.Scope>,
  { far, near }: Settings = {}
) =>
  Effect.gen(function* () {
    const publishers = [
      yield* RedisBroker.make({ ...options(server.url), ...near }),
      yield* RedisBroker.make({ ...options(server.url), ...near })
    ]
    const listener = yield* RedisBroker.make({ ...options(server.url), ...far })
    const brokers = [...publishers, listener]
    const ears = brokers.map(() => new Ear())
    for (const [at, broker] of brokers.entries()) {
      const attachment = yield* broker.attach(ears[at]!)
      yield* eventually(() => broker.status()._tag === "Up")
      for (const topic of topics) yield* attachment.subscribe(topic)
    }
    const published: Array<Published> = []
    const state = { isOver: false }
    const publishing = (broker: Broker["Service"], name: string) =>
      Effect.gen(function* () {
        for (let i = 0; !state.isOver; i++) {
          const batch = topics.map((topic) => publish(broker, topic, `${name}${i}`))
          published.push(...(yield* Effect.all(batch, { concurrency: "unbounded" })))
          // While it is down, each is refused at once.
          if (broker.status()._tag !== "Up") yield* Effect.sleep(5)
        }
      })
    const acknowledged = () => published.filter(({ outcome }) => outcome === "Acknowledged").length
    const breaking = Effect.gen(function* () {
      yield* eventually(() => acknowledged() > 100)
      yield* Effect.scoped(happens)
      yield* eventually(() => brokers.every((broker) => broker.status()._tag === "Up"))
      const before = acknowledged()
      yield* eventually(() => acknowledged() > before + 100)
      state.isOver = true
    })
    yield* Effect.all([breaking, ...publishers.map((broker, at) => publishing(broker, `${at}.`))], {
      concurrency: "unbounded"
    })
    // Behind the last of each topic comes nothing more.
    for (const topic of topics) {
      let last = yield* publish(publishers[0]!, topic, "last 0")
      for (let i = 1; last.outcome !== "Acknowledged"; i++) last = yield* publish(publishers[0]!, topic, `last ${i}`)
      published.push(last)
      yield* eventually(() => ears.every((ear) => ear.has(last) || ear.missed(last)))
    }
    for (const ear of ears) expectAccounted(published, ear)
    return {
      acknowledged: acknowledged(),
      ears,
      gaps: ears.map(({ gaps }) => gaps.map(({ topic }) => topic).sort()),
      published
    }
  })

const key = (name: string) => `{millrace}:${name}`

const nobody = [[], [], []]
const everybody = [topics, topics, topics]

describeWith("redis-server")("RedisBroker", () => {
  it.live("is a layer, and goes up where there is a server", () =>
    Effect.gen(function* () {
      const { url } = yield* redisServer()
      yield* Effect.gen(function* () {
        const broker = yield* Broker
        expect([broker.name, broker.isLocal]).toEqual(["redis", false])
        yield* Stream.runHead(Stream.filter(broker.statuses, ({ _tag }) => _tag === "Up"))
        const { position } = yield* publish(broker, "a", "1")
        expect(yield* broker.position).toEqual(position)
      }).pipe(Effect.provide(Layer.fresh(RedisBroker.layer(options(url)))))
    })
  )

  it.live("has a status that says why, with a wrong password, and goes up when it is the right one", () =>
    Effect.gen(function* () {
      const server = yield* redisServer({ args: ["--requirepass", "old"] })
      const redis = yield* asker({ port: server.port, password: "old" })
      const broker = yield* RedisBroker.make({ ...options(server.url), connection: { password: "new" } })
      yield* eventually(() => broker.status()._tag === "Down")
      const status = broker.status()
      expect(status._tag === "Down" && status.error.message).toMatch(/^the broker refused: WRONGPASS/)
      yield* Effect.promise(() => redis.config("SET", "requirepass", "new"))
      yield* eventually(() => broker.status()._tag === "Up")
    })
  )

  it.live("brings three nodes to the same, in the same order", () =>
    Effect.gen(function* () {
      const server = yield* redisServer()
      const { acknowledged, ears, gaps, published } = yield* account(server, Effect.void)
      expect(gaps).toEqual(nobody)
      expect(acknowledged).toBe(published.length)
      for (const topic of topics) {
        const orders = ears.map(({ deliveries }) =>
          deliveries.flatMap((each) => (each.topic === topic ? [each.position.offset] : []))
        )
        expect(orders[1]).toEqual(orders[0])
        expect(orders[2]).toEqual(orders[0])
      }
      expect(ears.map(({ deliveries }) => deliveries.length)).toEqual([acknowledged, acknowledged, acknowledged])
    })
  )

  it.live(
    "tells a gap of each topic when Redis is killed and comes back with what it had on disk, or with nothing",
    () =>
      Effect.gen(function* () {
        const server = yield* redisServer({ args: ["--appendonly", "yes"] })
        expect((yield* account(server, server.restart)).gaps).toEqual(everybody)
        expect((yield* account(server, server.restartEmpty)).gaps).toEqual(everybody)
      })
  )

  it.live("tells a gap of each topic when somebody empties Redis", () =>
    Effect.gen(function* () {
      const server = yield* redisServer()
      const redis = yield* asker(server.port)
      const { gaps } = yield* account(
        server,
        Effect.promise(() => redis.flushall())
      )
      expect(gaps).toEqual(everybody)
    })
  )

  it.live("loses nothing silently, and goes on, whatever somebody else writes where the log is", () =>
    Effect.gen(function* () {
      const server = yield* redisServer()
      const redis = yield* asker(server.port)
      const born = () => redis.hget(key("log"), "born")
      const spoils: Record<string, () => Promise<unknown>> = {
        "a topic that is text": () => redis.set(key("topic:a"), "text"),
        "an entry that is none of ours": () => redis.xadd(key("topic:a"), "*", "one", "two"),
        "an entry behind all that come": () => redis.xadd(key("topic:a"), "9999999999999-1", "one", "two"),
        "a last that is a list": () => redis.multi().del(key("last:a")).lpush(key("last:a"), "1").exec(),
        "a last that is no number": async () => redis.set(key("last:a"), `${await born()} 1x`),
        "a last that is not there yet": async () => redis.set(key("last:a"), `${await born()} 9007199254740990`),
        "an epoch with a space": () => redis.hset(key("log"), "epoch", "one two"),
        "an epoch with a line end": () => redis.hset(key("log"), "epoch", "one\rtwo"),
        "an epoch that is nothing": () => redis.hset(key("log"), "epoch", ""),
        "an offset that is no number": () => redis.hset(key("log"), "offset", "x"),
        "an offset behind which there is none": () => redis.hset(key("log"), "offset", "9007199254740991"),
        "no offset": () => redis.hdel(key("log"), "offset"),
        "no time": () => redis.hset(key("log"), "time", "soon"),
        "news of no offset": async () => {
          const epoch = await redis.hget(key("log"), "epoch")
          await redis.publish(key("0:appended:a"), `${epoch} ${"9".repeat(400)} 0\n\u0001forged`)
        }
      }
      for (const [name, spoil] of Object.entries(spoils)) {
        const happens = Effect.promise(async () => {
          await spoil()
          await redis.call("CLIENT", "KILL", "TYPE", "pubsub")
        })
        const { acknowledged, ears } = yield* account(server, happens)
        expect([name, acknowledged > 200]).toEqual([name, true])
        for (const ear of ears) expect([name, ear.deliveries.length > 100]).toEqual([name, true])
        yield* Effect.promise(() => redis.flushall())
      }
    })
  )

  it.live("loses nothing when Redis stands still for longer than it is waited for, or pauses its clients", () =>
    Effect.gen(function* () {
      const server = yield* redisServer()
      const standstill = Effect.andThen(server.pause, Effect.andThen(Effect.sleep(1_500), server.resume))
      expect((yield* account(server, standstill)).gaps).toEqual(nobody)
      const redis = yield* asker(server.port)
      const pause = Effect.promise(() => redis.call("CLIENT", "PAUSE", "1000"))
      expect((yield* account(server, pause)).gaps).toEqual(nobody)
    })
  )

  it.live("loses nothing when either kind of connection is killed, again and again", () =>
    Effect.gen(function* () {
      const server = yield* redisServer()
      const redis = yield* asker(server.port)
      for (const kind of ["pubsub", "normal"]) {
        let killed = 0
        const killing = Effect.promise(() => redis.call("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")).pipe(
          Effect.tap((count) => Effect.sync(() => (killed += Number(count)))),
          Effect.andThen(Effect.sleep(10)),
          Effect.repeat({ while: () => killed < 15 })
        )
        expect((yield* account(server, killing)).gaps).toEqual(nobody)
      }
    })
  )

  it.live("loses nothing when the connections of who listens, or of who publishes, are cut wherever", () =>
    Effect.gen(function* () {
      const server = yield* redisServer()
      for (const who of ["far", "near"] as const) {
        // First while connecting, then ever later.
        const proxy = yield* cutting(server.port, 2_048)
        const cuts = eventually(() => proxy.connections() > 14)
        const { gaps } = yield* account(server, cuts, { [who]: { url: `redis://127.0.0.1:${proxy.port}` } })
        expect(proxy.connections()).toBeGreaterThan(14)
        expect(gaps).toEqual(nobody)
      }
    })
  )

  it.live("refuses while Redis is full, stays up, and loses nothing", () =>
    Effect.gen(function* () {
      const server = yield* redisServer()
      const redis = yield* asker(server.port)
      const broker = yield* RedisBroker.make(options(server.url))
      yield* eventually(() => broker.status()._tag === "Up")
      const { gaps, published } = yield* account(
        server,
        Effect.gen(function* () {
          yield* Effect.promise(() => redis.config("SET", "maxmemory", "1"))
          yield* Effect.sleep(300)
          expect((yield* publish(broker, "a", "full")).outcome).toBe("Rejected")
          expect(broker.status()._tag).toBe("Up")
          yield* Effect.promise(() => redis.config("SET", "maxmemory", "0"))
        })
      )
      expect(gaps).toEqual(nobody)
      expect(new Set(published.map(({ outcome }) => outcome))).toEqual(new Set(["Acknowledged", "Rejected"]))
    })
  )

  it.live("tells what was missed and is not kept any more", () =>
    Effect.gen(function* () {
      const server = yield* redisServer()
      const proxy = yield* cutting(server.port, 4_096)
      const retention = { maxEntries: 3 }
      const { gaps } = yield* account(
        server,
        eventually(() => proxy.connections() > 6),
        {
          near: { retention },
          far: { retention, url: `redis://127.0.0.1:${proxy.port}`, reconnect: Schedule.spaced(50) }
        }
      )
      expect(gaps.slice(0, 2)).toEqual([[], []])
      expect(gaps[2]!.length).toBeGreaterThan(0)
    })
  )

  it.live("leaves no connection behind, also when it is away", () =>
    Effect.gen(function* () {
      const server = yield* redisServer()
      const redis = yield* asker(server.port)
      const exit = yield* Effect.exit(
        Effect.scoped(
          Effect.gen(function* () {
            const broker = yield* RedisBroker.make(options(server.url))
            yield* eventually(() => broker.status()._tag === "Up")
            yield* server.pause
            yield* eventually(() => broker.status()._tag === "Down")
          })
        )
      )
      expect(Exit.isSuccess(exit)).toBe(true)
      yield* server.resume
      const alone = Effect.promise(() => redis.client("LIST")).pipe(
        Effect.repeat({ until: (list) => String(list).trim().split("\n").length === 1 })
      )
      yield* alone
    })
  )
})
