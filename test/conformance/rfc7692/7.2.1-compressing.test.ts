/** RFC 7692 section 7.2.1: what messages are compressed to, and with how large a window. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import * as Message from "@millrace/core/protocol/Message"
import { turn } from "../../support/connection.ts"
import { concat, toHex } from "../../support/frames.ts"
import { inflate } from "../../support/puff.ts"
import { utf8 } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { noise, open, rejoined } from "./connection.ts"
import { tail } from "./deflate.ts"
import { bits } from "./negotiation.ts"

const roles = ["client", "server"] as const

/** Messages that zlib compresses with blocks of every type; a stored block needs much that cannot be compressed. */
const varied = () => [
  "Hello",
  JSON.stringify(Array.from({ length: 200 }, (_, id) => ({ id, name: `number ${id}` }))),
  concat([noise(20_000), utf8("a".repeat(2000))])
]

clause.effect("7.2.1-1", "what is sent ends at a byte, and has no final block that would have to be padded", () =>
  Effect.gen(function* () {
    for (const role of roles) {
      const { payloads } = yield* open(role, "permessage-deflate")
      const messages = varied()
      const { blocks, bytes } = inflate(rejoined(yield* payloads(...messages.map(Message.compressed))))
      expect(bytes).toEqual(concat(messages.map((message) => (typeof message === "string" ? utf8(message) : message))))
      expect(blocks.filter(({ final }) => final)).toEqual([])
      expect(new Set(blocks.map(({ type }) => type))).toEqual(new Set([0, 1, 2]))
    }
  })
)

/** The bytes of all frames, joined. */
const joined = (frames: ReadonlyArray<{ readonly payload: Uint8Array }>) => concat(frames.map(({ payload }) => payload))

clause.effect(
  "7.2.1-2",
  "fragments are what one message was cut into: the octets are missing at its end and nowhere else",
  () =>
    Effect.gen(function* () {
      const pieces = Array.from({ length: 5 }, (_, i) => `piece ${i} of a message that is sent as it comes, `)
      for (const role of roles) {
        for (const fragmentBytes of [1, 7, 16_384]) {
          const { connection, far } = yield* open(role, "permessage-deflate")
          for (let times = 0; times < 2; times++) {
            const before = far.frames.length
            yield* connection.sendStream("text", Stream.rechunk(Stream.fromArray(pieces), 1), { fragmentBytes })
            yield* turn
            const payload = joined(far.frames.slice(before))
            const window = times === 0 ? new Uint8Array(0) : utf8(pieces.join(""))
            const { blocks, bytes } = inflate(concat([payload, tail]), window)
            expect(bytes).toEqual(utf8(pieces.join("")))
            // Each piece was flushed, with the empty block that a flush ends with: the last of them is the one cut off.
            expect(blocks.filter(({ type }) => type === 0)).toHaveLength(pieces.length)
          }
        }
      }
    })
)

/** Something, then more than that far of anything else, then the same thing again. */
const repeating = (distance: number) => {
  const something = noise(100)
  return concat([something, noise(distance - 100), something])
}

clause.effect("7.2.1-3", "no message reaches back further than that, nor into one before it", () =>
  Effect.gen(function* () {
    for (const role of roles) {
      const { payloads } = yield* open(role, "permessage-deflate")
      const near = repeating(32_000)
      const far = repeating(32_769)
      const after = concat([far.subarray(0, 100), noise(10), near.subarray(0, 100)])
      const messages = [near, far, after, far.subarray(1000)].map(Message.compressed)
      const { farthest } = inflate(rejoined(yield* payloads(...messages)))
      expect(farthest).toBeGreaterThan(31_000)
      expect(farthest).toBeLessThanOrEqual(32_768)
    }
  })
)

clause.effect("7.2.1-4", "a client compresses the same message to the same bytes, as section 7.2.3.2 prints them", () =>
  Effect.gen(function* () {
    const again = [Message.compressed("Hello"), Message.uncompressed("in between"), Message.compressed("Hello")]
    const { payloads } = yield* open("client", "permessage-deflate; client_no_context_takeover")
    const [first, , second] = yield* payloads(...again)
    expect([first, second].map((payload) => toHex(payload!))).toEqual(["f2 48 cd c9 c9 07 00", "f2 48 cd c9 c9 07 00"])
    // And would not without it.
    const other = yield* open("client", "permessage-deflate; server_no_context_takeover")
    const [, , shorter] = yield* other.payloads(...again)
    expect(toHex(shorter!)).toBe("f2 00 11 00 00")
  })
)

