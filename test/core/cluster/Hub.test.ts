/** Topics and their members: who is in, what a publication costs, and what happens to those that are too slow. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Hub from "@millrace/core/cluster/Hub"
import * as Prepared from "@millrace/core/connection/Prepared"
import type { Written } from "@millrace/core/connection/WebSocket"
import * as Message from "@millrace/core/protocol/Message"
import { open, start, turn } from "../../support/connection.ts"
import { prototypeNames } from "../../support/handshake.ts"
import { hex } from "../../support/wire.ts"

/** A member that answers what the test says, and remembers what it was asked. */
const member = (answer: () => Written = () => "Written") => {
  const written: Array<Prepared.Prepared> = []
  const closed: Array<readonly [code: number | undefined, reason: string | undefined]> = []
  const self: Hub.Member = {
    tryWriteUnsafe: (message) => {
      const result = answer()
      if (result === "Written") written.push(message)
      return result
    },
    close: (code, reason) => Effect.sync(() => void closed.push([code, reason]))
  }
  return { ...self, self, written, closed }
}

const hello = Message.text("hello")

describe("join", () => {
  it.effect("makes a member for as long as the scope is open, however it ends", () =>
    Effect.gen(function* () {
      for (const exit of [Exit.void, Exit.fail("no"), Exit.interrupt()]) {
        const hub = yield* Hub.make()
        const scope = yield* Scope.make()
        yield* Scope.provide(hub.join("room", member().self), scope)
        assert.deepStrictEqual([hub.topics(), hub.members("room")], [1, 1])
        yield* Scope.close(scope, exit)
        assert.deepStrictEqual([hub.topics(), hub.members("room")], [0, 0])
      }
    })
  )

  it.effect("twice is once, and only the first scope makes it leave", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const one = member()
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* hub.join("room", one.self)
          yield* Effect.scoped(hub.join("room", one.self))
          assert.strictEqual((yield* hub.publish("room", hello)).receivers, 1)
          assert.strictEqual(one.written.length, 1)
        })
      )
      assert.strictEqual((yield* hub.publish("room", hello)).receivers, 0)
    })
  )

  it.effect("without a scope says whether anything changed", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const one = member().self
      const two = member().self
      assert.isTrue(hub.joinUnsafe("room", one))
      assert.isFalse(hub.joinUnsafe("room", one))
      assert.isTrue(hub.joinUnsafe("room", two))
      assert.strictEqual(hub.members("room"), 2)
      assert.isTrue(hub.leaveUnsafe("room", one))
      assert.isFalse(hub.leaveUnsafe("room", one))
      assert.isFalse(hub.leaveUnsafe("another", two))
      assert.deepStrictEqual([hub.topics(), hub.members("room"), hub.members("another")], [1, 1, 0])
    })
  )
})

