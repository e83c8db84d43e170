/** Commands that outlive the program that gave them: each is said once at most, in order, whenever it ends. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as fc from "fast-check"
import * as Client from "@millrace/core/messaging/Client"
import * as Contract from "@millrace/core/messaging/Contract"
import type { Conversation } from "@millrace/core/messaging/Conversation"
import { Outbox } from "@millrace/core/messaging/Outbox"
import type * as OutboxStore from "@millrace/core/messaging/OutboxStore"
import { Disconnected, SessionError, Unencodable } from "@millrace/core/messaging/SessionError"
import { start } from "../../support/connection.ts"
import { type Kept, keptCommands, unavailable } from "../../support/keptCommands.ts"
import { chatting, Network } from "../../support/returning.ts"
import { Chat, turn } from "../../support/session.ts"

const Talk = Contract.make("talk", { commands: { say: Schema.Number, send: Schema.Uint8Array } })
type Coder = Extract<ReturnType<Contract.Coders["get"]>, { _tag: "Message" }>
const say = Talk.says.client.get("say") as Coder

const lost = Effect.fail(new SessionError({ reason: new Disconnected({ cause: undefined }) }))

/** Why it failed. */
const reason = (effect: Effect.Effect<unknown, SessionError>) =>
  Effect.map(Effect.flip(effect), (error): SessionError["reason"] => error.reason)

/** A program with a store: what it says, to sessions that come and go. */
const life = (
  kept: Kept,
  options: Client.Outbox = {},
  contract: Contract.Contract = Talk,
  said: (value: unknown) => void = () => {}
) => {
  let open: Conversation | undefined
  /** A session that takes so many, as long as it is the one that there is. */
  const session = (takes: number): Conversation => {
    let left = takes
    const self = {
      emitBy: ({ payload }: Coder, value: unknown) =>
        Effect.suspend(() => {
          if (open === self && left-- > 0) return Effect.sync(() => said(Result.getOrThrow(payload.encode(value))))
          if (open === self) open = undefined
          return lost
        })
    } as unknown as Conversation
    return self
  }
  const outbox = new Outbox(() => open, options)
  const keeper = kept.store.open(contract, outbox, (say) => say)
  return {
    keeper,
    put: (value: number) => keeper.put(say, value, (conversation) => conversation.emitBy(say, value)),
    connect: (takes = Infinity) =>
      Effect.suspend(() => {
        open = session(takes)
        return outbox.flush(open)
      }),
    disconnect: () => {
      open = undefined
    }
  }
}

const record = (id: string, payload: unknown, over: Partial<OutboxStore.Left> = {}): OutboxStore.Left => ({
  id,
  contract: "talk",
  version: "1",
  signature: say.payload.signature(),
  name: "say",
  payload,
  isOnItsWay: false,
  ...over
})

