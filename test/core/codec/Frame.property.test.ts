/** Frames, whatever they hold and however the stream is cut. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Frame from "@millrace/core/codec/Frame"
import { ProtocolViolation } from "@millrace/core/codec/ProtocolViolation"
import * as frames from "../../support/frames.ts"
import { cut } from "../../support/wire.ts"

const decodeAll = (chunks: ReadonlyArray<Uint8Array>, expected: Frame.Expected) => {
  const decoder = Frame.makeDecoder(expected)
  const decoded = chunks.map((chunk) => decoder.push(chunk.slice()))
  const violations = decoded.flatMap(({ violation }) => (violation === undefined ? [] : [violation]))
  return {
    frames: frames.joinParts(decoded.flatMap(({ parts }) => parts)),
    violations: violations.map(({ closeCode, clause, detail }) => ({ closeCode, clause, detail }))
  }
}

const bytewise = (bytes: Uint8Array) => Array.from(bytes, (byte) => Uint8Array.of(byte))

/** Almost a stream of frames: some right, some with a header of any bits, some bytes of noise. */
const noise: fc.Arbitrary<Uint8Array> = fc
  .array(
    fc.oneof(
      fc.tuple(frames.any, frames.maybeKey).map(([frame, key]) => frames.encode(frame, key)),
      fc
        .record({
          fin: fc.boolean(),
          rsv: fc.oneof(fc.constant(0), fc.nat({ max: 7 })),
          opcode: fc.nat({ max: 15 }) as fc.Arbitrary<Frame.Opcode>,
          payload: fc.uint8Array({ maxLength: 140 }),
          length: fc.oneof(fc.nat({ max: 300 }), fc.constantFrom(65_535, 65_536, 2 ** 32, Number.MAX_SAFE_INTEGER)),
          key: frames.maybeKey
        })
        .map(({ payload, length, key, ...frame }) => frames.concat([frames.header(frame, length, key), payload])),
      fc.uint8Array({ maxLength: 20 })
    ),
    { maxLength: 6 }
  )
  .map(frames.concat)

describe("Frame", () => {
  it("encodes as section 5.2 draws it", () => {
    fc.assert(
      fc.property(frames.any, fc.nat({ max: 7 }), frames.maybeKey, (frame, rsv, key) => {
        expect(Frame.encode({ ...frame, rsv }, key)).toEqual(frames.encode({ ...frame, rsv }, key))
      })
    )
  })

  it("decodes what it encodes, wherever the stream is cut", () => {
    fc.assert(
      fc.property(
        fc.array(frames.any, { minLength: 1, maxLength: 5 }),
        frames.maybeKey,
        frames.positions,
        (sent, key, at) => {
          const wire = frames.concat(sent.map((frame) => Frame.encode(frame, key)))
          const expected = { masked: key !== undefined, rsv: 0, maxPayloadLength: 1 << 20 }
          const whole = sent.map((frame) => ({ ...frame, remaining: 0 }))
          expect(decodeAll(cut(wire, at), expected)).toEqual({ frames: whole, violations: [] })
        }
      ),
      { numRuns: 300 }
    )
  })

  it("gives the same answer to any bytes, however they are cut", () => {
    const expecting = fc.record({
      masked: fc.boolean(),
      rsv: fc.constantFrom(0, 4, 7),
      maxPayloadLength: fc.constantFrom(0, 100, 65_535, Number.MAX_SAFE_INTEGER)
    })
    fc.assert(
      fc.property(noise, expecting, frames.positions, (bytes, expected, at) => {
        const answer = decodeAll([bytes], expected)
        expect(answer.violations.length).toBeLessThanOrEqual(1)
        expect(decodeAll(cut(bytes, at), expected)).toEqual(answer)
        if (bytes.length < 400) expect(decodeAll(bytewise(bytes), expected)).toEqual(answer)
      }),
      { numRuns: 2000 }
    )
  })

  it("announces and gives no payload over the limit, nor a control frame over 125 bytes", () => {
    fc.assert(
      fc.property(noise, fc.nat({ max: 200 }), fc.boolean(), frames.positions, (bytes, limit, masked, at) => {
        const decoder = Frame.makeDecoder({ masked, rsv: 0, maxPayloadLength: limit })
        const parts = cut(bytes, at).flatMap((chunk) => decoder.push(chunk.slice()).parts)
        for (const { opcode, offset, payload, remaining } of parts) {
          expect(offset + payload.length + remaining).toBeLessThanOrEqual(Frame.isControl(opcode) ? 125 : limit)
          if (Frame.isControl(opcode)) expect([offset, remaining]).toEqual([0, 0])
        }
      }),
      { numRuns: 500 }
    )
  })

  it("takes any eight bytes for a length: exact, over the limit, or wrong", () => {
    const byte = fc.oneof(fc.nat({ max: 255 }), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff))
    fc.assert(
      fc.property(fc.array(byte, { minLength: 8, maxLength: 8 }), fc.maxSafeInteger(), (eight, limit) => {
        const maxPayloadLength = Math.abs(limit)
        const view = new DataView(Uint8Array.of(0x82, 127, ...eight).buffer)
        const length = view.getBigUint64(2)
        const answer = Frame.decodeHeader(view, 0, { masked: false, rsv: 0, maxPayloadLength })
        const code = answer instanceof ProtocolViolation ? answer.closeCode : answer?.payloadLength
        const right = length < 65_536n || length >= 2n ** 63n ? 1002 : length > BigInt(maxPayloadLength) ? 1009 : length
        expect(code).toBe(Number(right))
      }),
      { numRuns: 2000 }
    )
  })

  it("never reads a header past the bytes it has, and never throws", () => {
    fc.assert(
      fc.property(noise, fc.nat({ max: 20 }), fc.nat({ max: 20 }), fc.boolean(), (bytes, from, length, masked) => {
        const start = Math.min(from, bytes.length)
        const view = new DataView(bytes.buffer, start, Math.min(length, bytes.length - start))
        const header = Frame.decodeHeader(view, 0, { masked, rsv: 7, maxPayloadLength: Number.MAX_SAFE_INTEGER })
        if (header === undefined || header instanceof ProtocolViolation) return
        expect(header.headerLength).toBeLessThanOrEqual(view.byteLength)
      }),
      { numRuns: 1000 }
    )
  })
})
