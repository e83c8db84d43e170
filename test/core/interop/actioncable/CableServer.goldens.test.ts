/** What our server says where that of Rails was recorded: the same, but for the differences that are declared here. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Hub from "@millrace/core/cluster/Hub"
import { toJson } from "@millrace/core/cluster/JsonText"
import * as CableServer from "@millrace/core/interop/actioncable/CableServer"
import * as Channel from "@millrace/core/interop/actioncable/Channel"
import { confirmed, connector, rejected } from "../../../support/cable.ts"
import { type Golden, goldens, type Step } from "../../../support/cableGoldens.ts"
import { start, turn } from "../../../support/connection.ts"

/** The channel of test/goldens/actioncable/server.rb, as it is written here. */
const chatChannel =
  (hub: Hub.Hub["Service"]): Channel.Channel =>
  ({ params }) =>
    Effect.gen(function* () {
      const { all, room } = params
      if (room === "secret") return yield* Channel.reject
      if (room === "broken") return yield* Effect.die(new Error("on purpose"))
      const transmitted = yield* Queue.unbounded<unknown>()
      const topic = `chat/${String(room)}`
      return {
        topics: all === true ? [topic, "all"] : [topic],
        transmissions: Stream.fromQueue(transmitted),
        perform: (action, data) => {
          switch (action) {
            case "receive":
              return Queue.offer(transmitted, { received: data })
            case "speak":
              return hub.publish(topic, toJson({ text: data["text"] ?? null }))
            case "answer":
              return Queue.offer(transmitted, data["with"] ?? null)
            case "refuse":
              return Effect.die(new Error("on purpose"))
            default:
              return Effect.void
          }
        }
      }
    })

const parsed = (text: string): unknown => JSON.parse(text)

/** What ours says instead. */
const ours = (golden: Golden, { answers, said, told }: Step): ReadonlyArray<unknown> => {
  const theirs = answers.map(parsed)
  const { command, identifier } = (golden.name === "nonsense" || said === undefined ? {} : parsed(said)) as {
    readonly command?: string
    readonly identifier?: string
  }
  // Rails says nothing, and its client asks for ever.
  if (golden.name === "no such channel" && command === "subscribe" && theirs.length === 0) {
    return [rejected(identifier!)]
  }
  if (golden.name === "subscribed twice" && command === "subscribe") return [confirmed(identifier!)]
  // Rails 6.1 closes and says nothing; since 7.1 it says this.
  if (told?.[0] === "disconnect" && told[1] === golden.user) {
    return [{ type: "disconnect", reason: "remote", reconnect: true }]
  }
  // What names the action is not part of its data here.
  if (golden.name === "actions") {
    return theirs.map((answer) => {
      const { message, ...rest } = answer as { readonly message?: { readonly received?: Record<string, unknown> } }
      if (message?.received === undefined) return answer
      const { action: _, ...received } = message.received
      return { ...rest, message: { received } }
    })
  }
  return theirs
}

/** So that the order of properties is the same; what is escaped need not be. */
const texts = (all: ReadonlyArray<unknown>) => all.map((one) => JSON.stringify(one))

describe("Our server of Action Cable says what that of Rails has said", () => {
  assert.isAtLeast(goldens.length, 13)

  it.effect.each(goldens)("in $name: $server", (golden) =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const cable = yield* CableServer.make({ channels: { ChatChannel: chatChannel(hub) } })
      const serving: CableServer.CableServer =
        golden.user === undefined ? { ...cable, serve: (connection) => cable.unauthorized(connection) } : cable
      const { client, heard, say } = yield* connector(hub, serving)(golden.user ?? "nobody")
      for (const step of golden.steps) {
        if (step.said !== undefined) yield* say(step.said)
        const [what, first, second] = step.told ?? []
        if (what === "broadcast") yield* hub.publish(String(first), toJson(second))
        if (what === "disconnect") yield* start(cable.disconnect(String(first)))
        if (what === "restart") yield* start(cable.restart)
        if (golden.name === "welcome and pings") yield* TestClock.adjust("3 seconds")
        for (let i = 0; i < 4; i++) yield* turn
        const answers = heard().map((said) =>
          (said as { readonly type?: string }).type === "ping" ? { type: "ping", message: 0 } : said
        )
        assert.deepStrictEqual(texts(answers), texts(ours(golden, step)), step.said ?? JSON.stringify(step.told))
        if (step.close !== undefined) assert.strictEqual((yield* client.closed).received?.code, step.close)
      }
    })
  )
})
