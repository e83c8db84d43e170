/** `EventStream`: the standard's own examples, each branch of its algorithm, the limits, and what is printed. */
import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as EventStream from "@millrace/core/codec/EventStream"
import { interpret } from "../../support/eventStream.ts"
import { concat } from "../../support/frames.ts"
import { failureOf } from "../../support/handshake.ts"
import { hex, utf8 } from "../../support/wire.ts"

type Event = readonly [event: string, data: string, id: string]

const show = ({ data, event, id }: EventStream.Event): Event => [event, data, id]

/** The events of a stream that comes at once, which are those of one that comes byte by byte, and of the prose. */
const eventsOf = (stream: string | Uint8Array): ReadonlyArray<Event> => {
  const bytes = typeof stream === "string" ? utf8(stream) : stream
  const { events } = EventStream.parse(bytes)
  const parser = EventStream.makeParser()
  expect(Array.from(bytes, (byte) => parser.push(Uint8Array.of(byte)).events).flat()).toEqual(events)
  expect(interpret(bytes, EventStream.defaultLimits).events).toEqual(events)
  return events.map(show)
}

const dataOf = (stream: string | Uint8Array) => eventsOf(stream).map(([, data]) => data)

/** An event whose data are those bytes. */
const data = (bytes: string) => concat([utf8("data:"), hex(bytes), utf8("\n\n")])

const message = (data: string, id = ""): Event => ["message", data, id]

