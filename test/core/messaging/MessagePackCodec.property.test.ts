import * as Result from "effect/Result"
import * as fc from "fast-check"
import { Packr } from "msgpackr"
import { describe, expect, it } from "vitest"
import { MalformedMessage } from "@millrace/core/messaging/MessageCodec"
import * as MessagePackCodec from "@millrace/core/messaging/MessagePackCodec"
import * as Message from "@millrace/core/protocol/Message"
import { mutated, wireValue } from "../../support/wireValues.ts"

const codec = MessagePackCodec.make()

const decode = (sent: Message.Sendable) => codec.decode(Message.from(sent))

const packed = (wire: unknown) => Uint8Array.from(codec.encode(wire) as Uint8Array)

/** A value that can be sent again as it is, or a `MalformedMessage`. */
const isTotal = (sent: Message.Sendable) => {
  const decoded = decode(sent)
  if (Result.isFailure(decoded)) {
    expect(decoded.failure).toBeInstanceOf(MalformedMessage)
  } else {
    const again = packed(decoded.success)
    expect(packed(Result.getOrThrow(decode(again)))).toEqual(again)
  }
}

describe("MessagePackCodec", () => {
  it("decodes what it encodes", () => {
    fc.assert(
      fc.property(wireValue, (wire) => {
        expect(Result.getOrThrow(decode(codec.encode(wire)))).toEqual(wire)
      }),
      { numRuns: 500 }
    )
  })

  it("decodes what msgpackr encodes by itself", () => {
    const packr = new Packr({ useRecords: false })
    fc.assert(
      fc.property(wireValue, (wire) => {
        expect(Result.getOrThrow(decode(packr.pack(wire)))).toEqual(wire)
      })
    )
  })

  it("is total over any bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), isTotal), { numRuns: 2_000 })
  })

  it("is total over what has become of a message on its way", () => {
    fc.assert(fc.property(mutated(wireValue.map(packed)), isTotal), { numRuns: 1_000 })
  })
})
