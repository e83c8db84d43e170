/**
 * The hub's `GET /events` and our client, and between them a proxy that cuts every connection, at every byte of heads,
 * chunks, lines and events, while others publish: nothing is lost, and nothing comes twice.
 */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Position from "@millrace/core/cluster/Position"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import * as HubServer from "@millrace/node/HubServer"
import * as NodeEventSource from "@millrace/node/NodeEventSource"
import { eventually } from "../support/eventually.ts"
import { cutting } from "../support/cuttingProxy.ts"

const count = 10_000

const numbers = Array.from({ length: count }, (_, i) => i + 1)

/** Publications that the client has not had yet, at most. */
const ahead = 200

it.live("10,000 publications come in order and once through a proxy that cuts at any byte", () =>
  Effect.gen(function* () {
    const history = { epoch: "epoch", maxEntries: count, maxBytes: 16_777_216 }
    const { hub, port } = yield* HubServer.serve({ history })
    const proxy = yield* cutting(port, 3)
    let next = 1
    const publish = (n: number) => {
      const data = { n, text: "é🌊".repeat(n % 5) }
      const message = { topic: "a", dataJson: HubMessage.toJson(data), from: "test", time: 0 }
      return hub.publish(n % 3 === 0 ? "b" : "a", HubMessage.encodeMessage(message))
    }
    // Not far ahead: what is missed is written for each connection, and little of it is let through.
    yield* Effect.forkChild(
      Effect.forEach(
        numbers,
        (n) =>
          Effect.andThen(
            eventually(() => n < next + ahead),
            publish(n)
          ),
        { discard: true }
      )
    )
    const events = NodeEventSource.stream(`http://127.0.0.1:${proxy.port}/events?topic=a&topic=b`, {
      // From before the first: a client that is cut before it knows where it is has nowhere to go on from.
      lastEventId: Position.print({ epoch: "epoch", offset: 0 }),
      reconnect: Schedule.forever
    })
    yield* Stream.runForEach(Stream.take(events, count), ({ data, event, id }) =>
      Effect.sync(() => {
        const found = event === "message" ? JSON.parse(data).data : undefined
        if (found?.n !== next || found.text !== "é🌊".repeat(next % 5) || id !== `epoch:${next}`) {
          throw new Error(`not the event ${next}: ${JSON.stringify({ data, event, id })}`)
        }
        next++
      })
    )
    expect(next).toBe(count + 1)
    expect(proxy.connections()).toBeGreaterThan(500)
  })
)
