/** Sessions over any contract, and in any history. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import * as Transport from "@millrace/core/connection/Transport"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import * as Contract from "@millrace/core/messaging/Contract"
import * as JsonCodec from "@millrace/core/messaging/JsonCodec"
import type { MessageCodec } from "@millrace/core/messaging/MessageCodec"
import * as MessagePackCodec from "@millrace/core/messaging/MessagePackCodec"
import * as Repeats from "@millrace/core/messaging/Repeats"
import * as Session from "@millrace/core/messaging/Session"
import { counted, over, start, turn, world } from "../../support/connection.ts"
import { logged } from "../../support/logged.ts"
import { reasonOf, turn as turns } from "../../support/session.ts"
import * as schemas from "../../support/schemas.ts"

// Any contract.

/** JSON has no -0. */
const hasMinusZero = (value: unknown): boolean => {
  if (typeof value === "number") return Object.is(value, -0)
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return false
  const parts: Iterable<unknown> = value instanceof Map || value instanceof Set ? value : Object.values(value)
  return [...parts].some(hasMinusZero)
}

/** A schema with some values of it. */
const filled = schemas.shapes
  .chain((shape) => fc.array(shape.values, { minLength: 1, maxLength: 4 }).map((values) => ({ shape, values })))
  .filter(({ values }) => !hasMinusZero(values))

const codecs: ReadonlyArray<MessageCodec> = [JsonCodec.make({ maxAttachments: 10_000 }), MessagePackCodec.make()]

describe("a contract of any schemas", () => {
  it("lets everything that is said arrive as it was, in both directions, by both codecs", () =>
    fc.assert(
      fc.asyncProperty(filled, filled, filled, fc.constantFrom(...codecs), async (one, two, three, codec) => {
        const contract = Contract.make("any", {
          events: { e: one.shape.schema },
          commands: { c: two.shape.schema },
          requests: { r: { payload: one.shape.schema, success: two.shape.schema, error: three.shape.schema } },
          streams: { s: { payload: two.shape.schema, element: three.shape.schema, error: one.shape.schema } }
        })
        const heard = await world(
          Effect.gen(function* () {
            const pair = yield* WebSocket.makePair()
            const accepting = yield* start(Session.accept(contract, pair.server, { codecs: [codec] }))
            const client = yield* Session.connect(contract, pair.client, { codecs: [codec] })
            const server = yield* Fiber.join(accepting)
            const at = { commands: [] as Array<unknown>, requests: [] as Array<unknown>, streams: [] as Array<unknown> }
            const handlers = {
              c: (value: unknown) => Effect.sync(() => void at.commands.push(value)),
              r: (value: unknown) => {
                const n = at.requests.push(value)
                return n > two.values.length ? Effect.fail(three.values[0]) : Effect.succeed(two.values[n - 1])
              },
              s: (value: unknown) => {
                at.streams.push(value)
                return Stream.concat(Stream.fromArray(three.values), Stream.fail(one.values[0]))
              }
            }
            yield* start(server.handle(handlers as never))
            const events = yield* start(Stream.runCollect(Stream.take(client.events("e"), one.values.length)))
            for (const value of one.values) yield* server.emit("e", value as never)
            for (const value of two.values) yield* client.emit("c", value as never)
            const answers: Array<unknown> = []
            const ask = (value: unknown) => client.request("r", value as never)
            for (let i = 0; i < two.values.length; i++) answers.push(yield* ask(one.values[0]))
            const error = yield* Effect.flip(ask(one.values[0]))
            const elements: Array<unknown> = []
            const stream = Stream.runForEach(client.stream("s", two.values[0] as never, { credit: 2 }), (element) =>
              Effect.sync(() => void elements.push(element))
            )
            const end = yield* Effect.flip(stream)
            assert.deepStrictEqual(server.counters(), client.counters())
            return { ...at, events: yield* Fiber.join(events), answers, error, elements, end }
          })
        )
        assert.deepStrictEqual(heard, {
          commands: two.values,
          requests: Array.from({ length: two.values.length + 1 }, () => one.values[0]),
          streams: [two.values[0]],
          events: one.values,
          answers: two.values,
          error: three.values[0],
          elements: three.values,
          end: one.values[0]
        })
      }),
      { numRuns: 100 }
    ))
})

// Any history.

