/**
 * Frames as bytes: what RFC 6455 section 5.7 prints, the lengths at which the header changes its form, and headers
 * that must be refused. Round trips cannot stand in for these: an encoder and a decoder that share a mistake agree.
 */
import { describe, expect, it } from "vitest"
import * as Frame from "@millrace/core/codec/Frame"
import { ProtocolViolation } from "@millrace/core/codec/ProtocolViolation"
import { counting, frame, toHex } from "../../support/frames.ts"
import { hex, utf8 } from "../../support/wire.ts"

const expected = (masked: boolean, maxPayloadLength = 1 << 20, rsv = 0): Frame.Expected => ({
  masked,
  rsv,
  maxPayloadLength
})

const whole = (frame: Frame.Frame): Frame.FramePart => ({ ...frame, offset: 0, remaining: 0 })

const decodeHeader = (wire: string, expecting: Frame.Expected) => {
  const bytes = hex(wire)
  return Frame.decodeHeader(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, expecting)
}

/** What is wrong with a header, as `close code, clause`. */
const wrong = (wire: string, expecting: Frame.Expected) => {
  const header = decodeHeader(wire, expecting)
  return header instanceof ProtocolViolation ? `${header.closeCode}, ${header.clause}` : header
}

describe("the frames that section 5.7 prints", () => {
  it.each([
    [
      "a single-frame unmasked text message",
      "81 05 48 65 6c 6c 6f",
      frame(Frame.Opcode.text, utf8("Hello")),
      undefined
    ],
    [
      "a single-frame masked text message",
      "81 85 37 fa 21 3d 7f 9f 4d 51 58",
      frame(Frame.Opcode.text, utf8("Hello")),
      0x37fa213d
    ],
    [
      "a fragmented message: its first frame",
      "01 03 48 65 6c",
      frame(Frame.Opcode.text, utf8("Hel"), false),
      undefined
    ],
    ["a fragmented message: its last frame", "80 02 6c 6f", frame(Frame.Opcode.continuation, utf8("lo")), undefined],
    ["an unmasked Ping", "89 05 48 65 6c 6c 6f", frame(Frame.Opcode.ping, utf8("Hello")), undefined],
    ["a masked Pong in answer", "8a 85 37 fa 21 3d 7f 9f 4d 51 58", frame(Frame.Opcode.pong, utf8("Hello")), 0x37fa213d]
  ])("%s", (_, wire, decoded, maskingKey) => {
    expect(toHex(Frame.encode(decoded, maskingKey))).toBe(wire)
    const decoder = Frame.makeDecoder(expected(maskingKey !== undefined))
    expect(decoder.push(hex(wire))).toEqual({ parts: [whole(decoded)], violation: undefined })
  })

  it.each([
    ["256 bytes of binary data", 256, "82 7e 01 00"],
    ["64 KiB of binary data", 65_536, "82 7f 00 00 00 00 00 01 00 00"]
  ])("%s in a single unmasked frame", (_, length, header) => {
    const binary = frame(Frame.Opcode.binary, counting(length))
    const wire = Frame.encode(binary)
    expect(toHex(wire.subarray(0, wire.length - length))).toBe(header)
    expect(Frame.makeDecoder(expected(false)).push(wire).parts).toEqual([whole(binary)])
  })
})

