/** Packets of Engine.IO: what is printed, read back; and anything at all, read. */
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Packet from "@millrace/core/interop/engineio/Packet"
import { mutatedText, packet, packets, payloadText } from "../../../support/engineio.ts"
import { utf8 } from "../../../support/wire.ts"

describe("Engine.IO's packets", () => {
  it("are decoded as they were encoded, over a WebSocket", () => {
    fc.assert(
      fc.property(packet, (sent) => {
        expect(Packet.decode(Packet.encode(sent))).toEqual(Result.succeed(sent))
      })
    )
  })

  it("are decoded as they were encoded, over polls, and have the length that is foretold", () => {
    fc.assert(
      fc.property(packets, (sent) => {
        const body = utf8(Result.getOrThrow(Packet.encodePayload(sent)))
        expect(Packet.decodePayload(body)).toEqual({ packets: sent, violation: undefined })
        expect(sent.reduce((length, one) => length + 1 + Packet.payloadLength(one), -1)).toBe(body.length)
      })
    )
  })

  it("make batches that no packet more would fit in", () => {
    fc.assert(
      fc.property(packets, fc.nat({ max: 60 }), (sent, max) => {
        const count = Packet.countWithin(sent, max)
        const lengthOf = (many: number) => utf8(Result.getOrThrow(Packet.encodePayload(sent.slice(0, many)))).length
        expect(count).toBeGreaterThan(0)
        if (count > 1) expect(lengthOf(count)).toBeLessThanOrEqual(max)
        if (count < sent.length) expect(lengthOf(count + 1)).toBeGreaterThan(max)
      })
    )
  })

  it("or a violation are what any text is, and what any bytes and any body are", () => {
    const seen = { packets: 0, violations: 0 }
    const body = fc.oneof(fc.uint8Array(), fc.string({ unit: "binary" }).map(utf8), mutatedText(payloadText).map(utf8))
    const limits = fc.record({ maxBytes: fc.constantFrom(20, 1_000_000), maxPackets: fc.constantFrom(0, 1, 3, 1_000) })
    fc.assert(
      fc.property(body, limits, (bytes, options) => {
        const { packets: found, violation } = Packet.decodePayload(bytes, options)
        expect(found.length).toBeLessThanOrEqual(options.maxPackets)
        if (violation !== undefined) expect(violation).toBeInstanceOf(Packet.EngineViolation)
        // What was taken can be said again, and is the same.
        if (found.length > 0) {
          const again = utf8(Result.getOrThrow(Packet.encodePayload(found)))
          expect(Packet.decodePayload(again)).toEqual({ packets: found, violation: undefined })
        }
        seen.packets += found.length
        if (violation !== undefined) seen.violations++
      }),
      { numRuns: 2000 }
    )
    expect(seen.packets).toBeGreaterThan(200)
    expect(seen.violations).toBeGreaterThan(200)
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), mutatedText(payloadText)), (text) => {
        const answer = Packet.decode(text)
        if (Result.isFailure(answer)) expect(answer.failure).toBeInstanceOf(Packet.EngineViolation)
        else expect(Packet.decode(Packet.encode(answer.success))).toEqual(answer)
      })
    )
  })

  it("have a handshake that is decoded as it was encoded, or refused", () => {
    const duration = fc.integer({ min: 1, max: 2 ** 31 - 1 })
    const handshake = fc.record({
      sid: fc.string({ minLength: 1, maxLength: 30 }),
      upgrades: fc.array(fc.string({ maxLength: 10 }), { maxLength: 3 }),
      pingInterval: duration,
      pingTimeout: duration,
      maxPayload: fc.option(fc.integer({ min: 1 }), { nil: undefined })
    })
    fc.assert(
      fc.property(handshake, (sent) => {
        expect(Packet.decodeHandshake(Packet.encodeHandshake(sent))).toEqual(Result.succeed(sent))
      })
    )
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), mutatedText(handshake.map(Packet.encodeHandshake))), (data) => {
        const answer = Packet.decodeHandshake(data)
        if (Result.isFailure(answer)) expect(answer.failure).toBeInstanceOf(Packet.EngineViolation)
        else expect(Packet.decodeHandshake(Packet.encodeHandshake(answer.success))).toEqual(answer)
      })
    )
  })
})
