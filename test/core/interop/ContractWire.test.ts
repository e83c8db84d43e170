import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { expectTypeOf } from "vitest"
import * as z from "zod"
import * as ContractChannel from "@millrace/core/interop/actioncable/ContractChannel"
import * as ContractWire from "@millrace/core/interop/ContractWire"
import * as ContractNamespace from "@millrace/core/interop/socketio/ContractNamespace"
import * as Contract from "@millrace/core/messaging/Contract"
import { Failed, SessionError } from "@millrace/core/messaging/SessionError"
import { Taken } from "../../support/session.ts"
import { nested } from "../../support/wireValues.ts"

const Chat = Contract.make("chat", {
  events: { said: Schema.String },
  commands: { say: Schema.String },
  requests: {
    rename: { payload: Schema.String, success: Schema.Date, error: Taken },
    any: { payload: Schema.Unknown, success: Schema.Unknown }
  },
  streams: { history: { element: Schema.String } }
})

const hearing = (handlers: object) => ({
  says: Chat.says.client,
  handlers: ContractWire.byName(handlers),
  hasBytes: false
})

const handlers = {
  say: () => Effect.succeed("ignored"),
  rename: (name: string): Effect.Effect<Date, SessionError | Taken> => {
    if (name === "ada") return Effect.fail(new Taken({ name }))
    if (name === "") return Effect.die("a defect")
    const reason = new Failed({ name: "other", code: "unavailable", detail: "" })
    return name === "later" ? Effect.fail(new SessionError({ reason })) : Effect.succeed(new Date(0))
  },
  any: (value: unknown) => Effect.succeed(value),
  history: () => Stream.empty
}

describe("What is said to a contract", () => {
  it.effect.each([
    ["a request", "rename", ["eve"], { ok: "1970-01-01T00:00:00.000Z" }],
    ["one of its errors", "rename", ["ada"], { error: { _tag: "Taken", name: "ada" } }],
    ["a defect, of which nothing is told", "rename", [""], { fail: { code: "defect", detail: "" } }],
    [
      "a session that is not there",
      "rename",
      ["later"],
      { fail: { code: "unavailable", detail: "what it needs is not there" } }
    ],
    ["a command", "say", ["hi"], { ok: null }],
    ["a name that nobody knows", "toString", [], { fail: { code: "unknown", detail: 'nothing is called "toString"' } }],
    ["a name of every object", "__proto__", [], { fail: { code: "unknown", detail: 'nothing is called "__proto__"' } }],
    ["a stream", "history", [], { fail: { code: "unknown", detail: 'nothing is called "history"' } }],
    ["too much", "say", ["hi", "ho"], { fail: { code: "invalid", detail: "more than one argument" } }],
    ["nothing", "any", [null], { ok: null }]
  ] as const)("%s is answered", ([, name, args, answer]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* ContractWire.hear(hearing(handlers), name, args), answer)
    })
  )

  it.effect("is answered with why it is not what the contract says, shortened", () =>
    Effect.gen(function* () {
      const answer = yield* ContractWire.hear(hearing(handlers), "say", [{ text: 1 }])
      assert.deepInclude(answer, {
        fail: { code: "invalid", detail: (answer as { fail: { detail: string } }).fail.detail }
      })
      assert.match(JSON.stringify(answer), /Expected string/)
      const long = yield* ContractWire.hear(hearing(handlers), "x".repeat(5_000), [])
      assert.isBelow(JSON.stringify(long).length, 200)
    })
  )

  it.effect("is not answered by what a handler's object has not itself", () =>
    Effect.gen(function* () {
      const answer = yield* ContractWire.hear(hearing(Object.create(handlers)), "say", ["hi"])
      assert.deepStrictEqual(answer, { fail: { code: "unavailable", detail: "nobody answers this here" } })
    })
  )

  it.effect("is answered with null where the contract says undefined", () =>
    Effect.gen(function* () {
      const { says } = Contract.make("none", { requests: { get: { success: z.undefined() } } })
      const handlers = ContractWire.byName({ get: () => Effect.void })
      const answer = yield* ContractWire.hear({ says: says.client, handlers, hasBytes: false }, "get", [])
      assert.deepStrictEqual(answer, { ok: null })
    })
  )

  it.effect("is a defect where the wire cannot say the answer", () =>
    Effect.gen(function* () {
      const bytes = new Uint8Array([1])
      const get = { success: Schema.Uint8Array }
      const { says } = Contract.make("bytes", { requests: { get, any: { success: Schema.Unknown } } })
      const handlers = ContractWire.byName({ get: () => Effect.succeed(bytes), any: () => Effect.succeed(nested(64)) })
      const hear = (name: string, hasBytes: boolean) =>
        ContractWire.hear({ says: says.client, handlers, hasBytes }, name, [])
      const defect: ContractWire.Answer = { fail: { code: "defect", detail: "" } }
      assert.deepStrictEqual(yield* hear("get", true), { ok: bytes })
      assert.deepStrictEqual(yield* hear("get", false), defect)
      assert.deepStrictEqual(yield* hear("any", true), defect)
    })
  )
})

