/** Both ends of a session, as two programs have them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import * as Contract from "@millrace/core/messaging/Contract"
import * as JsonCodec from "@millrace/core/messaging/JsonCodec"
import * as MessagePackCodec from "@millrace/core/messaging/MessagePackCodec"
import * as Repeats from "@millrace/core/messaging/Repeats"
import * as Session from "@millrace/core/messaging/Session"
import { start } from "../../support/connection.ts"
import { Chat, meet, reasonOf, silent, turn } from "../../support/session.ts"

describe("a session", () => {
  it.effect("lets both ends say, ask and stream, at the same time", () =>
    Effect.gen(function* () {
      const { client, server } = yield* meet(Chat)
      const said: Array<unknown> = []
      yield* start(
        server.handle({
          ...silent,
          say: (text) => server.emit("said", text.toUpperCase()),
          rename: (name) => Effect.map(server.request("confirm", name), (yes) => (yes ? name : "nobody")),
          count: (n) => Stream.range(1, n)
        })
      )
      yield* start(
        client.handle({
          said: (text) => Effect.sync(() => void said.push(text)),
          confirm: (name) => Effect.succeed(name === "ada"),
          ticks: () => Stream.make(1, 2, 3)
        })
      )
      yield* client.emit("say", "hello")
      assert.strictEqual(yield* client.request("rename", "ada"), "ada")
      assert.strictEqual(yield* client.request("rename", "bob"), "nobody")
      assert.deepStrictEqual(
        yield* Stream.runCollect(client.stream("count", 1_000)),
        Array.from({ length: 1_000 }, (_, i) => i + 1)
      )
      assert.deepStrictEqual(yield* Stream.runCollect(server.stream("ticks")), [1, 2, 3])
      assert.deepStrictEqual(said, ["HELLO"])
      assert.strictEqual(client.id, server.id)
    })
  )

  it.effect("gives the handler and every listener a message, the first listener also what came before", () =>
    Effect.gen(function* () {
      const { client, server } = yield* meet(Chat)
      yield* server.emit("said", "early")
      yield* turn
      const take = (count: number) => start(Stream.runCollect(Stream.take(client.events("said"), count)))
      const [one, two] = [yield* take(3), yield* take(2)]
      for (const text of ["a", "b"]) yield* server.emit("said", text)
      assert.deepStrictEqual(yield* Fiber.join(one), ["early", "a", "b"])
      assert.deepStrictEqual(yield* Fiber.join(two), ["a", "b"])
    })
  )

  it.effect("refuses what its contract has not, or does not encode, as the program's mistake", () =>
    Effect.gen(function* () {
      const { client, server } = yield* meet(Chat)
      for (const wrong of [
        client.emit("shout" as never),
        client.request("say" as never),
        client.emit("rename" as never)
      ]) {
        assert.match(String(yield* Effect.exit(wrong)), /the contract has no/)
      }
      assert.throws(() => client.stream("rename" as never), /the contract has no stream "rename"/)
      assert.strictEqual(yield* reasonOf(client.emit("say", 7 as never)), "Unencodable")
      assert.strictEqual(yield* reasonOf(client.emit("open", { n: 1n })), "Unencodable")
      assert.strictEqual(yield* reasonOf(client.request("any", { n: 1n })), "Unencodable")
      yield* turn
      assert.strictEqual(server.counters().malformed, 0)
    })
  )

  it.effect("slows the producer of a stream to the pace of its reader, and holds no more than the credit", () =>
    Effect.gen(function* () {
      const { client, server } = yield* meet(Chat)
      let [made, read, ended] = [0, 0, 0]
      const count = () =>
        Stream.ensuring(
          Stream.rechunk(Stream.forever(Stream.sync(() => ++made)), 1),
          Effect.sync(() => ended++)
        )
      yield* start(server.handle({ ...silent, count }))
      const slow = Stream.runForEach(client.stream("count", 0, { credit: 8 }), () =>
        Effect.andThen(
          turn,
          Effect.sync(() => read++)
        )
      )
      const reading = yield* start(slow)
      for (let i = 0; i < 40; i++) {
        yield* turn
        assert.isAtMost(made - read, 2 * 8 + 1)
      }
      assert.isAtLeast(read, 20)
      yield* Fiber.interrupt(reading)
      yield* turn
      assert.strictEqual(ended, 1)
    })
  )

  it.effect("ends in order for both when one closes it, and with the code otherwise", () =>
    Effect.gen(function* () {
      const told: Array<unknown> = []
      for (const code of [1_000, 4_000]) {
        const { client, server } = yield* meet(Chat)
        const events = yield* start(reasonOf(Stream.runDrain(client.events("said"))))
        const handling = yield* start(reasonOf(server.handle(silent)))
        const asked = yield* start(reasonOf(client.request("ping")))
        yield* turn
        yield* client.close(code, "bye")
        told.push(yield* Fiber.join(events), yield* Fiber.join(handling), yield* Fiber.join(asked))
        told.push(
          yield* reasonOf(client.emit("say", "late")),
          yield* reasonOf(Stream.runDrain(client.stream("count", 1)))
        )
      }
      assert.deepStrictEqual(told.slice(0, 5), [
        "succeeded",
        "succeeded",
        "Disconnected",
        "Disconnected",
        "Disconnected"
      ])
      assert.deepStrictEqual(new Set(told.slice(5)), new Set(["Disconnected"]))
    })
  )

  it.effect("speaks what the subprotocol says, and its first codec where it says nothing", () =>
    Effect.gen(function* () {
      const codecs = [JsonCodec.make(), MessagePackCodec.make()] as const
      assert.deepStrictEqual(Session.subprotocols(codecs), ["millrace.json", "millrace.msgpack"])
      const kinds: Array<string> = []
      for (const subprotocol of [undefined, "millrace.msgpack"]) {
        const { client, server } = yield* WebSocket.makePair()
        const wireOf = (end: WebSocket.WebSocket) =>
          new Proxy(end, { get: (of, key) => (key === "subprotocol" ? subprotocol : Reflect.get(of, key, of)) })
        const sent = (end: WebSocket.WebSocket): WebSocket.WebSocket =>
          new Proxy(wireOf(end), {
            get: (of, key) =>
              key === "send"
                ? (message: string) => {
                    kinds.push(typeof message)
                    return of.send(message)
                  }
                : Reflect.get(of, key, of)
          })
        const accepting = yield* start(Session.accept(Chat, wireOf(server), { codecs }))
        yield* Session.connect(Chat, sent(client), { codecs })
        yield* Fiber.join(accepting)
      }
      assert.deepStrictEqual(kinds, ["string", "object"])
    })
  )

  it.effect("says in what its handlers log of which session they are", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const logger = Logger.make<unknown, void>(({ fiber }) => {
        seen.push(fiber.getRef(References.CurrentLogAnnotations)["session"])
      })
      const { client, server } = yield* meet(Chat)
      const handlers = { ...silent, say: () => Effect.logInfo("said"), ping: () => Effect.die("no") }
      yield* start(Effect.provideService(server.handle(handlers), Logger.CurrentLoggers, new Set([logger])))
      yield* client.emit("say", "x")
      yield* reasonOf(client.request("ping"))
      assert.deepStrictEqual(seen, [server.id, server.id])
    })
  )
})

describe("two ends that ask one another", () => {
  it.effect("do not wait for one another to read, though a handler asks back and more is asked than may wait", () =>
    Effect.gen(function* () {
      const limits = { maxPending: 8 }
      const { client, server } = yield* meet(Chat, { client: { limits }, server: { limits } })
      const rename = (name: string) => Effect.as(Effect.orDie(server.request("confirm", name)), name)
      yield* start(server.handle({ ...silent, rename }))
      yield* start(client.handle({ confirm: () => Effect.succeed(true), ticks: () => Stream.never }))
      const names = Array.from({ length: 100 }, (_, i) => `n${i}`)
      const asked = yield* start(
        Effect.forEach(names, (name) => client.request("rename", name), { concurrency: "unbounded" })
      )
      for (let i = 0; i < 60; i++) yield* turn
      assert.isDefined(asked.pollUnsafe())
      assert.deepStrictEqual(yield* Fiber.join(asked), names)
    })
  )

  it.effect("both get through, with no room in any outbox", () =>
    Effect.gen(function* () {
      const wires = yield* WebSocket.makePair({ outboxBytes: 1, inboxBytes: 1 })
      const limits = { maxPending: 8 }
      const accepting = yield* start(Session.accept(Chat, wires.server, { limits }))
      const client = yield* Session.connect(Chat, wires.client, { limits })
      const server = yield* Fiber.join(accepting)
      yield* start(server.handle({ ...silent, rename: Effect.succeed }))
      yield* start(client.handle({ confirm: () => Effect.succeed(true), ticks: () => Stream.never }))
      const long = "x".repeat(10_000)
      const all = { concurrency: "unbounded" } as const
      const names = Array.from({ length: 300 }, (_, i) => `${i}${long}`)
      const one = yield* start(Effect.forEach(names, (name) => client.request("rename", name), all))
      const two = yield* start(Effect.forEach(names, (name) => server.request("confirm", name), all))
      for (let i = 0; i < 400 && (one.pollUnsafe() === undefined || two.pollUnsafe() === undefined); i++) yield* turn
      assert.isDefined(one.pollUnsafe())
      assert.isDefined(two.pollUnsafe())
    })
  )
})

const Pay = Contract.make("pay", {
  credentials: Schema.String,
  requests: {
    pay: { payload: Schema.ReadonlyMap(Schema.String, Schema.Number), success: Schema.Number, idempotent: true }
  }
})

/** A bank, and its clients one after the other, by their names. */
const bank = (authenticated: boolean) =>
  Effect.sync(() => {
    let paid = 0
    const waiting: Array<() => void> = []
    const repeats = new Repeats.Repeats()
    const pay = () =>
      Effect.callback<number>((resume) => {
        const sum = ++paid
        waiting.push(() => resume(Effect.succeed(sum)))
      })
    const connect = (name: string) =>
      Effect.gen(function* () {
        const wires = yield* WebSocket.makePair()
        const accepting = yield* start(
          Session.accept(Pay, wires.server, {
            authenticate: Effect.succeed,
            principal: (known: string) => (authenticated ? known : "")
          })
        )
        const client = yield* Session.connect(Pay, wires.client, { credentials: name })
        const server = yield* Fiber.join(accepting)
        yield* Effect.forkScoped(Effect.exit(server.handle({ pay })), { startImmediately: true })
        return client
      }).pipe(Effect.provideService(Repeats.Current, repeats))
    return { connect, go: () => waiting.splice(0).forEach((go) => go()), paid: () => paid }
  })

