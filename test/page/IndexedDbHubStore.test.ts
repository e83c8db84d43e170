/** What outlives a client of the hub, in the IndexedDB of a real browser. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { assert, describe, it } from "@effect/vitest"
import * as IndexedDbHubStore from "@millrace/browser/IndexedDbHubStore"
import type * as HubStore from "@millrace/core/cluster/HubStore"
import { toJson } from "@millrace/core/cluster/JsonText"

let names = 0
const fresh = () => `test ${++names} ${crypto.randomUUID()}`

const publication = (sequence: number, data: unknown = sequence): HubStore.Unanswered => ({
  topic: "lobby",
  dataJson: toJson(data),
  key: { producer: "ada", epoch: 0, sequence },
  echo: true,
  at: 1_790_000_000_000,
  saidAt: undefined
})

/** A store whose contents have been read, as those of every client are. */
const loaded = (options: IndexedDbHubStore.Options) => Effect.tap(IndexedDbHubStore.make(options), ({ load }) => load)

/** What the next life gets. */
const next = (options: IndexedDbHubStore.Options) =>
  Effect.scoped(Effect.flatMap(IndexedDbHubStore.make(options), ({ load }) => load))

const request = <A>(request: IDBRequest<A>): Effect.Effect<A> =>
  Effect.callback((resume) => {
    request.addEventListener("success", () => resume(Effect.succeed(request.result)))
    request.addEventListener("error", () => resume(Effect.die(request.error)))
  })

/** Somebody else writes there. */
const meddle = (name: string, body: (transaction: IDBTransaction) => void) =>
  Effect.gen(function* () {
    const database = yield* request(indexedDB.open(`millrace-hub:${name}`))
    const transaction = database.transaction([...database.objectStoreNames], "readwrite")
    yield* Effect.callback<void>((resume) => {
      transaction.addEventListener("complete", () => resume(Effect.void))
      body(transaction)
    })
    database.close()
  })

