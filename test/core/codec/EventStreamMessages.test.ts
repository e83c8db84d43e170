/** Messages as events of an event stream and as bodies of POSTs: what is written, and what is made of anything. */
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as EventStream from "@millrace/core/codec/EventStream"
import * as Messages from "@millrace/core/codec/EventStreamMessages"
import { utf8 } from "../../support/wire.ts"

const heard = (text: string) =>
  EventStream.parse(utf8(text), { maxLineBytes: 1e8, maxEventBytes: 1e8 }).events.map(Messages.read)

const event = (event: string, data: string) => Messages.read({ event, data, id: "" })

const bodyOf = (type: string, body: string | ReadonlyArray<number>) =>
  Messages.decode(type, typeof body === "string" ? utf8(body) : Uint8Array.from(body))

const messages = fc.array(
  fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom("", "\r", "a\nb", "\ufeffa", "é\r\n", "\0"), fc.uint8Array()),
  { minLength: 1 }
)

describe("a message as an event", () => {
  it("is its text, where that is one line", () => {
    expect(Messages.printMessage('["ok",1,null]')).toBe('data: ["ok",1,null]\n\n')
  })

  it("has a name and is base64 otherwise", () => {
    expect(Messages.printMessage("a\r\nb")).toBe("event: text\ndata: YQ0KYg==\n\n")
    expect(Messages.printMessage(Uint8Array.of(0, 255))).toBe("event: binary\ndata: AP8=\n\n")
  })

  it("comes back as it was, whatever it is", () => {
    fc.assert(
      fc.property(messages, (all) => {
        const text = all.map(Messages.printMessage).join("")
        expect(heard(text)).toEqual(all.map((data) => ({ _tag: "Message", data })))
      })
    )
  })

  it("is no longer than a reader is told", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        expect(Messages.printMessage(bytes).length - "event: binary\ndata: \n\n".length).toBe(
          Messages.eventBytes(bytes.length)
        )
      })
    )
  })

  it.each([
    ["binary", "AP8"],
    ["binary", "*"],
    ["text", "/w=="],
    ["open", "{}"],
    ["open", '{"session":"short"}'],
    ["open", '{"session":"0123456789012345","heartbeat":0}'],
    ["open", '{"session":"0123456789012345\\r\\nX: y"}'],
    ["open", "null"],
    ["close", "1000"],
    ["close", '{"code":1006,"reason":""}'],
    ["close", '{"code":"1000"}'],
    ["close", "{"]
  ])("is none with the name %s and %s", (name, data) => {
    expect(event(name, data)).toBeUndefined()
  })

  it("says how a connection begins and ends", () => {
    const opening = { session: "0123456789abcdefghij_-", protocol: "millrace.json", heartbeat: 15_000 }
    expect(heard(Messages.printOpening(opening))).toEqual([{ _tag: "Open", ...opening }])
    expect(heard(Messages.printOpening({ ...opening, heartbeat: undefined }))).toEqual([
      { _tag: "Open", ...opening, heartbeat: undefined }
    ])
    for (const status of [
      { code: 4501, reason: "né\n" },
      { code: 1005, reason: "" }
    ]) {
      expect(heard(Messages.printClose(status))).toEqual([{ _tag: "Close", status }])
    }
  })

  it("does not count when its name is another", () => {
    expect(event("gossip", "anything")).toEqual({ _tag: "Other" })
  })
})

