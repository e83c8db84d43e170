/** Every publication is counted at both ends, whatever happens to the server between them. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { jetstreamManager } from "@nats-io/jetstream"
import { connect, headers } from "@nats-io/transport-node"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { expect, it } from "vitest"
import { Broker, type Delivery, type Gap, type Subscriber } from "@millrace/core/cluster/Broker"
import type { BrokerError } from "@millrace/core/cluster/BrokerError"
import * as Parcel from "@millrace/core/cluster/Parcel"
import type { Position } from "@millrace/core/cluster/Position"
import * as Message from "@millrace/core/protocol/Message"
import * as NatsBroker from "@millrace/node/brokers/NatsBroker"
import * as NatsEngine from "@millrace/node/brokers/NatsEngine"
import { cutting } from "../../support/cuttingProxy.ts"
import { describeWith } from "../../support/describeWith.ts"
import { eventually } from "../../support/eventually.ts"
import { folder } from "../../support/folder.ts"
import { natsServer } from "../../support/natsServer.ts"
import type { RealServer } from "../../support/realServer.ts"

const topics = ["a", "b", "c"]

/** What a subscriber was told, in order. */
class Ledger implements Subscriber {
  readonly told: Array<Delivery | Gap> = []
  deliver(delivery: Delivery): void {
    this.told.push(delivery)
  }
  lost(gap: Gap): void {
    this.told.push(gap)
  }
  get deliveries(): ReadonlyArray<Delivery> {
    return this.told.filter((each): each is Delivery => "parcel" in each)
  }
  get gaps(): ReadonlyArray<Gap> {
    return this.told.filter((each): each is Gap => !("parcel" in each))
  }
  has(topic: string, text: string): boolean {
    return this.deliveries.some((delivery) => delivery.topic === topic && textOf(delivery) === text)
  }
}

const textOf = ({ parcel }: Delivery): string => new TextDecoder().decode(parcel.message.bytes)

/** How a publication ended. */
interface Published {
  readonly topic: string
  readonly text: string
  readonly position: Position | undefined
  readonly outcome: "Acknowledged" | "NotPublished" | "Unknown"
}

const options = (url: string): NatsBroker.Options => ({
  url,
  // More than is published while one is away, however long that is on a busy machine: a gap would be told otherwise, rightly.
  retention: { maxEntries: 100_000 },
  timeout: 2_000,
  callTimeout: 500,
  connectTimeout: 2_000,
  heartbeat: 200,
  publishTimeout: 3_000,
  reconnect: Schedule.spaced(20)
})

const run = <A>(effect: Effect.Effect<A, BrokerError, Scope.Scope>): Promise<A> =>
  Effect.runPromise(Effect.scoped(effect))

const publish = (broker: Broker["Service"], topic: string, text: string): Effect.Effect<Published, BrokerError> =>
  Effect.matchEffect(broker.publish(topic, Parcel.make(new Message.Text(new TextEncoder().encode(text)))), {
    onSuccess: ({ position }) => Effect.succeed({ topic, text, position, outcome: "Acknowledged" }),
    onFailure: (error) =>
      error.reason._tag === "Unavailable"
        ? Effect.succeed({ topic, text, position: undefined, outcome: error.reason.outcome })
        : Effect.fail(error)
  })

const isIn = ({ epoch, offset }: Position, { from, to }: Gap): boolean =>
  epoch === to.epoch
    ? offset <= to.offset && (from === undefined || from.epoch !== epoch || offset > from.offset)
    : from === undefined || (from.epoch === epoch && offset > from.offset)

