/** Frames as lines for a person. */
import { stripVTControlCharacters } from "node:util"
import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Extension from "@millrace/core/connection/Extension"
import type * as Recording from "@millrace/core/protocol/Recording"
import { Frames, type Look } from "@millrace/node/cli/frames"
import * as recordings from "../../support/recordings.ts"
import { hex, utf8 } from "../../support/wire.ts"

const { frame, text } = recordings

const plain = { columns: () => 80, isColoured: false, maxMessageBytes: 1_000 }

const make = (look: Partial<Look> = {}, rsv = 0) =>
  new Frames(
    { role: "client", url: undefined, subprotocol: undefined, extensions: { ...Extension.none, rsv } },
    { ...plain, ...look }
  )

const lines = (entries: ReadonlyArray<Recording.Entry>, look?: Partial<Look>, rsv?: number) => {
  const frames = make(look, rsv)
  return entries.map((entry) => frames.line(entry))
}

describe("a line", () => {
  it("has the direction, the second, the opcode, whether it is the last of its message, the length and the text", () => {
    expect(
      lines([
        text("client", "hello", { t: 12.345 }),
        text("server", "", { t: 3_600_000 }),
        frame("server", "ping", "are you there?"),
        frame("client", "pong", Uint8Array.of(0xff))
      ])
    ).toEqual([
      "→    0.0123  text    fin        5 B  hello",
      "← 3600.0000  text    fin        0 B",
      "←    0.0010  ping    fin       14 B  are you there?",
      "→    0.0010  pong    fin        1 B  ff"
    ])
  })

  it("has what is binary in hexadecimal, and so text that is none", () => {
    expect(lines([frame("client", "binary", Uint8Array.of(0, 1, 254)), text("server", "")])[0]).toBe(
      "→    0.0010  binary  fin        3 B  00 01 fe"
    )
    expect(lines([frame("server", "text", Uint8Array.of(0x61, 0xff))])).toEqual([
      "←    0.0010  text    fin        2 B  61 ff"
    ])
  })

  it("of a fragment says that there is more, and has the text or the bytes of the message that it is of", () => {
    expect(
      lines([
        frame("server", "text", utf8("é").subarray(0, 1), { fin: false }),
        frame("client", "binary", "a", { fin: false }),
        frame("server", "continuation", "bc"),
        frame("client", "continuation", "d")
      ])
    ).toEqual([
      "←    0.0010  text    more       1 B  \ufffd",
      "→    0.0010  binary  more       1 B  61",
      "←    0.0010  cont    fin        2 B  bc",
      "→    0.0010  cont    fin        1 B  64"
    ])
  })

  it.each([
    [[3, 0xe8], "2 B  1000 (normal)"],
    [[0x0f, 0xa0, 0x61, 10], "4 B  4000 a\\n"],
    [[], "0 B"],
    [[3], "1 B  03"]
  ])("of a Close with %j has the code, what that is called, and the reason", (payload, content) => {
    expect(lines([frame("server", "close", Uint8Array.from(payload))])).toEqual([
      `←    0.0010  close   fin        ${content}`
    ])
  })

  it("of what is no frame has the rule that it breaks, and the bytes", () => {
    const raw = { _tag: "Raw", t: 1, from: "server", cut: 2, bytes: Uint8Array.of(0x83, 0x80) } as const
    expect(
      lines([
        { ...raw, violation: "reserved opcode (RFC 6455 5.2)" },
        { ...raw, violation: undefined }
      ])
    ).toEqual([
      "←    0.0010  raw                4 B  (reserved opcode (RFC 6455 5.2)) 83 80",
      "←    0.0010  raw                4 B  (no whole frame) 83 80"
    ])
  })

  it("says who ended the stream or cut it, what never came of a frame, and how the network failed", () => {
    expect(
      lines([
        frame("server", "binary", Uint8Array.of(1), { torn: 3 }),
        { _tag: "Ended", t: 2, from: "server", abruptly: false },
        { _tag: "Ended", t: 2, from: "client", abruptly: true },
        { _tag: "End", t: 3, error: undefined }
      ])
    ).toEqual([
      "←    0.0010  binary  fin        4 B  (3 B never came) 01",
      "←    0.0020  end",
      "→    0.0020  cut",
      undefined
    ])
    expect(lines([{ _tag: "End", t: 3, error: "read ECONNRESET" }])).toEqual(["     0.0030  lost    read ECONNRESET"])
  })

  it("shows no control character, and nothing that breaks the line or turns it round", () => {
    expect(lines([text("server", "a\u001b[2J\r\n\t\u009b\u2028\u202eb")])).toEqual([
      "←    0.0010  text    fin       17 B  a\\x1b[2J\\r\\n\\t\\x9b\\u{2028}\\u{202e}b"
    ])
  })
})

/** Columns of a character, where that is beyond doubt. */
const widthOf = (character: string): number => {
  if (/\p{Mark}|\p{Format}|\p{Unassigned}/u.test(character)) return 0
  return /\p{scx=Han}|\p{scx=Hangul}|\p{scx=Hiragana}|\p{Emoji_Presentation}/u.test(character) ? 2 : 1
}