const Model = Contract.make("model", {
  events: { said: Schema.Number },
  commands: { say: Schema.Number },
  requests: {
    ask: { payload: Schema.Number, success: Schema.Number, error: Schema.String },
    once: { payload: Schema.Number, success: Schema.Number, error: Schema.String, idempotent: true }
  },
  streams: { count: { payload: Schema.Number, element: Schema.Number, error: Schema.String } }
})

type Outcome = "succeed" | "fail" | "die" | "never"

/** What is done, one after the other, by a program at the client's end. */
type Step =
  | { readonly _tag: "Ask"; readonly outcome: Outcome; readonly slow: boolean }
  /** Idempotent, with one of few keys. */
  | { readonly _tag: "Once"; readonly key: number; readonly outcome: Outcome; readonly slow: boolean }
  | {
      readonly _tag: "Open"
      readonly length: number
      readonly take: number
      readonly credit: number
      readonly slow: boolean
    }
  /** Interrupts a question that was asked, if it waits. */
  | { readonly _tag: "Cancel"; readonly which: number }
  /** Lets a handler that waits go on. */
  | { readonly _tag: "Go"; readonly which: number }
  | { readonly _tag: "Say" }
  | { readonly _tag: "Tell" }
  | { readonly _tag: "Turn" }
  | { readonly _tag: "Wait"; readonly millis: number }
  /** The connection is lost, or closed, and there is another one. */
  | { readonly _tag: "Resume"; readonly cut: boolean }

const outcome = fc.constantFrom<Outcome>("succeed", "fail", "die", "never")
const some = fc.nat({ max: 30 })

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ _tag: fc.constant("Ask" as const), outcome, slow: fc.boolean() }) },
  {
    weight: 4,
    arbitrary: fc.record({ _tag: fc.constant("Once" as const), key: fc.nat({ max: 3 }), outcome, slow: fc.boolean() })
  },
  {
    weight: 2,
    arbitrary: fc.record({
      _tag: fc.constant("Open" as const),
      length: fc.nat({ max: 20 }),
      take: fc.constantFrom(1, 3, Infinity),
      credit: fc.constantFrom(1, 2, 7),
      slow: fc.boolean()
    })
  },
  { weight: 2, arbitrary: fc.record({ _tag: fc.constant("Cancel" as const), which: some }) },
  { weight: 4, arbitrary: fc.record({ _tag: fc.constant("Go" as const), which: some }) },
  { weight: 2, arbitrary: fc.constant({ _tag: "Say" as const }) },
  { weight: 2, arbitrary: fc.constant({ _tag: "Tell" as const }) },
  { weight: 3, arbitrary: fc.constant({ _tag: "Turn" as const }) },
  {
    weight: 1,
    arbitrary: fc.record({ _tag: fc.constant("Wait" as const), millis: fc.constantFrom(1, 1_000, 40_000) })
  },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Resume" as const), cut: fc.boolean() }) }
)

const history = fc.record({
  steps: fc.array(step, { maxLength: 40 }),
  concurrency: fc.constantFrom<number | "unbounded">(1, 2, "unbounded"),
  maxPending: fc.constantFrom(2, 5, 1_024),
  outboxBytes: fc.constantFrom(1, 200, 1_048_576)
})

type History = typeof history extends fc.Arbitrary<infer H> ? H : never

/** What a question may come to, by what its handler does. */
const expected = { succeed: "succeeded", fail: "no", die: "Failed defect", never: "" } as const

/** A question, as the model knows it. */
interface Asked {
  readonly outcome: Outcome
  readonly fiber: Fiber.Fiber<Came>
  /** In which connection it was asked, by their count. */
  readonly link: number
  /** Whether there is anything to wait for. */
  readonly mayWait: boolean
  wasCancelled: boolean
}

/** What a question came to, after how many milliseconds, and in which connection. */
interface Came {
  readonly to: unknown
  readonly after: number
  readonly link: number
}

/** All that may have become of a question. */
const agrees = ({ link, mayWait, outcome, wasCancelled }: Asked, exit: Exit.Exit<Came>): boolean => {
  if (!Exit.isSuccess(exit)) return wasCancelled
  const { after, to } = exit.value
  if (to === "Disconnected") return exit.value.link > link
  if (to === "RequestTimeout") return mayWait && after === 30_000
  return to === expected[outcome] && after <= 30_000
}

const all = (count: number) => Array.from({ length: count }, (_, i) => i + 1)