/** Each that was acknowledged was told once, or lies in a gap; none that was not published was told; none twice. */
const expectAccounted = (published: ReadonlyArray<Published>, ledger: Ledger): void => {
  for (const { outcome, position, text, topic } of published) {
    const times = ledger.deliveries.filter((each) => each.topic === topic && textOf(each) === text).length
    if (outcome === "NotPublished") expect([topic, text, times]).toEqual([topic, text, 0])
    else if (outcome === "Unknown" || times === 1) expect(times).toBeLessThanOrEqual(1)
    else {
      const isTold = ledger.gaps.some((gap) => gap.topic === topic && isIn(position!, gap))
      expect({ topic, text, position, times, isTold }).toEqual({ topic, text, position, times: 0, isTold: true })
    }
  }
  // In the order of offsets, in each topic and epoch.
  for (const topic of topics) {
    const mine = ledger.deliveries.filter((each) => each.topic === topic)
    for (const epoch of new Set(mine.map(({ position }) => position.epoch))) {
      const offsets = mine.flatMap(({ position }) => (position.epoch === epoch ? [position.offset] : []))
      expect(offsets).toEqual([...new Set(offsets)].sort((one, other) => one - other))
    }
  }
  expect(ledger.deliveries.length).toBeGreaterThan(0)
}

/** Publishes on one node while another one listens, and something happens to the server in the middle. */
const account = (
  server: RealServer,
  happens: (server: RealServer) => Effect.Effect<void>,
  settings: { readonly far?: Partial<NatsBroker.Options>; readonly both?: Partial<NatsBroker.Options> } = {}
) =>
  Effect.gen(function* () {
    const near = yield* NatsBroker.make({ ...options(server.url), ...settings.both })
    const far = yield* NatsBroker.make({ ...options(server.url), ...settings.both, ...settings.far })
    const ledger = new Ledger()
    const attachment = yield* far.attach(ledger)
    for (const topic of topics) yield* attachment.subscribe(topic)
    const published: Array<Published> = []
    const state = { isOver: false }
    const publishing = Effect.gen(function* () {
      for (let i = 0; !state.isOver || i < 100; i++) {
        const batch = topics.map((topic) => publish(near, topic, `${i}`))
        published.push(...(yield* Effect.all(batch, { concurrency: "unbounded" })))
        // While it is down, each is refused at once. And who reads again from the start has to catch up with this.
        yield* Effect.sleep(near.status()._tag === "Up" ? 1 : 5)
      }
    })
    const breaking = Effect.gen(function* () {
      yield* eventually(() => ledger.deliveries.length > 50)
      yield* happens(server)
      yield* eventually(() => near.status()._tag === "Up")
      const before = published.length
      yield* eventually(() => published.slice(before).filter(({ outcome }) => outcome === "Acknowledged").length > 50)
      state.isOver = true
    })
    yield* Effect.all([publishing, breaking], { concurrency: "unbounded" })
    // Behind the last of each topic comes nothing more.
    for (const topic of topics) {
      let last = yield* publish(near, topic, "last 0")
      for (let i = 1; last.outcome !== "Acknowledged"; i++) last = yield* publish(near, topic, `last ${i}`)
      published.push(last)
      yield* eventually(
        () =>
          ledger.has(topic, last.text) || ledger.gaps.some((gap) => gap.topic === topic && isIn(last.position!, gap))
      )
    }
    expectAccounted(published, ledger)
    const acknowledged = published.filter(({ outcome }) => outcome === "Acknowledged").length
    return { ledger, published, acknowledged, far }
  })

/** What an operator does to the stream. */
const operate = (url: string, what: "delete" | "purge") =>
  Effect.promise(async () => {
    const nats = await connect({ servers: url, reconnect: false })
    const jsm = await jetstreamManager(nats)
    await jsm.streams[what](await jsm.streams.find("millrace.log.>"))
    await nats.close()
  })