describe("The answer of a client", () => {
  const coder = Chat.says.client.get("rename") as Contract.RequestCoder
  const read = (answer: unknown) => ContractWire.read(coder, answer)

  it("is a success, an error of the contract, or a failure", () => {
    assert.deepStrictEqual(read({ ok: new Date(0).toISOString() }), Result.succeed(Result.succeed(new Date(0))))
    const error = Result.flatMap(read({ error: { _tag: "Taken", name: "ada" } }), Result.flip)
    assert.instanceOf(Result.getOrThrow(error), Taken)
    const failed = Result.flatMap(read({ fail: { code: "what?", detail: "d".repeat(5_000) } }), Result.flip)
    const { reason } = Result.getOrThrow(failed) as SessionError
    assert.deepInclude(reason, { _tag: "Failed", name: "rename", code: "defect", detail: "d".repeat(1_024) })
  })

  it.each([
    undefined,
    null,
    "ok",
    [],
    {},
    { ok: 7 },
    { fail: "x" },
    { error: 1 },
    Object.create({ ok: "1970-01-01T00:00:00.000Z" })
  ])("is none: %j", (answer) => {
    assert.isTrue(Result.isFailure(read(answer)))
  })
})

describe("A contract is refused by its type", () => {
  const nothing = { say: () => Effect.void }
  const commands = { say: Schema.String }

  it("for what a wire has no words for, unless that is said", () => {
    const Streams = Contract.make("a", { commands, streams: { history: { element: Schema.String } } })
    const withStream = { ...nothing, history: () => Stream.empty }
    // @ts-expect-error: a stream
    ContractNamespace.of(Streams, withStream)
    // @ts-expect-error: a stream
    ContractChannel.of(Streams, withStream)
    ContractNamespace.of(Streams, withStream, { leaveOut: { streams: true } })
    ContractChannel.of(Streams, withStream, { leaveOut: { streams: true } })
    // Without a handler, too.
    ContractChannel.of(Streams, nothing, { leaveOut: { streams: true } })
    // @ts-expect-error: a stream that nobody left out
    ContractChannel.make(Streams, {}, () => Effect.succeed(withStream))

    const ServerStreams = Contract.make("a", { commands, serverStreams: { ticks: { element: Schema.Int } } })
    // @ts-expect-error: a stream
    ContractNamespace.of(ServerStreams, nothing)
    // @ts-expect-error: a stream
    ContractChannel.of(ServerStreams, nothing)

    const Asks = Contract.make("a", { commands, serverRequests: { locale: { success: Schema.String } } })
    ContractNamespace.of(Asks, nothing)
    // @ts-expect-error: nobody would answer
    ContractChannel.of(Asks, nothing)
    ContractChannel.of(Asks, nothing, { leaveOut: { serverRequests: true } })
    // @ts-expect-error: the wrong part
    ContractChannel.of(Asks, nothing, { leaveOut: { streams: true } })
    // @ts-expect-error: there is nothing to leave out
    ContractChannel.of(Contract.make("a", { commands }), nothing, { leaveOut: { streams: true } })
  })

  it("for bytes, on a wire that has none", () => {
    const inside = Schema.Struct({ pictures: Schema.Array(Schema.Struct({ data: Schema.Uint8Array })) })
    const Bytes = Contract.make("a", { commands, events: { seen: inside } })
    ContractNamespace.of(Bytes, nothing)
    // @ts-expect-error: bytes, deep inside of an event
    ContractChannel.of(Bytes, nothing)
    const Asked = Contract.make("a", { requests: { get: { success: Schema.NullOr(Schema.Uint8Array) } } })
    // @ts-expect-error: bytes, in an answer
    ContractChannel.of(Asked, { get: () => Effect.succeed(null) })
    const Zod = Contract.make("a", { commands: { say: z.object({ data: z.instanceof(Uint8Array) }) } })
    // @ts-expect-error: bytes, by another library's schema
    ContractChannel.of(Zod, nothing)
    const Text = Contract.make("a", {
      commands: { say: Schema.String, tell: Schema.Struct({ at: Schema.Date, any: Schema.Unknown }) },
      requests: { get: { success: Schema.Uint8ArrayFromBase64, error: Taken } }
    })
    ContractChannel.of(Text, { ...nothing, get: () => Effect.succeed(new Uint8Array()) })
  })

  it("for names that Socket.IO has a meaning for, and when it is made", () => {
    const Connects = Contract.make("a", { commands, events: { disconnect: Schema.String } })
    // @ts-expect-error: a name of Socket.IO's own
    assert.throws(() => ContractNamespace.of(Connects, nothing), 'Socket.IO has a meaning of its own for "disconnect"')
    ContractChannel.of(Connects, nothing)
  })

  it("where handlers are not those of a session", () => {
    const Asked = Contract.make("a", { requests: { get: { success: Schema.Int } } })
    // @ts-expect-error: a request that nobody answers
    ContractNamespace.of(Asked, {})
    // @ts-expect-error: a wrong answer
    ContractNamespace.of(Asked, { get: () => Effect.succeed("1") })
    // @ts-expect-error: nobody says that
    ContractChannel.of(Asked, { get: () => Effect.succeed(1), got: () => Effect.void })
  })

  it("and has what a session has otherwise", () => {
    type Definition = (typeof Chat)["definition"]
    expectTypeOf<keyof ContractChannel.Peer<Definition>>().toEqualTypeOf<"emit" | "id" | "known">()
    expectTypeOf<keyof ContractNamespace.Peer<Definition>>().toEqualTypeOf<"emit" | "id" | "known" | "request">()
    expectTypeOf<ContractWire.WithBytes<Definition>>().toEqualTypeOf<never>()
  })
})
