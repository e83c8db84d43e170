/** Presence of AnyCable's client, unmodified, on our hub: beside clients of the hub's own, over all nodes. */
import { assert, describe, it } from "@effect/vitest"
import { createCable } from "@anycable/core"
import * as Effect from "effect/Effect"
import * as HubServer from "@millrace/node/HubServer"
import { eventually } from "../support/eventually.ts"

interface Seen {
  readonly type: string
  readonly id: string
  readonly info?: unknown
}

const client = (port: number, name: string) =>
  Effect.gen(function* () {
    const cable = yield* Effect.acquireRelease(
      Effect.sync(() =>
        createCable(`ws://127.0.0.1:${port}/cable?name=${name}`, {
          protocol: "actioncable-v1-ext-json",
          websocketImplementation: WebSocket,
          logLevel: "error"
        } as never)
      ),
      (cable) => Effect.sync(() => void cable.disconnect())
    )
    const channel = cable.subscribeTo("TopicChannel", { topic: "lobby" })
    const seen: Array<Seen> = []
    channel.on("presence", (event) => {
      if (event.type !== "info") seen.push(event as Seen)
    })
    yield* Effect.promise(() => channel.ensureSubscribed())
    return { cable, channel, seen }
  })

describe.concurrent("@anycable/core", () => {
  it.live("is present, sees who is and who comes and goes, and is again when it was cut", () =>
    Effect.gen(function* () {
      const { cable: server, port, presence } = yield* HubServer.serve({ presence: { grace: "50 millis" } })
      const ada = yield* client(port, "ada")
      const bob = yield* client(port, "bob")
      yield* Effect.promise(() => ada.channel.presence.join("ada", { name: "Ada" }))
      yield* eventually(() => bob.seen.length === 1)
      assert.deepStrictEqual(bob.seen, [{ type: "join", id: "ada", info: { name: "Ada" } }])
      assert.deepStrictEqual(yield* Effect.promise(() => bob.channel.presence.info()), {
        ada: { name: "Ada" }
      } as never)
      yield* Effect.promise(() => bob.channel.presence.join(7, "Bob"))
      yield* eventually(() => ada.seen.length === 2)
      assert.deepStrictEqual(ada.seen.at(-1), { type: "join", id: "7", info: "Bob" })
      // Whoever else is there, over whichever wire.
      assert.isTrue(presence.joinUnsafe("lobby", { member: "m", user: "eve", info: "1" })._tag === "Success")
      yield* eventually(() => ada.seen.length === 3 && bob.seen.length === 3)
      assert.deepStrictEqual(ada.seen.at(-1), { type: "join", id: "eve", info: 1 })
      presence.leaveUnsafe("lobby", "m")
      yield* Effect.promise(() => bob.channel.presence.leave())
      yield* eventually(() => ada.seen.length === 5)
      assert.deepStrictEqual(
        ada.seen
          .slice(3)
          .map(({ id, type }) => [type, id])
          .toSorted(),
        [
          ["leave", "7"],
          ["leave", "eve"]
        ]
      )
      // Its subscription brings it back, with no word of the program.
      let isCut = false
      ada.cable.on("disconnect", () => (isCut = true))
      yield* Effect.forkScoped(server!.restart)
      yield* eventually(() => isCut && ada.cable.state === "connected" && presence.count("lobby").connections === 1)
      assert.deepStrictEqual(
        presence.users("lobby").map(({ info, user }) => [user, info]),
        [["ada", '{"name":"Ada"}']]
      )
    })
  )
})