const amount = (value: number) => new Map([["amount", value]])

describe("a request that may be asked again", () => {
  it.effect("is done once, though its connection was lost while it was, and it is asked again on another", () =>
    Effect.gen(function* () {
      const { connect, go, paid } = yield* bank(true)
      const first = yield* connect("ada")
      const lost = yield* start(reasonOf(first.request("pay", amount(1), { key: "k" })))
      yield* turn
      yield* first.close()
      assert.strictEqual(yield* Fiber.join(lost), "Disconnected")
      const second = yield* connect("ada")
      const again = yield* start(second.request("pay", amount(1), { key: "k" }))
      yield* turn
      go()
      assert.strictEqual(yield* Fiber.join(again), 1)
      // What looks the same to JSON, once it is decoded, is another question.
      assert.strictEqual(yield* reasonOf(second.request("pay", amount(2), { key: "k" })), "Failed conflict")
      assert.strictEqual(paid(), 1)
    })
  )

  it.effect("is another one where somebody else asks it, if the server tells them apart", () =>
    Effect.gen(function* () {
      for (const authenticated of [true, false]) {
        const { connect, go, paid } = yield* bank(authenticated)
        for (const name of ["ada", "bob"]) {
          const client = yield* connect(name)
          const asked = yield* start(client.request("pay", amount(1), { key: "k" }))
          yield* turn
          go()
          yield* Fiber.join(asked)
        }
        assert.strictEqual(paid(), authenticated ? 2 : 1)
      }
    })
  )

  it.effect("has a key of its own each time that none is given", () =>
    Effect.gen(function* () {
      const { connect, go, paid } = yield* bank(true)
      const client = yield* connect("ada")
      for (let i = 0; i < 2; i++) {
        const asked = yield* start(client.request("pay", amount(1)))
        yield* turn
        go()
        yield* Fiber.join(asked)
      }
      assert.strictEqual(paid(), 2)
    })
  )
})

const handled = (session: Session.Server<typeof Chat>) => [
  session.handle(silent),
  // @ts-expect-error: "rename" and others are missing
  session.handle({ say: () => Effect.void }),
  // @ts-expect-error: nobody says "sya"
  session.handle({ ...silent, sya: () => Effect.void })
]

describe("handlers", () => {
  it("do not compile with one too few, nor with one for what nobody says", () => {
    assert.isFunction(handled)
  })
})

describe("a request", () => {
  it.effect("times out after as long as was said, or as the session has it", () =>
    Effect.gen(function* () {
      const { client, server } = yield* meet(Chat, { client: { limits: { requestTimeout: "2 seconds" } } })
      yield* start(server.handle(silent))
      const [own, other] = [
        yield* start(reasonOf(client.request("ping", undefined, { timeout: "1 second" }))),
        yield* start(reasonOf(client.request("ping")))
      ]
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(own), "RequestTimeout")
      assert.isUndefined(other.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(other), "RequestTimeout")
    })
  )
})
