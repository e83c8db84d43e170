import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as Packet from "@millrace/core/interop/socketio/Packet"
import { hex } from "../../../support/wire.ts"
import { nested } from "../../../support/wireValues.ts"

const main = { namespace: "/", query: undefined }
const admin = { namespace: "/admin", query: undefined }

const answer = (got: Result.Result<Packet.Packet | undefined, Packet.SocketIoViolation>) =>
  Result.isSuccess(got) ? got.success : [got.failure.reason, got.failure.detail]

/** What a decoder says to each of these. */
const decodeAll = (data: ReadonlyArray<string | Uint8Array>, options?: Packet.Options) => {
  const decoder = Packet.makeDecoder(options)
  return data.map((one) => answer(decoder.push(one)))
}

const decode = (text: string, options?: Packet.Options) => decodeAll([text], options)[0]

const encode = (packet: Packet.Packet, options?: Packet.Options) => {
  const encoded = Packet.encode(packet, options)
  return Result.isSuccess(encoded) ? [encoded.success.text, ...encoded.success.attachments] : encoded.failure.detail
}

const event = (name: string, ...args: ReadonlyArray<unknown>): Packet.Event => ({
  _tag: "Event",
  ...main,
  id: undefined,
  name,
  args
})

const placeholder = (num: unknown) => ({ _placeholder: true, num })

/** The examples of the protocol's document and of what was seen on the wire. */
const plain: ReadonlyArray<readonly [text: string, packet: Packet.Packet]> = [
  ["0", { _tag: "Connect", ...main, payload: undefined }],
  ['0{"token":"123"}', { _tag: "Connect", ...main, payload: { token: "123" } }],
  ['0{"sid":"oSO0OpakMV_3jnilAAAA"}', { _tag: "Connect", ...main, payload: { sid: "oSO0OpakMV_3jnilAAAA" } }],
  ["0/admin,", { _tag: "Connect", ...admin, payload: undefined }],
  ['0/admin,{"token":"x"}', { _tag: "Connect", ...admin, payload: { token: "x" } }],
  ["0/admin?token=1,", { _tag: "Connect", namespace: "/admin", query: "token=1", payload: undefined }],
  ["0/?a?b,", { _tag: "Connect", namespace: "/", query: "a?b", payload: undefined }],
  ["1", { _tag: "Disconnect", ...main }],
  ["1/admin,", { _tag: "Disconnect", ...admin }],
  ['2["foo"]', event("foo")],
  ['2["chat","hi",{"a":[1,null,true]}]', event("chat", "hi", { a: [1, null, true] })],
  ['2["error"]', event("error")],
  ['2/admin,["bar"]', { ...event("bar"), ...admin }],
  ['212["foo"]', { ...event("foo"), id: 12 }],
  ['20["foo"]', { ...event("foo"), id: 0 }],
  ['2/admin,456["project:delete",123]', { ...event("project:delete", 123), ...admin, id: 456 }],
  ['29007199254740991["a"]', { ...event("a"), id: 2 ** 53 - 1 }],
  ['312["bar"]', { _tag: "Ack", ...main, id: 12, args: ["bar"] }],
  ["3/admin,456[]", { _tag: "Ack", ...admin, id: 456, args: [] }],
  ['4{"message":"Not authorized"}', { _tag: "ConnectError", ...main, message: "Not authorized", data: undefined }],
  [
    '4/random,{"message":"Invalid namespace","data":{"code":1}}',
    { _tag: "ConnectError", namespace: "/random", query: undefined, message: "Invalid namespace", data: { code: 1 } }
  ]
]