const live = ({ concurrency, maxPending, outboxBytes, steps }: History) =>
  counted((running) =>
    Effect.gen(function* () {
      const before = { ...running }
      const repeats = new Repeats.Repeats({ age: "1 day" })
      const limits = { maxPending }
      const isHeldUp = concurrency !== "unbounded" || maxPending < 1_024
      let links = 0
      const waiting: Array<() => void> = []
      /** How often each key's handler began. */
      const begun = new Map<number, number>()
      const asked: Array<Asked> = []
      const streams: Array<{
        readonly fiber: Fiber.Fiber<Came>
        readonly got: Array<number>
        readonly length: number
        readonly take: number
      }> = []
      const [commands, events]: [Array<number>, Array<number>] = [[], []]
      let [said, told] = [0, 0]

      const work = (outcome: Outcome, slow: boolean, n: number) => {
        const come = Effect.suspend(() =>
          outcome === "succeed"
            ? Effect.succeed(n)
            : outcome === "fail"
              ? Effect.fail("no")
              : outcome === "die"
                ? Effect.die("dead")
                : Effect.never
        )
        if (!slow) return come
        return Effect.andThen(
          Effect.callback<void>((resume) => void waiting.push(() => resume(Effect.void))),
          come
        )
      }
      // What a handler is to do goes with the number that it is asked for.
      const plans: Array<{ readonly outcome: Outcome; readonly slow: boolean }> = []
      const planned = (n: number) => plans[n]!
      const onceOf = (key: number) => {
        begun.set(key, (begun.get(key) ?? 0) + 1)
        const { outcome, slow } = planned(key)
        // One that never ends would hold its place for ever: that is its right, and no leak.
        return work(outcome === "never" ? "succeed" : outcome, slow, key)
      }

      const connect = Effect.gen(function* () {
        const scope = yield* Scope.make()
        const [near, far] = Transport.makePair()
        const opening = Effect.gen(function* () {
          const wires = {
            client: yield* over(near, "client", { outboxBytes }),
            server: yield* over(far, "server", { outboxBytes })
          }
          const accepting = yield* start(Session.accept(Model, wires.server, { limits }))
          const client = yield* Session.connect(Model, wires.client, { limits })
          const server = yield* Fiber.join(accepting)
          yield* Effect.forkScoped(
            Effect.exit(
              server.handle(
                {
                  say: (n) => Effect.sync(() => void commands.push(n)),
                  ask: (n) => work(planned(n).outcome, planned(n).slow, n),
                  once: onceOf,
                  count: (length) => Stream.range(1, length)
                },
                { concurrency }
              )
            ),
            { startImmediately: true }
          )
          yield* Effect.forkScoped(
            Effect.exit(Stream.runForEach(client.events("said"), (n) => Effect.sync(() => void events.push(n)))),
            { startImmediately: true }
          )
          return { client, server, near, wires }
        })
        const opened = yield* opening.pipe(Scope.provide(scope), Effect.provideService(Repeats.Current, repeats))
        return { ...opened, scope }
      })

      const outcomeOf = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<Came> =>
        Effect.gen(function* () {
          const began = yield* Clock.currentTimeMillis
          const to = yield* reasonOf(effect)
          return { to, after: (yield* Clock.currentTimeMillis) - began, link: links }
        })

      let link = yield* connect
      for (const next of steps) {
        const { client, server } = link
        switch (next._tag) {
          case "Ask": {
            // Behind those of the keys.
            const n = Math.max(plans.length, 4)
            plans[n] = next
            const mayWait = isHeldUp || next.slow || next.outcome === "never"
            const fiber = yield* start(outcomeOf(client.request("ask", n)))
            asked.push({ outcome: next.outcome, fiber, link: links, mayWait, wasCancelled: false })
            break
          }
          case "Once": {
            const { key } = next
            plans[key] ??= next
            const fiber = yield* start(outcomeOf(client.request("once", key, { key: `key ${key}` })))
            const { outcome, slow } = plans[key]
            asked.push({
              outcome: outcome === "never" ? "succeed" : outcome,
              fiber,
              link: links,
              mayWait: isHeldUp || slow,
              wasCancelled: false
            })
            break
          }
          case "Open": {
            const got: Array<number> = []
            const stream = Stream.take(client.stream("count", next.length, { credit: next.credit }), next.take)
            const read = Stream.runForEach(stream, (n) =>
              Effect.andThen(
                next.slow ? turn : Effect.void,
                Effect.sync(() => void got.push(n))
              )
            )
            streams.push({ fiber: yield* start(outcomeOf(read)), got, length: next.length, take: next.take })
            break
          }
          case "Cancel":
            if (asked.length > 0) {
              const given = asked[next.which % asked.length]!
              given.wasCancelled = true
              yield* Fiber.interrupt(given.fiber)
            }
            break
          case "Go":
            waiting.splice(next.which % Math.max(1, waiting.length), 1)[0]?.()
            break
          case "Say":
            yield* start(Effect.ignore(client.emit("say", ++said)))
            break
          case "Tell":
            yield* start(Effect.ignore(server.emit("said", ++told)))
            break
          case "Turn":
            yield* turn
            break
          case "Wait":
            yield* TestClock.adjust(next.millis)
            break
          case "Resume": {
            links++
            if (next.cut) link.near.destroy()
            const closing = yield* start(Scope.close(link.scope, Exit.void))
            yield* turns
            yield* TestClock.adjust("6 seconds")
            yield* Fiber.join(closing)
            link = yield* connect
          }
        }
      }

      // To the end: every handler that may goes on, and every question times out.
      for (let i = 0; i < 4; i++) {
        for (const go of waiting.splice(0)) go()
        yield* turns
      }
      yield* TestClock.adjust("31 seconds")
      for (const go of waiting.splice(0)) go()
      yield* turns
      const counters = [link.client.counters(), link.server.counters()]
      const closing = yield* start(Scope.close(link.scope, Exit.void))
      yield* turns
      yield* TestClock.adjust("6 seconds")
      yield* Fiber.join(closing)
      for (const go of waiting.splice(0)) go()
      yield* turns

      for (const question of asked) {
        const exit = question.fiber.pollUnsafe()
        assert.isDefined(exit, "a question has no end")
        assert.isTrue(agrees(question, exit), JSON.stringify({ ...question, fiber: undefined, exit }))
      }
      for (const [key, times] of begun) assert.isAtMost(times, 1, `the handler of key ${key} ran ${times} times`)
      for (const { fiber, got, length, take } of streams) {
        const exit = fiber.pollUnsafe()
        assert.isDefined(exit, "a stream has no end")
        assert.deepStrictEqual(
          got,
          Array.from({ length: got.length }, (_, i) => i + 1)
        )
        const { to } = Exit.isSuccess(exit) ? exit.value : { to: "interrupted" }
        if (to === "succeeded") assert.strictEqual(got.length, Math.min(length, take))
        // Of more than may be open at a time, some are refused.
        else assert.include(maxPending < 1_024 ? ["Disconnected", "Failed unavailable"] : ["Disconnected"], to)
      }
      for (const [heard, count] of [
        [commands, said],
        [events, told]
      ] as const) {
        assert.isTrue(
          heard.every((n, i) => n <= count && (i === 0 || n > heard[i - 1]!)),
          `out of order: ${heard}`
        )
      }
      if (links === 0) assert.deepStrictEqual(events, all(told))
      if (links === 0 && !isHeldUp) assert.deepStrictEqual(commands, all(said))
      assert.isAtMost(repeats.size, 4)
      assert.strictEqual((Reflect.get(repeats, "asked") as Map<string, unknown>).size, 0)
      for (const { foreign, malformed, undecodable, unknown } of counters) {
        assert.deepStrictEqual(
          { foreign, malformed, undecodable, unknown },
          { foreign: 0, malformed: 0, undecodable: 0, unknown: 0 }
        )
      }
      assert.deepStrictEqual(running, before, "something runs")
    })
  )

