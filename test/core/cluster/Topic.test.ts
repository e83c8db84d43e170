/** Topics with a type: what their publishers and their readers are told, and what others see of them on the wire. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"
import * as Hub from "@millrace/core/cluster/Hub"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import * as Topic from "@millrace/core/cluster/Topic"
import * as MessagePackCodec from "@millrace/core/messaging/MessagePackCodec"
import * as SchemaCoder from "@millrace/core/messaging/SchemaCoder"
import { start, turn, world } from "../../support/connection.ts"
import { Listener } from "../../support/members.ts"

const Order = Schema.Struct({ id: Schema.Number, due: Schema.Date, note: Schema.String })
const orders = Topic.make("orders", SchemaCoder.make(Order))
const order = { id: 1, due: new Date(0), note: "\u2028 \ud800" }

/** The first so many elements of what is published by `go`. */
const first = <A, E>(
  count: number,
  hub: Hub.Hub["Service"],
  topic: Topic.Topic<never, A>,
  go: Effect.Effect<unknown, E>,
  options?: Topic.SubscribeOptions
) =>
  Effect.gen(function* () {
    const fiber = yield* start(Stream.runCollect(Stream.take(Topic.subscribe(hub, topic, options), count)))
    yield* turn
    yield* go
    return yield* Fiber.join(fiber)
  })

describe("publish", () => {
  it.effect("is read as it was said, with who said it, when and where it is", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make({ history: { epoch: "e" } })
      const go = Effect.andThen(
        Topic.publish(hub, orders, order),
        Topic.publish(hub, orders, order, { from: "a program" })
      )
      const elements = yield* first(2, hub, orders, go)
      assert.deepStrictEqual(elements, [
        { _tag: "Value", value: order, from: "@server", time: 0, position: { epoch: "e", offset: 1 } },
        { _tag: "Value", value: order, from: "a program", time: 0, position: { epoch: "e", offset: 2 } }
      ])
    })
  )

  it.effect("says what any client of the hub reads", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const client = new Listener()
      hub.joinUnsafe("orders", client)
      yield* Topic.publish(hub, orders, order)
      assert.deepStrictEqual(JSON.parse(client.texts[0]!), {
        type: "message",
        topic: "orders",
        data: { id: 1, due: "1970-01-01T00:00:00.000Z", note: order.note },
        from: "@server",
        time: 0
      })
      assert.isDefined(HubMessage.dataOf(client.texts[0]!))
    })
  )

  it.effect("fails with whose fault it is, and publishes nothing, for what is not the topic's", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const error = yield* Effect.flip(Topic.publish(hub, orders, { ...order, id: "1" as unknown as number }))
      assert.strictEqual(error._tag, "Unencodable")
      assert.match(error.message, /"orders" does not take this: .*"id"/s)
      const bytes = Topic.make("bytes", SchemaCoder.make(Schema.Struct({ it: Schema.Uint8Array })))
      assert.match((yield* Effect.flip(Topic.publish(hub, bytes, { it: Uint8Array.of(1) }))).message, /no bytes/)
      let deep: Schema.Json = 0
      for (let i = 0; i < 64; i++) deep = [deep]
      const any = Topic.make("any", SchemaCoder.make(Schema.Json))
      assert.match((yield* Effect.flip(Topic.publish(hub, any, deep))).message, /nested too deep/)
      assert.strictEqual((yield* Effect.orDie(hub.broker.position)).offset, 0)
    })
  )

  it("any value comes as it was, by either wire", () =>
    fc.assert(
      fc.asyncProperty(fc.jsonValue({ noUnicodeString: false, maxDepth: 4 }), fc.boolean(), (value, isBinary) => {
        const coder = SchemaCoder.make(Schema.Json)
        const topic = Topic.make("t", coder, { codec: isBinary ? MessagePackCodec.messagePack : undefined })
        return world(
          Effect.gen(function* () {
            const hub = yield* Hub.make()
            const [element] = yield* first(
              1,
              hub,
              topic,
              Effect.ignore(Topic.publish(hub, topic, value as Schema.Json))
            )
            assert.deepStrictEqual(element!._tag === "Value" && element!.value, JSON.parse(JSON.stringify(value)))
          })
        )
      }),
      { numRuns: 50 }
    ))

  it.effect("carries bytes where it has a codec for them", () =>
    Effect.gen(function* () {
      const coder = SchemaCoder.make(Schema.Struct({ it: Schema.Uint8Array }))
      const bytes = Topic.make("bytes", coder, { codec: MessagePackCodec.messagePack })
      const hub = yield* Hub.make()
      const [element] = yield* first(1, hub, bytes, Topic.publish(hub, bytes, { it: Uint8Array.of(1, 2) }))
      assert.deepStrictEqual(element!._tag === "Value" && [...element!.value.it], [1, 2])
    })
  )
})