/** With their attachments. */
const binary: ReadonlyArray<readonly [data: ReadonlyArray<string | Uint8Array>, packet: Packet.Packet]> = [
  [['51-["baz",{"_placeholder":true,"num":0}]', hex("01 02 03 04")], event("baz", hex("01 02 03 04"))],
  [
    ['52-["baz",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', hex("01"), hex("")],
    event("baz", hex("01"), hex(""))
  ],
  [
    [
      '52-/admin,7["up",{"a":[{"b":{"_placeholder":true,"num":0}},{"_placeholder":true,"num":1}]}]',
      hex("01"),
      hex("02")
    ],
    { ...event("up", { a: [{ b: hex("01") }, hex("02")] }), ...admin, id: 7 }
  ],
  [['61-456[{"_placeholder":true,"num":0}]', hex("07")], { _tag: "Ack", ...main, id: 456, args: [hex("07")] }],
  [
    ['61-/admin,0[1,[{"_placeholder":true,"num":0}]]', hex("07")],
    { _tag: "Ack", ...admin, id: 0, args: [1, [hex("07")]] }
  ]
]

describe("a packet without bytes", () => {
  it.each(plain)("is %s", (text, packet) => {
    expect(decode(text)).toEqual(packet)
    expect(encode(packet)).toEqual([text])
  })

  it("is read where others write it otherwise", () => {
    expect(decode('0/admin{"a":1}')).toEqual({
      _tag: "Connect",
      namespace: '/admin{"a":1}',
      query: undefined,
      payload: undefined
    })
    expect(decode("1/admin")).toEqual({ _tag: "Disconnect", ...admin })
    expect(decode("0/,")).toEqual({ _tag: "Connect", ...main, payload: undefined })
    expect(decode("2[42,1]")).toEqual(event("42", 1))
    expect(decode('2007["a"]')).toEqual({ ...event("a"), id: 7 })
    expect(decode('4"no"')).toEqual({ _tag: "ConnectError", ...main, message: "no", data: undefined })
    expect(decode("4{}")).toEqual({ _tag: "ConnectError", ...main, message: "", data: undefined })
  })

  it("may have what looks like a placeholder, and keeps it", () => {
    expect(decode('2["a",{"_placeholder":true,"num":0}]')).toEqual(event("a", placeholder(0)))
    expect(encode(event("a", placeholder(0)))).toEqual(['2["a",{"_placeholder":true,"num":0}]'])
  })
})

describe("a packet with bytes", () => {
  it.each(binary)("is %j", (data, packet) => {
    expect(decodeAll(data)).toEqual([...data.slice(1).map(() => undefined), packet])
    expect(encode(packet)).toEqual(data)
  })

  it("has its placeholders in any order, and says how many are missing", () => {
    const decoder = Packet.makeDecoder()
    const missing = ['52-["a",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]', hex("01")].map((data) => {
      expect(decoder.push(data)).toEqual(Result.succeed(undefined))
      return decoder.missing()
    })
    expect(missing).toEqual([2, 1])
    expect(decoder.push(hex("02"))).toEqual(Result.succeed(event("a", hex("02"), hex("01"))))
    expect(decoder.missing()).toBe(0)
  })

  it("takes no placeholder from a prototype", () => {
    // oxlint-disable-next-line no-extend-native -- as some other code in the process may have done
    Object.defineProperty(Object.prototype, "_placeholder", { value: true, configurable: true })
    try {
      expect(decodeAll(['51-["a",{"num":0},{"_placeholder":true,"num":0}]', hex("01")])[1]).toEqual(
        event("a", { num: 0 }, hex("01"))
      )
      expect(encode(event("a", { num: 0 }, hex("01")))).toHaveLength(2)
    } finally {
      delete (Object.prototype as { _placeholder?: boolean })._placeholder
    }
  })

  it("keeps what is nearly a placeholder", () => {
    const near = '{"_placeholder":1,"num":0},{"_placeholder":"true","num":0},{"num":0}'
    expect(decodeAll([`51-["a",${near},{"_placeholder":true,"num":0}]`, hex("01")])[1]).toEqual(
      event("a", { _placeholder: 1, num: 0 }, { _placeholder: "true", num: 0 }, { num: 0 }, hex("01"))
    )
  })
})