describe("a command that waits for a connection", () => {
  it.effect("is kept when emit has succeeded, as it is on the wire, and is gone when a connection has it", () =>
    Effect.gen(function* () {
      const kept = keptCommands()
      const said: Array<unknown> = []
      const { connect, put } = life(kept, {}, Talk, (value) => said.push(value))
      yield* put(1)
      yield* put(2)
      assert.deepStrictEqual(
        kept.left(),
        [1, 2].map((payload, i) => record(kept.left()[i]!.id, payload))
      )
      yield* connect()
      yield* turn
      assert.deepStrictEqual([said, kept.left()], [[1, 2], []])
    })
  )

  it.effect("costs nothing while there is one", () =>
    Effect.gen(function* () {
      let writes = 0
      const { connect, put } = life(keptCommands([], { wrote: () => writes++ }))
      yield* connect()
      yield* put(1)
      assert.strictEqual(writes, 0)
    })
  )

  it.effect("is kept, too, when the connection is lost while it is said", () =>
    Effect.gen(function* () {
      const kept = keptCommands()
      const said: Array<unknown> = []
      const { connect, put } = life(kept, {}, Talk, (value) => said.push(value))
      yield* connect(1)
      yield* put(1)
      yield* put(2)
      assert.deepStrictEqual([said, kept.left().map(({ payload }) => payload)], [[1], [2]])
      yield* connect()
      yield* turn
      assert.deepStrictEqual([said, kept.left()], [[1, 2], []])
    })
  )

  it.effect("is no longer on its way when the connection was lost, and keeps its place", () =>
    Effect.gen(function* () {
      const kept = keptCommands()
      const { connect, put } = life(kept)
      yield* Effect.forEach([1, 2, 3], put)
      yield* connect(1)
      yield* turn
      assert.deepStrictEqual(
        kept.left().map(({ isOnItsWay, payload }) => [payload, isOnItsWay]),
        [
          [2, false],
          [3, false]
        ]
      )
    })
  )

  it.effect("is said by the next life before anything new, in order", () =>
    Effect.gen(function* () {
      const kept = keptCommands()
      const first = life(kept)
      yield* Effect.forEach([1, 2, 3], first.put)
      const said: Array<unknown> = []
      const next = keptCommands(kept.left())
      const second = life(next, {}, Talk, (value) => said.push(value))
      yield* second.put(4)
      yield* second.connect()
      yield* second.put(5)
      yield* turn
      assert.deepStrictEqual([said, next.left()], [[1, 2, 3, 4, 5], []])
    })
  )

  it.effect("that an earlier life has left has room beyond the capacity of the outbox; a new one has not", () =>
    Effect.gen(function* () {
      const said: Array<unknown> = []
      const kept = keptCommands([record("a", 1), record("b", 2), record("c", 3)])
      const { connect, put } = life(kept, { capacity: 2 }, Talk, (value) => said.push(value))
      assert.strictEqual((yield* reason(put(4)))._tag, "OutboxFull")
      yield* connect()
      assert.deepStrictEqual(said, [1, 2, 3])
    })
  )

  it.effect("that was on its way when its life ended is not said again, but counted", () =>
    Effect.gen(function* () {
      const said: Array<unknown> = []
      const kept = keptCommands([record("a", 1, { isOnItsWay: true }), record("b", 2)])
      const { connect, keeper } = life(kept, {}, Talk, (value) => said.push(value))
      assert.strictEqual(keeper.dropped, 1)
      yield* connect()
      yield* turn
      assert.deepStrictEqual([said, kept.left()], [[2], []])
    })
  )

  it.effect("is not said by a program for which it means something else, but counted", () =>
    Effect.gen(function* () {
      const kept = keptCommands([
        record("a", 1, { contract: "other" }),
        record("b", 2, { version: "2" }),
        record("c", 3, { name: "shout" }),
        record("d", 4, { signature: "another shape" }),
        record("e", "no number"),
        record("f", 6)
      ])
      const said: Array<unknown> = []
      const { connect, keeper } = life(kept, {}, Talk, (value) => said.push(value))
      assert.strictEqual(keeper.dropped, 5)
      yield* connect()
      yield* turn
      assert.deepStrictEqual([said, kept.left()], [[6], []])
    })
  )

  it.effect("is said as it was, also where a schema makes something else of what it reads", () =>
    Effect.gen(function* () {
      const contract = Contract.make("talk", { commands: { say: Schema.NumberFromString } })
      const { payload } = contract.says.client.get("say") as Coder
      const left = record("a", "4", { signature: payload.signature() })
      const said: Array<unknown> = []
      const { connect } = life(keptCommands([left]), {}, contract, (value) => said.push(value))
      yield* connect()
      assert.deepStrictEqual(said, ["4"])
    })
  )

  it.effect("is forgotten with the oldest that makes room, and is not kept where it is dropped itself", () =>
    Effect.gen(function* () {
      for (const { overflow, stay } of [
        { overflow: "DropOldest", stay: [2, 3] },
        { overflow: "DropNewest", stay: [1, 2] }
      ] as const) {
        const kept = keptCommands()
        const { put } = life(kept, { capacity: 2, overflow })
        yield* Effect.forEach([1, 2, 3], put)
        yield* turn
        assert.deepStrictEqual(
          kept.left().map(({ payload }) => payload),
          [...stay]
        )
      }
    })
  )

  it.effect("that cannot be said to anybody is forgotten", () =>
    Effect.gen(function* () {
      const kept = keptCommands()
      const { connect, keeper } = life(kept)
      const unencodable = new Unencodable({ name: "say", cause: undefined })
      yield* keeper.put(say, 1, () => Effect.fail(new SessionError({ reason: unencodable })))
      yield* connect()
      yield* turn
      assert.deepStrictEqual(kept.left(), [])
    })
  )

  it.effect("fails, and is not said, where the storage has no room or cannot be used", () =>
    Effect.gen(function* () {
      const said: Array<unknown> = []
      const kept = keptCommands([], { capacity: 1 })
      const { connect, put } = life(kept, {}, Talk, (value) => said.push(value))
      yield* put(1)
      const full = yield* reason(put(2))
      assert.deepStrictEqual([full._tag, "capacity" in full && full.capacity], ["OutboxFull", 1])
      kept.fail(unavailable())
      const other = life(kept, {}, Talk, (value) => said.push(value))
      assert.strictEqual((yield* reason(other.put(3)))._tag, "OutboxFull")
      const broken = keptCommands()
      broken.fail(unavailable())
      assert.strictEqual((yield* reason(life(broken).put(4)))._tag, "StoreUnavailable")
      yield* connect()
      assert.deepStrictEqual(said, [1])
    })
  )

  it.effect("is said where its storage is gone, unless another client has it", () =>
    Effect.gen(function* () {
      for (const inUse of [false, true]) {
        const said: Array<unknown> = []
        const kept = keptCommands()
        const { connect, put } = life(kept, {}, Talk, (value) => said.push(value))
        yield* put(1)
        kept.fail(unavailable(inUse))
        yield* connect()
        assert.deepStrictEqual(said, inUse ? [] : [1])
      }
    })
  )

  it.effect("waits to be said until it is known to be kept, and stays where it was when it is not waited for", () =>
    Effect.gen(function* () {
      const said: Array<unknown> = []
      const kept = keptCommands()
      const { connect, put } = life(kept, {}, Talk, (value) => said.push(value))
      const giving = yield* start(Effect.all([put(1), put(2)], { concurrency: 2 }))
      yield* connect()
      yield* turn
      assert.deepStrictEqual([said, kept.left(), giving.pollUnsafe() !== undefined], [[1, 2], [], true])
    })
  )
})