describe("WHATWG HTML 9.2: the examples", () => {
  it("9.2.1: three messages, one of two lines", () => {
    expect(
      eventsOf(
        "data: This is the first message.\n\n" +
          "data: This is the second message, it\ndata: has two lines.\n\n" +
          "data: This is the third message.\n\n"
      )
    ).toEqual([
      message("This is the first message."),
      message("This is the second message, it\nhas two lines."),
      message("This is the third message.")
    ])
  })

  it("9.2.1: events of two types", () => {
    expect(eventsOf("event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\nevent: add\ndata: 113411\n\n")).toEqual(
      [
        ["add", "73857293", ""],
        ["remove", "2153", ""],
        ["add", "113411", ""]
      ]
    )
  })

  it("9.2.6: one event of three lines, once the blank line is there", () => {
    expect(eventsOf("data: YHOO\ndata: +2\ndata: 10\n\n")).toEqual([message("YHOO\n+2\n10")])
    expect(eventsOf("data: YHOO\ndata: +2\ndata: 10\n")).toEqual([])
  })

  it("9.2.6: a comment, an id, no id any more, and a block that is not complete", () => {
    expect(
      eventsOf(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n")
    ).toEqual([message("first event", "1"), message("second event")])
    expect(
      eventsOf(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n")
    ).toEqual([message("first event", "1"), message("second event"), message(" third event")])
  })

  it("9.2.6: empty data, a single line end, and a block that is not complete", () => {
    expect(dataOf("data\n\ndata\ndata\n\ndata:")).toEqual(["", "\n"])
  })

  it("9.2.6: two identical events, the space after the colon being ignored", () => {
    expect(dataOf("data:test\n\ndata: test\n\n")).toEqual(["test", "test"])
  })
})

describe("WHATWG HTML 9.2.5: lines", () => {
  it.each([
    ["LF", "data:1\ndata:2\n\n"],
    ["CR", "data:1\rdata:2\r\r"],
    ["CR LF", "data:1\r\ndata:2\r\n\r\n"],
    ["all of them", "data:1\r\ndata:2\r\n\n"],
    ["all of them, in another order", "data:1\rdata:2\n\r"],
    ["CR, then CR LF", "data:1\ndata:2\r\r\n"]
  ])("end with %s", (_, stream) => {
    expect(dataOf(stream)).toEqual(["1\n2"])
  })

  it("LF CR are two ends, CR LF are one", () => {
    expect(dataOf("data:1\n\rdata:2\r\n\r\n")).toEqual(["1", "2"])
    expect(dataOf("data:1\r\ndata:2\r\n\r\n")).toEqual(["1\n2"])
  })

  it("CR ends its line when it comes, and the LF behind it in the next chunk ends nothing", () => {
    const parser = EventStream.makeParser()
    const push = (text: string) => parser.push(utf8(text)).events.map(show)
    expect(push("data:1\r")).toEqual([])
    expect(push("\r")).toEqual([message("1")])
    expect(push("\n")).toEqual([])
    expect(push("data:2\r\n\r")).toEqual([message("2")])
    expect(push("")).toEqual([])
    expect(push("\ndata:3\r\n")).toEqual([])
    expect(push("\r\n")).toEqual([message("3")])
  })

  it("a line that begins behind CR ends with the LF of the next chunk", () => {
    const parser = EventStream.makeParser()
    expect(parser.push(utf8("x\rdata:1")).events).toEqual([])
    expect(parser.push(utf8("\ndata:2\n\n")).events.map(show)).toEqual([message("1\n2")])
  })

  it("only CR and LF end lines", () => {
    expect(dataOf("data:a\u000b\u000c\u0085\u2028\u2029b\n\n")).toEqual(["a\u000b\u000c\u0085\u2028\u2029b"])
  })

  it("a byte order mark at the start is dropped, once, and anywhere else it is a character", () => {
    expect(dataOf("\ufeffdata:1\n\n\ufeffdata:2\n\ndata:3\n\n")).toEqual(["1", "3"])
    expect(dataOf("\ufeff\ufeffdata:1\n\ndata:2\n\ndata:3\n\n")).toEqual(["2", "3"])
    expect(dataOf("\ufeff\n\ufeffdata:1\n\ndata:2\n\n")).toEqual(["2"])
    expect(dataOf("data:\ufeff1\n\n")).toEqual(["\ufeff1"])
    expect(dataOf(hex("fe ff 64 61 74 61 3a 31 0a 64 61 74 61 3a 32 0a 0a"))).toEqual(["2"])
  })

  it("bytes that are not UTF-8 become U+FFFD, and do not hide the end of a line", () => {
    expect(dataOf(data("61 ff 62"))).toEqual(["a\ufffdb"])
    expect(dataOf(data("e2 82"))).toEqual(["\ufffd"])
    expect(dataOf(data("f0 9f 98"))).toEqual(["\ufffd"])
    expect(dataOf(data("ed a0 80"))).toEqual(["\ufffd\ufffd\ufffd"])
    expect(dataOf(data("c0 80"))).toEqual(["\ufffd\ufffd"])
    expect(dataOf(data("e2 82 ac f0 9f 98 80"))).toEqual(["€😀"])
  })
})

describe("WHATWG HTML 9.2.6: fields", () => {
  it("a line that starts with a colon is a comment", () => {
    const long = "x".repeat(3000)
    expect(dataOf(`data:1\r:\u0000\n:\r\ndata:2\n:${long}\rdata:3\n:data:fail\r:${long}\ndata:4\n\n`)).toEqual([
      "1\n2\n3\n4"
    ])
  })

  it("the name goes to the first colon, and is compared as it is", () => {
    expect(
      dataOf(
        "data:\u0000\ndata:  2\rData:1\ndata\u0000:2\ndata:1\r\u0000data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n"
      )
    ).toEqual(["\u0000\n 2\n1\n3\n\n4"])
    expect(dataOf("data:test\n data\ndata\nfoobar:xxx\njustsometext\n:comment\ndata:test\n\n")).toEqual([
      "test\n\ntest"
    ])
    expect(dataOf("dat:1\ndatax:2\ndatax\nd\nda\ndata :3\ndata:a:b\n\n")).toEqual(["a:b"])
    expect(eventsOf("eventx:1\neven:2\nevenx:2\nidx:3\ni:4\nix:4\nid :5\nevent :6\ndata:\n\n")).toEqual([message("")])
  })

  it("one space is taken from the front of a value, and no tab", () => {
    expect(dataOf("data:\ttest\rdata: \ndata:test\rdata:   x \n\n")).toEqual(["\ttest\n\ntest\n  x "])
  })

  it("event: the last one of a block counts, an empty one is none, and it does not last", () => {
    expect(
      eventsOf("event: a\nevent: b\ndata:1\n\ndata:2\n\nevent: c\nevent\ndata:3\n\nevent: d\nevent:\ndata:4\n\n")
    ).toEqual([["b", "1", ""], message("2"), message("3"), message("4")])
  })

  it("event: one without data is forgotten", () => {
    expect(eventsOf("event: a\n\ndata:1\n\n")).toEqual([message("1")])
  })

  it("event: names that begin like the one before are names of their own", () => {
    expect(
      eventsOf("event:ab\ndata\n\nevent:a\ndata\n\nevent:abc\ndata\n\nevent:ab\ndata\n\n").map(([name]) => name)
    ).toEqual(["ab", "a", "abc", "ab"])
  })

  it("data: a block without is no event, one with nothing in it is", () => {
    expect(eventsOf("\n\nid: 1\n\nretry: 1\n\n: x\n\nx\n\n")).toEqual([])
    expect(eventsOf("data\n\ndata:\n\ndata: \n\n")).toEqual([message(""), message(""), message("")])
  })

  it("id: stays until there is another, and goes with an empty one", () => {
    expect(eventsOf("data:1\n\nid: a\ndata:2\n\ndata:3\n\ndata:4\nid\n\nid: b\nid: c\ndata:5\n\n")).toEqual([
      message("1"),
      message("2", "a"),
      message("3", "a"),
      message("4"),
      message("5", "c")
    ])
  })

  it("id: one with U+0000 is ignored, and leaves the one before", () => {
    expect(eventsOf("id: a\nid: b\u0000c\ndata:1\n\nid: \u0000\ndata:2\n\nid:d\ndata:3\n\n")).toEqual([
      message("1", "a"),
      message("2", "a"),
      message("3", "d")
    ])
  })

  it("id: is the last event ID once its block is dispatched, with data or without, and not before", () => {
    const parser = EventStream.makeParser()
    const push = (text: string) => parser.push(utf8(text)).lastEventId
    expect(push("id: 1\n")).toBe("")
    expect(push("data: x\n")).toBe("")
    expect(push("\n")).toBe("1")
    expect(push("id: 2")).toBe("1")
    expect(push("\n")).toBe("1")
    expect(push("\n")).toBe("2")
    expect(push("id\n")).toBe("2")
    expect(push(": x")).toBe("2")
    expect(push("\r\r")).toBe("")
  })

  it("id: begins with what the parser is told, where the standard begins anew", () => {
    const parser = EventStream.makeParser({ lastEventId: "7" })
    expect(parser.push(utf8("data:1\n")).lastEventId).toBe("7")
    expect(parser.push(utf8("\nid:8\ndata:2\n\n")).events.map(show)).toEqual([message("1", "7"), message("2", "8")])
  })

  it.each([
    ["retry: 3000", 3000],
    ["retry:3000", 3000],
    ["retry: 0", 0],
    ["retry: 007", 7],
    ["retry: 9007199254740991", Number.MAX_SAFE_INTEGER],
    ["retry: 9007199254740993", Number.MAX_SAFE_INTEGER],
    [`retry: ${"9".repeat(500)}`, Number.MAX_SAFE_INTEGER],
    ["retry", undefined],
    ["retry:", undefined],
    ["retry:  3000", undefined],
    ["retry: 3000 ", undefined],
    ["retry: 3000x", undefined],
    ["retry: -1", undefined],
    ["retry: +1", undefined],
    ["retry: 1.5", undefined],
    ["retry: 1e3", undefined],
    ["retry: 0x10", undefined],
    ["retry: Infinity", undefined],
    ["retry: ٣", undefined],
    ["retryx: 1", undefined],
    ["retrx: 1", undefined],
    ["Retry: 1", undefined]
  ])("retry: only ASCII digits are one: %.40s", (line, retry) => {
    expect(EventStream.parse(utf8(`${line}\n`)).retry).toBe(retry)
    expect(EventStream.parse(utf8(`retry: 5\n${line}\n`)).retry).toBe(retry ?? 5)
  })

  it("retry: counts at once, is the last of its chunk, and ends nothing", () => {
    const parser = EventStream.makeParser()
    const first = parser.push(utf8("retry: 1\ndata: a\nretry: 2\n\ndata: b"))
    expect(first).toMatchObject({ retry: 2, violation: undefined })
    expect(first.events.map(show)).toEqual([message("a")])
    expect(parser.push(utf8("\n\n"))).toMatchObject({ retry: undefined, events: [{ data: "b" }] })
  })

  it("comments are there for who wants them", () => {
    const stream = utf8(":\n: a\n:b\n:  c: d\rdata: :e\n\n:f")
    expect(EventStream.parse(stream, { comments: true }).comments).toEqual(["", "a", "b", " c: d"])
    expect(EventStream.parse(stream).comments).toEqual([])
  })

  it("names of Object.prototype are fields that nobody knows, and types like any other", () => {
    expect(eventsOf("__proto__: x\nconstructor: y\nevent: __proto__\nid: constructor\ndata: toString\n\n")).toEqual([
      ["__proto__", "toString", "constructor"]
    ])
  })
})

/** The bytes of all buffers that the parser keeps alive. */
const held = (parser: EventStream.Parser): number =>
  Object.values(parser).reduce((sum, value) => sum + (ArrayBuffer.isView(value) ? value.buffer.byteLength : 0), 0)

describe("limits", () => {
  const limits = { maxLineBytes: 10, maxEventBytes: 12 }

  const over = (stream: string | Uint8Array) =>
    EventStream.parse(typeof stream === "string" ? utf8(stream) : stream, limits).violation?.over

  it("are 1 MiB unless they are given", () => {
    expect(EventStream.defaultLimits).toEqual({ maxLineBytes: 1_048_576, maxEventBytes: 1_048_576 })
    const line = utf8(`data:${"x".repeat(1_048_571)}\n`)
    expect(EventStream.parse(line).violation).toBeUndefined()
    expect(EventStream.parse(concat([utf8("x"), line])).violation).toMatchObject({ over: "line", limit: 1_048_576 })
    const two = utf8(`data:${"x".repeat(524_288)}\ndata:${"x".repeat(524_287)}\n`)
    expect(EventStream.parse(two).violation).toBeUndefined()
    expect(EventStream.parse(concat([two.subarray(0, -1), utf8("x\n")])).violation).toMatchObject({
      over: "event",
      limit: 1_048_576
    })
  })

  it("stop at the byte that is too much of a line, whole or in pieces, whatever the line is", () => {
    for (const line of ["data:12345", ":234567890", "xxxxxxxxxx", "id:€€1"]) {
      const bytes = utf8(line)
      const chunks = Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))
      const parser = EventStream.makeParser(limits)
      const bytewise = [...chunks, utf8("x")].map((chunk) => parser.push(chunk).violation?.over)
      expect(bytewise.indexOf("line")).toBe(bytes.length === 10 ? 10 : -1)
      expect(EventStream.parse(utf8(`${line}\n`), limits).violation).toBeUndefined()
      expect(EventStream.parse(utf8(`${line}xxx`), limits).violation?.over).toBe("line")
      expect(EventStream.parse(utf8(`${line}xxx\n`), limits).violation?.over).toBe("line")
    }
  })

  it("count the data of an event in bytes of UTF-8, with the LF between lines", () => {
    expect(over("data:12345\ndata:12345\n")).toBeUndefined()
    expect(over("data:12345\ndata:12345\ndata\n")).toBeUndefined()
    expect(over("data:12345\ndata:12345\ndata\ndata\n")).toBe("event")
    expect(over("data:éé\ndata:éé\ndata:é\n")).toBeUndefined()
    expect(over("data:éé\ndata:éé\ndata:é1\n")).toBe("event")
    expect(over("data:\ue0001\ndata:\ud7ff1\ndata:12\n")).toBeUndefined()
    expect(over("data:\ue0001\ndata:\ud7ff1\ndata:123\n")).toBe("event")
    expect(over("data:€1\ndata:😀1\ndata:1\n")).toBeUndefined()
    expect(over("data:€1\ndata:😀1\ndata:12\n")).toBe("event")
    expect(over(Uint8Array.of(...utf8("data:\ndata:"), 0xff, 0xff, 0xff, 0x0a))).toBeUndefined()
    expect(over(Uint8Array.of(...utf8("data:12\ndata:"), 0xff, 0xff, 0xff, 0x0a))).toBeUndefined()
    expect(over(Uint8Array.of(...utf8("data:123\ndata:"), 0xff, 0xff, 0xff, 0x0a))).toBe("event")
  })

  it("begin anew with each event, and count no comments, ids and names", () => {
    const parser = EventStream.makeParser(limits)
    for (let i = 0; i < 100; i++) {
      expect(parser.push(utf8(": 34567890\nid: 567890\nevent: 890\ndata:67890\n"))).toMatchObject({
        violation: undefined
      })
      expect(parser.push(utf8("data:67890\n\n")).events).toHaveLength(1)
    }
  })

  it("give what came before the fault, and nothing ever after", () => {
    const parser = EventStream.makeParser({ ...limits, comments: true })
    const parsed = parser.push(utf8("id:1\ndata:a\n\nretry: 5\n:b\nid:2\n12345678901\n\ndata:c\n\n"))
    expect(parsed.events.map(show)).toEqual([message("a", "1")])
    expect(parsed).toMatchObject({
      lastEventId: "1",
      retry: 5,
      comments: ["b"],
      violation: { over: "line", limit: 10 }
    })
    expect(parsed.violation?.message).toBe("event stream with a line of more than 10 bytes")
    expect(parser.push(utf8("data:d\n\n"))).toEqual({
      events: [],
      lastEventId: "1",
      retry: undefined,
      comments: [],
      violation: undefined
    })
  })

  it("also where the line that is too long is the last, and not ended", () => {
    const parsed = EventStream.parse(utf8("data:a\n\n12345678901"), limits)
    expect(parsed.events.map(show)).toEqual([message("a")])
    expect(parsed.violation).toMatchObject({ over: "line" })
  })

  it("also where an event is too long before a line is", () => {
    const parsed = EventStream.parse(utf8("data:a\n\ndata:12345\ndata:12345\ndata:1\n12345678901\n"), limits)
    expect(parsed.events.map(show)).toEqual([message("a")])
    expect(parsed.violation).toMatchObject({ over: "event", limit: 12 })
    expect(parsed.violation?.message).toBe("event with more than 12 bytes of data")
  })

  it("hold no more than twice the longest line, give a long buffer up, and nothing after a fault", () => {
    const parser = EventStream.makeParser({ maxLineBytes: 200_000 })
    const chunk = new Uint8Array(1000).fill(0x61)
    let most = 0
    for (let i = 0; i < 200; i++) {
      expect(parser.push(chunk).violation).toBeUndefined()
      most = Math.max(most, held(parser))
    }
    expect(most).toBeLessThanOrEqual(400_000)
    parser.push(utf8("\n"))
    parser.push(utf8("data: whole\n\n"))
    expect(held(parser)).toBe(0)
    parser.push(concat([utf8("data:"), chunk, utf8("\n")]))
    for (let i = 0; i < 200; i++) parser.push(chunk)
    expect(parser.push(chunk).violation).toMatchObject({ over: "line" })
    expect(held(parser)).toBe(0)
    expect(Object.values(parser).filter((value) => typeof value === "string" && value.length >= 1000)).toEqual([])
  })

  it("hold nothing of a stream that comes in whole lines", () => {
    const parser = EventStream.makeParser()
    for (let i = 0; i < 100; i++) parser.push(utf8(`id: ${i}\ndata: ${"x".repeat(1000)}\n\n`))
    expect(held(parser)).toBe(0)
  })
})

