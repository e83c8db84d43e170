/** Commands that wait for a connection, in the IndexedDB of a real browser. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { assert, describe, it } from "@effect/vitest"
import * as IndexedDbOutboxStore from "@millrace/browser/IndexedDbOutboxStore"
import * as Client from "@millrace/core/messaging/Client"
import * as Contract from "@millrace/core/messaging/Contract"
import type { SessionError } from "@millrace/core/messaging/SessionError"

const Talk = Contract.make("talk", { commands: { say: Schema.String, send: Schema.Uint8Array, any: Schema.Unknown } })

let names = 0
const fresh = () => `test ${++names} ${crypto.randomUUID()}`

/** A client without a connection. */
const life = (options: IndexedDbOutboxStore.Options) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const store = yield* Scope.provide(IndexedDbOutboxStore.make(options), scope)
    const client = yield* Scope.provide(Client.make(Talk, Effect.never, { outbox: { store } }), scope)
    return { client, store, end: Scope.close(scope, Exit.void) }
  })

const request = <A>(request: IDBRequest<A>): Effect.Effect<A> =>
  Effect.callback((resume) => {
    request.addEventListener("success", () => resume(Effect.succeed(request.result)))
    request.addEventListener("error", () => resume(Effect.die(request.error)))
  })

const records = (name: string) =>
  Effect.gen(function* () {
    const database = yield* request(indexedDB.open(`millrace-outbox:${name}`))
    const all = yield* request(database.transaction("entries").objectStore("entries").getAll())
    database.close()
    return all
  })

const reasonOf = (effect: Effect.Effect<unknown, SessionError>) =>
  Effect.map(Effect.flip(effect), ({ reason }): SessionError["reason"] => reason)

describe("a store of commands", () => {
  it.live("keeps them as they are on the wire, bytes as bytes", () =>
    Effect.gen(function* () {
      const name = fresh()
      const { client, end } = yield* life({ name })
      yield* client.emit("say", "hello")
      yield* client.emit("send", Uint8Array.of(1, 2, 3))
      yield* end
      const kept = yield* records(name)
      assert.deepStrictEqual(
        kept.map(({ contract, name, payload, version }) => [contract, version, name, payload]),
        [
          ["talk", "1", "say", "hello"],
          ["talk", "1", "send", Uint8Array.of(1, 2, 3)]
        ]
      )
    })
  )

  it.live("has no room beyond its bounds: what has none is refused", () =>
    Effect.gen(function* () {
      const name = fresh()
      const { client, end } = yield* life({ name, capacity: 2, maxBytes: 2_000 })
      yield* client.emit("say", "one")
      const long = yield* reasonOf(client.emit("say", "x".repeat(1_000)))
      yield* client.emit("say", "two")
      const third = yield* reasonOf(client.emit("say", "three"))
      yield* end
      assert.deepInclude(long, { _tag: "OutboxFull", capacity: 2_000 })
      assert.deepInclude(third, { _tag: "OutboxFull", capacity: 2 })
      assert.lengthOf(yield* records(name), 2)
    })
  )

  it.live("refuses what it cannot keep, and keeps the rest", () =>
    Effect.gen(function* () {
      const name = fresh()
      const { client, end } = yield* life({ name })
      const circle: Array<unknown> = []
      circle.push(circle)
      const refused = yield* Effect.all(
        [reasonOf(client.emit("any", circle)), client.emit("say", "one"), client.emit("say", "two")],
        { concurrency: "unbounded" }
      )
      assert.include(["StoreUnavailable", "Unencodable"], refused[0]._tag)
      yield* end
      assert.lengthOf(yield* records(name), 2)
    })
  )

  it.live("removes and counts what somebody else has written, and gives the rest", () =>
    Effect.gen(function* () {
      const name = fresh()
      const first = yield* life({ name })
      yield* first.client.emit("say", "one")
      yield* first.end
      const [good] = yield* records(name)
      const database = yield* request(indexedDB.open(`millrace-outbox:${name}`))
      const bad = [null, 1, "text", {}, { ...good, id: 1 }, { ...good, id: "x", name: undefined }, good]
      const store = database.transaction("entries", "readwrite").objectStore("entries")
      for (const [i, record] of bad.entries()) yield* request(store.add(record, 10 + i))
      database.close()
      const { client, end, store: next } = yield* life({ name })
      assert.strictEqual(next.damaged, bad.length)
      assert.strictEqual(client.dropped(), 0)
      yield* end
      assert.deepStrictEqual(yield* records(name), [good])
    })
  )

  it.live("is there for another client of the same life, with what is left now", () =>
    Effect.gen(function* () {
      const name = fresh()
      const first = yield* life({ name })
      yield* first.client.emit("say", "one")
      let left = 0
      const spying = {
        ...first.store,
        open: (...args: Parameters<typeof first.store.open>) => {
          const { restore } = args[1]
          args[1].restore = (say) => {
            left++
            restore.call(args[1], say)
          }
          return first.store.open(...args)
        }
      }
      yield* Effect.scoped(Client.make(Talk, Effect.never, { outbox: { store: spying } }))
      assert.strictEqual(left, 1)
      yield* first.end
    })
  )
})
