/** Clients of Action Cable on the hub that the command runs. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Rejection } from "@millrace/core/cluster/HubAccess"
import * as CableToken from "@millrace/core/interop/actioncable/CableToken"
import * as HubServer from "@millrace/node/HubServer"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { confirmed, I, rejected } from "../support/cable.ts"
import { eventually } from "../support/eventually.ts"
import * as HubClient from "../support/hubClient.ts"

const connect = (
  { port }: HubServer.Running,
  query = "",
  subprotocols: ReadonlyArray<string> = ["actioncable-v1-json", "actioncable-unsupported"]
) =>
  Effect.gen(function* () {
    const socket = yield* NodeWebSocket.open(`ws://127.0.0.1:${port}/cable${query}`, { subprotocols })
    const heard: Array<unknown> = []
    yield* Effect.forkScoped(
      Stream.runForEach(socket.messages, (message) =>
        Effect.sync(() => {
          const said = message._tag === "Text" ? (JSON.parse(message.text) as { readonly type?: string }) : {}
          if (said.type !== "ping") heard.push(said)
        })
      )
    )
    const say = (command: string, identifier: string, data?: object) =>
      socket.send(JSON.stringify({ command, identifier, data: data && JSON.stringify(data) }))
    const next = (count: number) =>
      Effect.map(
        eventually(() => heard.length >= count),
        () => heard.splice(0)
      )
    return { socket, say, next, heard }
  })

const status = ({ port }: HubServer.Running) =>
  Effect.promise(() => fetch(`http://127.0.0.1:${port}/cable`).then((response) => response.status))

const MineChannel = () => Effect.succeed({ topics: ["mine"] })

const topicOf = (topic: unknown) => I("TopicChannel", { topic })
const lobby = topicOf("lobby")

describe("a client of Action Cable", () => {
  it.live("is in the hub's topics, and publishes to them, beside clients of the hub's own", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve()
      const native = yield* HubClient.connect(running.port)
      yield* HubClient.subscribe(native, "lobby")
      const ada = yield* connect(running, "?name=ada")
      assert.strictEqual(ada.socket.subprotocol, "actioncable-v1-json")
      yield* ada.say("subscribe", lobby)
      assert.deepStrictEqual(yield* ada.next(2), [{ type: "welcome" }, confirmed(lobby)])
      yield* ada.say("message", lobby, { action: "dance" })
      yield* ada.say("message", lobby, { action: "publish", data: { text: "hé" } })
      assert.deepStrictEqual(yield* ada.next(1), [{ identifier: lobby, message: { text: "hé" } }])
      assert.deepInclude(yield* native.hear, { type: "message", topic: "lobby", from: "ada", data: { text: "hé" } })
      native.say({ type: "publish", topic: "lobby", data: [1] })
      assert.deepStrictEqual(yield* ada.next(1), [{ identifier: lobby, message: [1] }])
      for (const topic of [7, "", "$nodes", "\n"]) {
        yield* ada.say("subscribe", topicOf(topic))
        assert.deepStrictEqual(yield* ada.next(1), [rejected(topicOf(topic))])
      }
    })
  )

  it.live("may do what the hub says, as it was identified; and is told not to come back when it may not be here", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve({
        identify: ({ header, query }) => {
          const token = CableToken.of(query, header)
          return token === undefined ? NodeWebSocketServer.refuse(401) : Effect.succeed({ name: token, user: token })
        },
        authorize: {
          join: ({ request }, topic) =>
            topic === "secret" || request.path !== "/cable"
              ? Effect.fail(new Rejection({ message: "no" }))
              : Effect.void,
          publish: ({ user }) => (user === "ada" ? Effect.void : Effect.fail(new Rejection({ message: "no" })))
        }
      })
      const ada = yield* connect(running, "?jid=ada")
      const bob = yield* connect(running, "", ["actioncable-v1-json", "anycable-token.bob"])
      assert.strictEqual(bob.socket.subprotocol, "actioncable-v1-json")
      for (const client of [ada, bob]) {
        yield* client.say("subscribe", lobby)
        yield* client.say("subscribe", topicOf("secret"))
        assert.deepStrictEqual((yield* client.next(3)).slice(1), [confirmed(lobby), rejected(topicOf("secret"))])
      }
      yield* bob.say("message", lobby, { action: "publish", data: "bob's" })
      // It is answered in order: what it said before was refused.
      yield* bob.say("subscribe", lobby)
      yield* bob.next(1)
      yield* ada.say("message", lobby, { action: "publish", data: "ada's" })
      const said = [{ identifier: lobby, message: "ada's" }]
      assert.deepStrictEqual([yield* ada.next(1), yield* bob.next(1)], [said, said])
      const nobody = yield* connect(running)
      assert.deepStrictEqual(yield* nobody.next(1), [{ type: "disconnect", reason: "unauthorized", reconnect: false }])
      assert.strictEqual((yield* nobody.socket.closed).received?.code, 1000)
      assert.strictEqual(yield* running.cable!.disconnect("bob", false), 1)
      assert.deepStrictEqual(yield* bob.next(1), [{ type: "disconnect", reason: "remote", reconnect: false }])
    })
  )

  it.live("finds what a program has put there, or nothing where it wants none", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve({ cable: { channels: { MineChannel } } })
      const ada = yield* connect(running)
      yield* ada.say("subscribe", I("MineChannel"))
      yield* ada.next(2)
      yield* running.hub.publish("mine", "1")
      assert.deepStrictEqual(yield* ada.next(1), [{ identifier: I("MineChannel"), message: 1 }])
      assert.strictEqual(yield* status(running), 426)
      const without = yield* HubServer.serve({ cable: false })
      assert.strictEqual(yield* status(without), 404)
      assert.isTrue((yield* Effect.exit(connect(without)))._tag === "Failure")
    })
  )
})
