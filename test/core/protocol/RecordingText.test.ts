/** Recordings as JSON lines: docs/protocol.md. */
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import type * as Recording from "@millrace/core/protocol/Recording"
import * as RecordingText from "@millrace/core/protocol/RecordingText"
import * as recordings from "../../support/recordings.ts"
import { hex } from "../../support/wire.ts"

const first = '{"format":"millrace-recording","version":1,"role":"client","start":1790000000000}'

const entriesOf = (...lines: ReadonlyArray<string>) =>
  Result.map(RecordingText.parse([first, ...lines].join("\n")), ({ entries }) => entries)

const entryOf = (line: string) => Result.map(entriesOf(line), ([entry]) => entry)

const wrong = (text: string) =>
  Result.match(RecordingText.parse(text), {
    onSuccess: () => "nothing wrong",
    onFailure: ({ detail, line }) => `${line}: ${detail}`
  })

/** Each as it is printed, and what it stands for. */
const vectors: ReadonlyArray<readonly [line: string, entry: Recording.Entry]> = [
  [
    '{"t":1,"from":"client","op":"text","fin":true,"rsv":0,"text":"héllo","length":6}',
    recordings.frame("client", "text", hex("68 c3 a9 6c 6c 6f"))
  ],
  [
    '{"t":0.125,"from":"server","op":"binary","fin":false,"rsv":0,"base64":"AP8=","length":2}',
    recordings.frame("server", "binary", hex("00 ff"), { t: 0.125, fin: false })
  ],
  [
    '{"t":1,"from":"server","op":"continuation","fin":true,"rsv":0,"text":"","length":0}',
    recordings.frame("server", "continuation", "")
  ],
  [
    // Half of a character is no text.
    '{"t":1,"from":"client","op":"text","fin":false,"rsv":0,"base64":"w6nD","length":3}',
    recordings.frame("client", "text", hex("c3 a9 c3"), { fin: false })
  ],
  [
    // Nor is what an extension has coded, whatever its bytes look like.
    '{"t":1,"from":"client","op":"text","fin":true,"rsv":4,"base64":"AA==","length":1}',
    recordings.frame("client", "text", hex("00"), { rsv: 4 })
  ],
  [
    '{"t":1,"from":"client","op":"close","fin":true,"rsv":0,"code":1000,"reason":"bye","length":5}',
    recordings.frame("client", "close", hex("03 e8 62 79 65"))
  ],
  [
    '{"t":1,"from":"client","op":"close","fin":true,"rsv":0,"code":1005,"length":0}',
    recordings.frame("client", "close", "")
  ],
  [
    // 999 may not be on the wire, so it is no code.
    '{"t":1,"from":"client","op":"close","fin":true,"rsv":0,"base64":"A+c=","length":2}',
    recordings.frame("client", "close", hex("03 e7"))
  ],
  [
    // Nor is what is longer than a control frame may be.
    `{"t":1,"from":"client","op":"close","fin":true,"rsv":0,"base64":"A+hh${"YWFh".repeat(41)}","length":126}`,
    recordings.frame("client", "close", hex(`03 e8 ${"61 ".repeat(124)}`))
  ],
  [
    // A byte order mark is a character like any other.
    '{"t":1,"from":"server","op":"text","fin":true,"rsv":0,"text":"\ufeffa","length":4}',
    recordings.frame("server", "text", hex("ef bb bf 61"))
  ],
  [
    '{"t":1,"from":"server","op":"ping","fin":true,"rsv":0,"text":"are you there?","length":14}',
    recordings.frame("server", "ping", "are you there?")
  ],
  [
    '{"t":1,"from":"server","op":"text","fin":true,"rsv":0,"text":"ab","length":12,"cut":3,"torn":7}',
    recordings.frame("server", "text", "ab", { cut: 3, torn: 7 })
  ],
  [
    '{"t":1,"from":"client","raw":"gwA=","length":2,"violation":"reserved opcode (RFC 6455 5.2)"}',
    {
      _tag: "Raw",
      t: 1,
      from: "client",
      bytes: hex("83 00"),
      cut: 0,
      violation: "reserved opcode (RFC 6455 5.2)"
    }
  ],
  [
    '{"t":1,"from":"client","raw":"gQ==","length":3,"cut":2}',
    { _tag: "Raw", t: 1, from: "client", bytes: hex("81"), cut: 2, violation: undefined }
  ],
  ['{"t":1,"from":"server","ended":"orderly"}', { _tag: "Ended", t: 1, from: "server", abruptly: false }],
  ['{"t":1,"from":"client","ended":"abruptly"}', { _tag: "Ended", t: 1, from: "client", abruptly: true }],
  ['{"t":1,"omitted":4096}', { _tag: "Omitted", t: 1, bytes: 4096 }],
  ['{"t":1,"end":"closed"}', { _tag: "End", t: 1, error: undefined }],
  ['{"t":1,"end":"failed","error":"read ECONNRESET"}', { _tag: "End", t: 1, error: "read ECONNRESET" }]
]