describe("whenever a program ends", () => {
  /** What a life does, a number is so many commands that a session takes. */
  const step = fc.oneof(fc.constant("put" as const), fc.constant("disconnect" as const), fc.nat({ max: 3 }))

  it("each command is said once at most, in order, and only what was on its way is lost", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        interface Moment {
          readonly said: ReadonlyArray<unknown>
          readonly accepted: ReadonlyArray<number>
          readonly left: ReadonlyArray<OutboxStore.Left>
        }
        const moments: Array<Moment> = []
        const said: Array<unknown> = []
        const accepted: Array<number> = []
        const remember = () => moments.push({ said: [...said], accepted: [...accepted], left: kept.left() })
        const kept: Kept = keptCommands([], { wrote: () => remember() })
        remember()
        await Effect.runPromise(
          Effect.gen(function* () {
            const { connect, disconnect, put } = life(kept, {}, Talk, (value) => {
              said.push(value)
              remember()
            })
            let next = 0
            for (const step of steps) {
              if (step === "put") {
                const value = ++next
                yield* Effect.forkChild(
                  Effect.andThen(
                    put(value),
                    Effect.sync(() => {
                      accepted.push(value)
                      remember()
                    })
                  ),
                  { startImmediately: true }
                )
              } else if (step === "disconnect") disconnect()
              else yield* Effect.forkChild(connect(step), { startImmediately: true })
              if (next % 3 === 0) yield* Effect.yieldNow
            }
            for (let i = 0; i < 100; i++) yield* Effect.yieldNow
          })
        )
        for (const { accepted, left, said } of moments) {
          const all: Array<unknown> = [...said]
          const then = keptCommands(left)
          const { connect, keeper } = life(then, {}, Talk, (value) => all.push(value))
          await Effect.runPromise(connect())
          assert.deepStrictEqual(
            all,
            all.toSorted((one, other) => Number(one) - Number(other))
          )
          assert.strictEqual(new Set(all).size, all.length)
          const onItsWay = left.filter(({ isOnItsWay }) => isOnItsWay)
          assert.strictEqual(keeper.dropped, onItsWay.length)
          assert.isAtMost(onItsWay.length, 1)
          const lost = accepted.filter((value) => !all.includes(value))
          assert.isTrue(lost.every((value) => onItsWay.some(({ payload }) => payload === value)))
        }
      }),
      { numRuns: 300 }
    )
  })
})

describe("a client with a store", () => {
  it.effect("says what the one before it has left, over its first connection", () =>
    Effect.gen(function* () {
      const heard: Array<string> = []
      const network = new Network()
      const { serve } = chatting({ say: (text: string) => Effect.sync(() => void heard.push(text)) })
      network.serve = serve
      const kept = keptCommands()
      const opened = Deferred.makeUnsafe<void>()
      const first = yield* Scope.make()
      network.answer = () => Deferred.await(opened)
      const one = yield* Scope.provide(Client.make(Chat, network.connect, { outbox: { store: kept.store } }), first)
      yield* one.emit("say", "before")
      yield* one.emit("say", "also before")
      yield* Scope.close(first, Exit.void)
      assert.lengthOf(kept.left(), 2)
      Deferred.doneUnsafe(opened, Exit.void)
      const next = keptCommands(kept.left())
      const two = yield* Client.make(Chat, network.connect, { outbox: { store: next.store } })
      yield* two.emit("say", "after")
      yield* turn
      assert.deepStrictEqual([heard, next.left(), two.dropped()], [["before", "also before", "after"], [], 0])
    })
  )

  it.effect("counts what it does not say", () =>
    Effect.gen(function* () {
      const { store } = keptCommands([record("a", 1)])
      const client = yield* Client.make(Chat, new Network().connect, { outbox: { store } })
      assert.strictEqual(client.dropped(), 1)
    })
  )
})
