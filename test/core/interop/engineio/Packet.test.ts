import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as Packet from "@millrace/core/interop/engineio/Packet"
import { hex, utf8 } from "../../../support/wire.ts"

const decoded = (message: string | Uint8Array) => {
  const packet = Packet.decode(message)
  return Result.isSuccess(packet) ? packet.success : [packet.failure.reason, packet.failure.detail]
}

const payload = (body: string | Uint8Array, options?: Packet.Options) => {
  const { packets, violation } = Packet.decodePayload(typeof body === "string" ? utf8(body) : body, options)
  return [packets, violation?.reason, violation?.detail]
}

const message = (data: string | Uint8Array): Packet.Packet => ({ _tag: "Message", data })

/** Every packet of the protocol's document, beside the text it is. */
const texts: ReadonlyArray<readonly [text: string, packet: Packet.Packet]> = [
  ['0{"sid":"lv_VI97HAXpY6yYWAAAC"}', { _tag: "Open", data: '{"sid":"lv_VI97HAXpY6yYWAAAC"}' }],
  ["0", { _tag: "Open", data: "" }],
  ["1", { _tag: "Close" }],
  ["2", { _tag: "Ping", data: "" }],
  ["2probe", { _tag: "Ping", data: "probe" }],
  ["3", { _tag: "Pong", data: "" }],
  ["3probe", { _tag: "Pong", data: "probe" }],
  ["4hello", message("hello")],
  ["4", message("")],
  ["4€", message("€")],
  ["4\u001e", message("\u001e")],
  ["5", { _tag: "Upgrade" }],
  ["6", { _tag: "Noop" }]
]

describe("a message of a WebSocket", () => {
  it.each(texts)("%j is a packet", (text, packet) => {
    expect(decoded(text)).toEqual(packet)
    expect(Packet.encode(packet)).toBe(text)
  })

  it("of bytes is a message of these bytes", () => {
    expect(decoded(hex("01 02 03 04"))).toEqual(message(hex("01 02 03 04")))
    expect(Packet.encode(message(hex("01 02 03 04")))).toEqual(hex("01 02 03 04"))
    expect(decoded(hex(""))).toEqual(message(hex("")))
  })

  it.each(["", "7", "9", "a", " 4a", "\ufeff4a", "-1", "constructor", "__proto__", "bAQIDBAUG", "\u0664"])(
    "%j is none, and a violation",
    (text) => {
      expect(decoded(text)).toEqual(["syntax", text === "" ? "a packet of nothing" : "a packet without a type"])
    }
  )

  it("has nothing behind what has nothing to say", () => {
    expect([decoded("1x"), decoded("5x"), decoded("6x")]).toEqual([
      { _tag: "Close" },
      { _tag: "Upgrade" },
      { _tag: "Noop" }
    ])
  })
})

/** A body of so many messages of nothing. */
const body = (count: number) => Array.from({ length: count }, () => "4").join("\u001e")

/** Bodies of polls. */
const bodies: ReadonlyArray<readonly [body: string, packets: ReadonlyArray<Packet.Packet>]> = [
  ["4hello\u001e2\u001e4world", [message("hello"), { _tag: "Ping", data: "" }, message("world")]],
  ["4hello\u001ebAQIDBA==", [message("hello"), message(hex("01 02 03 04"))]],
  ["bAQIDBA==\u001e4€", [message(hex("01 02 03 04")), message("€")]],
  ["b", [message(hex(""))]],
  ["1", [{ _tag: "Close" }]],
  ["6\u001e1", [{ _tag: "Noop" }, { _tag: "Close" }]],
  ["4\u001e4", [message(""), message("")]]
]

describe("the body of a poll", () => {
  it.each(bodies)("%j is packets", (body, packets) => {
    expect(payload(body)).toEqual([packets, undefined, undefined])
    expect(Packet.encodePayload(packets)).toEqual(Result.succeed(body))
  })

  it.each<readonly [string, ReadonlyArray<Packet.Packet>, string]>([
    ["", [], "a packet of nothing"],
    ["\u001e", [], "a packet of nothing"],
    ["4a\u001e", [message("a")], "a packet of nothing"],
    ["4a\u001e\u001e4b", [message("a")], "a packet of nothing"],
    ["4a\u001e7\u001e4b", [message("a")], "a packet without a type"],
    ["4a\u001ebAQ", [message("a")], "bytes that are not base64"],
    ["4a\u001ebAQ-_", [message("a")], "bytes that are not base64"],
    ["bAQID\n", [], "bytes that are not base64"],
    ["\ufeff4a", [], "a packet without a type"]
  ])("%j gives what came before its violation", (body, packets, detail) => {
    expect(payload(body)).toEqual([packets, "syntax", detail])
  })

  it("is nothing at all when it is not UTF-8", () => {
    expect(payload(hex("34 61 1e 34 ff"))).toEqual([[], "syntax", "not UTF-8"])
    expect(payload(hex("34 ed a0 80"))).toEqual([[], "syntax", "not UTF-8"])
  })

  it("has as many packets as maxPackets, and no more is looked at", () => {
    expect(payload(body(1_000))).toEqual([Array.from({ length: 1_000 }, () => message("")), undefined, undefined])
    expect(payload(`${body(3)}\u001e7`, { maxPackets: 3 })).toEqual([
      [message(""), message(""), message("")],
      "limit",
      "more than 3 packets"
    ])
    const [packets, reason] = payload(body(1_001))
    expect([(packets as ReadonlyArray<unknown>).length, reason]).toEqual([1_000, "limit"])
  })

  it("of a megabyte of separators costs no more than its first packet", () => {
    expect(payload("\u001e".repeat(1_000_000))).toEqual([[], "syntax", "a packet of nothing"])
  })

  it("has no more bytes than maxBytes, and is not read when it has", () => {
    expect(payload("4€", { maxBytes: 4 })).toEqual([[message("€")], undefined, undefined])
    expect(payload("4€", { maxBytes: 3 })).toEqual([[], "limit", "more than 3 bytes"])
    expect(payload(`4${"a".repeat(999_999)}`)[1]).toBeUndefined()
    expect(payload(`4${"a".repeat(1_000_000)}`)).toEqual([[], "limit", "more than 1000000 bytes"])
  })

  it("holds no text with what separates packets in it", () => {
    const torn = [message("a"), message("b\u001ec")]
    expect(Packet.isPollable(torn[1]!)).toBe(false)
    expect(Packet.encodePayload(torn)).toEqual(Result.fail(new Packet.UnsendableMessage()))
    expect(Packet.encodePayload([message(utf8("b\u001ec"))])).toEqual(Result.succeed("bYh5j"))
  })
})