describe("the length", () => {
  const forms: ReadonlyArray<readonly [length: number, plain: string, masked: string]> = [
    [0, "82 00", "82 80"],
    [1, "82 01", "82 81"],
    [125, "82 7d", "82 fd"],
    [126, "82 7e 00 7e", "82 fe 00 7e"],
    [127, "82 7e 00 7f", "82 fe 00 7f"],
    [255, "82 7e 00 ff", "82 fe 00 ff"],
    [65_535, "82 7e ff ff", "82 fe ff ff"],
    [65_536, "82 7f 00 00 00 00 00 01 00 00", "82 ff 00 00 00 00 00 01 00 00"],
    [65_537, "82 7f 00 00 00 00 00 01 00 01", "82 ff 00 00 00 00 00 01 00 01"]
  ]

  it.each(forms)("of %i bytes is %s, masked %s", (length, plain, masked) => {
    const binary = frame(Frame.Opcode.binary, counting(length))
    const unmasked = Frame.encode(binary)
    expect(toHex(unmasked.subarray(0, unmasked.length - length))).toBe(plain)
    expect(unmasked.subarray(unmasked.length - length)).toEqual(binary.payload)
    expect(Frame.headerLength(length, false)).toBe(unmasked.length - length)

    const withKey = Frame.encode(binary, 0xfedcba98)
    expect(toHex(withKey.subarray(0, withKey.length - length))).toBe(`${masked} fe dc ba 98`)
    expect(Frame.headerLength(length, true)).toBe(withKey.length - length)

    expect(Frame.makeDecoder(expected(false)).push(unmasked.slice()).parts).toEqual([whole(binary)])
    expect(Frame.makeDecoder(expected(true)).push(withKey).parts).toEqual([whole(binary)])
  })

  it.each([
    [2 ** 32 - 1, "00 00 00 00 ff ff ff ff"],
    [2 ** 32, "00 00 00 01 00 00 00 00"],
    [2 ** 40 + 5, "00 00 01 00 00 00 00 05"],
    [Number.MAX_SAFE_INTEGER, "00 1f ff ff ff ff ff ff"]
  ])("of %i bytes is written and read exactly", (length, bytes) => {
    const target = new Uint8Array(16).fill(0xee)
    const end = Frame.encodeHeaderInto(target, 3, frame(Frame.Opcode.binary, hex("")), length)
    expect(end).toBe(13)
    expect(toHex(target)).toBe(`ee ee ee 82 7f ${bytes} ee ee ee`)
    expect(Frame.decodeHeader(new DataView(target.buffer), 3, expected(false, Number.MAX_SAFE_INTEGER))).toEqual({
      fin: true,
      rsv: 0,
      opcode: Frame.Opcode.binary,
      maskingKey: undefined,
      payloadLength: length,
      headerLength: 10
    })
  })

  it.each([
    ["0 in 16 bits", "82 7e 00 00"],
    ["125 in 16 bits", "82 7e 00 7d"],
    ["0 in 64 bits", "82 7f 00 00 00 00 00 00 00 00"],
    ["125 in 64 bits", "82 7f 00 00 00 00 00 00 00 7d"],
    ["65,535 in 64 bits", "82 7f 00 00 00 00 00 00 ff ff"]
  ])("is refused when it is not in the shortest form: %s", (_, wire) => {
    expect(wrong(wire, expected(false))).toBe("1002, RFC 6455 5.2")
    // Whatever the limit is: the form is wrong before the size is.
    expect(wrong(wire, expected(false, 0))).toBe("1002, RFC 6455 5.2")
  })

  it.each([
    ["the bit and nothing else", "80 00 00 00 00 00 00 00"],
    ["the bit over a length that would be fine", "80 00 00 00 00 01 00 00"],
    ["every bit", "ff ff ff ff ff ff ff ff"]
  ])("is refused when its most significant bit is set: %s", (_, length) => {
    expect(wrong(`82 7f ${length}`, expected(false, Number.MAX_SAFE_INTEGER))).toBe("1002, RFC 6455 5.2")
  })

  it.each([
    ["2^53", "00 20 00 00 00 00 00 00"],
    ["2^53 + 1, which no double holds", "00 20 00 00 00 00 00 01"],
    ["2^62", "40 00 00 00 00 00 00 00"],
    ["2^63 - 1, which rounds up to 2^63", "7f ff ff ff ff ff ff ff"]
  ])("is too big, though its form is right: %s", (_, length) => {
    expect(wrong(`82 7f ${length}`, expected(false, Number.MAX_SAFE_INTEGER))).toBe("1009, RFC 6455 7.4.1")
  })

  it.each([
    [0, "82 80", "82 81"],
    [125, "82 fd", "82 fe 00 7e"],
    [126, "82 fe 00 7e", "82 fe 00 7f"],
    [65_535, "82 fe ff ff", "82 ff 00 00 00 00 00 01 00 00"],
    [65_536, "82 ff 00 00 00 00 00 01 00 00", "82 ff 00 00 00 00 00 01 00 01"]
  ])(
    "of %i bytes at most: one more is refused before its masking key and its payload are there",
    (limit, fits, over) => {
      expect(decodeHeader(`${fits} 00 00 00 00`, expected(true, limit))).toMatchObject({ payloadLength: limit })
      expect(wrong(over, expected(true, limit))).toBe("1009, RFC 6455 7.4.1")
    }
  )
})