clause.effect("7.2.1-4", "and a message that it sends in pieces, to bytes that need nothing but themselves", () =>
  Effect.gen(function* () {
    const { connection, far } = yield* open("client", "permessage-deflate; client_no_context_takeover")
    const text = "the same thing, sent again and again"
    for (let times = 0; times < 3; times++) {
      const before = far.frames.length
      yield* connection.sendStream("text", Stream.make(text, text))
      yield* turn
      expect(inflate(concat([joined(far.frames.slice(before)), tail])).bytes).toEqual(utf8(text + text))
      yield* connection.send(text)
      yield* turn
    }
  })
)

clause.effect("7.2.1-5", "a server compresses the same message to the same bytes, as section 7.2.3.2 prints them", () =>
  Effect.gen(function* () {
    const again = [Message.compressed("Hello"), Message.uncompressed("in between"), Message.compressed("Hello")]
    const { payloads } = yield* open("server", "permessage-deflate; server_no_context_takeover")
    const [first, , second] = yield* payloads(...again)
    expect([first, second].map((payload) => toHex(payload!))).toEqual(["f2 48 cd c9 c9 07 00", "f2 48 cd c9 c9 07 00"])
    const other = yield* open("server", "permessage-deflate; client_no_context_takeover")
    const [, , shorter] = yield* other.payloads(...again)
    expect(toHex(shorter!)).toBe("f2 00 11 00 00")
  })
)

clause.effect("7.2.1-5", "and a message that it sends in pieces, to bytes that need nothing but themselves", () =>
  Effect.gen(function* () {
    const { connection, far } = yield* open("server", "permessage-deflate; server_no_context_takeover")
    const text = "the same thing, sent again and again"
    for (let times = 0; times < 3; times++) {
      const before = far.frames.length
      yield* connection.sendStream("text", Stream.make(text, text))
      yield* turn
      expect(inflate(concat([joined(far.frames.slice(before)), tail])).bytes).toEqual(utf8(text + text))
      yield* connection.send(text)
      yield* turn
    }
  })
)

/**
 * How far messages and streams reach back that repeat what is within that window, and what is just outside of it. zlib
 * uses 262 bytes less than there are.
 */
const reach = (role: "client" | "server", response: string, size: number) =>
  Effect.gen(function* () {
    const { connection, far, payloads } = yield* open(role, response)
    const within = repeating(Math.floor(size * 0.45))
    const outside = repeating(size + 1)
    const first = yield* payloads(...[within, outside, outside, within].map(Message.compressed))
    const before = far.frames.length
    yield* connection.sendStream("binary", Stream.make(outside, within, outside))
    yield* turn
    const all = rejoined([...first, joined(far.frames.slice(before))])
    const { bytes, farthest } = inflate(all)
    expect(bytes).toEqual(concat([within, outside, outside, within, outside, within, outside]))
    return farthest
  })

clause.effect(
  "7.2.1-6",
  "a client reaches back no further than 2 to the power of w, within a message or into others",
  () =>
    Effect.gen(function* () {
      for (const w of bits.slice(1)) {
        const distance = yield* reach("client", `permessage-deflate; client_max_window_bits=${w}`, 2 ** w)
        expect([w, distance <= 2 ** w && distance > 2 ** (w - 2)]).toEqual([w, true])
      }
    })
)

clause.effect("7.2.1-6", "and compresses nothing where w is 8, which zlib cannot keep to", () =>
  Effect.gen(function* () {
    const { connection, far } = yield* open("client", "permessage-deflate; client_max_window_bits=8")
    yield* connection.send(Message.compressed("Hello"))
    yield* connection.sendStream("text", Stream.make("Hello"))
    yield* turn
    expect(far.frames.map(({ payload, rsv }) => [rsv, toHex(payload)])).toEqual([
      [0, "48 65 6c 6c 6f"],
      [0, "48 65 6c 6c 6f"],
      [0, ""]
    ])
  })
)

clause.effect(
  "7.2.1-7",
  "a server reaches back no further than 2 to the power of w, within a message or into others",
  () =>
    Effect.gen(function* () {
      for (const w of bits.slice(1)) {
        // What is 15 goes without saying.
        const response = w === 15 ? "permessage-deflate" : `permessage-deflate; server_max_window_bits=${w}`
        const distance = yield* reach("server", response, 2 ** w)
        expect([w, distance <= 2 ** w && distance > 2 ** (w - 2)]).toEqual([w, true])
      }
    })
)