describe("batches", () => {
  it.each([
    "\ud800",
    "\ud800a",
    "\udbff\udfff",
    "\ud800\udc00",
    "\udbff\ud800",
    "\ud800\ud800\udc00",
    "\udc00\udc00",
    "\udc00\ud800",
    "\udfff\udc00",
    "\ud7ff\udc00",
    "\ue000\udc00",
    "a\udc00"
  ])("foretell the length of %j, where halves of pairs may stand alone", (text) => {
    expect(Packet.payloadLength(message(text))).toBe(1 + utf8(text).length)
  })

  it("have at most so many bytes, the separators counted, and one packet at least", () => {
    const packets = [message("€"), message(hex("01 02 03 04")), message(hex("")), { _tag: "Noop" } as const]
    expect(packets.map(Packet.payloadLength)).toEqual([4, 9, 1, 1])
    // The last characters of one, two and three bytes, and the first of two, three and four.
    expect(Packet.payloadLength(message("\u007f\u0080\u07ff\u0800\uffff\u{10000}"))).toBe(1 + 1 + 2 + 2 + 3 + 3 + 4)
    expect(Packet.countWithin([], 10)).toBe(0)
    expect([0, 4, 13, 14, 15, 16, 17, 18].map((max) => Packet.countWithin(packets, max))).toEqual([
      1, 1, 1, 2, 2, 3, 3, 4
    ])
  })
})

const refused = (data: string) => {
  const answer = Packet.decodeHandshake(data)
  return Result.isFailure(answer) ? answer.failure.detail : answer.success
}

describe("a handshake", () => {
  const handshake: Packet.Handshake = {
    sid: "lv_VI97HAXpY6yYWAAAC",
    upgrades: ["websocket"],
    pingInterval: 25_000,
    pingTimeout: 20_000,
    maxPayload: 1_000_000
  }

  it("has five properties, and is what the protocol's document shows", () => {
    const data =
      '{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'
    expect(Packet.encodeHandshake(handshake)).toBe(data)
    expect(Packet.decodeHandshake(data)).toEqual(Result.succeed(handshake))
  })

  it("may lack maxPayload, as older servers have it, and may say more", () => {
    expect(refused('{"sid":"a","upgrades":[],"pingInterval":1,"pingTimeout":2,"more":{}}')).toEqual({
      sid: "a",
      upgrades: [],
      pingInterval: 1,
      pingTimeout: 2,
      maxPayload: undefined
    })
  })

  const wrong: ReadonlyArray<readonly [part: Record<string, unknown>, detail: string]> = [
    [{ sid: undefined }, "no sid"],
    [{ sid: "" }, "no sid"],
    [{ sid: 1 }, "no sid"],
    [{ sid: "a".repeat(257) }, "no sid"],
    [{ upgrades: "websocket" }, "no upgrades"],
    [{ upgrades: [1] }, "no upgrades"],
    [{ upgrades: Array.from({ length: 17 }, () => "a") }, "no upgrades"],
    [{ pingInterval: 0 }, "no pingInterval and pingTimeout"],
    [{ pingInterval: 1.5 }, "no pingInterval and pingTimeout"],
    [{ pingTimeout: 2 ** 31 }, "no pingInterval and pingTimeout"],
    [{ pingTimeout: "1" }, "no pingInterval and pingTimeout"],
    [{ maxPayload: -1 }, "a maxPayload that is none"],
    [{ maxPayload: null }, "a maxPayload that is none"]
  ]

  it.each(wrong)("with %j is refused", (part, detail) => {
    expect(refused(JSON.stringify({ ...handshake, ...part }))).toBe(detail)
  })

  it("may have a name of 256 characters, 16 ways to upgrade, timers of 2^31 - 1 ms and a maxPayload of 1", () => {
    const most = {
      sid: "a".repeat(256),
      upgrades: Array.from({ length: 16 }, () => "a"),
      pingInterval: 2 ** 31 - 1,
      pingTimeout: 1,
      maxPayload: 1
    }
    expect(refused(JSON.stringify(most))).toEqual(most)
    expect(refused(JSON.stringify({ ...most, maxPayload: 0 }))).toBe("a maxPayload that is none")
  })

  it.each(["", "null", "[", "1", '"sid"', "{"])("that is %j is refused", (data) => {
    expect(refused(data)).toBe("a handshake that is no JSON object")
  })

  it("has no sid of its __proto__", () => {
    expect(refused('{"__proto__":{"sid":"a"},"upgrades":[],"pingInterval":1,"pingTimeout":1}')).toBe("no sid")
  })
})