describe("any history of questions, cancels, streams and connections", () => {
  it("answers every question once or fails it by a typed error, does nothing twice, and leaves nothing behind", () =>
    fc.assert(
      fc.asyncProperty(history, async (history) => await world(logged(() => live(history)))),
      { numRuns: 400 }
    ))
})

// Any death.

type Kill = (world: {
  readonly near: Transport.Transport
  readonly far: Transport.Transport
  readonly wires: WebSocket.Pair
  readonly client: Session.Client<typeof Model>
  readonly server: Session.Server<typeof Model>
  readonly scope: Scope.Closeable
}) => Effect.Effect<unknown>

const sync =
  (act: (world: Parameters<Kill>[0]) => void): Kill =>
  (world) =>
    Effect.sync(() => act(world))

const kill: fc.Arbitrary<Kill> = fc.oneof(
  fc.constantFrom<Kill>(
    ({ client }) => start(Effect.exit(client.request("ask", 1))),
    ({ client }) => start(Effect.exit(client.request("once", 1))),
    ({ client }) => start(Effect.exit(client.request("once", 1, { key: "the same", timeout: 500 }))),
    ({ client }) => Effect.flatMap(start(Effect.exit(client.request("ask", 1))), Fiber.interrupt),
    ({ client }) => start(Effect.exit(Stream.runDrain(client.stream("count", 1_000, { credit: 2 })))),
    ({ client }) =>
      start(Effect.exit(Stream.runForEach(client.stream("count", 9, { credit: 2 }), () => Effect.sleep("3 seconds")))),
    ({ client }) => Effect.flatMap(start(Effect.exit(Stream.runDrain(client.stream("count", 9)))), Fiber.interrupt),
    ({ client }) => start(Effect.exit(Stream.runDrain(client.events("said")))),
    ({ server }) => start(Effect.exit(server.emit("said", 1))),
    ({ client }) => start(Effect.exit(client.emit("say", 1))),
    ({ server }) => start(Effect.exit(server.ended)),
    ({ client }) => start(client.close(4_000)),
    ({ server }) => start(server.close()),
    sync(({ near }) => near.destroy()),
    sync(({ far }) => far.destroy()),
    ({ wires }) => start(Effect.exit(wires.client.send("garbage"))),
    ({ wires }) => start(Effect.exit(wires.client.send('["hello",{"contract":"model","version":"1"}]'))),
    ({ wires }) => start(Effect.exit(wires.server.send('["items",1,[1,2,3,4,5,6,7,8,9]]'))),
    () => turn
  ),
  fc.constantFrom(1, 600, 6_000, 31_000).map(
    (millis): Kill =>
      () =>
        TestClock.adjust(millis)
  ),
  fc.constantFrom(Exit.void, Exit.fail("no"), Exit.interrupt()).map(
    (exit): Kill =>
      ({ scope }) =>
        start(Scope.close(scope, exit))
  )
)