describe("in linear time", () => {
  // What is quadratic takes minutes for a mebibyte, and the runner's limit fails it.
  const size = 1 << 20

  it.each([
    ["one line", `data:${"x".repeat(size)}`],
    ["one line that is not ASCII", `data:${"é".repeat(size / 2)}`],
    ["lines of one event", "data:x\n".repeat(size / 7)],
    ["lines of one event that are not ASCII", "data:é\n".repeat(size / 8)],
    ["empty lines of one event", "data\n".repeat(size / 5)],
    ["CR", "\r".repeat(size)],
    ["CR LF", "\r\n".repeat(size / 2)],
    ["LF, and one CR at the end", `${"x\n".repeat(size / 2)}\r`],
    ["comments", ":x\n".repeat(size / 3)],
    ["names", "event:x\nevent:y\n".repeat(size / 16)],
    ["ids", "id:x\n".repeat(size / 5)],
    ["tabs", "\t".repeat(size)],
    ["digits", `retry:${"1".repeat(size)}`]
  ])("%s: whole, in pieces and byte by byte", (_, text) => {
    const bytes = utf8(text)
    for (const step of [size * 2, 300, 1]) {
      // Near the limit, of many lines, each is counted.
      const maxEventBytes = text.startsWith("data") && text.includes("\n") ? size / 2 : size * 2
      const parser = EventStream.makeParser({ maxLineBytes: size * 2, maxEventBytes, comments: true })
      let violations = 0
      for (let at = 0; at < bytes.length; at += step) {
        if (parser.push(bytes.subarray(at, at + step)).violation !== undefined) violations++
      }
      const { events } = parser.push(utf8("\n\n"))
      expect([violations, events.length]).toEqual([0, text.startsWith("data") ? 1 : 0])
      for (const { data } of events) expect(data.at(-1)).toBeOneOf(["x", "é", "\n"])
    }
  })
})

