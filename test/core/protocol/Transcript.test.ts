/** Messages out of frames, and where two recordings differ. */
import { describe, expect, it } from "vitest"
import * as Transcript from "@millrace/core/protocol/Transcript"
import { end, frame, of, text } from "../../support/recordings.ts"
import { hex, utf8 } from "../../support/wire.ts"

const shown = (recording: Parameters<typeof Transcript.read>[0]) =>
  Transcript.read(recording).map((said) => `${said.from} ${said.entry} ${Transcript.show(said)}`)

const difference = (...args: Parameters<typeof Transcript.compare>) => {
  const found = Transcript.compare(...args)
  return found === undefined ? undefined : [found._tag, Transcript.showDifference(found)]
}

describe("read", () => {
  it("puts fragments together, whatever the other side says in between and whatever control frames come", () => {
    const recording = of(
      text("client", "a", { fin: false }),
      text("server", "one"),
      frame("client", "ping", "?"),
      frame("client", "continuation", "b", { fin: false }),
      frame("server", "binary", hex("01 02")),
      frame("client", "continuation", "c", { t: 7 })
    )
    expect(shown(recording)).toEqual([
      'server 1 text of 3 bytes: "one"',
      'client 2 Ping of 1 bytes: "?"',
      "server 4 binary of 2 bytes: 01 02",
      'client 5 text of 3 bytes: "abc"'
    ])
    expect(Transcript.read(recording).at(-1)).toMatchObject({ t: 7, kind: "text", payload: utf8("abc"), torn: false })
  })

  it("has what has no end last, and says so", () => {
    const recording = of(text("client", "a", { fin: false }), frame("server", "text", "b", { torn: 3 }), end)
    expect(Transcript.read(recording)).toMatchObject([
      { from: "client", payload: utf8("a"), torn: true },
      { from: "server", payload: utf8("b"), torn: true }
    ])
  })

  it("keeps the bits of the first frame, and counts what was cut in any", () => {
    const recording = of(
      text("client", "a", { fin: false, rsv: 4, cut: 1 }),
      frame("client", "continuation", "b", { cut: 2 })
    )
    expect(Transcript.read(recording)).toMatchObject([{ rsv: 4, cut: 3, payload: utf8("ab") }])
    expect(shown(recording)).toEqual(["client 1 coded text of 5 bytes: 61 62"])
  })
})

describe("compare", () => {
  const before = of(text("client", "hi"), text("server", "one"), text("server", "two"), end)

  it("finds nothing where the same was said in other frames, at other times, with Pings in between", () => {
    const after = of(
      text("server", "o", { fin: false, t: 100 }),
      frame("server", "ping", ""),
      frame("server", "continuation", "ne"),
      text("client", "something else"),
      text("server", "two"),
      end
    )
    expect(Transcript.compare(before, after)).toBe(undefined)
  })

  it("finds what has changed, and no more than the first", () => {
    const after = of(text("server", "one"), text("server", "Two"), text("server", "three"), end)
    expect(difference(before, after)).toEqual([
      "Changed",
      'server\'s no. 2 was text of 3 bytes: "Two", expected text of 3 bytes: "two"'
    ])
  })

  it("finds what is missing, and what was not expected", () => {
    expect(difference(before, of(text("server", "one"), end))).toEqual([
      "Missing",
      'server\'s no. 2 is missing: text of 3 bytes: "two"'
    ])
    expect(difference(of(end), before)).toEqual([
      "Unexpected",
      'server\'s no. 1 was not expected: text of 3 bytes: "one"'
    ])
  })

  it("does not mind what comes behind the end of a recording that is not whole", () => {
    expect(difference(of(text("server", "one")), before)).toBe(undefined)
    expect(difference(of(text("server", "one"), { _tag: "Omitted", t: 1, bytes: 4 }, end), before)).toBe(undefined)
    expect(difference(of(text("server", "ONE")), before)?.[0]).toBe("Changed")
  })

  it.each([
    ["the kind", text("server", "a"), frame("server", "binary", "a")],
    ["a Close and its code", frame("server", "close", hex("03 e8")), frame("server", "close", hex("03 f3"))],
    ["the bits of an extension", text("server", "a"), text("server", "a", { rsv: 4 })],
    ["the length of what was cut", text("server", "a", { cut: 1 }), text("server", "a", { cut: 2 })],
    ["what is left of what was cut", text("server", "a", { cut: 1 }), text("server", "bc")],
    ["whether it ever ended", text("server", "a"), text("server", "a", { fin: false })]
  ])("looks at %s", (_, a, b) => {
    expect(Transcript.compare(of(a, end), of(b, end))?._tag).toBe("Changed")
    expect(Transcript.compare(of(a, end), of(a, end))).toBe(undefined)
  })

  it("takes what was cut in one for what is whole in the other", () => {
    expect(Transcript.compare(of(text("server", "a", { cut: 2 }), end), of(text("server", "abc"), end))).toBe(undefined)
    expect(Transcript.compare(of(text("server", "abc"), end), of(text("server", "a", { cut: 2 }), end))).toBe(undefined)
  })

  it("looks at the side that was not played, or at the one it is told", () => {
    const after = of(text("client", "ho"), text("server", "one"), text("server", "two"), end)
    expect(Transcript.compare(before, after)).toBe(undefined)
    expect(difference(before, after, { from: "client" })?.[0]).toBe("Changed")
    const played = { ...after, header: { ...after.header, role: "server" as const } }
    expect(difference(before, played)?.[0]).toBe("Changed")
  })

  it("takes for the same what it is told is the same", () => {
    const after = of(text("server", "uno"), text("server", "dos"), end)
    const found = Transcript.compare(before, after, { isSame: (a, b) => a.payload.length === b.payload.length })
    expect(found).toBe(undefined)
  })
})

describe("show", () => {
  it.each([
    [frame("client", "close", hex("03 e8 6f 6b")), 'Close 1000 "ok"'],
    [frame("client", "close", hex("03")), 'Close of 1 bytes: "\\u0003"'],
    [frame("client", "text", hex("ff")), "text of 1 bytes: ff"],
    [text("client", "x".repeat(121)), `text of 121 bytes: "${"x".repeat(120)}"…`],
    [{ _tag: "Raw", t: 1, from: "client", bytes: hex("83"), cut: 2, violation: undefined }, "Raw of 3 bytes: 83"]
  ] as const)("%#", (entry, line) => {
    expect(Transcript.read(of(entry)).map(Transcript.show)).toEqual([line])
  })
})