describe("a header", () => {
  it.each([0x3, 0x4, 0x5, 0x6, 0x7, 0xb, 0xc, 0xd, 0xe, 0xf])("with opcode %i is refused", (opcode) => {
    expect(wrong(`${(0x80 + opcode).toString(16)} 00`, expected(false))).toBe("1002, RFC 6455 5.2")
  })

  it.each([
    ["RSV1 on text", "c1 00", 0, true],
    ["RSV2 on text", "a1 00", 0, true],
    ["RSV3 on text", "91 00", 0, true],
    ["RSV1 on a Ping", "c9 00", 0, true],
    ["RSV1 on text that has a meaning", "c1 00", 4, false],
    ["RSV1 on binary that has a meaning", "c2 00", 4, false],
    ["RSV1 on a continuation, where it has none", "c0 00", 4, true],
    ["RSV1 on a Ping, where it has none", "c9 00", 4, true],
    ["RSV2 beside RSV1 that has a meaning", "e1 00", 4, true],
    ["RSV2 in place of RSV1", "a1 00", 4, true],
    ["all three with a meaning", "f1 00", 7, false]
  ])("with %s", (_, wire, rsv, refused) => {
    const answer = wrong(wire, expected(false, 0, rsv))
    if (refused) expect(answer).toBe("1002, RFC 6455 5.2")
    else expect(answer).toMatchObject({ rsv: (hex(wire)[0]! >> 4) & 7 })
  })

  it.each([
    ["a Ping that is not final", "09 00", "1002, RFC 6455 5.5"],
    ["a Close that is not final", "08 00", "1002, RFC 6455 5.5"],
    ["a Pong of 126 bytes", "8a 7e", "1002, RFC 6455 5.5"],
    ["a Ping with a 64-bit length", "89 7f", "1002, RFC 6455 5.5"]
  ])("of %s is refused", (_, wire, answer) => {
    expect(wrong(wire, expected(false))).toBe(answer)
  })

  it("of a control frame is not measured by the limit on messages", () => {
    for (const wire of ["88 7d", "89 7d", "8a 7d"]) {
      expect(decodeHeader(wire, expected(false, 0))).toMatchObject({ payloadLength: 125 })
    }
  })

  it("is refused when it is masked on a client or not masked on a server", () => {
    expect(wrong("81 80", expected(false))).toBe("1002, RFC 6455 5.1")
    expect(wrong("81 00", expected(true))).toBe("1002, RFC 6455 5.1")
  })

  it.each([
    ["unmasked, short", "82 7d", false],
    ["masked, short", "82 fd 01 02 03 04", true],
    ["unmasked, 16 bits", "82 7e 01 00", false],
    ["masked, 16 bits", "82 fe 01 00 01 02 03 04", true],
    ["unmasked, 64 bits", "82 7f 00 00 00 00 00 01 00 00", false],
    ["masked, 64 bits", "82 ff 00 00 00 00 00 01 00 00 01 02 03 04", true]
  ])("%s, waits for its last byte", (_, wire, masked) => {
    const bytes = hex(wire)
    for (let length = 0; length < bytes.length; length++) {
      const view = new DataView(bytes.buffer, 0, length)
      expect(Frame.decodeHeader(view, 0, expected(masked))).toBeUndefined()
    }
    expect(decodeHeader(wire, expected(masked))).toMatchObject({
      headerLength: bytes.length,
      maskingKey: masked ? 0x01020304 : undefined
    })
  })

  it("is read from the middle of a buffer that is itself a view", () => {
    const bytes = hex("ff ff ff 01 82 ff ff ff ff 00")
    const view = new DataView(bytes.buffer, 2, 8)
    expect(Frame.decodeHeader(view, 1, expected(true))).toMatchObject({ fin: false, opcode: Frame.Opcode.text })
    expect(Frame.decodeHeader(view, 1, expected(true))).toMatchObject({ payloadLength: 2, maskingKey: 0xffffffff })
    // The byte behind the view is there, and must not be seen.
    expect(Frame.decodeHeader(new DataView(bytes.buffer, 3, 5), 0, expected(true))).toBeUndefined()
  })

  it("keeps 32 bits of the masking key, the highest too", () => {
    expect(decodeHeader("82 80 ff fe fd fc", expected(true))).toMatchObject({ maskingKey: 0xfffefdfc })
  })
})
