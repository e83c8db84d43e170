/** Many streams to a peer that reads nothing. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import * as Contract from "@millrace/core/messaging/Contract"
import * as JsonCodec from "@millrace/core/messaging/JsonCodec"
import type { MessageCodec } from "@millrace/core/messaging/MessageCodec"
import * as Session from "@millrace/core/messaging/Session"
import * as Schema from "effect/Schema"
import { start } from "../../support/connection.ts"
import { turn } from "../../support/session.ts"

const Long = Contract.make("long", { streams: { words: { element: Schema.String } } })

describe("streams to a peer that reads nothing", () => {
  it.live("hold what one of them has encoded, not all", () =>
    Effect.gen(function* () {
      const wires = yield* WebSocket.makePair({ outboxBytes: 65_536, inboxBytes: 1_024, closeTimeout: "50 millis" })
      let encoded = 0
      const counting: MessageCodec = {
        ...JsonCodec.json,
        encode: (wire) => {
          encoded++
          return JsonCodec.json.encode(wire)
        }
      }
      yield* start(
        Effect.gen(function* () {
          const session = yield* Session.accept(Long, wires.server, { codecs: [counting] })
          yield* session.handle({ words: () => Stream.forever(Stream.succeed("x".repeat(16_384))) })
        })
      )
      yield* wires.client.send(`["hello",{"contract":"long","version":"1"}]`)
      yield* wires.client.receive
      encoded = 0
      for (let id = 1; id <= 200; id++) yield* wires.client.send(JSON.stringify(["open", id, "words", null, 1_000]))
      for (let n = 0; n < 50; n++) yield* turn
      assert.isAtLeast(encoded, 4)
      // As much as the outbox and what lies between take, and the one that waits.
      assert.isAtMost(encoded, 20)
    })
  )
})
