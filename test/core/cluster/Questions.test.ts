/** Questions that every node answers for itself, over a bus that can be cut. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import { maxCastBytes } from "@millrace/core/cluster/Broker"
import * as Cast from "@millrace/core/cluster/Cast"
import * as Nodes from "@millrace/core/cluster/Nodes"
import { Declined } from "@millrace/core/cluster/QuestionError"
import * as QuestionMessage from "@millrace/core/cluster/QuestionMessage"
import * as Questions from "@millrace/core/cluster/Questions"
import { countingFibers } from "../../support/leaks.ts"
import { logged } from "../../support/logged.ts"
import * as Bus from "../../support/nodes.ts"

const cluster = (count: number, options?: Questions.Options) =>
  Effect.gen(function* () {
    const bus = yield* Bus.make(count)
    const all = yield* Effect.forEach(bus.brokers, (broker, index) =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const nodes = yield* Nodes.make(broker, { name: `n${index}` }).pipe(Scope.provide(scope))
        const questions = yield* Questions.make(broker, nodes, options).pipe(Scope.provide(scope))
        return { ...questions, nodes, stop: Scope.close(scope, Exit.void) }
      })
    )
    yield* TestClock.adjust("300 millis")
    return { bus, all }
  })

/** What was answered, by the name of the node; what is not a success, by why. */
const shown = ({ answers, silent }: Questions.Answers) => ({
  answers: answers.map(({ answer, node }) => [
    node.name,
    Result.isSuccess(answer) ? answer.success : `${answer.failure.because} ${JSON.stringify(answer.failure.detail)}`
  ]),
  silent: silent.map(({ name }) => name)
})

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const before = yield* Clock.currentTimeMillis
    const value = yield* effect
    return [value, (yield* Clock.currentTimeMillis) - before] as const
  })

