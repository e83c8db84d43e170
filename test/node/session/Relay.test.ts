/** What belongs to connections of another node, piece by piece: see `NodeSessionServer.cluster` for whole sessions. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as Nodes from "@millrace/core/cluster/Nodes"
import * as Questions from "@millrace/core/cluster/Questions"
import * as Relay from "@millrace/node/session/Relay"
import * as Bus from "../../support/nodes.ts"

/** A node that asks, and one whose connections are in a map. */
const cluster = Effect.gen(function* () {
  const bus = yield* Bus.make(2)
  const connections = new Map<string, { readonly limit: number }>()
  const taken: Array<number> = []
  let found = 0
  const taker: Relay.Taker = {
    find: (secret) => {
      found++
      const connection = connections.get(secret)
      return connection && { connection, limit: connection.limit }
    },
    takeRelayed: (_, { bytes }) =>
      Effect.sync(() => {
        taken.push(bytes.length)
        return { status: 204, headers: [], detail: "" }
      }),
    closeRelayed: () => Relay.unknown
  }
  const relays = yield* Effect.forEach(bus.brokers, (broker, index) =>
    Effect.gen(function* () {
      const nodes = yield* Nodes.make(broker, { name: `n${index}` })
      const questions = yield* Questions.make(broker, nodes)
      return { questions, relay: yield* Relay.make({ nodes, questions }, "/", () => taker) }
    })
  )
  yield* TestClock.adjust("300 millis")
  const there = bus.brokers[1]!.node
  const secret = `${"s".repeat(22)}${there}`
  const { questions, relay } = relays[0]!
  const post = (length: number) =>
    Effect.map(
      relay.post(there, secret, { type: "application/json", number: undefined, bytes: new Uint8Array(length) }),
      ({ status }) => status
    )
  /** A piece of always the same POST. */
  const piece = (index: number, of = 2) =>
    questions.askNode(there, "sessions /", { secret, id: "a", index, of, piece: "", type: "" })
  return { connections, looked: () => found, piece, post, secret, taken }
})

describe("a POST of a connection of another node", () => {
  it.effect("is put together there, from as many pieces as it takes", () =>
    Effect.gen(function* () {
      const { connections, looked, post, secret, taken } = yield* cluster
      connections.set(secret, { limit: 1_000_000 })
      for (const length of [0, 131_072, 131_073, 700_000]) assert.strictEqual(yield* post(length), 204)
      assert.deepStrictEqual([taken, looked()], [[0, 131_072, 131_073, 700_000], 1 + 1 + 2 + 6])
    })
  )

  it.effect("is not sent to its end, nor kept, when there is no such connection", () =>
    Effect.gen(function* () {
      const { looked, post, taken } = yield* cluster
      assert.strictEqual(yield* post(700_000), 404)
      assert.deepStrictEqual([taken, looked()], [[], 1])
    })
  )

  it.effect("is not sent to its end when it is too long already, and who takes it is told", () =>
    Effect.gen(function* () {
      const { connections, looked, post, secret, taken } = yield* cluster
      connections.set(secret, { limit: 200_000 })
      yield* post(700_000)
      assert.deepStrictEqual([taken, looked()], [[262_144], 2])
    })
  )

  it.effect("is of the connection that its first piece was for, and gone with it", () =>
    Effect.gen(function* () {
      const { connections, piece, secret, taken } = yield* cluster
      connections.set(secret, { limit: 10 })
      assert.deepStrictEqual(yield* piece(0, 3), [100, [], ""])
      assert.strictEqual((yield* Effect.flip(piece(2, 3))).reason._tag, "Declined")
      assert.deepStrictEqual(yield* piece(0), [100, [], ""])
      connections.set(secret, { limit: 10 })
      assert.strictEqual((yield* Effect.flip(piece(1))).reason._tag, "Declined")
      assert.deepStrictEqual(yield* piece(0), [100, [], ""])
      assert.deepStrictEqual(yield* piece(1), [204, [], ""])
      assert.deepStrictEqual(taken, [0])
    })
  )
})
