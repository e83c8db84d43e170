/** What is written together, in which order, and what becomes of it when it cannot be: over a database that the test has. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { assert, describe, it } from "@effect/vitest"
import { StoreUnavailable } from "@millrace/core/messaging/StoreError"
import * as Writes from "@millrace/browser/storage/Writes"

const full = new StoreUnavailable({ inUse: false, cause: "full" })

/** A database whose transactions end when the test says so: each is what was written in it, by name. */
const database = () => {
  const transactions: Array<{
    readonly names: ReadonlyArray<string>
    readonly end: (failure?: StoreUnavailable) => void
  }> = []
  let current: Array<string> = []
  const told: Array<string> = []
  const writes = new Writes.Writes((body, done) => {
    const names: Array<string> = (current = [])
    body(undefined as never)
    transactions.push({ names, end: (failure) => done(failure) })
  })
  const body = (name: string) => () => void current.push(name)
  const done = (name: string) => (failure: StoreUnavailable | undefined) =>
    void told.push(failure === undefined ? name : `${name} failed`)
  return {
    writes,
    transactions,
    told,
    body,
    put: (name: string) => writes.put(body(name), done(name)),
    soon: (name: string) => writes.soon(body(name), done(name)),
    names: () => transactions.map(({ names }) => names)
  }
}

describe("what is put", () => {
  it("is written at once, and what comes meanwhile together, in order, when that is done", () => {
    const { names, put, told, transactions } = database()
    for (const name of ["a", "b", "c"]) put(name)
    assert.deepStrictEqual(names(), [["a"]])
    transactions[0]!.end()
    assert.deepStrictEqual([names(), told], [[["a"], ["b", "c"]], ["a"]])
    put("d")
    assert.strictEqual(transactions.length, 2)
    transactions[1]!.end()
    transactions[2]!.end()
    assert.deepStrictEqual(
      [names(), told],
      [
        [["a"], ["b", "c"], ["d"]],
        ["a", "b", "c", "d"]
      ]
    )
  })

  it("fails alone when it was alone, and is not tried again", () => {
    const { names, put, told, transactions } = database()
    put("a")
    transactions[0]!.end(full)
    assert.deepStrictEqual([names(), told], [[["a"]], ["a failed"]])
    put("b")
    transactions[1]!.end()
    assert.deepStrictEqual(told, ["a failed", "b"])
  })

  it("is tried one by one, in order, when it has failed with others: each is told of its own", () => {
    const { names, put, told, transactions } = database()
    for (const name of ["a", "b", "c", "d"]) put(name)
    transactions[0]!.end()
    transactions[1]!.end(full)
    assert.deepStrictEqual(names(), [["a"], ["b", "c", "d"], ["b"], ["c"], ["d"]])
    assert.deepStrictEqual(told, ["a"])
    transactions[2]!.end(full)
    transactions[3]!.end()
    transactions[4]!.end(full)
    assert.deepStrictEqual(told, ["a", "b failed", "c", "d failed"])
    assert.strictEqual(transactions.length, 5)
  })

  it("goes on behind what has failed with others", () => {
    const { names, put, transactions } = database()
    for (const name of ["a", "b", "c"]) put(name)
    transactions[0]!.end()
    put("d")
    transactions[1]!.end(full)
    assert.deepStrictEqual(names(), [["a"], ["b", "c"], ["b"], ["c"], ["d"]])
  })
})

describe("what is written", () => {
  it.effect("is told to who waits, and that it could not be", () =>
    Effect.gen(function* () {
      const { body, transactions, writes } = database()
      const one = yield* Effect.forkChild(Effect.exit(writes.written(body("a"))), { startImmediately: true })
      const other = yield* Effect.forkChild(Effect.exit(writes.written(body("b"))), { startImmediately: true })
      transactions[0]!.end()
      assert.deepStrictEqual(yield* Fiber.join(one), Exit.void)
      transactions[1]!.end(full)
      assert.deepStrictEqual(yield* Fiber.join(other), Exit.fail(full))
    })
  )

  it.effect("is taken back by an interruption, unless it has begun", () =>
    Effect.gen(function* () {
      const { body, names, transactions, writes } = database()
      const fibers = yield* Effect.forEach(["a", "b", "c"], (name) =>
        Effect.forkChild(writes.written(body(name)), { startImmediately: true })
      )
      yield* Fiber.interrupt(fibers[0]!)
      yield* Fiber.interrupt(fibers[1]!)
      transactions[0]!.end()
      assert.deepStrictEqual(names(), [["a"], ["c"]])
      transactions[1]!.end()
      yield* Fiber.join(fibers[2]!)
    })
  )
})

describe("what need not be written at once", () => {
  it("is written with what has to be, behind it, and the last alone of what was asked for", () => {
    const { names, put, soon, told, transactions } = database()
    soon("late")
    soon("later")
    assert.deepStrictEqual(names(), [])
    put("a")
    assert.deepStrictEqual(names(), [["a", "later"]])
    transactions[0]!.end()
    assert.deepStrictEqual(told, ["a", "later"])
  })

  it("is begun in the very call that says so, though something else is being written", () => {
    const { names, put, soon, writes } = database()
    put("a")
    put("b")
    soon("late")
    writes.flush()
    assert.deepStrictEqual(names(), [["a"], ["b", "late"]])
    writes.flush()
    assert.strictEqual(names().length, 2)
  })

  it.effect("is waited for by the end of the scope", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const ends: Array<() => void> = []
      const write = (body: (transaction: IDBTransaction) => void, done: (failure: undefined) => void) => {
        body(undefined as never)
        ends.push(() => done(undefined))
      }
      const writes = yield* Scope.provide(Writes.make(write), scope)
      let isWritten = false
      writes.soon(
        () => {},
        () => (isWritten = true)
      )
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      assert.isUndefined(closing.pollUnsafe())
      assert.strictEqual(ends.length, 1)
      ends[0]!()
      yield* Fiber.join(closing)
      assert.isTrue(isWritten)
    })
  )
})