describe("text that is no packet", () => {
  it.each([
    ["", "no type"],
    ["7", "no type"],
    [" ", "no type"],
    ["a", "no type"],
    ["-1", "no type"],
    ["\ufeff0", "no type"],
    ["\u0660", "no type"],
    ['50-["a"]', "no attachments"],
    ['500-["a"]', "no attachments"],
    ['5["a"]', "no number of attachments"],
    ['5-["a"]', "no number of attachments"],
    ["5", "no number of attachments"],
    ["51", "no number of attachments"],
    ['51e1-["a"]', "no number of attachments"],
    ['5 1-["a"]', "no number of attachments"],
    ['50x1-["a"]', "no number of attachments"],
    ['5-1-["a"]', "no number of attachments"],
    ['51.5-["a"]', "no number of attachments"],
    ['5/1-["a"]', "no number of attachments"],
    ['51:-["a"]', "no number of attachments"],
    ["/", "no type"],
    [":", "no type"],
    ['2:["a"]', "not JSON"],
    ['21/["a"]', "not JSON"],
    ["51-", "not JSON"],
    ['2 1["a"]', "not JSON"],
    ['2 ["a"]', "not JSON"],
    ['2\n["a"]', "not JSON"],
    ["2[", "not JSON"],
    ['2["a"]]', "not JSON"],
    ["2-1", "not JSON"],
    ["0null", "not JSON"],
    ["0undefined", "not JSON"],
    ["0constructor", "not JSON"],
    ['2100000000000000000000["a"]', "an id above 2^53 - 1"],
    ['29007199254740992["a"]', "an id above 2^53 - 1"],
    ['200000000000000001["a"]', "an id above 2^53 - 1"],
    ["2", "an event that is no array"],
    ["212", "an event that is no array"],
    ['2{"0":"a"}', "an event that is no array"],
    ['2"a"', "an event that is no array"],
    ["2[]", "an event without a name"],
    ["2[null]", "an event without a name"],
    ["2[[]]", "an event without a name"],
    ["2[{}]", "an event without a name"],
    ["3", "an ack that is no array"],
    ["31", "an ack that is no array"],
    ["31{}", "an ack that is no array"],
    ["3[1]", "an ack without an id"],
    ["01", "an id where nobody asks"],
    ['01{"a":1}', "an id where nobody asks"],
    ["1/admin,1", "an id where nobody asks"],
    ["0[]", "a payload that is no object"],
    ['0"a"', "a payload that is no object"],
    ["1{}", "a disconnect with a payload"],
    ["4", "an error without a message"],
    ["4[]", "an error without a message"],
    ['51-["a"]', "an attachment without a placeholder"],
    ['51-"a"', "an attachment without a placeholder"],
    ['52-["a",{"_placeholder":true,"num":0}]', "an attachment without a placeholder"],
    ['51-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]', "two placeholders for one attachment"],
    ['51-["a",{"_placeholder":true,"num":0,"a":1}]', "a placeholder with more in it"],
    ['51-["a",{"_placeholder":true,"num":0.5}]', "a placeholder without an attachment"],
    ['51-["a",{"_placeholder":true,"num":-1}]', "a placeholder without an attachment"],
    ['51-["a",{"_placeholder":true,"num":1}]', "a placeholder without an attachment"],
    ['51-["a",{"_placeholder":true,"num":"0"}]', "a placeholder without an attachment"],
    ['51-["a",{"_placeholder":true}]', "a placeholder without an attachment"],
    ['51-["a",{"_placeholder":true,"a":{"_placeholder":true,"num":0}}]', "a placeholder without an attachment"],
    ['51-[{"_placeholder":true,"num":0}]', "an event without a name"],
    ['51-{"a":{"_placeholder":true,"num":0}}', "an event that is no array"],
    ['61-[{"_placeholder":true,"num":0}]', "an ack without an id"]
  ])("%s", (text, detail) => {
    expect(decodeAll([text, '2["next"]'])).toEqual([["syntax", detail], event("next")])
  })

  it.each([
    ['2["connect"]', "an event with a reserved name"],
    ['2["connect_error"]', "an event with a reserved name"],
    ['2["disconnect"]', "an event with a reserved name"],
    ['2["disconnecting"]', "an event with a reserved name"],
    ['2["newListener"]', "an event with a reserved name"],
    ['2["removeListener"]', "an event with a reserved name"],
    ['2["__proto__"]', "an event with a reserved name"],
    ['2["constructor"]', "an event with a reserved name"],
    ['2["a",{"__proto__":{"admin":true}}]', "a property with the name __proto__"],
    ['2["a",{"b":{"c\\u006fnstructor":1}}]', "a property with the name constructor"],
    ['51-["a",{"__proto__":{"_placeholder":true,"num":0}}]', "a property with the name __proto__"],
    ['0{"__proto__":{"sid":"a"}}', "a property with the name __proto__"],
    ['2["a",1e400]', "a number that is too large"],
    [`2["a",${"[".repeat(100_000)}${"]".repeat(100_000)}]`, "nested too deep"]
  ])("whose value is taken from nobody: %.60s", (text, detail) => {
    expect(decodeAll([text, '2["next"]'])).toEqual([["value", detail], event("next")])
    expect(Object.hasOwn(Object.prototype, "admin")).toBe(false)
  })
})