describe("the publications of a store", () => {
  it.live("are there in the next life, in their order, but for those that were answered", () =>
    Effect.gen(function* () {
      const name = fresh()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const store = yield* IndexedDbHubStore.make({ name })
          const kept = yield* store.load
          assert.deepStrictEqual([kept.unanswered, kept.positions.size], [[], 0])
          yield* Effect.forEach([3, 1, 2, 0], (sequence) => store.keep(publication(sequence)))
          yield* store.answered(publication(1).key)
        })
      )
      const { unanswered } = yield* next({ name })
      assert.deepStrictEqual(unanswered, [publication(3), publication(2), publication(0)])
    })
  )

  it.live("are told apart from those that were said", () =>
    Effect.gen(function* () {
      const name = fresh()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const store = yield* loaded({ name })
          yield* store.keep({ ...publication(0), saidAt: 5 })
          yield* store.keep(publication(1))
          yield* store.keep(publication(2))
          yield* store.said(publication(1).key, 7)
          yield* store.said(publication(3).key, 7)
        })
      )
      const { unanswered } = yield* next({ name })
      assert.deepStrictEqual(
        unanswered.map(({ saidAt }) => saidAt),
        [5, 7, undefined]
      )
    })
  )

  it.live("keep their order over several lives", () =>
    Effect.gen(function* () {
      const name = fresh()
      for (const life of [0, 1, 2]) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const store = yield* loaded({ name })
            yield* store.keep(publication(life * 2))
            yield* store.keep(publication(life * 2 + 1))
            yield* store.answered(publication(life * 2).key)
          })
        )
      }
      const { unanswered } = yield* next({ name })
      assert.deepStrictEqual(
        unanswered.map(({ key }) => key.sequence),
        [1, 3, 5]
      )
    })
  )

  it.live("of each life have a producer of their own: no sequence is used twice, whatever was lost", () =>
    Effect.gen(function* () {
      const name = fresh()
      const [one, other] = [yield* next({ name }), yield* next({ name })]
      assert.notStrictEqual(one.producer, other.producer)
      assert.deepStrictEqual([one.epoch, one.sequence, other.epoch, other.sequence], [0, 0, 0, 0])
    })
  )

  it.live("are written when keep has succeeded, however many are kept at the same time", () =>
    Effect.gen(function* () {
      const name = fresh()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const store = yield* loaded({ name })
          yield* Effect.forEach(
            Array.from({ length: 500 }, (_, i) => publication(i)),
            store.keep,
            { concurrency: "unbounded" }
          )
          const database = yield* request(indexedDB.open(`millrace-hub:${name}`))
          const count = yield* request(database.transaction("entries").objectStore("entries").count())
          database.close()
          assert.strictEqual(count, 500)
        })
      )
      const { unanswered } = yield* next({ name })
      assert.deepStrictEqual(
        unanswered.map(({ key }) => key.sequence),
        Array.from({ length: 500 }, (_, i) => i)
      )
    })
  )

  it.live("have no room beyond the capacity, and some again when one was answered", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const store = yield* loaded({ name: fresh(), capacity: 2 })
        yield* store.keep(publication(0))
        yield* store.keep(publication(1))
        const error = yield* Effect.flip(store.keep(publication(2)))
        assert.deepStrictEqual(
          [error._tag, error.message],
          ["StoreFull", "there is no room for one more: 2 entries are kept at most"]
        )
        yield* store.answered(publication(0).key)
        yield* store.keep(publication(2))
      })
    )
  )

  it.live("have no room beyond so many bytes, also in the next life", () =>
    Effect.gen(function* () {
      const options = { name: fresh(), maxBytes: 1_000 }
      const keep = (sequence: number, length: number) =>
        Effect.scoped(
          Effect.gen(function* () {
            const store = yield* loaded(options)
            yield* store.keep(publication(sequence, "x".repeat(length)))
          })
        )
      yield* keep(0, 300)
      const error = yield* Effect.flip(keep(1, 200))
      assert.deepInclude(error, { _tag: "StoreFull", capacity: 1_000, unit: "bytes" })
      yield* keep(2, 20)
    })
  )

  it.live("are not kept where who keeps is interrupted", () =>
    Effect.gen(function* () {
      const name = fresh()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const store = yield* loaded({ name, capacity: 3 })
          // The first is being written, the second waits for it.
          const fibers = [
            yield* Effect.forkChild(store.keep(publication(0)), { startImmediately: true }),
            yield* Effect.forkChild(store.keep(publication(1)), { startImmediately: true })
          ]
          yield* Effect.forEach(fibers, Fiber.interrupt)
          yield* Effect.forEach([2, 3, 4], (sequence) => store.keep(publication(sequence)))
        })
      )
      const { unanswered } = yield* next({ name })
      assert.deepStrictEqual(
        unanswered.map(({ key }) => key.sequence),
        [2, 3, 4]
      )
    })
  )
})