describeWith("nats-server")("NatsBroker", () => {
  it("is a layer, and goes up where there is a server", () =>
    run(
      Effect.gen(function* () {
        const server = yield* natsServer()
        yield* Effect.gen(function* () {
          const broker = yield* Broker
          expect([broker.name, broker.isLocal]).toEqual(["nats", false])
          yield* Stream.runHead(Stream.filter(broker.statuses, ({ _tag }) => _tag === "Up"))
          const published = yield* publish(broker, "a", "1")
          expect(yield* broker.position).toEqual(published.position)
        }).pipe(Effect.provide(Layer.fresh(NatsBroker.layer(options(server.url)))))
      })
    ))

  it("says the longest names that it takes, and refuses longer ones without an end of the link", () =>
    run(
      Effect.gen(function* () {
        const server = yield* natsServer()
        const broker = yield* NatsBroker.make({ ...options(server.url), prefix: "p".repeat(64) })
        yield* eventually(() => broker.status()._tag === "Up")
        const up = broker.status()
        const ledger = new Ledger()
        const { subscribe } = yield* broker.attach(ledger)
        const longest = "é".repeat(NatsEngine.maxNameBytes / 2)
        yield* subscribe(longest)
        yield* Effect.scoped(broker.hear(longest, () => {}))
        expect(yield* publish(broker, longest, "1")).toMatchObject({ outcome: "Acknowledged" })
        yield* eventually(() => ledger.has(longest, "1"))
        const missed = yield* broker.since([longest], undefined)
        expect(missed.entries.length).toBe(1)
        for (const name of [`${longest}a`, "x".repeat(4_000), "\ud800"]) {
          for (const call of [Effect.asVoid(subscribe(name)), Effect.asVoid(publish(broker, name, "2"))]) {
            const said = Effect.match(call, { onFailure: ({ reason }) => reason._tag, onSuccess: () => "Succeeded" })
            expect(yield* said).toBe("Rejected")
          }
        }
        yield* publish(broker, longest, "3")
        expect(broker.status()).toBe(up)
      })
    ))

  it("takes what somebody else says in the server's place for no place in the log, now and when it comes back", () =>
    run(
      Effect.gen(function* () {
        const server = yield* natsServer()
        const broker = yield* NatsBroker.make(options(server.url))
        yield* eventually(() => broker.status()._tag === "Up")
        const ledger = new Ledger()
        const { subscribe } = yield* broker.attach(ledger)
        yield* subscribe("a")
        yield* publish(broker, "a", "1")
        yield* Effect.promise(async () => {
          const nats = await connect({ servers: server.url, reconnect: false })
          const stream = await (await jetstreamManager(nats)).streams.find("millrace.log.>")
          for (const sequence of ["", "x", "-1", "1.5", "1e400", "9007199254740993"]) {
            for (const fields of [
              { "Nats-Stream": stream, "Nats-Sequence": sequence, "Nats-Last-Sequence": "0" },
              { "Nats-Stream": stream, "Nats-Sequence": "2", "Nats-Last-Sequence": sequence || "?" }
            ]) {
              const head = headers()
              for (const [name, value] of Object.entries(fields)) head.set(name, value)
              nats.publish("millrace.live.YQ", "forged", { headers: head })
            }
          }
          await nats.flush()
          await nats.close()
        })
        yield* server.restart
        yield* eventually(() => broker.status()._tag === "Up")
        yield* publish(broker, "a", "2")
        yield* eventually(() => ledger.has("a", "2"))
        expect(ledger.deliveries.map(({ position }) => position.offset)).toEqual([1, 2])
        expect(ledger.gaps).toEqual([])
      })
    ))

  it("loses nothing when the server is killed and comes back with its store", () =>
    run(
      Effect.gen(function* () {
        const server = yield* natsServer()
        const { acknowledged, ledger } = yield* account(server, (server) => server.restart)
        expect(ledger.gaps).toEqual([])
        expect(ledger.deliveries.length).toBeGreaterThanOrEqual(acknowledged)
      })
    ))

  it("tells a gap of each topic when the server comes back with nothing", () =>
    run(
      Effect.gen(function* () {
        const server = yield* natsServer()
        const { ledger } = yield* account(server, (server) => server.restartEmpty)
        expect(ledger.gaps.map(({ topic }) => topic).sort()).toEqual(topics)
      })
    ))

  it("loses nothing when the server stands still for longer than it is waited for", () =>
    run(
      Effect.gen(function* () {
        const server = yield* natsServer()
        const { ledger } = yield* account(server, (server) =>
          Effect.andThen(server.pause, Effect.andThen(Effect.sleep(1_500), server.resume))
        )
        expect(ledger.gaps).toEqual([])
      })
    ))

  it("loses nothing when the connection of who listens is cut again and again", () =>
    run(
      Effect.gen(function* () {
        const server = yield* natsServer()
        const proxy = yield* cutting(server.port, 65_536)
        const { ledger } = yield* account(server, () => eventually(() => proxy.connections() > 6), {
          far: { url: `nats://127.0.0.1:${proxy.port}` }
        })
        expect(proxy.connections()).toBeGreaterThan(6)
        expect(ledger.gaps).toEqual([])
      })
    ))

  it("loses nothing, and publishes nothing twice, when the connection of who publishes is cut", () =>
    run(
      Effect.gen(function* () {
        const server = yield* natsServer()
        const proxy = yield* cutting(server.port, 4_096)
        const { ledger } = yield* account(server, () => eventually(() => proxy.connections() > 6), {
          both: { url: `nats://127.0.0.1:${proxy.port}` },
          far: { url: server.url }
        })
        expect(ledger.gaps).toEqual([])
      })
    ))

  it("tells a gap of each topic when the stream is deleted", () =>
    run(
      Effect.gen(function* () {
        const server = yield* natsServer()
        const { ledger } = yield* account(server, ({ url }) => operate(url, "delete"))
        expect(new Set(ledger.gaps.map(({ topic }) => topic))).toEqual(new Set(topics))
      })
    ))

  it("loses nothing of what is listened to when the stream is purged", () =>
    run(
      Effect.gen(function* () {
        const server = yield* natsServer()
        const { ledger } = yield* account(server, ({ url }) => operate(url, "purge"))
        expect(ledger.gaps).toEqual([])
      })
    ))

  it("tells what was missed and is not kept any more", () =>
    run(
      Effect.gen(function* () {
        const server = yield* natsServer()
        const proxy = yield* cutting(server.port, 4_096)
        const { ledger } = yield* account(server, () => eventually(() => proxy.connections() > 3), {
          both: { retention: { maxEntries: 5 } },
          far: { url: `nats://127.0.0.1:${proxy.port}`, reconnect: Schedule.spaced(100) }
        })
        expect(ledger.gaps.length).toBeGreaterThan(0)
      })
    ))

  it("tells what was pushed out by bytes while who listens was away", () =>
    run(
      Effect.gen(function* () {
        const server = yield* natsServer()
        const proxy = yield* cutting(server.port, 4_096)
        const { ledger } = yield* account(server, () => eventually(() => proxy.connections() > 3), {
          both: { maxLogBytes: 4_000 },
          far: { url: `nats://127.0.0.1:${proxy.port}`, reconnect: Schedule.spaced(100) }
        })
        expect(ledger.gaps.length).toBeGreaterThan(0)
      })
    ))

  it("is down where the server refuses it, says why, and goes up when it does not any more", () =>
    run(
      Effect.gen(function* () {
        const path = join(yield* folder, "nats.conf")
        const configure = (password: string) =>
          writeFileSync(path, `authorization { user: ada, password: ${password} }\njetstream: enabled`)
        configure("other")
        const server = yield* natsServer({ args: ["--config", path] })
        const broker = yield* NatsBroker.make(options(server.url.replace("//", "//ada:right@")))
        yield* eventually(() => broker.status()._tag === "Down")
        expect(broker.status()).toMatchObject({ error: { reason: { _tag: "Rejected" } } })
        expect(yield* publish(broker, "a", "1")).toMatchObject({ outcome: "NotPublished" })
        configure("right")
        yield* server.restart
        yield* eventually(() => broker.status()._tag === "Up")
        expect(yield* publish(broker, "a", "1")).toMatchObject({ outcome: "Acknowledged" })
      })
    ))
})