const print = (printable: EventStream.Printable) => Result.getOrThrow(EventStream.print(printable))

describe("print", () => {
  it.each<[EventStream.Printable, string]>([
    [{ data: "a" }, "data: a\n\n"],
    [{ data: "" }, "data: \n\n"],
    [{ data: " a" }, "data:  a\n\n"],
    [{ data: "a\nb\rc\r\nd\n\re" }, "data: a\ndata: b\ndata: c\ndata: d\ndata: \ndata: e\n\n"],
    [{ data: "\n" }, "data: \ndata: \n\n"],
    [{ data: "a\u2028b\u0000" }, "data: a\u2028b\u0000\n\n"],
    [{ event: "said", id: "7", retry: 0, data: "a" }, "event: said\nid: 7\nretry: 0\ndata: a\n\n"],
    [{ event: " a: b", data: "" }, "event:  a: b\ndata: \n\n"],
    [{ id: "" }, "id: \n\n"],
    [{ retry: 3000 }, "retry: 3000\n\n"],
    [{ retry: -0 }, "retry: 0\n\n"],
    [{ retry: Number.MAX_SAFE_INTEGER }, "retry: 9007199254740991\n\n"],
    [{}, "\n"],
    [{ data: undefined, event: undefined, id: undefined, retry: undefined }, "\n"]
  ])("%j", (printable, text) => {
    expect(print(printable)).toBe(text)
    expect(EventStream.encode(printable)).toEqual(Result.succeed(utf8(text)))
  })

  it.each<[EventStream.Printable, string, string]>([
    [{ event: "a\nb", data: "" }, "event", "WHATWG HTML 9.2.5"],
    [{ event: "a\rb", data: "" }, "event", "WHATWG HTML 9.2.5"],
    [{ event: "\ndata: injected\n\n", data: "" }, "event", "WHATWG HTML 9.2.5"],
    [{ event: "a\ud800", data: "" }, "event", "WHATWG HTML 9.2.5"],
    [{ event: "", data: "" }, "event", "WHATWG HTML 9.2.6"],
    [{ event: "a" }, "event", "WHATWG HTML 9.2.6"],
    [{ id: "1\ndata: injected\n\ndata: 2" }, "id", "WHATWG HTML 9.2.5"],
    [{ id: "1\r", data: "" }, "id", "WHATWG HTML 9.2.5"],
    [{ id: "\udc00" }, "id", "WHATWG HTML 9.2.5"],
    [{ id: "1\u0000" }, "id", "WHATWG HTML 9.2.6"],
    [{ retry: 1.5 }, "retry", "WHATWG HTML 9.2.6"],
    [{ retry: -1 }, "retry", "WHATWG HTML 9.2.6"],
    [{ retry: Infinity }, "retry", "WHATWG HTML 9.2.6"],
    [{ retry: Number.NaN }, "retry", "WHATWG HTML 9.2.6"],
    [{ retry: 2 ** 53 }, "retry", "WHATWG HTML 9.2.6"]
  ])("refuses %j", (printable, field, clause) => {
    const refusal = failureOf(EventStream.print(printable))
    expect(refusal).toMatchObject({ _tag: "InvalidEvent", field, clause })
    expect(refusal?.message).toMatch(new RegExp(`^Invalid ${field}: .+ \\(${clause}\\)$`))
    expect(refusal?.message).not.toContain("injected")
    expect(failureOf(EventStream.encode(printable))).toEqual(refusal)
  })

  it("what is printed one behind the other is read as one behind the other", () => {
    const stream = [{ id: "1", data: "a" }, { retry: 5 }, { event: "b", data: "c\n" }, {}, { data: "d" }].map(print)
    expect(eventsOf(stream.join(""))).toEqual([message("a", "1"), ["b", "c\n", "1"], message("d", "1")])
  })

  it("comments hold anything, and are nothing else", () => {
    expect(EventStream.printComment("a\nb\r\ndata: c\r\rd")).toBe(": a\n: b\n: data: c\n: \n: d\n\n")
    expect(EventStream.printComment("")).toBe(": \n\n")
  })

  it("the heartbeat is a comment, and between two events changes neither", () => {
    const parser = EventStream.makeParser({ comments: true })
    const parsed = [utf8(print({ id: "1", data: "a" })), EventStream.heartbeat, utf8(print({ data: "b" }))].map(
      (bytes) => parser.push(bytes)
    )
    expect(parsed.flatMap(({ events }) => events.map(show))).toEqual([message("a", "1"), message("b", "1")])
    expect(parsed.flatMap(({ comments }) => comments)).toEqual([""])
  })
})
