/**
 * Any messages, sent in any way, under any parameters: both ends understand each other, and so do zlib's own streams
 * at the other end, and nothing refers further back than it may.
 */
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import type * as PerMessageDeflate from "@millrace/core/codec/PerMessageDeflate"
import * as Deflate from "@millrace/core/connection/Deflate"
import type * as Extension from "@millrace/core/connection/Extension"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import {
  clientOf,
  deflate,
  ends,
  receive,
  receiveStream,
  send,
  share,
  stream,
  type Wire,
  ZlibPeer
} from "../../support/compression.ts"
import { concat, counting } from "../../support/frames.ts"
import * as puff from "../../support/puff.ts"
import { cut } from "../../support/wire.ts"

const words = ["the ", "water ", "of ", "weir ", "rises ", "and ", "falls ", "again, ", "é水😀 "]

/** Text that repeats what came before, bytes that do not, and lengths about those of windows. */
const payload: fc.Arbitrary<Uint8Array> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .array(fc.constantFrom(...words), { maxLength: 300 })
      .map((picked) => new TextEncoder().encode(picked.join("")))
  },
  { weight: 2, arbitrary: fc.uint8Array({ maxLength: 600 }) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom(0, 1, 255, 256, 257, 511, 512, 513, 1_023, 1_024, 8_191, 8_192, 8_193, 32_768, 40_000))
      .map(([length]) => counting(length))
  }
)

interface Sent {
  readonly payload: Uint8Array
  readonly how: "whole" | "stream" | "shared"
  readonly compress: boolean | undefined
  readonly cuts: ReadonlyArray<number>
  /** Whether it is read as a stream. */
  readonly streamed: boolean
}

const sent: fc.Arbitrary<Sent> = fc.record({
  payload,
  how: fc.constantFrom("whole" as const, "whole" as const, "stream" as const, "shared" as const),
  compress: fc.constantFrom(undefined, true, false),
  cuts: fc.array(fc.nat(), { maxLength: 4 }),
  streamed: fc.boolean()
})

const windowBits = (least: number) =>
  fc.integer({ min: least, max: 15 }).map((bits) => bits as PerMessageDeflate.WindowBits)

const parameters = (leastOfServer: number, leastOfClient: number): fc.Arbitrary<PerMessageDeflate.DeflateParameters> =>
  fc.record({
    serverNoContextTakeover: fc.boolean(),
    clientNoContextTakeover: fc.boolean(),
    serverMaxWindowBits: windowBits(leastOfServer),
    clientMaxWindowBits: windowBits(leastOfClient)
  })

const options = fc.record({ threshold: fc.constantFrom(0, 100, 1_024), compressorWindowBits: windowBits(9) })

/** Everything above 2,000 bytes goes to a thread, so that there is much of both. */
const threaded = NodeDeflate.make({
  threadedDeflateBytes: 2_000,
  threadedInflateBytes: 700,
  threadedOutputBytes: 2_500
})

const service = fc.constantFrom(deflate, threaded)

const encode = (coder: Extension.Coder, { compress, cuts, how, payload }: Sent): Effect.Effect<Wire> => {
  if (how === "shared") return Effect.succeed(share(coder, payload, compress))
  return how === "whole" ? send(coder, payload, compress) : stream(coder, cut(payload, cuts), compress)
}

const decode = (coder: Extension.Coder, { cuts, streamed }: Sent, wire: Wire) =>
  streamed ? receiveStream(coder, cut(wire.payload, cuts), wire.rsv) : receive(coder, wire)

const history = fc.array(sent, { maxLength: 12 })

describe("any messages, in any way", () => {
  it("arrive at our own other end, in both directions", async () => {
    const property = fc.asyncProperty(history, history, parameters(9, 8), options, service, (a, b, agreed, ...rest) =>
      Effect.runPromise(
        Effect.gen(function* () {
          const { client, server } = ends(agreed, ...rest)
          for (const [from, to, messages] of [
            [server, client, a],
            [client, server, b]
          ] as const) {
            for (const message of messages) {
              const wire = yield* encode(from, message)
              expect(yield* decode(to, message, wire)).toEqual(message.payload)
            }
          }
        })
      )
    )
    await fc.assert(property, { numRuns: 150 })
  })

  it("are read by a zlib with the window that was agreed on, and refer no further back", async () => {
    const roles = fc.constantFrom("server" as const, "client" as const)
    const property = fc.asyncProperty(
      history,
      roles,
      parameters(9, 9),
      options,
      service,
      (messages, role, agreed, ...rest) =>
        Effect.runPromise(
          Effect.gen(function* () {
            const coder = ends(agreed, ...rest)[role]
            const peer = new ZlibPeer(role === "server" ? "client" : "server", agreed)
            const [bits, forgets] =
              role === "server"
                ? [agreed.serverMaxWindowBits, agreed.serverNoContextTakeover]
                : [agreed.clientMaxWindowBits, agreed.clientNoContextTakeover]
            let compressed = new Uint8Array(0)
            for (const message of messages) {
              const wire = yield* encode(coder, message)
              expect(yield* peer.receive(wire)).toEqual(message.payload)
              if (wire.rsv === 0) continue
              const read = puff.inflate(
                concat([wire.payload, Deflate.tail]),
                forgets ? undefined : compressed.slice(-32_768)
              )
              expect(read.bytes).toEqual(message.payload)
              expect(read.farthest).toBeLessThanOrEqual(2 ** Math.min(bits, rest[0].compressorWindowBits))
              compressed = new Uint8Array(concat([compressed, message.payload]))
            }
            peer.close()
          })
        )
    )
    await fc.assert(property, { numRuns: 60 })
  })

  it("are understood when a zlib sends them, with any window", async () => {
    const roles = fc.constantFrom("server" as const, "client" as const)
    const property = fc.asyncProperty(history, roles, parameters(8, 8), service, (messages, role, agreed, service) =>
      Effect.runPromise(
        Effect.gen(function* () {
          // A server of ours cannot keep to 8 bits, and a server of others can.
          const coder =
            role === "server"
              ? ends({ ...agreed, serverMaxWindowBits: 15 }, {}, service).server
              : clientOf(agreed, {}, service)
          const peer = new ZlibPeer(role === "server" ? "client" : "server", agreed)
          for (const message of messages) {
            const wire =
              message.compress === false ? { payload: message.payload, rsv: 0 } : yield* peer.send(message.payload)
            expect(yield* decode(coder, message, wire)).toEqual(message.payload)
          }
          peer.close()
        })
      )
    )
    await fc.assert(property, { numRuns: 150 })
  })
})