describe("the width", () => {
  const start = "→    0.0010  text    fin      100 B  "

  it("is never more than that of the terminal, and what was cut ends in an ellipsis", () => {
    const line = lines([text("client", "x".repeat(100))], { columns: () => start.length + 20 })[0]
    expect(line).toBe(`${start}${"x".repeat(19)}…`)
    const whole = lines([text("client", "x".repeat(100))], { columns: () => start.length + 100 })[0]
    expect(whole).toBe(`${start}${"x".repeat(100)}`)
  })

  it("counts two columns for what may be wide, and cuts no character made of several", () => {
    const columns = () => start.length + 20
    expect(lines([text("client", "漢".repeat(20))], { columns })[0]?.slice(start.length)).toBe(`${"漢".repeat(9)}…`)
    const family = "👩‍👩‍👧"
    expect(lines([text("client", family.repeat(20))], { columns })[0]?.slice(start.length)).toBe(`${family.repeat(3)}…`)
  })

  const anything = fc.string({ unit: fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom("漢", "a", "é", "👩‍👩‍👧")) })

  it("is kept to whatever was sent, on one line", () => {
    fc.assert(
      fc.property(anything, fc.integer({ min: 60, max: 200 }), (said, columns) => {
        const line = lines([text("client", said)], { columns: () => columns })[0]!
        expect(line).not.toMatch(/\p{Control}/u)
        expect(Array.from(line).reduce((sum, character) => sum + widthOf(character), 0)).toBeLessThanOrEqual(columns)
      })
    )
  })

  it("of bytes is the same", () => {
    const line = lines([frame("client", "binary", new Uint8Array(100))], { columns: () => start.length + 20 })[0]
    expect(line).toBe(`→    0.0010  binary  fin      100 B  ${"00 ".repeat(6)}0…`)
  })
})

const coded = (payload: Uint8Array, more: Partial<Recording.Recorded> = {}) =>
  frame("server", "text", payload, { rsv: 4, ...more })

describe("a compressed message", () => {
  // RFC 7692 sections 7.2.3.1 and 7.2.3.2: the second refers to the first.
  const hello = hex("f2 48 cd c9 c9 07 00")
  const again = hex("f2 00 11 00 00")
  it("is shown inflated, with its bytes on the wire and without", () => {
    expect(lines([coded(hello), coded(again)], {}, 4)).toEqual([
      "←    0.0010  text    fin rsv1        7 B  (inflated: 5 B) Hello",
      "←    0.0010  text    fin rsv1        5 B  (inflated: 5 B) Hello"
    ])
  })

  it("in fragments is shown when it is whole", () => {
    const rest = frame("server", "continuation", hello.subarray(3))
    expect(lines([coded(hello.subarray(0, 3), { fin: false }), rest], {}, 4)).toEqual([
      "←    0.0010  text    more rsv1       3 B  (compressed)",
      "←    0.0010  cont    fin             4 B  (all 7 B inflated: 5 B) Hello"
    ])
  })

  it("is shown as it was on the wire where it cannot be inflated, and so is what refers to it", () => {
    const entries = [coded(hello.subarray(0, 4), { cut: 3 }), coded(again), coded(hello), coded(again)]
    expect(lines(entries, {}, 4)).toEqual([
      "←    0.0010  text    fin rsv1        7 B  (compressed) f2 48 cd c9",
      "←    0.0010  text    fin rsv1        5 B  (compressed) f2 00 11 00 00",
      "←    0.0010  text    fin rsv1        7 B  (inflated: 5 B) Hello",
      "←    0.0010  text    fin rsv1        5 B  (inflated: 5 B) Hello"
    ])
  })

  it("that is missing is not made up for by what was said before it", () => {
    const fragments = [coded(hello, { fin: false }), frame("server", "continuation", "", { cut: 5 })]
    expect(lines([coded(hello), ...fragments, coded(again)], {}, 4).slice(2)).toEqual([
      "←    0.0010  cont    fin             5 B  (compressed)",
      "←    0.0010  text    fin rsv1        5 B  (compressed) f2 00 11 00 00"
    ])
    expect(lines([coded(hello), coded(Uint8Array.of(0xff)), coded(again)], {}, 4)[2]).toBe(
      "←    0.0010  text    fin rsv1        5 B  (compressed) f2 00 11 00 00"
    )
  })

  it("of no bytes at all is one", () => {
    expect(lines([coded(Uint8Array.of())], {}, 4)).toEqual([
      "←    0.0010  text    fin rsv1        0 B  (inflated: 0 B)"
    ])
  })

  it("is not inflated beyond what a message may be", () => {
    expect(lines([coded(hello)], { maxMessageBytes: 4 }, 4)).toEqual([
      "←    0.0010  text    fin rsv1        7 B  (compressed) f2 48 cd c9 c9 07 00"
    ])
  })
})

it("colours change nothing but the colour", () => {
  const entries: ReadonlyArray<Recording.Entry> = [
    text("client", "hello"),
    frame("server", "close", ""),
    { _tag: "Raw", t: 1, from: "server", cut: 0, bytes: Uint8Array.of(1), violation: undefined },
    { _tag: "Ended", t: 1, from: "server", abruptly: false }
  ]
  const coloured = lines(entries, { isColoured: true }).map((line) => line!)
  for (const line of coloured) expect(line).toContain("\u001b[")
  expect(coloured.map((line) => stripVTControlCharacters(line).trimEnd())).toEqual(lines(entries))
})
