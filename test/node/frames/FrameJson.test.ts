/** Frames as objects for JSON. */
import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import type * as Recording from "@millrace/core/protocol/Recording"
import * as FrameJson from "@millrace/node/frames/FrameJson"
import * as recordings from "../../support/recordings.ts"
import { hex, utf8 } from "../../support/wire.ts"

const { frame, text } = recordings

/** As whoever gets it reads it. */
const lines = (entries: ReadonlyArray<Recording.Header | Recording.Entry>, maxMessageBytes = 100_000) => {
  const json = new FrameJson.FrameJson(maxMessageBytes)
  return entries.map((entry) => {
    const line = json.line(entry)
    return line === undefined ? undefined : JSON.parse(JSON.stringify(line))
  })
}

const received = { type: "frame", from: "client", t: 1, fin: true, rsv: 0, masked: true }
const sent = { ...received, from: "server", masked: false }

describe("a frame", () => {
  it("has its direction, its time, its opcode by name and number, whether it is masked, its length and its text", () => {
    expect(
      lines([text("client", "héllo", { t: 12.345 }), frame("server", "ping", "there?"), text("server", "")])
    ).toEqual([
      { ...received, t: 12.345, op: "text", opcode: 1, length: 6, text: "héllo" },
      { ...sent, op: "ping", opcode: 9, length: 6, text: "there?" },
      { ...sent, op: "text", opcode: 1, length: 0 }
    ])
  })

  it("has what is binary in hexadecimal, and so text that is none", () => {
    expect(
      lines([
        frame("client", "binary", Uint8Array.of(0, 1, 254)),
        frame("server", "text", Uint8Array.of(0x61, 0xff)),
        frame("client", "pong", Uint8Array.of(0xff))
      ])
    ).toMatchObject([{ hex: "0001fe" }, { hex: "61ff" }, { hex: "ff" }])
  })

  it("is one of several with the kind of the first", () => {
    expect(
      lines([text("client", "a", { fin: false }), frame("server", "binary", "b"), frame("client", "continuation", "c")])
    ).toEqual([
      { ...received, op: "text", opcode: 1, fin: false, length: 1, text: "a" },
      { ...sent, op: "binary", opcode: 2, length: 1, hex: "62" },
      { ...received, op: "continuation", opcode: 0, length: 1, text: "c" }
    ])
  })

  it.each([
    [[3, 0xe8], { code: 1000, reason: "" }],
    [[0x0f, 0xa0, 0x61], { code: 4000, reason: "a" }],
    [[], { code: 1005, reason: "" }],
    [[3], { hex: "03" }]
  ])("that is a Close of %j says the code and the reason", (payload, said) => {
    expect(lines([frame("server", "close", Uint8Array.from(payload))])).toEqual([
      { ...sent, op: "close", opcode: 8, length: payload.length, ...said }
    ])
  })

  it("that never came whole says how much is lacking", () => {
    expect(lines([frame("server", "binary", Uint8Array.of(1), { torn: 3 })])).toEqual([
      { ...sent, op: "binary", opcode: 2, length: 4, torn: 3, hex: "01" }
    ])
    expect(lines([frame("server", "close", Uint8Array.of(3), { torn: 1 })])).toMatchObject([{ torn: 1, hex: "03" }])
  })

  it("is shown up to 2 KiB of text or 1 KiB in hexadecimal, and says how much there is behind it", () => {
    const long = "é".repeat(1_024)
    expect(lines([text("client", long)])[0]).not.toHaveProperty("cut")
    expect(lines([text("client", `a${long}b`)])).toMatchObject([{ length: 2_050, text: `a${long.slice(1)}`, cut: 2 }])
    expect(lines([text("client", "next")])).toMatchObject([{ text: "next" }])
    expect(lines([frame("client", "binary", new Uint8Array(1_025))])).toMatchObject([
      { hex: "00".repeat(1_024), cut: 1 }
    ])
    expect(lines([frame("client", "binary", new Uint8Array(1_024), { cut: 7 })])).toMatchObject([{ cut: 7 }])
  })

  it("never makes an object longer than so many characters, whatever was sent", () => {
    const any = fc.oneof(
      fc.uint8Array({ maxLength: 5_000 }),
      fc.string({ unit: "binary", maxLength: 3_000 }).map(utf8),
      fc.constant("\u0001".repeat(3_000)).map(utf8)
    )
    fc.assert(
      fc.property(any, fc.constantFrom("text" as const, "binary" as const), (payload, op) => {
        const printed = JSON.stringify(lines([frame("client", op, payload)])[0])
        expect(printed.length).toBeLessThanOrEqual(6 * FrameJson.maxTextBytes + 300)
        expect(printed).not.toContain("\n")
      })
    )
  })
})