describe("the positions of a store", () => {
  it.live("are there in the next life, the last of each topic, and not of those that were forgotten", () =>
    Effect.gen(function* () {
      const name = fresh()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const store = yield* loaded({ name })
          yield* store.reached("lobby", "k:1")
          yield* store.reached("attic", "k:2")
          yield* store.reached("cellar", "k:3")
          yield* store.reached("lobby", "k:4")
          yield* store.forget("attic")
        })
      )
      const { positions } = yield* next({ name })
      assert.deepStrictEqual(
        [...positions],
        [
          ["cellar", "k:3"],
          ["lobby", "k:4"]
        ]
      )
    })
  )

  it.live("of the topic that was heard of least recently are forgotten beyond the bound", () =>
    Effect.gen(function* () {
      const options = { name: fresh(), maxPositions: 2 }
      const reach = (...topics: ReadonlyArray<string>) =>
        Effect.scoped(
          Effect.gen(function* () {
            const store = yield* loaded(options)
            yield* Effect.forEach(topics, (topic) => store.reached(topic, "k:1"))
          })
        )
      yield* reach("one", "two", "one")
      yield* reach("three")
      assert.deepStrictEqual([...(yield* next(options)).positions.keys()], ["one", "three"])
    })
  )

  it.live("are there in the next life, though nothing was written any more when the page went", () =>
    Effect.gen(function* () {
      const name = fresh()
      const { transaction } = IDBDatabase.prototype
      const life = (body: (store: IndexedDbHubStore.IndexedDbHubStore) => Effect.Effect<unknown, unknown>) =>
        Effect.scoped(Effect.flatMap(IndexedDbHubStore.make({ name }), body))
      yield* life((store) =>
        Effect.gen(function* () {
          yield* store.load
          yield* store.reached("old", "k:1")
          // A transaction goes with its page.
          IDBDatabase.prototype.transaction = () => {
            throw new Error("the page has gone")
          }
          yield* Effect.ignore(store.reached("__proto__", "k:2"))
          yield* Effect.ignore(store.reached("new", "k:3"))
          globalThis.dispatchEvent(new PageTransitionEvent("pagehide"))
        })
      ).pipe(
        Effect.ensuring(
          Effect.sync(() => {
            IDBDatabase.prototype.transaction = transaction
          })
        )
      )
      const positions = Effect.map(
        Effect.scoped(Effect.flatMap(IndexedDbHubStore.make({ name }), ({ load }) => load)),
        ({ positions }) => [...positions]
      )
      const all = [
        ["old", "k:1"],
        ["__proto__", "k:2"],
        ["new", "k:3"]
      ]
      assert.deepStrictEqual(yield* positions, all as never)
      // It is written then, and the note is gone: in the turn in which the scope has closed.
      yield* Effect.promise(() => Promise.resolve())
      assert.isNull(localStorage.getItem(`millrace-hub:${name}`))
      assert.deepStrictEqual(yield* positions, all as never)
    })
  )

  it.live("are written a few times, not with each of a flood of messages", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const store = yield* loaded({ name: fresh() })
        let transactions = 0
        const { transaction } = IDBDatabase.prototype
        IDBDatabase.prototype.transaction = function (...args) {
          transactions++
          return transaction.apply(this, args)
        }
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => {
            IDBDatabase.prototype.transaction = transaction
          })
        )
        const began = performance.now()
        for (let i = 0; i < 10_000; i++) yield* store.reached(`topic ${i % 10}`, `k:${i}`)
        // The first is written at once.
        assert.isAtMost(transactions, 2 + (performance.now() - began) / 200)
      })
    )
  )
})

