import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as JsonCodec from "@millrace/core/messaging/JsonCodec"
import * as MessageCodec from "@millrace/core/messaging/MessageCodec"
import * as MessagePackCodec from "@millrace/core/messaging/MessagePackCodec"
import * as Packet from "@millrace/core/messaging/Packet"
import * as Message from "@millrace/core/protocol/Message"
import { wireValue } from "../../support/wireValues.ts"

const id = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
const text = fc.string({ unit: "binary" })
const credit = fc.integer({ min: 1, max: Packet.maxCredit })
const short = fc.option(fc.string({ maxLength: Packet.maxMetaLength }), { nil: undefined })
const meta = fc.option(fc.record({ key: short, trace: short }), { nil: undefined })
const code = fc.constantFrom<Packet.FailCode>("unknown", "invalid", "defect", "unavailable", "conflict")

const tagged = <Tag extends Packet.Packet["_tag"], T>(_tag: Tag, fields: fc.Arbitrary<T>) =>
  fields.map((fields) => ({ _tag, ...fields }))

const packet: fc.Arbitrary<Packet.Packet> = fc.oneof(
  tagged("Hello", fc.record({ contract: text, version: text, hash: text, credentials: wireValue })),
  tagged("Welcome", fc.record({ contract: text, version: text, hash: text, session: text })),
  tagged("Emit", fc.record({ name: text, payload: wireValue, meta })),
  tagged("Ask", fc.record({ id, name: text, payload: wireValue, meta })),
  tagged("Open", fc.record({ id, name: text, payload: wireValue, credit, meta })),
  tagged("Ok", fc.record({ id, value: wireValue })),
  tagged("Items", fc.record({ id, elements: fc.array(wireValue, { minLength: 1, maxLength: 4 }) })),
  tagged("More", fc.record({ id, credit })),
  tagged("End", fc.record({ id })),
  tagged("Err", fc.record({ id, error: wireValue })),
  tagged("Fail", fc.record({ id, code, detail: text })),
  tagged("Cancel", fc.record({ id })),
  tagged("Ping", fc.record({ id })),
  tagged("Pong", fc.record({ id }))
)

const kinds = ["hello", "welcome", "emit", "ask", "open", "ok", "items", "more", "end", "err", "fail", "cancel"]

describe("Packet", () => {
  it("parses what it prints", () => {
    fc.assert(
      fc.property(packet, (packet) => {
        expect(Result.getOrThrow(Packet.parse(Packet.print(packet)))).toEqual(packet)
      }),
      { numRuns: 500 }
    )
  })

  it.each([JsonCodec.make({ maxAttachments: 1_000 }), MessagePackCodec.messagePack])(
    "comes as it went over $subprotocol",
    (codec) => {
      fc.assert(
        fc.property(packet, (packet) => {
          const message = Message.from(MessageCodec.write(codec, packet))
          expect(Result.getOrThrow(MessageCodec.read(codec, message))).toEqual(packet)
        }),
        { numRuns: 300 }
      )
    }
  )

  it("is total over any JSON, and prints what it took as something that it takes for the same", () => {
    const any = fc.oneof(wireValue, id, credit, text, meta, code)
    const almost = fc
      .tuple(fc.constantFrom(...kinds), fc.array(any, { maxLength: 6 }))
      .map(([kind, rest]) => [kind as unknown].concat(rest))
    fc.assert(
      fc.property(fc.oneof(almost, wireValue), (wire) => {
        const parsed = Packet.parse(wire)
        if (Result.isFailure(parsed)) expect(parsed.failure).toBeInstanceOf(Packet.InvalidPacket)
        else expect(Packet.parse(Packet.print(parsed.success))).toEqual(parsed)
      }),
      { numRuns: 2_000 }
    )
  })
})