describe("messages as a body", () => {
  it("are lines where they are lines, bytes where they are one binary message, and have heads otherwise", () => {
    expect(Messages.encode(["a", "é"])).toEqual({ type: "application/x-ndjson", bytes: utf8("a\né\n") })
    expect(Messages.encode([Uint8Array.of(7)])).toEqual({ type: "application/octet-stream", bytes: Uint8Array.of(7) })
    expect(Messages.encode(["a\n", Uint8Array.of(7, 8)])).toEqual({
      type: "application/vnd.millrace.messages",
      bytes: Uint8Array.of(0, 0, 0, 0, 2, 0x61, 0x0a, 1, 0, 0, 0, 2, 7, 8)
    })
  })

  it("come back as they were, whatever they are", () => {
    fc.assert(
      fc.property(messages, (all) => {
        const { bytes, type } = Messages.encode(all)
        expect(Result.getOrThrow(Messages.decode(type, bytes))).toEqual(all)
      })
    )
  })

  it.each([
    ["application/x-ndjson", "a\r\n\r\nb", ["a", "b"]],
    ['Application/X-NDJSON; charset="UTF-8"', "a\n", ["a"]],
    ["application/json", '[\n  "ok"\n]', ['[\n  "ok"\n]']],
    ["", "", []]
  ])("of %s and %j are %j", (type, body, expected) => {
    expect(Result.getOrThrow(bodyOf(type, body))).toEqual(expected)
  })

  it.each([
    [415, "text/plain", "a"],
    [415, "application/json; charset=latin1", "a"],
    [415, "", "a"],
    [400, "application/x-ndjson", [0xff]],
    [400, "application/json", [0xff]],
    [400, "application/vnd.millrace.messages", [0, 0, 0, 0]],
    [400, "application/vnd.millrace.messages", [0, 0, 0, 0, 2, 0x61]],
    [400, "application/vnd.millrace.messages", [2, 0, 0, 0, 0]],
    [400, "application/vnd.millrace.messages", [0, 0, 0, 0, 1, 0xff]],
    [400, "application/vnd.millrace.messages", [1, 255, 255, 255, 255, 0]]
  ])("are refused with %d for %s and %j", (status, type, body) => {
    expect(
      Result.isFailure(bodyOf(type, body)) && (bodyOf(type, body) as { failure: { status: number } }).failure.status
    ).toBe(status)
  })

  it("of more messages than it may have is refused with 413", () => {
    const { maxMessages } = Messages
    for (const [type, one] of [
      ["application/x-ndjson", [0x61, 0x0a]],
      ["application/vnd.millrace.messages", [1, 0, 0, 0, 0]]
    ] as const) {
      const most = Array.from({ length: maxMessages }, () => one).flat()
      expect(Result.getOrThrow(bodyOf(type, most))).toHaveLength(maxMessages)
      expect(bodyOf(type, [...most, ...one])).toMatchObject({ failure: { status: 413 } })
    }
  })

  it("does not keep its bytes for one binary message of many", () => {
    const body = Uint8Array.of(1, 0, 0, 0, 1, 7, 1, 0, 0, 0, 1, 8)
    const [one] = Result.getOrThrow(Messages.decode("application/vnd.millrace.messages", body))
    expect((one as Uint8Array).buffer.byteLength).toBe(1)
  })

  it("are never a fault of ours, whatever comes", () => {
    const types = fc.constantFrom(...Object.values(Messages.BodyType))
    fc.assert(fc.property(types, fc.uint8Array(), (type, bytes) => void Messages.decode(type, bytes)))
  })
})

describe("a Close as a field", () => {
  it("comes back as it was", () => {
    const status = { code: 4000, reason: "né; 100 %\r\n" }
    expect(Messages.printStatus(status)).toBe("4000 n%C3%A9%3B%20100%20%25%0D%0A")
    expect(Messages.readStatus([["millrace-close", Messages.printStatus(status)]])).toEqual(status)
    expect(Messages.readStatus([["Millrace-Close", Messages.printStatus({ code: 1000, reason: "" })]])).toEqual({
      code: 1000,
      reason: ""
    })
  })

  it("says nothing where it is not there, and is none where it is something else", () => {
    expect(Messages.readStatus([])).toEqual({ code: 1005, reason: "" })
    for (const field of ["", "999", "1006", "1000 %", "bye", "-1"]) {
      expect(Messages.readStatus([["Millrace-Close", field]])).toBeUndefined()
    }
  })
})
