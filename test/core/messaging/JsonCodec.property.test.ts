import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as JsonCodec from "@millrace/core/messaging/JsonCodec"
import { MalformedMessage } from "@millrace/core/messaging/MessageCodec"
import * as Message from "@millrace/core/protocol/Message"
import { mutated, wireValue } from "../../support/wireValues.ts"

const codec = JsonCodec.make({ maxAttachments: 1_000 })

const decode = (sent: Message.Sendable) => codec.decode(Message.from(sent))

/** A value that can be sent again as it is, or a `MalformedMessage`. */
const isTotal = (sent: Message.Sendable) => {
  const decoded = decode(sent)
  if (Result.isFailure(decoded)) {
    expect(decoded.failure).toBeInstanceOf(MalformedMessage)
  } else {
    const again = codec.encode(decoded.success)
    expect(codec.encode(Result.getOrThrow(decode(again)))).toEqual(again)
  }
}

const message = wireValue.map((wire) => {
  const sent = codec.encode(wire)
  return typeof sent === "string" ? new TextEncoder().encode(sent) : Uint8Array.from(sent as Uint8Array)
})

describe("JsonCodec", () => {
  it("decodes what it encodes", () => {
    fc.assert(
      fc.property(wireValue, (wire) => {
        expect(Result.getOrThrow(decode(codec.encode(wire)))).toEqual(wire)
      }),
      { numRuns: 500 }
    )
  })

  it("gives text for what is JSON, and the same text as JSON.stringify", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (wire) => {
        fc.pre(!/"(__proto__|constructor|prototype)"/.test(JSON.stringify(wire)))
        expect(codec.encode(wire)).toBe(JSON.stringify(wire))
      })
    )
  })

  it("is total over any text", () => {
    fc.assert(fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.json()), isTotal))
  })

  it("is total over any bytes, and over a head of anything", () => {
    const path = fc.array(fc.oneof(fc.nat({ max: 3 }), fc.constantFrom("a", "b", "length", "__proto__")), {
      maxLength: 3
    })
    const head = fc.tuple(wireValue, fc.array(fc.tuple(path, fc.nat({ max: 4 })), { maxLength: 3 }))
    const envelope = fc.tuple(fc.oneof(head, fc.jsonValue()), fc.uint8Array({ maxLength: 8 })).map(([head, bytes]) => {
      const json = new TextEncoder().encode(JSON.stringify(head))
      return Uint8Array.from([0, json.length >>> 16, (json.length >>> 8) & 255, json.length & 255, ...json, ...bytes])
    })
    fc.assert(fc.property(fc.oneof(fc.uint8Array(), envelope), isTotal))
  })

  it("is total over what has become of a message on its way", () => {
    fc.assert(
      fc.property(mutated(message), (bytes) => {
        isTotal(bytes)
        isTotal(new TextDecoder().decode(bytes))
      }),
      { numRuns: 500 }
    )
  })
})