const coded = (payload: Uint8Array, more: Partial<Recording.Recorded> = {}) =>
  frame("server", "text", payload, { rsv: 4, ...more })

describe("a compressed message", () => {
  // RFC 7692 sections 7.2.3.1 and 7.2.3.2: the second refers to the first.
  const hello = hex("f2 48 cd c9 c9 07 00")
  const again = hex("f2 00 11 00 00")
  const base = { ...sent, op: "text", opcode: 1, rsv: 4, compressed: true }

  it("has its bytes on the wire and without, and is shown inflated", () => {
    expect(lines([coded(hello), coded(again)])).toEqual([
      { ...base, length: 7, inflated: 5, text: "Hello" },
      { ...base, length: 5, inflated: 5, text: "Hello" }
    ])
  })

  it("in fragments is shown with the last, which says how long all of it was", () => {
    const rest = frame("server", "continuation", hello.subarray(3))
    expect(lines([coded(hello.subarray(0, 3), { fin: false }), rest])).toEqual([
      { ...base, fin: false, length: 3 },
      { ...base, op: "continuation", opcode: 0, rsv: 0, length: 4, inflated: 5, whole: 7, text: "Hello" }
    ])
  })

  it("that cannot be inflated is shown as it came", () => {
    expect(lines([coded(hello.subarray(0, 4), { cut: 3 }), coded(again)])).toEqual([
      { ...base, length: 7, hex: "f248cdc9", cut: 3 },
      { ...base, length: 5, hex: "f200110000" }
    ])
    expect(lines([coded(hello)], 4)).toEqual([{ ...base, length: 7, hex: "f248cdc9c90700" }])
  })
})

it("what is no frame has the rule that it breaks, and the ends have who and why", () => {
  const raw = { _tag: "Raw", t: 1, from: "server", cut: 2, bytes: Uint8Array.of(0x83, 0x80) } as const
  expect(
    lines([
      { ...recordings.header, start: 5, subprotocol: "a", url: "/ws?token=secret" },
      { ...raw, violation: "reserved opcode (RFC 6455 5.2)" },
      { ...raw, violation: undefined },
      { _tag: "Ended", t: 2, from: "server", abruptly: false },
      { _tag: "Ended", t: 2, from: "client", abruptly: true },
      { _tag: "Omitted", t: 2, bytes: 1 },
      { _tag: "End", t: 3, error: undefined },
      { _tag: "End", t: 3, error: "read ECONNRESET" }
    ])
  ).toEqual([
    { type: "opened", start: 5, subprotocol: "a" },
    { type: "raw", t: 1, from: "server", length: 4, hex: "8380", cut: 2, violation: "reserved opcode (RFC 6455 5.2)" },
    { type: "raw", t: 1, from: "server", length: 4, hex: "8380", cut: 2 },
    { type: "ended", t: 2, from: "server", ended: "orderly" },
    { type: "ended", t: 2, from: "client", ended: "abruptly" },
    undefined,
    { type: "end", t: 3 },
    { type: "end", t: 3, error: "read ECONNRESET" }
  ])
})