const many = (count: number) => Array.from({ length: count }, (_, num) => placeholder(num))

describe("attachments", () => {
  const ofOne = '51-["a",{"_placeholder":true,"num":0}]'

  it("that belong to nothing are refused, and forgotten", () => {
    expect(decodeAll([hex("01"), ofOne, hex("02"), hex("03"), '2["next"]'])).toEqual([
      ["syntax", "an attachment of nothing"],
      undefined,
      event("a", hex("02")),
      ["syntax", "an attachment of nothing"],
      event("next")
    ])
  })

  it("in whose place text comes are not waited for any more", () => {
    expect(decodeAll([ofOne, '2["b"]', '2["next"]', ofOne, hex("01")])).toEqual([
      undefined,
      ["syntax", "text where attachments are missing"],
      event("next"),
      undefined,
      event("a", hex("01"))
    ])
  })

  it("are no more than maxAttachments, which is said before one of them has come", () => {
    expect(decode(`510-${JSON.stringify(["a", ...many(10)])}`)).toBeUndefined()
    expect(decode(`511-${JSON.stringify(["a", ...many(11)])}`)).toEqual(["limit", "more than 10 attachments"])
    expect(decode(`5${"9".repeat(400)}-["a"]`)).toEqual(["limit", "more than 10 attachments"])
    expect(decode(`53-${JSON.stringify(["a", ...many(3)])}`, { maxAttachments: 2 })).toEqual([
      "limit",
      "more than 2 attachments"
    ])
    const bytes = Array.from({ length: 11 }, () => hex("01"))
    expect(encode(event("a", ...bytes))).toBe("more than 10 attachments")
    expect(encode(event("a", ...bytes), { maxAttachments: 11 })).toHaveLength(12)
  })

  it("have no more bytes in all than maxAttachmentBytes", () => {
    const ofTwo = `52-${JSON.stringify(["a", ...many(2)])}`
    const options = { maxAttachmentBytes: 3 }
    const sent = [hex("01 02"), hex("03"), hex("03 04")] as const
    expect(decodeAll([ofTwo, sent[0], sent[1]], options)).toEqual([undefined, undefined, event("a", sent[0], sent[1])])
    expect(decodeAll([ofTwo, sent[0], sent[2], '2["next"]'], options)).toEqual([
      undefined,
      undefined,
      ["limit", "attachments of more than 3 bytes"],
      event("next")
    ])
    expect(encode(event("a", sent[0], sent[1]), options)).toHaveLength(3)
    expect(encode(event("a", sent[0], sent[2]), options)).toBe("attachments of more than 3 bytes")
    const large = new Uint8Array(10_000_000)
    expect(decodeAll([ofOne, large])[1]).toEqual(event("a", large))
    expect(decodeAll([ofOne, new Uint8Array(10_000_001)])[1]).toEqual([
      "limit",
      "attachments of more than 10000000 bytes"
    ])
  })
})

