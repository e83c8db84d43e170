/** `Frame.Decoder`: what it gives when, what it holds between two chunks, and what it never copies. */
import { describe, expect, it } from "vitest"
import * as Frame from "@millrace/core/codec/Frame"
import { concat, counting, encode, frame, joinParts, toHex } from "../../support/frames.ts"
import { hex } from "../../support/wire.ts"

const make = (masked = false, maxPayloadLength = 1 << 20) => Frame.makeDecoder({ masked, rsv: 0, maxPayloadLength })

/** Parts as a line each: opcode, offset, payload, remaining. */
const show = ({ parts }: Frame.Decoded) =>
  parts.map((part) => `${part.opcode} @${part.offset} [${toHex(part.payload)}] +${part.remaining}`)

/** The bytes of all buffers that the decoder keeps alive. */
const held = (decoder: Frame.Decoder): number => {
  const buffers = new Set<ArrayBufferLike>()
  for (const value of Object.values(decoder)) if (ArrayBuffer.isView(value)) buffers.add(value.buffer)
  return [...buffers].reduce((sum, buffer) => sum + buffer.byteLength, 0)
}

describe("what it gives", () => {
  it("gives a data frame in parts as it comes", () => {
    const decoder = make()
    expect(show(decoder.push(hex("01 04 61")))).toEqual(["1 @0 [61] +3"])
    expect(show(decoder.push(hex("62 63")))).toEqual(["1 @1 [62 63] +1"])
    expect(show(decoder.push(hex("64 80 01 65")))).toEqual(["1 @3 [64] +0", "0 @0 [65] +0"])
  })

  it("gives a control frame whole, however it comes, between the parts of others", () => {
    const decoder = make()
    expect(show(decoder.push(hex("01 01 61 89")))).toEqual(["1 @0 [61] +0"])
    expect(show(decoder.push(hex("03")))).toEqual([])
    expect(show(decoder.push(hex("01 02")))).toEqual([])
    expect(show(decoder.push(hex("03 80 02 62")))).toEqual(["9 @0 [01 02 03] +0", "0 @0 [62] +1"])
    expect(show(decoder.push(hex("63")))).toEqual(["0 @1 [63] +0"])
  })

  it("gives the longest control frame and what follows it, wherever the two are cut", () => {
    const key = 0x01020304
    const wire = concat([encode(frame(9, counting(125)), key), encode(frame(2, counting(200)), key)])
    for (let at = 0; at <= wire.length; at++) {
      const decoder = make(true)
      const parts = [wire.slice(0, at), wire.slice(at)].flatMap((chunk) => decoder.push(chunk).parts)
      const frames = joinParts(parts).map(({ opcode, payload, remaining }) => [opcode, payload, remaining])
      expect(frames, `cut at ${at}`).toEqual([
        [9, counting(125), 0],
        [2, counting(200), 0]
      ])
    }
  })

  it("gives no part for a header that ends its chunk, but one for an empty frame", () => {
    const decoder = make()
    expect(show(decoder.push(hex("82 01")))).toEqual([])
    expect(show(decoder.push(hex("07")))).toEqual(["2 @0 [07] +0"])
    expect(show(decoder.push(hex("82 00")))).toEqual(["2 @0 [] +0"])
    expect(show(decoder.push(hex("82")))).toEqual([])
    expect(show(decoder.push(hex("00 89 00")))).toEqual(["2 @0 [] +0", "9 @0 [] +0"])
  })

  it("gives nothing for an empty chunk, wherever it comes", () => {
    const decoder = make()
    for (const chunk of ["", "82", "", "02", "", "01", "", "02", ""].map(hex)) {
      expect(decoder.push(chunk).violation).toBeUndefined()
    }
    expect(show(decoder.push(hex("81 01 61")))).toEqual(["1 @0 [61] +0"])
  })

  it("gives what came before a violation, and nothing ever after", () => {
    const decoder = make()
    const decoded = decoder.push(hex("81 01 61 82 02 01 02 83 00 81 01 62"))
    expect(show(decoded)).toEqual(["1 @0 [61] +0", "2 @0 [01 02] +0"])
    expect(decoded.violation).toMatchObject({ closeCode: 1002, clause: "RFC 6455 5.2" })
    expect(decoder.push(hex("81 01 63"))).toEqual({ parts: [], violation: undefined })
  })

  it.each([
    ["a reserved opcode", "83 00", 2, 1002],
    ["a frame that is not masked", "81 00", 2, 1002],
    ["a long Ping", "89 fe", 2, 1002],
    ["a length of 16 bits over the limit", "82 fe 10 00", 4, 1009],
    ["a length of 64 bits over the limit", "82 ff 00 00 00 00 00 01 00 00", 10, 1009],
    ["a length of 64 bits with the highest bit", "82 ff ff ff ff ff ff ff ff ff", 10, 1002]
  ])("notices %s at its byte, also when bytes come one at a time", (_, wire, byte, closeCode) => {
    const decoder = make(true, 1000)
    const bytes = hex(`81 81 00 00 00 00 61 ${wire}`)
    const codes = Array.from(bytes, (value) => decoder.push(Uint8Array.of(value)).violation?.closeCode)
    expect(codes.findIndex((code) => code !== undefined)).toBe(7 + byte - 1)
    expect(codes[7 + byte - 1]).toBe(closeCode)
  })

  it("goes on with a masking key where the last part left it", () => {
    const binary = frame(Frame.Opcode.binary, counting(40_000))
    const wire = encode(binary, 0x01020304)
    const decoder = make(true)
    const payloads: Array<Uint8Array> = []
    // Lengths that are no multiple of four, on both sides of the length from which masking takes another way.
    for (let at = 0, size = 1; at < wire.length; at += size, size = (size * 3 + 1) % 5003) {
      for (const part of decoder.push(wire.slice(at, at + size)).parts) payloads.push(part.payload)
    }
    expect(concat(payloads)).toEqual(binary.payload)
  })
})