describe("a question", () => {
  it.effect(
    "is answered by every node that is there, in no time when all do, and by this one without the network",
    () =>
      Effect.gen(function* () {
        const { all, bus } = yield* cluster(3)
        for (const [i, { answer }] of all.entries()) {
          yield* answer("double", (n) => Effect.succeed([i, 2 * (n as number)]))
        }
        const [answers, took] = yield* timed(all[1]!.ask("double", 21))
        assert.deepStrictEqual(shown(answers), {
          answers: [0, 1, 2].map((i) => [`n${i}`, [i, 42]]),
          silent: []
        })
        assert.strictEqual(took, 0)
        const { said } = bus.counts
        yield* all[1]!.askNode("node-1", "double", 1)
        assert.strictEqual(bus.counts.said, said)
      })
  )

  it.effect("has as an answer that somebody fails, dies, is interrupted, knows no answer, or says too much", () =>
    logged((entries) =>
      Effect.gen(function* () {
        const { all } = yield* cluster(6)
        yield* all[0]!.answer("q", () => Effect.fail({ no: "way" }))
        yield* all[1]!.answer("q", () => Effect.die(new Error("secret")))
        yield* all[2]!.answer("q", () => Effect.interrupt)
        yield* all[4]!.answer("q", () => Effect.succeed("x".repeat(maxCastBytes)))
        yield* all[5]!.answer("q", () => {
          throw new Error("secret")
        })
        const expected = [
          ["n0", 'Failed {"no":"way"}'],
          ["n1", "Failed null"],
          ["n2", "Failed null"],
          ["n3", 'Unknown "q"'],
          ["n5", "Failed null"]
        ]
        for (const asker of [3, 1, 2]) {
          const { answers, silent } = shown(yield* all[asker]!.ask("q", null))
          assert.deepStrictEqual(answers.toSpliced(4, 1), expected)
          assert.match(answers[4]![1] as string, /^TooLarge 262\d\d\d$/)
          assert.deepStrictEqual(silent, [])
        }
        // The three that did not mean to, each time.
        assert.deepStrictEqual(
          entries.map(({ level, message }) => `${level} ${message}`),
          Array.from({ length: 9 }, () => "Error an answer to q failed")
        )
      })
    )
  )

  it.effect("names those that have not answered in time, and waits no longer than it is told", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(4)
      yield* all[0]!.answer("q", () => Effect.never)
      yield* all[1]!.answer("q", () => Effect.delay(Effect.succeed("late"), "999 millis"))
      yield* all[2]!.answer("q", () => Effect.delay(Effect.succeed("too late"), "1001 millis"))
      yield* all[3]!.answer("q", () => Effect.succeed("lost"))
      bus.kill(3)
      const asking = yield* Effect.forkChild(timed(all[0]!.ask("q", null)))
      yield* TestClock.adjust("1 second")
      const [answers, took] = yield* Fiber.join(asking)
      assert.deepStrictEqual(shown(answers), { answers: [["n1", "late"]], silent: ["n0", "n2", "n3"] })
      assert.strictEqual(took, 1_000)
      const short = yield* Effect.forkChild(timed(all[0]!.ask("q", null, { timeout: "200 millis" })))
      yield* TestClock.adjust("200 millis")
      const [none, before] = yield* Fiber.join(short)
      assert.deepStrictEqual(shown(none), { answers: [], silent: ["n0", "n1", "n2", "n3"] })
      assert.strictEqual(before, 200)
      // Longer than a minute is a minute.
      const long = yield* Effect.forkChild(timed(all[0]!.ask("q", null, { timeout: "1 hour" })))
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* Fiber.join(long))[1], 60_000)
    })
  )

  it.effect("does not wait for one that is gone, nor for one that says goodbye", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(3)
      for (const { answer } of all) yield* answer("q", () => Effect.succeed(1))
      bus.kill(1)
      const asking = yield* Effect.forkChild(timed(all[0]!.ask("q", null, { timeout: "1 minute" })))
      yield* TestClock.adjust("1 second")
      assert.isUndefined(asking.pollUnsafe())
      yield* TestClock.adjust("8 seconds")
      const [answers, took] = yield* Fiber.join(asking)
      assert.deepStrictEqual(shown(answers), {
        answers: [
          ["n0", 1],
          ["n2", 1]
        ],
        silent: ["n1"]
      })
      assert.isBelow(took, 9_000)

      yield* all[2]!.answer("never", () => Effect.never)
      yield* all[0]!.answer("never", () => Effect.succeed(0))
      const another = yield* Effect.forkChild(timed(all[0]!.ask("never", null)))
      yield* TestClock.adjust("100 millis")
      yield* all[2]!.stop
      const [left, soon] = yield* Fiber.join(another)
      assert.deepStrictEqual(shown(left), { answers: [["n0", 0]], silent: ["n2"] })
      assert.strictEqual(soon, 100)
    })
  )

  it.effect("is not waited for by a node that comes in between", () =>
    Effect.gen(function* () {
      const bus = yield* Bus.make(3)
      const one = yield* Nodes.make(bus.brokers[0]!, { name: "n0" })
      yield* Nodes.make(bus.brokers[1]!, { name: "n1" })
      yield* TestClock.adjust("300 millis")
      const questions = yield* Questions.make(bus.brokers[0]!, one)
      const asking = yield* Effect.forkChild(questions.ask("q", null))
      yield* TestClock.adjust("500 millis")
      yield* Nodes.make(bus.brokers[2]!, { name: "n2" })
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(one.list().length, 3)
      assert.deepStrictEqual(shown(yield* Fiber.join(asking)), { answers: [["n0", 'Unknown "q"']], silent: ["n1"] })
    })
  )

  it.effect("finds everybody else silent, at once, while the broker cannot be reached", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(3)
      yield* all[0]!.answer("q", () => Effect.succeed("mine"))
      bus.down(0)
      const [answers, took] = yield* timed(all[0]!.ask("q", null))
      assert.deepStrictEqual(shown(answers), { answers: [["n0", "mine"]], silent: ["n1", "n2"] })
      assert.strictEqual(took, 0)
    })
  )

  it.effect("accounts for every node, once, whatever the network loses, repeats, holds up and cuts", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(20)
      const done = Array.from({ length: 20 }, () => 0)
      for (const [i, { answer }] of all.entries()) {
        yield* answer("q", (which) =>
          Effect.sync(() => {
            done[i]!++
            return [which, i]
          })
        )
      }
      bus.faults.loss = 0.2
      bus.faults.repeats = 0.3
      bus.faults.delay = [0, 600]
      for (let n = 0; n < 10; n++) {
        const asking = yield* Effect.forkChild(
          Effect.all(
            [0, 7, 13].map((i) => all[i]!.ask("q", n)),
            { concurrency: 3 }
          )
        )
        yield* TestClock.adjust("1 second")
        for (const { answers, silent } of yield* Fiber.join(asking)) {
          for (const { answer, node } of answers) {
            assert.deepStrictEqual(Result.getOrThrow(answer), [n, Number(node.name.slice(1))])
          }
          const named = [...answers.map(({ node }) => node.name), ...silent.map(({ name }) => name)]
          assert.strictEqual(new Set(named).size, named.length)
          assert.isAtLeast(named.length, 15)
          assert.isAbove(silent.length, 0)
        }
      }
      // Each question at most once on each node.
      yield* TestClock.adjust("1 second")
      for (const times of done) assert.isAtMost(times, 30)
      Object.assign(bus.faults, { loss: 0, repeats: 0, delay: [0, 0] })
      yield* TestClock.adjust("4 seconds")
      bus.partition([0, 1, 2], [3])
      const cut = yield* Effect.forkChild(all[0]!.ask("q", "cut"))
      yield* TestClock.adjust("1 second")
      const { answers, silent } = yield* Fiber.join(cut)
      assert.strictEqual(answers.length, 3)
      assert.strictEqual(silent.length, 17)
    }).pipe(Random.withSeed("questions"))
  )

  it.effect(
    "to one node fails with why it was declined, and with silence of one that is not there or says nothing",
    () =>
      Effect.gen(function* () {
        const { all, bus } = yield* cluster(3)
        yield* all[1]!.answer("q", (n) => (n === 1 ? Effect.succeed({ n }) : Effect.fail("not one")))
        yield* all[2]!.answer("q", () => Effect.die("nobody asks this node"))
        assert.deepStrictEqual(yield* all[0]!.askNode("node-1", "q", 1), { n: 1 })
        const why = (id: string, payload: Cast.Json) =>
          Effect.map(Effect.flip(all[0]!.askNode(id, "q", payload)), ({ message }) => message)
        assert.strictEqual(yield* why("node-1", 2), 'a node declined to answer: Failed "not one"')
        assert.strictEqual(yield* why("node-0", 2), 'a node declined to answer: Unknown "q"')
        assert.strictEqual(yield* why("nobody", 2), 'the node "nobody" has not answered')
        bus.kill(1)
        const asking = yield* Effect.forkChild(why("node-1", 1))
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* Fiber.join(asking), 'the node "node-1" has not answered')
      })
  )

  it.effect("is refused when it is too long, and when too many wait already", () =>
    Effect.gen(function* () {
      const { all } = yield* cluster(2, { maxAsked: 2 })
      const long = yield* Effect.flip(all[0]!.ask("q", "x".repeat(maxCastBytes)))
      assert.match(long.message, /^a question of 262\d\d\d bytes is over the limit of 262144$/)
      yield* all[0]!.answer("never", () => Effect.never)
      const waiting = yield* Effect.forEach([1, 2], () => Effect.forkChild(all[0]!.ask("never", null)))
      yield* TestClock.adjust(0)
      const third = yield* Effect.flip(all[0]!.ask("never", null))
      assert.strictEqual(third.message, "2 questions wait for their answers already")
      yield* Fiber.interrupt(waiting[0]!)
      assert.deepStrictEqual(shown(yield* all[0]!.ask("q", null)).silent, [])
      yield* Fiber.interrupt(waiting[1]!)
    })
  )

  it.effect("is declined by a node that answers too many already", () =>
    Effect.gen(function* () {
      const { all } = yield* cluster(2, { maxAnswered: 2 })
      yield* all[1]!.answer("slow", () => Effect.delay(Effect.succeed("done"), "500 millis"))
      const asking = yield* Effect.forkChild(
        Effect.forEach([1, 2, 3], () => Effect.result(all[0]!.askNode("node-1", "slow", null)), { concurrency: 3 })
      )
      yield* TestClock.adjust("500 millis")
      const results = yield* Fiber.join(asking)
      assert.deepStrictEqual(
        results.map((result) => (Result.isSuccess(result) ? result.success : result.failure.message)),
        ["done", "done", "a node declined to answer: Busy null"]
      )
      // The others are done with: there is room again.
      const again = yield* Effect.forkChild(all[0]!.askNode("node-1", "slow", null))
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(yield* Fiber.join(again), "done")
    })
  )

  it.effect("leaves no more to be said than may be, while the broker takes nothing, however many come", () =>
    Effect.gen(function* () {
      const bus = yield* Bus.make(1)
      const [own] = bus.brokers
      let waiting = 0
      let isStuck = true
      const broker = {
        ...own!,
        cast: (channel: string, bytes: Uint8Array) =>
          isStuck && channel.startsWith("$asked")
            ? Effect.andThen(
                Effect.sync(() => void waiting++),
                Effect.never
              ).pipe(Effect.timeoutOption("5 seconds"), Effect.andThen(Effect.sync(() => void waiting--)))
            : own!.cast(channel, bytes)
      }
      const nodes = yield* Nodes.make(broker, { name: "n" })
      const { answer } = yield* Questions.make(broker, nodes, { maxAnswered: 3 })
      let answered = 0
      yield* answer("q", () => Effect.sync(() => ++answered))
      const flood = Effect.gen(function* () {
        for (let number = 0; number < 500; number++) {
          const asked = { asker: "stranger", life: answered, number, name: "q", payload: null, timeout: 1_000 }
          bus.forge("$questions", QuestionMessage.encode({ _tag: "Question", ...asked }))
        }
        yield* TestClock.adjust("1 second")
      })
      yield* flood
      assert.deepStrictEqual([waiting, answered], [6, 3])
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(waiting, 0)
      // They are done with: there is room again, for as many.
      yield* flood
      assert.deepStrictEqual([waiting, answered], [6, 6])
      isStuck = false
    })
  )

  it.effect("is not answered by who has closed its scope, and a name has one that answers it", () =>
    Effect.gen(function* () {
      const { all } = yield* cluster(1)
      const scope = yield* Scope.make()
      yield* all[0]!.answer("q", () => Effect.succeed(1)).pipe(Scope.provide(scope))
      assert.isTrue(Exit.hasDies(yield* Effect.exit(all[0]!.answer("q", () => Effect.succeed(2)))))
      for (const name of ["", "x".repeat(129)]) {
        assert.isTrue(Exit.hasDies(yield* Effect.exit(all[0]!.answer(name, () => Effect.succeed(2)))))
        assert.isTrue(Exit.hasDies(yield* Effect.exit(all[0]!.ask(name, 1))))
      }
      assert.strictEqual(yield* all[0]!.askNode("node-0", "q", null), 1)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(shown(yield* all[0]!.ask("q", null)).answers, [["n0", 'Unknown "q"']])
    })
  )

  it.effect(
    "ignores and counts what is no question and no answer, and hears none of another life or another node",
    () =>
      Effect.gen(function* () {
        const { all, bus } = yield* cluster(2)
        const answer = ["answer", "node-0", 0, 1, "node-1", null, 1]
        const nonsense = [
          {},
          [],
          answer.slice(1),
          ["tell", ...answer.slice(1)],
          answer.with(1, ""),
          answer.with(2, -1),
          answer.with(3, 0.5),
          answer.with(4, 4),
          answer.with(5, "Because"),
          ["ask", "a", 1, 1, "", null, 1],
          ["ask", "a", 1, 1, "q", null, "1"]
        ]
        for (const value of nonsense) bus.forge(Questions.channel, Cast.encode(value as Cast.Json))
        assert.strictEqual(all[0]!.unread(), nonsense.length)
        yield* all[0]!.answer("never", () => Effect.never)
        yield* all[1]!.answer("never", () => Effect.never)
        const asking = yield* Effect.forkChild(all[0]!.ask("never", null))
        yield* TestClock.adjust(0)
        const forge = (node: string, life: number, number: number) =>
          bus.forge(
            Questions.channelOf("node-0"),
            QuestionMessage.encode({
              _tag: "Answer",
              asker: "node-0",
              life,
              number,
              node,
              answer: Result.succeed("forged")
            })
          )
        for (const [node, life, number] of [
          ["node-1", 99, 1],
          ["node-1", 1, 2],
          ["node-9", 1, 1]
        ] as const) {
          forge(node, life, number)
        }
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(shown(yield* Fiber.join(asking)), { answers: [], silent: ["n0", "n1"] })
        // Too late: nobody waits any more.
        forge("node-1", 2, 1)
        const heard = yield* Effect.forkChild(all[0]!.ask("never", null))
        yield* TestClock.adjust(0)
        forge("node-1", 2, 2)
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(shown(yield* Fiber.join(heard)), { answers: [["n1", "forged"]], silent: ["n0"] })
      })
  )

  it.effect(
    "leaves no fiber and nothing that hears when it is interrupted and its nodes stop, and lets go who waits",
    () =>
      countingFibers((alive) =>
        Effect.gen(function* () {
          const before = alive.fibers
          const { all, bus } = yield* cluster(3)
          for (const { answer } of all) {
            const scope = yield* Scope.make()
            yield* answer("never", () => Effect.never).pipe(Scope.provide(scope))
          }
          const interrupted = yield* Effect.forkChild(all[0]!.ask("never", null, { timeout: "1 minute" }))
          yield* TestClock.adjust("1 second")
          yield* Fiber.interrupt(interrupted)
          const asking = yield* Effect.forkChild(all[1]!.askNode("node-2", "never", null, { timeout: "1 minute" }))
          yield* TestClock.adjust("1 second")
          yield* all[1]!.stop
          assert.isTrue(Exit.isFailure(yield* Fiber.await(asking)))
          yield* all[0]!.stop
          yield* all[2]!.stop
          yield* TestClock.adjust(0)
          assert.strictEqual(alive.fibers, before)
          assert.strictEqual(bus.hearing(), 0)
        })
      )
  )
})

describe("the message of a question", () => {
  it("is what was said, and an answer too", () => {
    const asked = { asker: "a", life: 1, number: 2 }
    for (const message of [
      { _tag: "Question", ...asked, name: "q", payload: { a: [1, null, "é"] }, timeout: 1_000 },
      { _tag: "Answer", ...asked, node: "b", answer: Result.succeed([1, { b: null }]) },
      { _tag: "Answer", ...asked, node: "b", answer: Result.fail(new Declined({ because: "Busy", detail: null })) }
    ] as const) {
      assert.deepStrictEqual(QuestionMessage.decode(QuestionMessage.encode(message)), message)
    }
  })
})