describe("publish", () => {
  it.effect("reaches every member of the topic and nobody else, in the order of publication", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const members = [member(), member(), member()]
      for (const { self } of members) hub.joinUnsafe("room", self)
      const other = member()
      hub.joinUnsafe("Room", other.self)
      for (const text of ["a", "b", "c"]) assert.strictEqual((yield* hub.publish("room", text)).receivers, 3)
      for (const { written } of members) {
        assert.deepStrictEqual(
          written.map(({ message }) => (message as Message.Text).text),
          ["a", "b", "c"]
        )
      }
      assert.strictEqual(other.written.length, 0)
      assert.strictEqual((yield* hub.publish("nobody is here", hello)).receivers, 0)
    })
  )

  it.effect("counts those that it was written to", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make({ slowConsumer: { _tag: "DropNewest" } })
      for (const answer of ["Written", "Full", "NotOpen", "Written"] as const) {
        hub.joinUnsafe("room", member(() => answer).self)
      }
      assert.strictEqual((yield* hub.publish("room", hello)).receivers, 2)
    })
  )

  it.effect("prepares a message once for all, and one that is prepared not at all", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const members = [member(), member()]
      for (const { self } of members) hub.joinUnsafe("room", self)
      yield* hub.publish("room", hello)
      assert.strictEqual(members[0]!.written[0], members[1]!.written[0])
      const prepared = Prepared.make(hello)
      yield* hub.publish("room", prepared)
      assert.strictEqual(members[0]!.written[1], prepared)
    })
  )

  it.effect("writes the very same bytes to every connection: encoded once", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const ends = [yield* open("server"), yield* open("server"), yield* open("server")]
      for (const { connection } of ends) hub.joinUnsafe("room", connection)
      assert.strictEqual((yield* hub.publish("room", "hello")).receivers, 3)
      yield* turn
      const chunks = ends.map(({ far }) => far.writes.flat())
      for (const written of chunks) assert.deepStrictEqual(written, [hex("81 05 68 65 6c 6c 6f")])
      assert.strictEqual(chunks[1]![0], chunks[0]![0])
      assert.strictEqual(chunks[2]![0], chunks[0]![0])
      assert.strictEqual((yield* hub.publish("room", Uint8Array.of(1))).receivers, 3)
      yield* turn
      assert.deepStrictEqual(ends[0]!.far.writes.at(-1), [hex("82 01 01")])
    })
  )

  it.effect("masks for each connection of a client anew", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const { connection, far } = yield* open("client", {}, () => 0x01010101)
      hub.joinUnsafe("room", connection)
      yield* hub.publish("room", "a")
      yield* turn
      assert.deepStrictEqual(far.sent, hex("81 81 01 01 01 01 60"))
    })
  )

  it.effect("leaves out a connection that is closing, without a word", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const { connection, far } = yield* open("server")
      hub.joinUnsafe("room", connection)
      const closing = yield* start(connection.close(1000))
      assert.strictEqual((yield* hub.publish("room", hello)).receivers, 0)
      assert.deepStrictEqual(hub.counters(), { dropped: 0, coalesced: 0, disconnected: 0, suspended: 0 })
      yield* turn
      far.hangUp()
      yield* Fiber.join(closing)
      assert.deepStrictEqual(
        far.frames.map(({ opcode }) => opcode),
        [8]
      )
    })
  )

  it.effect("keeps topics apart that are named like properties of every object", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      for (const topic of prototypeNames) {
        assert.deepStrictEqual([hub.members(topic), (yield* hub.publish(topic, hello)).receivers], [0, 0])
        assert.isFalse(hub.leaveUnsafe(topic, member().self))
      }
      for (const topic of prototypeNames) hub.joinUnsafe(topic, member().self)
      assert.strictEqual(hub.topics(), prototypeNames.length)
      for (const topic of prototypeNames) assert.strictEqual((yield* hub.publish(topic, hello)).receivers, 1)
    })
  )
})