describe("what it holds", () => {
  it("takes chunks over: parts are views of them, unmasked in place", () => {
    const chunk = hex("81 82 ff 00 ff 00 9e 62 82 81 00 00 00 00 07")
    const { parts } = make(true).push(chunk)
    expect(parts.map((part) => part.payload.buffer === chunk.buffer)).toEqual([true, true])
    expect(toHex(parts[0]!.payload)).toBe("61 62")
    expect(toHex(chunk.subarray(6, 8))).toBe("61 62")
  })

  it("leaves the bytes around a chunk alone", () => {
    const buffer = hex("aa aa aa 82 84 ff ff ff ff 00 00 00 00 bb bb bb")
    make(true).push(buffer.subarray(3, 13))
    expect(toHex(buffer)).toBe("aa aa aa 82 84 ff ff ff ff ff ff ff ff bb bb bb")
  })

  it("holds one header and one control frame at most: 139 bytes", () => {
    const wire = encode(frame(Frame.Opcode.ping, counting(125)), 1)
    for (let length = 1; length < wire.length; length++) {
      const decoder = make(true)
      decoder.push(wire.slice(0, length))
      expect(held(decoder)).toBe(length)
      const bytewise = make(true)
      for (const byte of wire.subarray(0, length)) bytewise.push(Uint8Array.of(byte))
      expect(held(bytewise)).toBe(length)
    }
  })

  it.each([
    ["a Uint8Array", new Uint8Array(65_536)],
    // What a socket of Node.js gives; its `slice` does not copy.
    ["a Buffer", Buffer.alloc(65_536)]
  ])("does not keep %s for the sake of the header that it ends with", (_, chunk) => {
    chunk.set(hex("82 7e ff fb"), 0)
    chunk.set(hex("82"), 65_535)
    const decoder = make()
    expect(decoder.push(chunk).parts.map(({ payload }) => payload.length)).toEqual([65_531])
    expect(held(decoder)).toBe(1)
    expect(show(decoder.push(hex("01 07")))).toEqual(["2 @0 [07] +0"])
  })

  it("holds nothing between frames, nor for the payload of a data frame", () => {
    const decoder = make()
    decoder.push(hex("82 03 01 02 03"))
    expect(held(decoder)).toBe(0)
    decoder.push(hex("82 7e 01 00 00"))
    expect(held(decoder)).toBe(0)
  })

  it("takes a message of 1 MiB byte by byte", () => {
    const wire = encode(frame(Frame.Opcode.binary, counting(1 << 20)), 0xcafe1234)
    const decoder = make(true)
    let received = 0
    let wrong = 0
    for (let at = 0; at < wire.length; at++) {
      for (const { payload, offset, remaining } of decoder.push(wire.slice(at, at + 1)).parts) {
        if (offset !== received || payload.length !== 1 || remaining !== (1 << 20) - received - 1) wrong++
        if (payload[0] !== ((received * 7 + (received >> 8)) & 0xff)) wrong++
        received++
      }
    }
    expect([received, wrong]).toEqual([1 << 20, 0])
  })
})

describe("encode", () => {
  it("leaves the payload it was given alone, and shares nothing with it", () => {
    const payload = counting(3000)
    const wire = Frame.encode(frame(Frame.Opcode.binary, payload), 0xffffffff)
    expect(payload).toEqual(counting(3000))
    expect(wire.buffer).not.toBe(payload.buffer)
  })

  it("writes FIN, the reserved bits and the opcode each in its place", () => {
    for (const fin of [true, false]) {
      for (let rsv = 0; rsv < 8; rsv++) {
        for (const opcode of Object.values(Frame.Opcode)) {
          const first = Frame.encode({ fin, rsv, opcode, payload: hex("") })[0]
          expect(first).toBe((fin ? 128 : 0) + rsv * 16 + opcode)
        }
      }
    }
  })
})

it("tells control frames from data", () => {
  expect(Object.values(Frame.Opcode).filter(Frame.isControl)).toEqual([8, 9, 10])
})