/** What a handler does: it ends, takes its time or never does. */
const answers = fc.constantFrom<() => Effect.Effect<number, string>>(
  () => Effect.succeed(1),
  () => Effect.fail("no"),
  () => Effect.as(Effect.sleep(700), 1),
  () => Effect.never
)

const killAll = (
  lives: ReadonlyArray<{ readonly kills: ReadonlyArray<Kill>; readonly answer: () => Effect.Effect<number, string> }>
) =>
  counted((running) =>
    Effect.gen(function* () {
      const before = { ...running }
      const repeats = new Repeats.Repeats()
      for (const { answer, kills } of lives) {
        const scope = yield* Scope.make()
        const [near, far] = Transport.makePair()
        const living = Effect.gen(function* () {
          const wires = {
            client: yield* over(near, "client", { outboxBytes: 100, inboxBytes: 100 }),
            server: yield* over(far, "server", { outboxBytes: 100, inboxBytes: 100 })
          }
          const limits = { maxPending: 4, maxUnread: 4 }
          const accepting = yield* start(Session.accept(Model, wires.server, { limits }))
          const client = yield* Session.connect(Model, wires.client, { limits })
          const server = yield* Fiber.join(accepting)
          const handlers = {
            ask: answer,
            once: () => Effect.as(Effect.sleep(700), 1),
            count: (n: number) => Stream.range(1, n)
          }
          yield* Effect.forkScoped(
            Effect.exit(server.handle({ ...handlers, say: () => Effect.asVoid(Effect.exit(answer())) })),
            { startImmediately: true }
          )
          for (const kill of kills) yield* kill({ near, far, wires, client, server, scope })
        })
        yield* living.pipe(Scope.provide(scope), Effect.provideService(Repeats.Current, repeats))
        const closing = yield* start(Scope.close(scope, Exit.void))
        yield* TestClock.adjust("31 seconds")
        yield* turns
        assert.isDefined(closing.pollUnsafe(), "closing takes too long")
      }
      yield* TestClock.adjust("31 seconds")
      yield* turns
      assert.strictEqual((Reflect.get(repeats, "asked") as Map<string, unknown>).size, 0)
      assert.deepStrictEqual(running, before)
    })
  )

describe("sessions that are killed at random", () => {
  it("leave no fiber, no timer and no question behind", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ kills: fc.array(kill, { maxLength: 10 }), answer: answers }), {
          minLength: 4,
          maxLength: 4
        }),
        async (lives) => await world(logged(() => killAll(lives)))
      ),
      { numRuns: 250 }
    ))
})