const publishText = (hub: Hub.Hub["Service"], data: string) =>
  hub.publish("orders", `{"type":"message","topic":"orders","data":${data},"from":"ada","time":1}`)

describe("subscribe", () => {
  it.effect("reads what clients have published", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const go = publishText(hub, '{"id":1,"due":"1970-01-01T00:00:00.000Z","note":""}')
      const [element] = yield* first(1, hub, orders, go)
      assert.deepStrictEqual(element!._tag === "Value" && [element!.from, element!.value.due], ["ada", new Date(0)])
    })
  )

  it.effect("tells what it cannot read, with where it is, and goes on", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const go = Effect.gen(function* () {
        yield* publishText(hub, '{"id":"1"}')
        yield* publishText(hub, '{"id":1,"due":"1970-01-01T00:00:00.000Z","note":"","__proto__":{}}')
        for (const text of ["", "null", "[]", '"message"', '{"type":"message"}', '{"type":"pong","data":0}']) {
          yield* hub.publish("orders", text)
        }
        yield* hub.publish("orders", Uint8Array.of(0xff))
        yield* Topic.publish(hub, orders, order)
      })
      const elements = yield* first(10, hub, orders, go)
      assert.deepStrictEqual(
        elements.map(({ _tag }) => _tag),
        Array.from({ length: 10 }, (_, i) => (i < 9 ? "Undecodable" : "Value"))
      )
      const offsets = elements.map((each) => (each._tag === "Undecodable" ? each.position!.offset : 0))
      assert.deepStrictEqual(offsets, [1, 2, 3, 4, 5, 6, 7, 8, 9, 0])
    })
  )

  it.effect("fails of it where that is wished", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const error = yield* Effect.flip(first(1, hub, orders, hub.publish("orders", "?"), { undecodable: "Fail" }))
      assert.deepStrictEqual([error._tag, error.message], ["Undecodable", "malformed: not JSON"])
      assert.strictEqual(hub.topics(), 0)
    })
  )
})

describe("names", () => {
  it("are made of parts, of which no two sets make one name", () => {
    const seats = Topic.template("room:{room}:{seat}", SchemaCoder.make(Schema.Number))
    assert.strictEqual(seats({ room: "7", seat: "a" }).name, "room:7:a")
    assert.notStrictEqual(seats({ room: "a:b", seat: "c" }).name, seats({ room: "a", seat: "b:c" }).name)
    assert.strictEqual(seats({ room: "\ud800$&", seat: "" }).name, "room:%EF%BF%BD%24%26:")
    for (const name of ["constructor", "__proto__"]) {
      const odd = Topic.template(`{${name}}`, SchemaCoder.make(Schema.Number))
      assert.throws(() => odd({} as never), TypeError)
    }
  })

  it("are those of topics", () => {
    for (const name of ["", "$nodes", "a\nb", "x".repeat(257)]) {
      assert.throws(() => Topic.make(name, SchemaCoder.make(Schema.Number)), TypeError)
    }
  })
})