describe("limits", () => {
  it("hold for the length of a namespace", () => {
    expect(decode(`0/${"a".repeat(511)},`)).toMatchObject({ _tag: "Connect" })
    expect(decode(`0/${"a".repeat(512)},`)).toEqual(["limit", "a namespace that is too long"])
    expect(decode(`0/${"a".repeat(512)}`)).toEqual(["limit", "a namespace that is too long"])
    expect(decode("0/a?b,", { maxNamespaceLength: 3 })).toEqual(["limit", "a namespace that is too long"])
    const long = { _tag: "Disconnect", namespace: "/a", query: "b" } as const
    expect(encode(long, { maxNamespaceLength: 3 })).toBe("a namespace that no packet can have")
    expect(encode(long, { maxNamespaceLength: 4 })).toEqual(["1/a?b,"])
  })

  it("hold for the depth of a value, the array of arguments counted", () => {
    for (const inside of [1, hex("01")]) {
      const packet = event("a", nested(63, inside))
      const [text, ...attachments] = encode(packet) as [string, ...Array<Uint8Array>]
      expect(decodeAll([text, ...attachments]).at(-1)).toEqual(packet)
      expect(encode(event("a", nested(64, inside)))).toBe("cannot be sent: nested too deep, or in a circle")
    }
    expect(decode(JSON.stringify(["a", nested(64)]).replace("[", "2["))).toEqual(["value", "nested too deep"])
    const deep = JSON.stringify(["a", placeholder(0), nested(64)])
    expect(decode(`51-${deep}`)).toEqual(["value", "nested too deep"])
  })
})

describe("what cannot be sent", () => {
  it.each<readonly [string, Packet.Packet, string]>([
    ["a namespace with a comma", { _tag: "Disconnect", namespace: "/a,b", query: undefined }, "namespace"],
    ["a namespace with a query in it", { _tag: "Disconnect", namespace: "/a?b", query: undefined }, "namespace"],
    ["a namespace without a slash", { _tag: "Disconnect", namespace: "a", query: undefined }, "namespace"],
    ["a query with a comma", { _tag: "Disconnect", namespace: "/", query: "a,b" }, "namespace"],
    ["a negative id", { ...event("a"), id: -1 }, "id"],
    ["half an id", { _tag: "Ack", ...main, id: 0.5, args: [] }, "id"],
    ["an id above 2^53 - 1", { _tag: "Ack", ...main, id: 2 ** 53, args: [] }, "id"],
    ["a reserved name", event("disconnect"), "reserved name"],
    ["another reserved name", event("__proto__"), "reserved name"],
    ["a placeholder beside bytes", event("a", placeholder(0), hex("01")), "a placeholder beside bytes"],
    ["a placeholder above bytes", event("a", { ...placeholder(0), a: hex("01") }), "a placeholder beside bytes"],
    ["bytes in a payload", { _tag: "Connect", ...main, payload: { a: hex("01") } }, "elsewhere than in arguments"],
    ["bytes in an error", { _tag: "ConnectError", ...main, message: "a", data: hex("01") }, "elsewhere"],
    ["a bigint", event("a", 1n), "a bigint"],
    ["a date", event("a", new Date(0)), "Date"],
    ["an infinity", event("a", Number.POSITIVE_INFINITY), "Infinity"],
    ["a reserved key", event("a", JSON.parse('{"__proto__":1}')), "__proto__"],
    [
      "a getter that throws",
      event("a", {
        get b(): number {
          throw new RangeError("no")
        }
      }),
      "cannot be read"
    ]
  ])("%s", (_, packet, detail) => {
    expect(encode(packet)).toContain(detail)
  })

  it("is left out or null where it is undefined, as JSON has it", () => {
    expect(encode(event("a", undefined, { b: undefined }))).toEqual(['2["a",null,{}]'])
    expect(encode(event("a", undefined, { b: undefined, c: hex("01") }))).toEqual([
      '51-["a",null,{"c":{"_placeholder":true,"num":0}}]',
      hex("01")
    ])
  })
})
