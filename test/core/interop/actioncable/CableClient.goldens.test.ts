/** Our client, on what a server of Rails was recorded to say: it says the same as Rails' own, and makes of it what is meant. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as CableClient from "@millrace/core/interop/actioncable/CableClient"
import * as Packet from "@millrace/core/interop/actioncable/Packet"
import { type Golden, goldens } from "../../../support/cableGoldens.ts"
import { listening, plain, reasonOf, scripted } from "../../../support/cableNetwork.ts"
import { start } from "../../../support/connection.ts"
import { turns } from "../../../support/hubNetwork.ts"

const called = (name: string): Golden => goldens.find((golden) => golden.name === name)!

/** What was said to subscriptions of an identifier, in order. */
const messagesOf = ({ steps }: Golden, identifier: string): ReadonlyArray<unknown> =>
  steps
    .flatMap(({ answers }) => answers)
    .map(
      (text) => JSON.parse(text) as { readonly identifier?: string; readonly type?: string; readonly message: unknown }
    )
    .filter((said) => said.identifier === identifier && said.type === undefined)
    .map(({ message }) => message)

/** A subscription that the conversation has. */
interface Subscribed {
  readonly scope: Scope.Closeable
  readonly subscription: CableClient.Subscription
}

/** Says what was said, by our client, to a server that says what Rails' has said; and gives what was heard. */
const replay = (golden: Golden) =>
  Effect.gen(function* () {
    const first = golden.steps[0]!
    const { network, say, told } = scripted(
      Packet.subprotocol,
      first.answers.map((text) => JSON.parse(text) as object)
    )
    const client = yield* CableClient.make(network.dial)
    yield* turns
    const subscribed = new Map<string, Subscribed>()
    const heard = new Map<string, Array<CableClient.Element>>()
    const failures: Array<string> = []
    for (const { answers, close, said } of golden.steps.slice(1)) {
      const then = Effect.andThen(
        turns,
        Effect.suspend(() => say(...answers.map((text) => JSON.parse(text) as object)))
      )
      const command = said === undefined ? undefined : Result.getOrThrow(Packet.decodeCommand(said))
      if (command?._tag === "Subscribe") {
        const { identifier } = command
        const scope = yield* Scope.make()
        const subscribing = yield* start(Effect.result(Scope.provide(client.subscribeTo(identifier), scope)))
        yield* then
        const answer = yield* Fiber.join(subscribing)
        if (Result.isFailure(answer)) failures.push(answer.failure.reason._tag)
        else {
          const subscription = answer.success
          subscribed.set(identifier, { scope, subscription })
          const before = heard.get(identifier)
          const listener = yield* listening(subscription)
          if (before === undefined) heard.set(identifier, listener.heard)
          else heard.set(identifier, Object.assign(listener.heard, { before }))
        }
      } else {
        const known =
          command === undefined || !("identifier" in command) ? undefined : subscribed.get(command.identifier)
        if (command?._tag === "Unsubscribe") yield* Scope.close(known!.scope, Exit.void)
        if (command?._tag === "Perform") {
          failures.push(
            ...(known === undefined
              ? []
              : [yield* reasonOf(known.subscription.perform(command.action, command.data))].filter(
                  (tag) => tag !== "succeeded"
                ))
          )
        }
        yield* then
      }
      if (said !== undefined && failures.length === 0) {
        assert.deepStrictEqual(told().map(normal), [normal(JSON.parse(said))])
      }
      if (close !== undefined) {
        yield* start(network.last.server.close(close))
        yield* turns
      }
    }
    return { client, heard, failures, network }
  })

/** What is JSON inside of a text, as what it says. */
const normal = (command: unknown): unknown => {
  const { data, ...rest } = command as { readonly data?: string }
  return data === undefined ? rest : { ...rest, data: JSON.parse(data) as unknown }
}

describe("Our client of Action Cable, on what Rails' server has said,", () => {
  it.effect.each(["two subscriptions", "values", "identifiers as they were written"])(
    "says the same as Rails' own, and hears everything: %s",
    (name) =>
      Effect.gen(function* () {
        const golden = called(name)
        const { failures, heard } = yield* replay(golden)
        assert.deepStrictEqual(failures, [])
        assert.isAbove(heard.size, 0)
        for (const [identifier, elements] of heard) {
          assert.deepStrictEqual(plain(elements), messagesOf(golden, identifier))
        }
      })
  )

  it.effect("hears a subscription's messages while it has it, and says nothing to it afterwards", () =>
    Effect.gen(function* () {
      const { failures, heard } = yield* replay(called("conversation"))
      const [elements] = [...heard.values()] as unknown as [Array<CableClient.Element> & { before: typeof elements }]
      assert.deepStrictEqual(plain(elements.before), [
        { text: "hé" },
        { a: [1, null, true, "\u2028"] },
        "from elsewhere"
      ])
      assert.deepStrictEqual(plain(elements), [{ text: "again" }])
      assert.deepStrictEqual(failures, ["NotSubscribed"])
    })
  )

  it.effect("is told of a rejection", () =>
    Effect.gen(function* () {
      const { failures } = yield* replay(called("reject"))
      assert.deepStrictEqual(failures, ["Rejected"])
    })
  )

  it.effect.each([
    { name: "unauthorized", states: ["Stopped"] },
    { name: "remote disconnect", states: ["Connecting", "Open", "Waiting"] },
    { name: "server restart", states: ["Connecting", "Open", "Waiting"] }
  ])("knows whether to come back: $name", ({ name, states }) =>
    Effect.gen(function* () {
      const { client } = yield* replay(called(name))
      assert.include(states, (yield* client.state)._tag)
    })
  )

  it("understands every line", () => {
    for (const { name, steps } of goldens) {
      for (const text of steps.flatMap(({ answers }) => answers)) {
        assert.isTrue(Result.isSuccess(Packet.decodeTransmission(text)), `${name}: ${text}`)
      }
    }
  })
})
