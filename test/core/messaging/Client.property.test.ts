/** Any history of a network and of a program: the client and a model agree. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import { HandshakeTimeout, OpenError } from "@millrace/core/connection/OpenError"
import * as Client from "@millrace/core/messaging/Client"
import * as Repeats from "@millrace/core/messaging/Repeats"
import { SessionError } from "@millrace/core/messaging/SessionError"
import { counted, start, turn as tick, world } from "../../support/connection.ts"
import { chatting, Network } from "../../support/returning.ts"
import { Chat, type Server, turn } from "../../support/session.ts"

type Step =
  | { readonly _tag: "Emit" | "Pay" | "Ask" | "Tell" | "Cut" | "Refuse" | "Retry" }
  | { readonly _tag: "Cancel"; readonly which: number }
  | { readonly _tag: "Close"; readonly code: number }
  | { readonly _tag: "Time"; readonly ms: number }
  /** A few microtasks: not all that is under way arrives. */
  | { readonly _tag: "Moment"; readonly microtasks: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ _tag: fc.constantFrom("Emit", "Pay", "Ask", "Tell") }) },
  { weight: 4, arbitrary: fc.record({ _tag: fc.constantFrom("Cut", "Refuse", "Retry") }) },
  { weight: 2, arbitrary: fc.record({ _tag: fc.constant("Cancel"), which: fc.nat({ max: 5 }) }) },
  { weight: 2, arbitrary: fc.record({ _tag: fc.constant("Close"), code: fc.constantFrom(1000, 1001, 1011, 4000) }) },
  { weight: 4, arbitrary: fc.record({ _tag: fc.constant("Time"), ms: fc.nat({ max: 3_000 }) }) },
  { weight: 3, arbitrary: fc.record({ _tag: fc.constant("Moment"), microtasks: fc.nat({ max: 12 }) }) }
) as fc.Arbitrary<Step>

const next: Readonly<Record<Client.State["_tag"], ReadonlyArray<Client.State["_tag"]>>> = {
  Connecting: ["Open", "Waiting", "Stopped"],
  Open: ["Waiting", "Stopped"],
  Waiting: ["Connecting", "Stopped"],
  Away: [],
  Stopped: []
}

const isInOrder = (some: ReadonlyArray<number>) => some.every((n, i) => i === 0 || some[i - 1]! < n)

const microtask = Effect.promise(() => Promise.resolve())

/** What the server's handlers and the client's have done. */
const makeWorld = () => {
  // By session: the handlers of one may be busy with what it was told before, long after the next has begun.
  const heardIn: Array<Array<number>> = []
  const told: Array<number> = []
  const heard: Array<number> = []
  const runs = new Map<number, number>()
  const network = new Network()
  const run = (n: number) =>
    Effect.suspend(() => {
      runs.set(n, (runs.get(n) ?? 0) + 1)
      return Effect.as(Effect.sleep((n % 4) * 700), n)
    })
  const sessions: Array<Server> = []
  network.serve = (link) => {
    const said: Array<number> = []
    heardIn.push(said)
    const tell = (n: number) => Effect.sync(() => void said.push(n))
    return chatting({ tell, pay: run, any: (n) => run(n as number) }, undefined, sessions).serve(link)
  }
  return { said: () => heardIn.flat(), told, heard, runs, network, sessions }
}

