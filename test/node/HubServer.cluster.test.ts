/**
 * Two nodes of a cluster, on a broker that needs no server: a client that is cut off from the one goes on at the other,
 * by either wire. Every message is counted.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as EventStream from "@millrace/core/codec/EventStream"
import * as HubServer from "@millrace/node/HubServer"
import * as WorkersBroker from "@millrace/node/brokers/WorkersBroker"
import { ask } from "../support/eventStreamServer.ts"
import { eventually } from "../support/eventually.ts"
import { folder } from "../support/folder.ts"
import * as HubClient from "../support/hubClient.ts"

/** So many nodes that meet in one folder; each can be taken away by itself. */
const cluster = (count: number) =>
  Effect.gen(function* () {
    const directory = yield* folder
    const outer = yield* Effect.scope
    return yield* Effect.forEach(Array.from({ length: count }), (_, i) =>
      Effect.gen(function* () {
        // The first is the host of the log: it is the node that stays.
        const scope = yield* Scope.fork(outer)
        const node = Effect.gen(function* () {
          const broker = yield* WorkersBroker.make({ directory, host: i === 0 })
          yield* eventually(() => broker.status()._tag === "Up")
          return yield* HubServer.serve({ broker, drain: { window: 0 } })
        })
        return { running: yield* Scope.provide(node, scope), stop: Scope.close(scope, Exit.void) }
      })
    )
  })

const total = 400

/** Publishes at one node after the other, each with its own count, and again at the next where one has gone. */
const publishAll = (ports: ReadonlyArray<number>) =>
  Effect.promise(async () => {
    for (let n = 1, at = 0; n <= total; at++) {
      const response = await fetch(`http://127.0.0.1:${ports[at % ports.length]}/publish`, {
        method: "POST",
        body: JSON.stringify({ topic: "t", data: n, key: { producer: "test", epoch: 0, sequence: n } }),
        headers: { "Content-Type": "application/json" }
      }).catch(() => undefined)
      if (response?.status === 200) n++
      await response?.text().catch(() => "")
    }
  })

const everything = Array.from({ length: total }, (_, i) => i + 1)

describe("a client that changes nodes", () => {
  it.live("by WebSocket loses nothing and gets nothing twice, also when its node is taken away", () =>
    Effect.gen(function* () {
      const nodes = yield* cluster(3)
      const [, second, third] = nodes
      const heard: Array<number> = []
      let position: string | undefined
      /** Hears so many messages at a node, and is cut off. */
      const hear = (port: number, count: number) =>
        Effect.scoped(
          Effect.gen(function* () {
            const client = yield* HubClient.connect(port)
            client.say({ type: "subscribe", topic: "t", position: position ?? null })
            const goal = Math.min(heard.length + count, total)
            while (heard.length < goal) {
              const message = yield* client.hear
              assert.notStrictEqual(message.type, "gap")
              position = (message["position"] as string | undefined) ?? position
              if (message.type === "message") heard.push(message["data"] as number)
            }
          })
        )
      // Behind everything there was: from here on all of it is counted.
      const start = yield* HubClient.connect(second!.running.port)
      start.say({ type: "subscribe", topic: "t" })
      position = (yield* start.hear)["position"] as string
      const publishing = yield* Effect.forkChild(publishAll(nodes.map(({ running }) => running.port)))
      for (let turn = 0; heard.length < 150; turn++) yield* hear(nodes[turn % 3]!.running.port, 7)
      yield* third!.stop
      for (let turn = 0; heard.length < total; turn++) yield* hear(nodes[turn % 2]!.running.port, 11)
      yield* Fiber.join(publishing)
      assert.deepStrictEqual(heard, everything)
    })
  )

  it.live("by Last-Event-ID loses nothing and gets nothing twice", () =>
    Effect.gen(function* () {
      const nodes = yield* cluster(2)
      const heard: Array<number> = []
      let lastEventId = ""
      const ports = nodes.map(({ running }) => running.port)
      const hear = (port: number, until: (events: ReadonlyArray<EventStream.Event>) => boolean) =>
        Effect.gen(function* () {
          const headers: Record<string, string> = lastEventId === "" ? {} : { "last-event-id": lastEventId }
          const answer = yield* ask("node:http", port, { path: "/events?topic=t", headers })
          const parsed = () => EventStream.parse(new TextEncoder().encode(answer.text()), { lastEventId })
          yield* eventually(() => parsed().lastEventId !== "" && until(parsed().events))
          answer.leave()
          const { events, lastEventId: last } = parsed()
          for (const { data, event } of events) {
            assert.strictEqual(event, "message")
            heard.push(JSON.parse(data).data as number)
          }
          lastEventId = last
        })
      yield* hear(ports[1]!, () => true)
      const publishing = yield* Effect.forkChild(publishAll(ports))
      for (let turn = 0; heard.length < total; turn++) {
        yield* hear(ports[turn % 2]!, (events) => events.length >= Math.min(9, total - heard.length))
      }
      yield* Fiber.join(publishing)
      assert.deepStrictEqual(heard, everything)
    })
  )
})

it.live("a key is known on every node", () =>
  Effect.gen(function* () {
    const nodes = yield* cluster(2)
    const answers = []
    for (const { running } of nodes) {
      const response = yield* Effect.promise(() =>
        fetch(`http://127.0.0.1:${running.port}/publish`, {
          method: "POST",
          body: '{"topic":"t","data":1}',
          headers: { "Content-Type": "application/json", "Idempotency-Key": '"once"' }
        })
      )
      answers.push(yield* Effect.promise(() => response.json()))
    }
    const [first, again] = answers
    assert.deepStrictEqual(again, { ...first, receivers: 0, repeated: true })
  })
)
