import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Hub from "@millrace/core/cluster/Hub"
import * as Topic from "@millrace/core/cluster/Topic"
import * as ContractTopic from "@millrace/core/interop/ContractTopic"
import * as Contract from "@millrace/core/messaging/Contract"
import * as Message from "@millrace/core/protocol/Message"
import { start } from "../../support/connection.ts"
import { eventually } from "../../support/eventually.ts"
import { logged } from "../../support/logged.ts"

const Chat = Contract.make("chat", {
  events: { said: Schema.Struct({ at: Schema.Date }), seen: Schema.Uint8Array, any: Schema.Unknown }
})

const lobby = ContractTopic.make(Chat, "lobby")

const text = (value: unknown) => new Message.Text(JSON.stringify(value))

describe("An event of a contract", () => {
  it("is published as the array of its name and its payload, and bytes in it as they are", () => {
    assert.deepStrictEqual(
      lobby.encode(["said", { at: new Date(0) }], "ada", 7),
      Result.succeed(
        '{"type":"message","topic":"lobby","data":["said",{"at":"1970-01-01T00:00:00.000Z"}],"from":"ada","time":7}'
      )
    )
    const bytes = Result.getOrThrow(lobby.encode(["seen", new Uint8Array([1, 2])], "ada", 7))
    assert.deepStrictEqual(Result.getOrThrow(lobby.decode(new Message.Binary(bytes as Uint8Array))).value, [
      "seen",
      new Uint8Array([1, 2])
    ])
  })

  it("is not published when it is not what the contract says, or has no form", () => {
    for (const event of [
      ["said", { at: "now" }],
      ["any", 1n]
    ] as const) {
      const error = Result.getFailure(lobby.encode(event as never, "ada", 7))
      assert.deepInclude(error, { _tag: "Some" })
      assert.nestedPropertyVal(error, "value._tag", "Unencodable")
    }
    assert.throws(() => ContractTopic.make(Chat, ""), TypeError)
  })

  it.each([
    ["no array", { said: 1 }, "no event of the contract"],
    ["a name that nobody knows", ["toString", 1], "no event of the contract"],
    ["no name", [1, 2], "no event of the contract"],
    ["more than a payload", ["any", 1, 2], "no event of the contract"],
    ["a payload of another kind", ["said", { at: 1 }], "Expected"],
    ["a name that no object may have", ["any", JSON.parse('{"__proto__":1}')], "__proto__"]
  ])("is none: %s", (_, value, why) => {
    const error = Result.getOrThrow(Result.flip(lobby.decode(text(value))))
    assert.include(error.message, why)
  })
})

it.effect("What is published is said to who has it forwarded, but for what is no event", () =>
  logged((entries) =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const heard: Array<unknown> = []
      const emit = (...event: ReadonlyArray<unknown>) => Effect.sync(() => void heard.push(event))
      yield* start(ContractTopic.forward(hub, lobby, { emit: emit as never }))
      yield* eventually(() => hub.members("lobby") === 1)
      yield* hub.publish("lobby", "anything")
      yield* Topic.publish(hub, lobby, ["said", { at: new Date(0) }])
      yield* eventually(() => heard.length > 0)
      assert.deepStrictEqual(heard, [["said", { at: new Date(0) }]])
      assert.deepInclude(entries, { level: "Debug", message: "no event of the contract" })
    })
  )
)
