/** Events whose data is checked: what decodes, what does not and who is told of it, and that both ends agree. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"
import type { Event } from "@millrace/core/codec/EventStream"
import * as EventStream from "@millrace/core/codec/EventStream"
import * as TypedEvents from "@millrace/core/messaging/TypedEvents"

const Chat = TypedEvents.make({
  said: Schema.Struct({ from: Schema.String, text: Schema.String, at: Schema.optionalKey(Schema.Date) }),
  level: TypedEvents.text(Schema.FiniteFromString),
  message: TypedEvents.text(Schema.String),
  closed: Schema.Void
})

const event = (name: string, data: string, id = "7"): Event => ({ event: name, data, id })

const said = event("said", '{"from":"ada","text":"hello"}')

const decoded = (...events: ReadonlyArray<Event>) =>
  Stream.runCollect(Stream.fromArray(events).pipe(TypedEvents.decode(Chat)))

describe("decoding", () => {
  it.effect("gives each event with its name, its data as its schema says, and its id", () =>
    Effect.gen(function* () {
      const events = yield* decoded(said, event("level", "1.5", ""), event("message", ' {"a":1}'))
      assert.deepStrictEqual(events, [
        { event: "said", data: { from: "ada", text: "hello" }, id: "7" },
        { event: "level", data: 1.5, id: "" },
        { event: "message", data: ' {"a":1}', id: "7" }
      ])
    })
  )

  it.effect("gives all of a stream, whatever comes together", () =>
    Effect.gen(function* () {
      const numbers = Array.from({ length: 20 }, (_, i) => event(i % 4 === 3 ? "unknown" : "level", `${i}`))
      for (const size of [1, 3, 4, 20]) {
        const events = Stream.rechunk(Stream.fromArray(numbers), size).pipe(TypedEvents.decode(Chat))
        const wanted = numbers.filter(({ event }) => event === "level").map(({ data }) => Number(data))
        assert.deepStrictEqual(
          (yield* Stream.runCollect(events)).map(({ data }) => data),
          wanted
        )
      }
    })
  )

  it.effect("makes of JSON what the schema says: dates, and no fields that it does not know", () =>
    Effect.gen(function* () {
      const at = "2026-11-23T10:00:00.000Z"
      const [first] = yield* decoded(event("said", JSON.stringify({ from: "a", text: "b", at, more: 1 })))
      assert.deepStrictEqual(first?.data, { from: "a", text: "b", at: new Date(at) })
    })
  )

  it.effect.each([
    ["of another shape", event("said", '{"from":"ada"}'), /"said".*text/s],
    ["that is no JSON", event("said", "hello"), /"said".*JSON/s],
    ["that is empty", event("said", ""), /"said"/],
    ["that is no number", event("level", "high"), /"level"/],
    ["nested deeper than any stack", event("said", "[".repeat(1_000_000)), /"said"/]
  ] as const)("fails with data %s, with the event as it came, after what came before it", ([, wrong, message]) =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const failing = Stream.fromArray([said, wrong, said]).pipe(
        TypedEvents.decode(Chat),
        Stream.runForEach(({ event }) => Effect.sync(() => seen.push(event)))
      )
      const error = yield* Effect.flip(failing)
      assert.deepStrictEqual([error._tag, error.event, seen], ["UndecodableEvent", wrong, ["said"]])
      assert.match(error.message, message)
    })
  )

  it.effect("goes on when somebody else is told of what does not decode, in the order of the stream", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const note = (text: string) => Effect.sync(() => void log.push(text))
      const events = [event("level", "1"), event("level", "x"), event("level", "y"), event("level", "2")]
      yield* Stream.fromArray(events).pipe(
        TypedEvents.decode(Chat, { onUndecodable: ({ event }) => note(`undecodable ${event.data}`) }),
        Stream.runForEach(({ data }) => note(`event ${String(data)}`))
      )
      assert.deepStrictEqual(log, ["event 1", "undecodable x", "undecodable y", "event 2"])
    })
  )

  it.effect("fails as the handler does", () =>
    Effect.gen(function* () {
      const failing = Stream.make(event("level", "x")).pipe(
        TypedEvents.decode(Chat, { onUndecodable: () => Effect.fail("enough" as const) }),
        Stream.runDrain
      )
      assert.strictEqual(yield* Effect.flip(failing), "enough")
    })
  )

  it.effect.each(["unknown", "__proto__", "constructor", "toString", "hasOwnProperty"])(
    "leaves out events with a name that is none of ours, such as %s, unless somebody is told of them",
    (name) =>
      Effect.gen(function* () {
        const strange = event(name, "{}")
        assert.strictEqual((yield* decoded(strange, said, strange)).length, 1)
        const told: Array<Event> = []
        const events = yield* Stream.fromArray([said, strange]).pipe(
          TypedEvents.decode(Chat, { onUnknown: (event) => Effect.sync(() => told.push(event)) }),
          Stream.runCollect
        )
        assert.deepStrictEqual([events.length, told], [1, [strange]])
      })
  )

  it.effect("reads no further than what it gives, and ends and fails as the stream does", () =>
    Effect.gen(function* () {
      let pulled = 0
      const counted = Stream.fromArray([said, said, said]).pipe(
        Stream.rechunk(1),
        Stream.tap(() => Effect.sync(() => pulled++))
      )
      yield* counted.pipe(TypedEvents.decode(Chat), Stream.take(1), Stream.runDrain)
      assert.strictEqual(pulled, 1)
      const broken = Stream.concat(Stream.make(said), Stream.fail("network" as const))
      assert.strictEqual(yield* Effect.flip(Stream.runDrain(broken.pipe(TypedEvents.decode(Chat)))), "network")
      const never = yield* Effect.forkChild(Stream.runDrain(Stream.never.pipe(TypedEvents.decode(Chat))))
      yield* Fiber.interrupt(never)
    })
  )
})

describe("encoding", () => {
  it.effect("gives what the codec prints, with id and retry as they were", () =>
    Effect.gen(function* () {
      const events = yield* Stream.fromArray<TypedEvents.Sendable<typeof Chat.definition>>([
        { event: "said", data: { from: "ada", text: "a\nb", at: new Date(0) }, id: "8", retry: 10 },
        { event: "level", data: 2 },
        { event: "closed", data: undefined }
      ]).pipe(TypedEvents.encode(Chat), Stream.runCollect)
      assert.deepStrictEqual(events, [
        { event: "said", data: '{"from":"ada","text":"a\\nb","at":"1970-01-01T00:00:00.000Z"}', id: "8", retry: 10 },
        { event: "level", data: "2" },
        { event: "closed", data: "null" }
      ])
    })
  )

  it.effect("fails with what its schema does not allow, and names the event, which has not been sent", () =>
    Effect.gen(function* () {
      const failing = Stream.make({ event: "level", data: Number.NaN } as const).pipe(
        TypedEvents.encode(Chat),
        Stream.runDrain
      )
      const error = yield* Effect.flip(failing)
      assert.deepStrictEqual([error._tag, error.event], ["UnencodableEvent", "level"])
      const unknown = TypedEvents.encodeEvent(Chat, { event: "toString", data: 1 } as never)
      assert.isTrue(Result.isFailure(unknown) && unknown.failure.message.includes("no schema"))
    })
  )
})

it("what one end encodes and prints the other parses and decodes, whatever the text", () => {
  const text = fc.string({ unit: "binary" })
  fc.assert(
    fc.property(text, text, fc.double({ noNaN: true, noDefaultInfinity: true }), (from, words, level) => {
      const sent: ReadonlyArray<TypedEvents.Sendable<typeof Chat.definition>> = [
        { event: "said", data: { from, text: words } },
        { event: "level", data: level }
      ]
      const received = sent.map((event) => {
        const printed = Result.flatMap(TypedEvents.encodeEvent(Chat, event), EventStream.encode)
        const [parsed] = EventStream.parse(Result.getOrThrow(printed)).events
        return Result.getOrThrow(TypedEvents.decodeEvent(Chat, parsed!)!)
      })
      // A number as text has no -0.
      assert.deepStrictEqual(received[0]!.data, sent[0]!.data)
      assert.isTrue(received[1]!.data === level)
    })
  )
})

interface Tree {
  readonly children: ReadonlyArray<Tree>
}

const Tree = Schema.Struct({ children: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree)) })

describe("a schema that throws", () => {
  it("fails with its event, also where the data is nested so deep that there is no room", () => {
    const Trees = TypedEvents.make({ tree: Tree })
    const data = '{"children":['.repeat(50_000) + "]}".repeat(50_000)
    const decoded = TypedEvents.decodeEvent(Trees, event("tree", data))
    assert.isTrue(decoded !== undefined && Result.isFailure(decoded))
    const tree = JSON.parse(data) as Tree
    assert.isTrue(Result.isFailure(TypedEvents.encodeEvent(Trees, { event: "tree", data: tree })))
  })

  it("has words, whatever it throws", () => {
    const error = new TypedEvents.UnencodableEvent({ event: "a", cause: Object.create(null) })
    assert.match(error.message, /what is no error$/)
    assert.match(new TypedEvents.UnencodableEvent({ event: "a", cause: "b" }).message, /: b$/)
  })
})

// What the types say, which the compiler tests.
const narrowed = (event: TypedEvents.Typed<typeof Chat.definition>): string => {
  switch (event.event) {
    case "said":
      return event.data.text
    case "level":
      return event.data.toFixed(1)
    case "message":
      return event.data
    case "closed":
      return String(event.data satisfies void)
  }
}
void narrowed