const live = (steps: ReadonlyArray<Step>) =>
  Effect.gen(function* () {
    const { heard, network, runs, said, sessions, told } = makeWorld()
    let refusals = 0
    network.answer = () =>
      refusals-- > 0 ? Effect.fail(new OpenError({ reason: new HandshakeTimeout({ timeout: 1 }) })) : Effect.void
    refusals = 0
    const scope = yield* Scope.make()
    const client = yield* Scope.provide(
      Client.make(Chat, network.connect, {
        reconnect: Schedule.spaced("1 second"),
        outbox: { capacity: 3, overflow: "DropNewest" }
      }),
      scope
    )
    const states: Array<Client.State> = []
    const watching = yield* start(
      Stream.runForEach(client.states, (state) => Effect.sync(() => void states.push(state)))
    )
    const handling = yield* start(
      client.handle({
        left: (n) => Effect.sync(() => void heard.push(n)),
        confirm: () => Effect.succeed(true),
        ticks: () => Stream.empty
      })
    )
    const asked: Array<{ readonly n: number; readonly key: boolean; readonly fiber: Fiber.Fiber<unknown, unknown> }> =
      []
    let n = 0
    let emitted = 0
    let settled = 0
    for (const step of steps) {
      n++
      switch (step._tag) {
        case "Emit":
          emitted++
          yield* start(client.emit("tell", n))
          break
        case "Pay":
        case "Ask": {
          const key = step._tag === "Pay"
          const request = key ? client.request("pay", n) : client.request("any", n)
          const counting = Effect.onExit(request as Effect.Effect<unknown, unknown>, () => Effect.sync(() => settled++))
          asked.push({ n, key, fiber: yield* start(counting) })
          break
        }
        case "Tell":
          told.push(n)
          yield* start(Effect.ignore(sessions.at(-1)?.emit("left", n) ?? Effect.void))
          break
        case "Cancel":
          yield* Effect.forEach(asked.slice(step.which, step.which + 1), ({ fiber }) => Fiber.interrupt(fiber))
          break
        case "Cut":
          network.links.at(-1)?.cut()
          break
        case "Close":
          yield* start(Effect.ignore(network.links.at(-1)?.server.close(step.code) ?? Effect.void))
          break
        case "Refuse":
          refusals = Math.max(refusals, 0) + 1
          break
        case "Retry":
          yield* client.retry
          break
        case "Time":
          yield* TestClock.adjust(step.ms)
          break
        case "Moment":
          for (let i = 0; i < step.microtasks; i++) yield* microtask
      }
    }
    // Whatever has happened, it comes back, and everything that can be answered is.
    refusals = 0
    for (let i = 0; i < 40; i++) {
      yield* TestClock.adjust("1 second")
      yield* tick
    }
    assert.strictEqual((yield* client.state)._tag, "Open")
    yield* client.emit("tell", n + 1)
    yield* turn
    assert.strictEqual(said().at(-1), n + 1)
    yield* Scope.close(scope, Exit.void)
    yield* Fiber.join(handling)
    yield* Fiber.join(watching)
    yield* TestClock.adjust("10 seconds")
    yield* turn
    return { asked, client, emitted, heard, network, runs, said: said(), settled, states, told }
  })

it("settles every request once, repeats nothing, keeps the order, and leaves nothing behind", async () => {
  let returned = 0
  let again = 0
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40, size: "max" }), (steps) =>
      world(
        counted((running) =>
          Effect.gen(function* () {
            const before = { ...running }
            const { asked, client, emitted, heard, network, runs, said, settled, states, told } = yield* live(steps)

            assert.strictEqual(settled, asked.length)
            for (const { fiber, key, n } of asked) {
              const exit = fiber.pollUnsafe()!
              assert.isAtMost(runs.get(n) ?? 0, 1)
              if (Exit.isSuccess(exit)) assert.deepStrictEqual([exit.value, runs.get(n)], [n, 1])
              const failure = Exit.findErrorOption(exit)
              if (failure._tag === "None") continue
              assert.instanceOf(failure.value, SessionError)
              // All that were idempotent were answered in the end.
              assert.deepStrictEqual([key, (failure.value as SessionError).reason._tag], [false, "Disconnected"])
            }

            assert.isTrue(isInOrder(said), `said ${said}`)
            assert.isTrue(isInOrder(heard), `heard ${heard}`)
            assert.isTrue(heard.every((n) => told.includes(n)))
            const isCalm = !steps.some(({ _tag }) => _tag === "Cut" || _tag === "Close" || _tag === "Refuse")
            if (isCalm) assert.strictEqual(said.length + client.dropped(), emitted + 1)

            const tags = states.map(({ _tag }) => _tag)
            for (const [i, tag] of tags.entries()) if (i > 0) assert.include(next[tags[i - 1]!], tag)
            assert.strictEqual(tags.at(-1), "Stopped")

            assert.deepStrictEqual([running, network.open], [before, 0])
            returned += network.links.length - 1
            again += asked.filter(({ key }) => key).length
          })
        ).pipe(Effect.provideService(Repeats.Current, new Repeats.Repeats()))
      )
    ),
    { numRuns: 200 }
  )
  // It has seen something.
  assert.isAbove(returned, 100)
  assert.isAbove(again, 100)
})
