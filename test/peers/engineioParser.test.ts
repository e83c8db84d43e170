/** Engine.IO's own parser, in both directions. */
import * as Result from "effect/Result"
import {
  decodePacket,
  decodePayload,
  encodePacket,
  encodePayload,
  type Packet as Theirs,
  type RawData
} from "engine.io-parser"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Packet from "@millrace/core/interop/engineio/Packet"
import { mutatedText, packet, packets, payloadText } from "../support/engineio.ts"
import { utf8 } from "../support/wire.ts"

/** One of ours as they have it: without data where there is none, and bytes in a Buffer. */
const theirs = (ours: Packet.Packet): Theirs => {
  const type = ours._tag.toLowerCase() as Theirs["type"]
  if (!("data" in ours)) return { type }
  if (typeof ours.data !== "string") return { type, data: Buffer.from(ours.data) }
  return ours.data === "" ? { type } : { type, data: ours.data }
}

const tagOf = (type: string) => `${type.charAt(0).toUpperCase()}${type.slice(1)}`

/** One of theirs as we have it. */
const ours = ({ data, type }: Theirs): unknown => {
  const _tag = tagOf(type)
  if (["Close", "Noop", "Upgrade"].includes(_tag)) return { _tag }
  return { _tag, data: data instanceof Uint8Array ? Uint8Array.from(data) : (data ?? "") }
}

const encoded = (one: Theirs) => {
  const got: Array<RawData> = []
  encodePacket(one, true, (data) => got.push(data))
  return got[0]
}

const encodedPayload = (many: ReadonlyArray<Theirs>) => {
  const got: Array<string> = []
  encodePayload([...many], (body) => got.push(body))
  return got[0]!
}

describe("engine.io-parser", () => {
  it("reads what we write over a WebSocket, and we what it writes", () => {
    fc.assert(
      fc.property(packet, (sent) => {
        const written = Packet.encode(sent)
        const raw = typeof written === "string" ? written : Buffer.from(written)
        expect(decodePacket(raw)).toEqual(theirs(sent))
        expect(encoded(theirs(sent))).toEqual(raw)
        expect(Packet.decode(written)).toEqual(Result.succeed(sent))
      })
    )
  })

  it("reads what we write over polls, and writes the same", () => {
    fc.assert(
      fc.property(packets, (sent) => {
        const body = Result.getOrThrow(Packet.encodePayload(sent))
        expect(decodePayload(body)).toEqual(sent.map(theirs))
        expect(encodedPayload(sent.map(theirs))).toBe(body)
      })
    )
  })

  it("reads of any body what we read, but for base64 that is none", () => {
    const seen = { whole: 0, faulty: 0 }
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), mutatedText(payloadText)), (sent) => {
        const body = Buffer.from(sent).toString()
        const { packets: found, violation } = Packet.decodePayload(utf8(body))
        const read = decodePayload(body)
        if (violation?.detail === "bytes that are not base64") return
        const packetsOfTheirs = violation === undefined ? read : read.slice(0, -1)
        expect(found).toEqual(packetsOfTheirs.map(ours))
        expect(read.at(-1)?.type === "error").toBe(violation !== undefined)
        if (violation === undefined) seen.whole++
        else seen.faulty++
      }),
      { numRuns: 1000 }
    )
    expect(Math.min(seen.whole, seen.faulty)).toBeGreaterThan(100)
  })
})