describe("a store", () => {
  it.live("belongs to one at a time: the second is told, and gets it when the first has gone", () =>
    Effect.gen(function* () {
      const name = fresh()
      const first = yield* Scope.make()
      const store = yield* Scope.provide(IndexedDbHubStore.make({ name }), first)
      yield* store.load
      const refused = yield* Effect.flip(Effect.scoped(IndexedDbHubStore.make({ name, wait: 0 })))
      assert.deepStrictEqual([refused._tag, refused.inUse], ["StoreUnavailable", true])
      const waiting = yield* Effect.forkChild(next({ name, wait: Duration.infinity }), { startImmediately: true })
      yield* store.keep(publication(0))
      yield* Scope.close(first, Exit.void)
      assert.deepStrictEqual((yield* Fiber.join(waiting)).unanswered, [publication(0)])
    })
  )

  it.live("removes and counts what somebody else has written, and gives the rest", () =>
    Effect.gen(function* () {
      const name = fresh()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const store = yield* loaded({ name })
          yield* store.keep(publication(0))
          yield* store.reached("lobby", "k:1")
        })
      )
      const good = publication(1)
      const bad: ReadonlyArray<unknown> = [
        null,
        "text",
        { ...good, topic: 1 },
        { ...good, topic: "" },
        { ...good, dataJson: "{" },
        { ...good, dataJson: '{"type":\n1}' },
        { ...good, key: { ...good.key, sequence: -1 } },
        { ...good, key: { ...good.key, epoch: 0.5 } },
        { ...good, key: { ...good.key, producer: "" } },
        { ...good, key: "ada" },
        { ...good, echo: "yes" },
        { ...good, at: "now" },
        // The same once more.
        publication(0)
      ]
      // It was, but nobody knows when.
      const said = { ...publication(0), saidAt: 0 }
      yield* meddle(name, (transaction) => {
        for (const [i, record] of bad.entries()) transaction.objectStore("entries").add(record, 10 + i)
        transaction.objectStore("entries").add(good, "a text")
        transaction.objectStore("entries").add(good, Number.MAX_SAFE_INTEGER)
        transaction.objectStore("marks").add("yesterday", 0)
        transaction.objectStore("marks").add(1, 1_000)
        transaction.objectStore("positions").add({ position: 3, order: 1 }, "attic")
        transaction.objectStore("positions").add({ position: "k:1", order: Infinity }, "cellar")
        transaction.objectStore("positions").add("k:1", 5)
      })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const store = yield* IndexedDbHubStore.make({ name })
          const { positions, unanswered } = yield* store.load
          assert.deepStrictEqual([unanswered, [...positions]], [[said], [["lobby", "k:1"]]])
          assert.strictEqual(store.damaged(), bad.length + 5)
          yield* store.keep(publication(2))
        })
      )
      yield* Effect.scoped(
        Effect.gen(function* () {
          const store = yield* IndexedDbHubStore.make({ name })
          assert.deepStrictEqual((yield* store.load).unanswered, [said, publication(2)])
          assert.strictEqual(store.damaged(), 0)
        })
      )
    })
  )

  it.live("that another page deletes fails from then on, and lets it be deleted", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const name = fresh()
        const store = yield* loaded({ name })
        yield* store.keep(publication(0))
        yield* request(indexedDB.deleteDatabase(`millrace-hub:${name}`))
        const errors = [
          yield* Effect.flip(store.keep(publication(1))),
          yield* Effect.flip(store.answered(publication(0).key)),
          yield* Effect.flip(store.load)
        ]
        for (const error of errors) {
          assert.deepInclude(error, { _tag: "StoreUnavailable", inUse: false })
          assert.match(error.message, /another page deletes it, or has a newer program/)
        }
      })
    )
  )

  it.live("of a newer program is not touched", () =>
    Effect.gen(function* () {
      const name = fresh()
      const database = yield* request(indexedDB.open(`millrace-hub:${name}`, 1_000))
      database.close()
      const error = yield* Effect.flip(next({ name }))
      assert.deepInclude(error, { _tag: "StoreUnavailable", inUse: false })
      assert.match(error.message, /VersionError/)
    })
  )

  it.live("that a page with an older program does not let go of is not waited for beyond the timeout", () =>
    Effect.gen(function* () {
      const name = fresh()
      const database = yield* request(indexedDB.open(`millrace-hub:${name}`, 1))
      const error = yield* Effect.flip(next({ name, timeout: "50 millis" }))
      assert.deepInclude(error, { _tag: "StoreUnavailable", inUse: false })
      assert.match(error.message, /a page with an older program has it open/)
      database.close()
    })
  )

  it.live("is unavailable where there is no IndexedDB, or it refuses", () =>
    Effect.gen(function* () {
      for (const value of [
        undefined,
        {
          open: () => {
            throw new DOMException("the user said no", "SecurityError")
          }
        }
      ]) {
        Object.defineProperty(globalThis, "indexedDB", { value, configurable: true })
        const error = yield* Effect.flip(next({ name: fresh() }))
        Reflect.deleteProperty(globalThis, "indexedDB")
        assert.deepInclude(error, { _tag: "StoreUnavailable", inUse: false })
      }
    })
  )
})