describe("a line", () => {
  it.each(vectors)("%s", (line, entry) => {
    expect(RecordingText.printLine(entry)).toBe(line)
    expect(entryOf(line)).toEqual(Result.succeed(entry))
  })

  it("says first what was agreed on", () => {
    const header: Recording.Header = {
      _tag: "Header",
      role: "server",
      url: "/chat?room=1",
      subprotocol: "chat.v1",
      extensions: "permessage-deflate; client_max_window_bits=10",
      start: 1_790_000_000_000
    }
    const line =
      '{"format":"millrace-recording","version":1,"role":"server","url":"/chat?room=1","subprotocol":"chat.v1",' +
      '"extensions":"permessage-deflate; client_max_window_bits=10","start":1790000000000}'
    expect(RecordingText.print({ header, entries: [] })).toBe(`${line}\n`)
    expect(RecordingText.parse(line)).toEqual(Result.succeed({ header, entries: [] }))
  })

  it("may be written by hand: hex, what goes without saying, and fields of one's own", () => {
    const line = '{"t":1,"from":"client","op":"binary","hex":"00 FF 7f","note":"the odd one"}'
    expect(entryOf(line)).toEqual(Result.succeed(recordings.frame("client", "binary", hex("00 ff 7f"))))
    expect(entryOf('{"t":1,"from":"client","op":"ping"}')).toEqual(
      Result.succeed(recordings.frame("client", "ping", ""))
    )
  })

  it("may be followed by empty ones, and end in CR LF", () => {
    expect(entriesOf('{"t":1,"end":"closed"}\r', "", " ")).toEqual(
      Result.succeed([{ _tag: "End", t: 1, error: undefined }])
    )
  })
})

describe("what is wrong", () => {
  it.each([
    ["", "1: there is no first line"],
    ["\n\n", "1: there is no first line"],
    ["hello", "1: not JSON"],
    ["[]", "1: not a JSON object"],
    ["null", "1: not a JSON object"],
    ['{"format":"har"}', '1: "format" is not "millrace-recording"'],
    ['{"format":"millrace-recording","version":2}', "1: a version that is not known here"],
    ['\n{"format":"millrace-recording","version":1}', '2: "role" is not "client" or "server"'],
    ['{"format":"millrace-recording","version":1,"role":"client","url":1}', '1: "url" is not a string'],
    ['{"format":"millrace-recording","version":1,"role":"client","start":-1}', '1: "start" is not a time']
  ])("%j: %s", (text, what) => {
    expect(wrong(text)).toBe(what)
  })

  it.each([
    ["{", "not JSON"],
    ["{}", '"t" is not a number of milliseconds'],
    ['{"t":1}', "none of the lines that there are"],
    ['{"t":1,"from":"me","op":"text"}', '"from" is not "client" or "server"'],
    ['{"t":1,"from":"client","op":"toString"}', '"op" is none that there is'],
    ['{"t":1,"from":"client","op":"text","fin":1}', '"fin" is not true or false'],
    ['{"t":1,"from":"client","op":"text","rsv":8}', '"rsv" is not 0 to 7'],
    ['{"t":1,"from":"client","op":"text","text":"a","hex":"61"}', 'both "text" and "hex"'],
    ['{"t":1,"from":"client","op":"text","text":1}', '"text" is not a string'],
    ['{"t":1,"from":"client","op":"text","base64":"A"}', "not base64"],
    ['{"t":1,"from":"client","op":"text","hex":"0"}', "not hex"],
    ['{"t":1,"from":"client","op":"text","hex":"0x"}', "not hex"],
    ['{"t":1,"from":"client","op":"close","code":65536}', '"code" is not a close code'],
    ['{"t":1,"from":"client","op":"close","code":1005,"reason":"a"}', "1005 has no reason"],
    [`{"t":1,"from":"client","op":"close","code":1000,"reason":"${"a".repeat(124)}"}`, '"reason" is too long'],
    ['{"t":1,"from":"client","op":"text","text":"é","length":1}', '"length" is not the 2 that there are'],
    ['{"t":1,"from":"client","op":"text","cut":-1}', '"cut" is not a number of bytes'],
    ['{"t":1,"from":"client","raw":"?"}', "not base64"],
    ['{"t":1,"from":"client","raw":"gwA=","length":1}', '"length" is not the 2 that there are'],
    ['{"t":1,"from":"client","ended":"now"}', '"ended" is not "orderly" or "abruptly"'],
    ['{"t":1,"omitted":"all"}', '"omitted" is not a number of bytes'],
    ['{"t":1,"end":"failed","error":1}', '"error" is not a string'],
    ['{"t":1,"end":"closed"}\n{"t":2,"end":"closed"}', "something behind the end"]
  ])("%s: %s", (line, what) => {
    const text = `${first}\n${line}`
    expect(wrong(text)).toBe(`${text.split("\n").length}: ${what}`)
  })

  it("is an error that says where", () => {
    expect(String(Result.getOrThrow(Result.flip(RecordingText.parse(`${first}\nx`))))).toBe(
      "InvalidRecording: line 2 of the recording: not JSON"
    )
  })
})

describe("properties", () => {
  it("parses what it has printed to the same", () => {
    fc.assert(
      fc.property(recordings.any, (recording) => {
        expect(RecordingText.parse(RecordingText.print(recording))).toEqual(Result.succeed(recording))
      })
    )
  })

  it("prints each line by itself, without a line break in it", () => {
    fc.assert(
      fc.property(recordings.any, (recording) => {
        const lines = [recording.header, ...recording.entries].map(RecordingText.printLine)
        expect(RecordingText.print(recording)).toBe(`${lines.join("\n")}\n`)
        expect(lines.join("").includes("\n")).toBe(false)
      })
    )
  })

  it("gives a recording or an error for any text, also for one that was damaged", () => {
    const damaged = fc
      .tuple(recordings.any, fc.nat(), fc.nat({ max: 4 }), fc.string({ maxLength: 4 }))
      .map(([recording, at, length, put]) => {
        const text = RecordingText.print(recording)
        const start = at % (text.length + 1)
        return text.slice(0, start) + put + text.slice(start + length)
      })
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), damaged), (text) => {
        const parsed = RecordingText.parse(text)
        if (Result.isFailure(parsed)) expect(parsed.failure.line).toBeGreaterThanOrEqual(1)
        else expect(RecordingText.parse(RecordingText.print(parsed.success))).toEqual(parsed)
      })
    )
  })
})
