/** permessage-deflate with other implementations at the other end: RFC 7692. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as fc from "fast-check"
import type { PerMessageDeflateOptions } from "ws"
import * as Extensions from "@millrace/core/codec/Extensions"
import type { WindowBits } from "@millrace/core/codec/PerMessageDeflate"
import * as Message from "@millrace/core/protocol/Message"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import * as Result from "effect/Result"
import { builtinClient, type Data, digest, type Options, type Pair, wsClient, wsServer } from "../support/ends.ts"
import { counting } from "../support/frames.ts"

const pairs: ReadonlyArray<readonly [string, (options?: Options) => Effect.Effect<Pair, never, Scope.Scope>]> = [
  ["ws as the client of our server", wsClient],
  ["our client and ws as the server", wsServer],
  ["Node's own WebSocket as the client of our server", builtinClient]
]

const everything = NodeDeflate.compression({ threshold: 0 })

/** What was agreed on, as it is written. */
const agreed = ({ connection }: Pair) => Result.getOrThrow(Extensions.print(connection.extensions))

const exchange = ({ connection, ours, theirs }: Pair, messages: ReadonlyArray<Data>) =>
  Effect.gen(function* () {
    for (const [at, message] of messages.entries()) {
      yield* theirs.send(message)
      assert.strictEqual(digest(yield* ours.next), digest(message))
      // Every third as it is: a message between compressed ones that is in no window.
      yield* Effect.orDie(connection.send(at % 3 === 2 ? Message.uncompressed(message) : Message.compressed(message)))
      assert.strictEqual(digest(yield* theirs.next), digest(message))
    }
  })

const document = JSON.stringify(Array.from({ length: 3_000 }, (_, id) => ({ id, name: `name ${id * 7}`, tags: ["a"] })))

const messages: ReadonlyArray<Data> = [
  "",
  "Hello",
  "Hello",
  new Uint8Array(0),
  "é€🌊".repeat(500),
  document,
  new Uint8Array(300_000),
  counting(100_000),
  document
]

describe.each(pairs)("%s", (_name, open) => {
  it.live("agree on compression, and on none when one of them does not want it", () =>
    Effect.gen(function* () {
      assert.match(agreed(yield* open({ extensions: [everything] })), /^permessage-deflate/)
      assert.strictEqual(agreed(yield* open()), "")
    })
  )

  it.live(
    "understand one another, with the context of messages before, and with messages that are not compressed",
    () =>
      Effect.gen(function* () {
        yield* exchange(yield* open({ extensions: [everything] }), messages)
      })
  )

  it.live("understand one another when many are on their way at once", () =>
    Effect.gen(function* () {
      const { ours, theirs } = yield* open({ extensions: [everything] })
      const many = Array.from({ length: 300 }, (_, i) => document.slice(i * 10, i * 500))
      for (const message of many) yield* theirs.send(message)
      yield* Effect.forEach(many, ours.send, { concurrency: "unbounded" })
      for (const message of many) {
        assert.strictEqual(digest(yield* ours.next), digest(message))
        assert.strictEqual(digest(yield* theirs.next), digest(message))
      }
    })
  )
})

describe.each(pairs.slice(0, 2))("%s, whatever is agreed on", (_name, open) => {
  const bits = fc.integer({ min: 9, max: 15 })

  it.live("understand one another", () =>
    Effect.gen(function* () {
      const runs = fc.sample(
        fc.record({
          ours: fc.record({ server: fc.boolean(), client: fc.boolean(), serverBits: bits, clientBits: bits }),
          theirs: fc.record({ server: fc.boolean(), client: fc.boolean(), serverBits: bits, clientBits: bits }),
          compressorWindowBits: bits,
          texts: fc.array(
            fc.string({ unit: "grapheme", maxLength: 30 }).map((text) => text.repeat(40)),
            { maxLength: 8 }
          )
        }),
        25
      )
      for (const { compressorWindowBits, ours, texts, theirs } of runs) {
        const parameters = {
          serverNoContextTakeover: ours.server,
          clientNoContextTakeover: ours.client,
          serverMaxWindowBits: ours.serverBits as WindowBits,
          clientMaxWindowBits: ours.clientBits as WindowBits
        }
        const perMessageDeflate: PerMessageDeflateOptions = {
          threshold: 0,
          serverNoContextTakeover: theirs.server,
          // Told not to do without, it refuses a server that asks it to.
          ...(theirs.client || open === wsServer ? { clientNoContextTakeover: theirs.client } : {}),
          // `ws` fails where it would have to make a window of its own smaller than it was told: it takes the least.
          serverMaxWindowBits: open === wsServer ? Math.max(theirs.serverBits, 9) : theirs.serverBits,
          ...(open === wsServer ? {} : { clientMaxWindowBits: theirs.clientBits })
        }
        const extension = NodeDeflate.compression({
          threshold: 0,
          compressorWindowBits: compressorWindowBits as WindowBits,
          server: parameters,
          offers: [parameters, {}]
        })
        yield* Effect.scoped(
          Effect.gen(function* () {
            const pair = yield* open({ extensions: [extension], perMessageDeflate })
            assert.match(agreed(pair), /^permessage-deflate/)
            yield* exchange(pair, [...texts, document.slice(0, 50_000), ...texts])
          })
        )
      }
    })
  )
})