describe("a member whose outbox is full", () => {
  it.effect("cannot be disconnected with a code that cannot be sent", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Hub.make({ slowConsumer: { _tag: "Disconnect", code: 1006 } }))
      assert.isTrue(Exit.hasDies(exit))
    })
  )

  it.effect("is disconnected with 1013 once, and the others get the message", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const slow = member(() => "Full")
      const [before, after] = [member(), member()]
      for (const { self } of [before, slow, after]) hub.joinUnsafe("room", self)
      hub.joinUnsafe("another", slow.self)
      assert.strictEqual((yield* hub.publish("room", hello)).receivers, 2)
      assert.strictEqual((yield* hub.publish("room", hello)).receivers, 2)
      yield* turn
      assert.deepStrictEqual(slow.closed, [[1013, "too slow"]])
      assert.deepStrictEqual([before.written.length, after.written.length], [2, 2])
      assert.deepStrictEqual(hub.counters(), { dropped: 0, coalesced: 0, disconnected: 1, suspended: 0 })
      assert.strictEqual(hub.members("room"), 2)
    })
  )

  it.effect("tells the others of it behind the message that it was too slow for", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const [before, after] = [member(), member()]
      const { connection, far } = yield* open("server", { outboxBytes: 100 })
      far.stall()
      for (const one of [before.self, connection, after.self]) hub.joinUnsafe("room", one)
      const sending = Effect.andThen(connection.send("x".repeat(100)), connection.send("y"))
      yield* start(Effect.andThen(Effect.ignore(sending), hub.publish("room", "it has left")))
      yield* turn
      yield* hub.publish("room", hello)
      yield* turn
      for (const { written } of [before, after]) {
        assert.deepStrictEqual(
          written.map(({ message }) => (message as Message.Text).text),
          ["hello", "it has left"]
        )
      }
    })
  )

  it.effect("is disconnected with the code that was asked for", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make({ slowConsumer: { _tag: "Disconnect", code: 4008 } })
      const slow = member(() => "Full")
      hub.joinUnsafe("room", slow.self)
      yield* hub.publish("room", hello)
      yield* turn
      assert.strictEqual(slow.closed[0]![0], 4008)
    })
  )

  it.effect("with DropNewest misses that message, and gets the next when it has room", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make({ slowConsumer: { _tag: "DropNewest" } })
      let room = true
      const slow = member(() => (room ? "Written" : "Full"))
      hub.joinUnsafe("room", slow.self)
      for (const [text, hasRoom] of [
        ["a", true],
        ["b", false],
        ["c", false],
        ["d", true]
      ] as const) {
        room = hasRoom
        assert.strictEqual((yield* hub.publish("room", text)).receivers, hasRoom ? 1 : 0)
      }
      yield* turn
      assert.deepStrictEqual(
        slow.written.map(({ message }) => (message as Message.Text).text),
        ["a", "d"]
      )
      assert.deepStrictEqual(slow.closed, [])
      assert.deepStrictEqual(hub.counters(), { dropped: 2, coalesced: 0, disconnected: 0, suspended: 0 })
      assert.strictEqual(hub.members("room"), 1)
    })
  )

  it.effect(
    "is a connection whose network takes nothing: it gets all before its Close, and holds no more than its outbox",
    () =>
      Effect.gen(function* () {
        const hub = yield* Hub.make()
        const slow = yield* open("server", { outboxBytes: 1_000 })
        const fast = yield* open("server", { outboxBytes: 1_000 })
        slow.far.stall()
        hub.joinUnsafe("room", slow.connection)
        hub.joinUnsafe("room", fast.connection)
        const counts: Array<number> = []
        for (let i = 0; i < 20; i++) {
          counts.push((yield* hub.publish("room", "x".repeat(100))).receivers)
          yield* turn
        }
        // 102 bytes each: the tenth finds room, the eleventh does not.
        assert.deepStrictEqual(counts, [...Array<number>(10).fill(2), ...Array<number>(10).fill(1)])
        assert.deepStrictEqual(
          slow.far.frames.map(({ opcode, payload }) => [opcode, payload.length]),
          [...Array.from({ length: 10 }, () => [1, 100]), [8, 10]]
        )
        assert.deepStrictEqual([...slow.far.frames.at(-1)!.payload.subarray(0, 2)], [0x03, 0xf5])
        assert.strictEqual(fast.far.frames.length, 20)
        assert.deepStrictEqual(hub.counters(), { dropped: 0, coalesced: 0, disconnected: 1, suspended: 0 })
      })
  )
})

it.effect("the counters are a picture of that moment", () =>
  Effect.gen(function* () {
    const hub = yield* Hub.make({ slowConsumer: { _tag: "DropNewest" } })
    const before = hub.counters()
    hub.joinUnsafe("room", member(() => "Full").self)
    yield* hub.publish("room", hello)
    assert.deepStrictEqual([before.dropped, hub.counters().dropped], [0, 1])
  })
)

it.effect("the layer has a hub of its own each time it is built", () =>
  Effect.gen(function* () {
    const join = Effect.gen(function* () {
      const hub = yield* Hub.Hub
      hub.joinUnsafe("room", member().self)
      return hub.members("room")
    })
    for (let i = 0; i < 2; i++) {
      assert.strictEqual(yield* Effect.provide(join, Layer.fresh(Hub.Hub.layer())), 1)
    }
  })
)
