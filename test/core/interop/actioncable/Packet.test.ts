import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as Packet from "@millrace/core/interop/actioncable/Packet"
import { hex } from "../../../support/wire.ts"
import { nested } from "../../../support/wireValues.ts"

const answer = <A>(got: Result.Result<A, Packet.CableViolation>) =>
  Result.isSuccess(got) ? got.success : [got.failure.reason, got.failure.detail]

const extended = { extended: true }

const command = (text: string, options?: Packet.Options) => answer(Packet.decodeCommand(text, options))
const transmission = (text: string, options?: Packet.Options) => answer(Packet.decodeTransmission(text, options))
const identified = (text: string, options?: Packet.Options) => answer(Packet.parseIdentifier(text, options))

/** A client has written it so, and so it is said. */
const identifier = '{"channel":"ChatChannel","room":"r1"}'
const quoted = JSON.stringify(identifier)

/** What a client of Rails was seen to say, and what AnyCable's says more. */
const commands: ReadonlyArray<readonly [text: string, said: Packet.Command]> = [
  [`{"command":"subscribe","identifier":${quoted}}`, { _tag: "Subscribe", identifier, history: undefined }],
  [`{"command":"unsubscribe","identifier":${quoted}}`, { _tag: "Unsubscribe", identifier }],
  [
    `{"command":"message","identifier":${quoted},"data":"{\\"text\\":\\"hé\\",\\"action\\":\\"speak\\"}"}`,
    { _tag: "Perform", identifier, action: "speak", data: { text: "hé" } }
  ]
]

const extendedCommands: ReadonlyArray<readonly [text: string, said: Packet.Command]> = [
  ...commands,
  [
    `{"command":"subscribe","identifier":${quoted},"history":{"since":1795370948,"streams":{}}}`,
    { _tag: "Subscribe", identifier, history: { since: 1_795_370_948, streams: new Map() } }
  ],
  [
    `{"command":"history","identifier":${quoted},"history":{"streams":{"chat":{"offset":7,"epoch":"x1"}}}}`,
    {
      _tag: "History",
      identifier,
      history: { since: undefined, streams: new Map([["chat", { epoch: "x1", offset: 7 }]]) }
    }
  ],
  ['{"command":"pong"}', { _tag: "Pong" }],
  [
    `{"command":"whisper","identifier":${quoted},"data":{"typing":true}}`,
    { _tag: "Whisper", identifier, data: { typing: true } }
  ],
  [
    `{"command":"join","identifier":${quoted},"presence":{"id":"7","info":{"name":"Ada"}}}`,
    { _tag: "Join", identifier, id: "7", info: { name: "Ada" } }
  ],
  [`{"command":"leave","identifier":${quoted}}`, { _tag: "Leave", identifier }],
  [
    `{"command":"presence","identifier":${quoted},"data":{"return_records":false}}`,
    { _tag: "Presence", identifier, records: false }
  ]
]

/** What a server of Rails was seen to say, and what AnyCable's says more. */
const transmissions: ReadonlyArray<readonly [text: string, said: Packet.Transmission]> = [
  ['{"type":"welcome"}', { _tag: "Welcome", sid: undefined, restored: undefined }],
  ['{"type":"ping","message":1795370948}', { _tag: "Ping", time: 1_795_370_948 }],
  [`{"identifier":${quoted},"type":"confirm_subscription"}`, { _tag: "ConfirmSubscription", identifier }],
  [`{"identifier":${quoted},"type":"reject_subscription"}`, { _tag: "RejectSubscription", identifier }],
  [
    `{"identifier":${quoted},"message":{"from":"alice","text":"hé"}}`,
    { _tag: "Message", identifier, message: { from: "alice", text: "hé" }, position: undefined }
  ],
  [`{"identifier":${quoted},"message":null}`, { _tag: "Message", identifier, message: null, position: undefined }],
  [
    '{"type":"disconnect","reason":"unauthorized","reconnect":false}',
    { _tag: "Disconnect", reason: "unauthorized", reconnect: false }
  ],
  [
    '{"type":"disconnect","reason":"server_restart","reconnect":true}',
    { _tag: "Disconnect", reason: "server_restart", reconnect: true }
  ],
  ['{"type":"disconnect","reconnect":false}', { _tag: "Disconnect", reason: undefined, reconnect: false }]
]

const extendedTransmissions: ReadonlyArray<readonly [text: string, said: Packet.Transmission]> = [
  ...transmissions,
  ['{"type":"welcome","sid":"a1"}', { _tag: "Welcome", sid: "a1", restored: undefined }],
  [
    `{"type":"welcome","sid":"a2","restored":true,"restored_ids":[${quoted}]}`,
    { _tag: "Welcome", sid: "a2", restored: [identifier] }
  ],
  [
    `{"identifier":${quoted},"message":1,"stream_id":"chat","epoch":"x1","offset":0}`,
    { _tag: "Message", identifier, message: 1, position: { stream: "chat", epoch: "x1", offset: 0 } }
  ],
  [`{"identifier":${quoted},"type":"confirm_history"}`, { _tag: "ConfirmHistory", identifier }],
  [`{"identifier":${quoted},"type":"reject_history"}`, { _tag: "RejectHistory", identifier }],
  [
    `{"type":"presence","identifier":${quoted},"message":{"type":"join","id":"7","info":{"name":"Ada"}}}`,
    { _tag: "PresenceEvent", identifier, event: { type: "join", id: "7", info: { name: "Ada" } } }
  ],
  [
    `{"type":"presence","identifier":${quoted},"message":{"type":"leave","id":"7"}}`,
    { _tag: "PresenceEvent", identifier, event: { type: "leave", id: "7" } }
  ],
  [
    `{"type":"presence","identifier":${quoted},"message":{"type":"info","total":1,"records":[{"id":"7","info":1}]}}`,
    { _tag: "PresenceEvent", identifier, event: { type: "info", total: 1, records: [{ id: "7", info: 1 }] } }
  ],
  [
    `{"type":"presence","identifier":${quoted},"message":{"type":"info","total":3}}`,
    { _tag: "PresenceEvent", identifier, event: { type: "info", total: 3, records: undefined } }
  ],
  [
    `{"type":"presence","identifier":${quoted},"message":{"type":"error"}}`,
    { _tag: "PresenceEvent", identifier, event: { type: "error" } }
  ]
]

describe("a command", () => {
  it.each(commands)("is %s", (text, said) => {
    expect(command(text)).toEqual(said)
    expect(Packet.encodeCommand(said)).toEqual(Result.succeed(text))
  })

  it.each(extendedCommands)("of the extended protocol is %s", (text, said) => {
    expect(command(text, extended)).toEqual(said)
    expect(Packet.encodeCommand(said)).toEqual(Result.succeed(text))
  })

  it.each(extendedCommands.slice(4).map(([text]) => text))("is unknown to the plain protocol: %s", (text) => {
    expect(command(text)).toEqual(
      text.includes("pong") ? ["syntax", "a command without an identifier"] : ["unknown", "a command that nobody knows"]
    )
  })

  it("has its identifier as the client has made it, byte for byte", () => {
    for (const odd of [
      '{ "channel" :"A"}',
      '{"channel":"\\u0041"}',
      '{"b":1,"channel":"A"}',
      "no JSON",
      "",
      "\ud800"
    ]) {
      const text = JSON.stringify({ command: "subscribe", identifier: odd })
      expect(command(text)).toEqual({ _tag: "Subscribe", identifier: odd, history: undefined })
      const confirmed = Result.getOrThrow(Packet.encodeTransmission({ _tag: "ConfirmSubscription", identifier: odd }))
      expect((JSON.parse(confirmed) as { identifier: string }).identifier).toBe(odd)
    }
  })

  it("that names no action performs receive, as in Rails", () => {
    for (const data of ['{"a":1}', '{"a":1,"action":null}', '{"a":1,"action":""}']) {
      const text = JSON.stringify({ command: "message", identifier, data })
      expect(command(text)).toEqual({ _tag: "Perform", identifier, action: "receive", data: { a: 1 } })
    }
  })

  it("may ask who is present without saying how", () => {
    for (const data of ["", ',"data":{}', ',"data":null', ',"data":{"return_records":true}']) {
      const text = `{"command":"presence","identifier":"a"${data}}`
      expect(command(text, extended)).toEqual({ _tag: "Presence", identifier: "a", records: true })
    }
  })

  it("may have a number for the ID of who joins", () => {
    expect(command('{"command":"join","identifier":"a","presence":{"id":7}}', extended)).toEqual({
      _tag: "Join",
      identifier: "a",
      id: "7",
      info: undefined
    })
  })

  it("has no history in the plain protocol, whatever stands there", () => {
    expect(command('{"command":"subscribe","identifier":"a","history":1}')).toEqual({
      _tag: "Subscribe",
      identifier: "a",
      history: undefined
    })
  })
})

const of = (name: string, more: object) => JSON.stringify({ command: name, identifier: "a", ...more })
const asking = (streams: unknown, since?: unknown) => of("history", { history: { since, streams } })
const position = { epoch: "x", offset: 1 }

describe("a command that is none", () => {
  it.each<readonly [string, string, string]>([
    ["", "syntax", "a message that is no JSON object"],
    ["{", "syntax", "a message that is no JSON object"],
    ["[]", "syntax", "a message that is no JSON object"],
    ["null", "syntax", "a message that is no JSON object"],
    ['"subscribe"', "syntax", "a message that is no JSON object"],
    ["{}", "syntax", "a message without a command"],
    ['{"command":1,"identifier":"a"}', "syntax", "a message without a command"],
    ['{"command":"subscribe"}', "syntax", "a command without an identifier"],
    ['{"command":"subscribe","identifier":{"channel":"A"}}', "syntax", "a command without an identifier"],
    [of("fly", {}), "unknown", "a command that nobody knows"],
    [of("constructor", {}), "unknown", "a command that nobody knows"],
    [of("__proto__", {}), "unknown", "a command that nobody knows"],
    ['{"command":"subscribe","identifier":"a","__proto__":1}', "value", "a property with the name __proto__"],
    ['{"command":"subscribe","identifier":"a","b":1e400}', "value", "a number that is too large"],
    [of("message", {}), "syntax", "data that is no string"],
    [of("message", { data: {} }), "syntax", "data that is no string"],
    [of("message", { data: "" }), "syntax", "data that is no JSON object"],
    [of("message", { data: "[]" }), "syntax", "data that is no JSON object"],
    [of("message", { data: '{"__proto__":{}}' }), "value", "a property with the name __proto__"],
    [of("message", { data: '{"action":1}' }), "syntax", "an action that is no string"],
    [of("whisper", {}), "syntax", "a whisper of nothing"],
    [of("join", {}), "syntax", "nobody to join"],
    [of("join", { presence: [] }), "syntax", "nobody to join"],
    [of("join", { presence: { id: "" } }), "syntax", "nobody to join"],
    [of("join", { presence: { id: 0.5 } }), "syntax", "nobody to join"],
    [of("join", { presence: { id: "a".repeat(2_049) } }), "syntax", "nobody to join"],
    [of("history", {}), "syntax", "a history that is no object"],
    [of("subscribe", { history: [] }), "syntax", "a history that is no object"],
    [asking({}, "1"), "syntax", "a time that is none"],
    [asking({}, -1), "syntax", "a time that is none"],
    [asking([]), "syntax", "streams that are no object"],
    [asking({ a: 1 }), "syntax", "a stream without a position"],
    [asking({ a: { offset: 1 } }), "syntax", "a stream without a position"],
    [asking({ a: { epoch: "x", offset: -1 } }), "syntax", "a stream without a position"],
    [asking({ a: { epoch: "x", offset: 0.5 } }), "syntax", "a stream without a position"],
    [asking({ a: { epoch: "x".repeat(2_049), offset: 1 } }), "syntax", "a stream without a position"],
    [asking({ ["a".repeat(2_049)]: position }), "syntax", "a stream without a position"],
    [
      '{"command":"history","identifier":"a","history":{"streams":{"__proto__":{}}}}',
      "value",
      "a property with the name __proto__"
    ]
  ])("%.70s", (text, reason, detail) => {
    expect(command(text, extended)).toEqual([reason, detail])
  })
})

const long = (length: number) => {
  const empty = of("subscribe", { a: "" })
  return of("subscribe", { a: "a".repeat(length - empty.length) })
}

const named = (length: number) => JSON.stringify({ command: "unsubscribe", identifier: "a".repeat(length) })

const said = (length: number) => of("message", { data: JSON.stringify({ a: "a".repeat(length - 8) }) })

const many = (count: number) => asking(Object.fromEntries(Array.from({ length: count }, (_, i) => [`s${i}`, position])))

const dataOf = (depth: number) => of("message", { data: JSON.stringify({ a: nested(depth) }) })

describe("limits", () => {
  it("hold for the length of a message", () => {
    expect(command(long(262_144))).toMatchObject({ _tag: "Subscribe" })
    expect(command(long(262_145))).toEqual(["limit", "a message of more than 262144 characters"])
    expect(command(long(100), { maxLength: 99 })).toEqual(["limit", "a message of more than 99 characters"])
    expect(transmission(" ".repeat(262_145))).toEqual(["limit", "a message of more than 262144 characters"])
  })

  it("hold for the length of an identifier", () => {
    expect(command(named(2_048))).toMatchObject({ _tag: "Unsubscribe" })
    expect(command(named(2_049))).toEqual(["limit", "an identifier that is too long"])
    expect(command(named(5), { maxIdentifierLength: 4 })).toEqual(["limit", "an identifier that is too long"])
    expect(identified(identifier, { maxIdentifierLength: 4 })).toEqual(["limit", "an identifier that is too long"])
  })

  it("hold for the length of data", () => {
    expect(command(said(65_536))).toMatchObject({ _tag: "Perform" })
    expect(command(said(65_537))).toEqual(["limit", "data of more than 65536 characters"])
    expect(command(said(10), { maxDataLength: 9 })).toEqual(["limit", "data of more than 9 characters"])
  })

  it("hold for the number of streams", () => {
    expect(command(many(100), extended)).toMatchObject({ _tag: "History" })
    expect(command(many(101), extended)).toEqual(["limit", "more than 100 streams"])
    expect(command(many(3), { ...extended, maxStreams: 2 })).toEqual(["limit", "more than 2 streams"])
  })

  it("hold for the depth of a message, of data and of an identifier", () => {
    expect(command(of("subscribe", { a: nested(63) }))).toMatchObject({ _tag: "Subscribe" })
    expect(command(of("subscribe", { a: nested(64) }))).toEqual(["value", "nested too deep"])
    expect(command(dataOf(63))).toMatchObject({ _tag: "Perform" })
    expect(command(dataOf(64))).toEqual(["value", "nested too deep"])
    expect(identified(JSON.stringify({ channel: "A", a: nested(64) }))).toEqual(["value", "nested too deep"])
    expect(identified('{"channel":"A","a":[]}', { maxDepth: 1 })).toEqual(["value", "nested too deep"])
    expect(command(dataOf(1), { maxDepth: 1 })).toEqual(["value", "nested too deep"])
  })
})

describe("an identifier", () => {
  it("says which channel, and its parameters", () => {
    expect(identified(identifier)).toEqual({ channel: "ChatChannel", params: { room: "r1" } })
    expect(identified('{"channel":"$pubsub","stream_name":"a"}')).toEqual({
      channel: "$pubsub",
      params: { stream_name: "a" }
    })
    const made = Packet.printIdentifier({ channel: "ChatChannel", params: { room: "r1" } })
    expect(made).toEqual(Result.succeed(identifier))
    expect(Packet.printIdentifier({ channel: "A", params: { channel: "B" } })).toEqual(
      Result.succeed('{"channel":"A"}')
    )
  })

  it.each<readonly [string, string, string]>([
    ["", "syntax", "an identifier that is no JSON object"],
    ["ChatChannel", "syntax", "an identifier that is no JSON object"],
    ['["ChatChannel"]', "syntax", "an identifier that is no JSON object"],
    ["{}", "syntax", "an identifier without a channel"],
    ['{"channel":""}', "syntax", "an identifier without a channel"],
    ['{"channel":1}', "syntax", "an identifier without a channel"],
    ['{"channel":"A","constructor":1}', "value", "a property with the name constructor"]
  ])("%j is refused", (text, reason, detail) => {
    expect(identified(text)).toEqual([reason, detail])
  })
})

describe("a transmission", () => {
  it.each(transmissions)("is %s", (text, said) => {
    expect(transmission(text)).toEqual(said)
    expect(Packet.encodeTransmission(said)).toEqual(Result.succeed(text))
  })

  it.each(extendedTransmissions)("of the extended protocol is %s", (text, said) => {
    expect(transmission(text, extended)).toEqual(said)
    expect(Packet.encodeTransmission(said)).toEqual(Result.succeed(text))
  })

  it("of the plain protocol says nothing of sessions and positions", () => {
    expect(transmission(extendedTransmissions[transmissions.length + 1]![0])).toEqual({
      _tag: "Welcome",
      sid: undefined,
      restored: undefined
    })
    expect(transmission(extendedTransmissions[transmissions.length + 2]![0])).toMatchObject({ position: undefined })
    for (const [text] of extendedTransmissions.slice(transmissions.length + 3)) {
      expect(transmission(text)).toEqual(["unknown", "a type that nobody knows"])
    }
  })

  it("is read where it says less", () => {
    expect(transmission('{"type":"disconnect"}')).toEqual({ _tag: "Disconnect", reason: undefined, reconnect: false })
    expect(transmission('{"type":"ping","message":"1"}')).toEqual({ _tag: "Ping", time: undefined })
    expect(transmission('{"type":"disconnect","reason":1}')).toMatchObject({ reason: undefined })
    const odd = '{"identifier":"a","message":1,"stream_id":1,"epoch":"x","offset":1}'
    expect(transmission(odd, extended)).toMatchObject({ position: undefined })
    expect(transmission('{"type":"ping"}')).toEqual({ _tag: "Ping", time: undefined })
    expect(transmission('{"type":"welcome","restored":true}', extended)).toEqual({
      _tag: "Welcome",
      sid: undefined,
      restored: []
    })
    expect(transmission('{"type":"welcome","restored":false,"restored_ids":[1]}', extended)).toMatchObject({
      restored: undefined
    })
    const half = '{"identifier":"a","message":1,"stream_id":"s","epoch":"x"}'
    expect(transmission(half, extended)).toMatchObject({ message: 1, position: undefined })
  })

  it.each<readonly [string, string, string]>([
    ["", "syntax", "a message that is no JSON object"],
    ["[]", "syntax", "a message that is no JSON object"],
    ["{}", "syntax", "neither a type nor an identifier"],
    ['{"message":1}', "syntax", "neither a type nor an identifier"],
    ['{"identifier":"a"}', "syntax", "neither a type nor a message"],
    ['{"type":"confirm_subscription"}', "syntax", "neither a type nor an identifier"],
    ['{"type":"fly","identifier":"a"}', "unknown", "a type that nobody knows"],
    ['{"type":null,"identifier":"a","message":1}', "unknown", "a type that nobody knows"],
    ['{"identifier":"a","message":{"__proto__":1}}', "value", "a property with the name __proto__"],
    ['{"type":"welcome","restored":true,"restored_ids":"a"}', "syntax", "identifiers that are none"],
    ['{"type":"welcome","restored":true,"restored_ids":[1]}', "syntax", "identifiers that are none"],
    ['{"type":"presence","identifier":"a"}', "syntax", "a presence of nobody"],
    ['{"type":"presence","identifier":"a","message":{"type":"join"}}', "syntax", "a presence of nobody"],
    ['{"type":"presence","identifier":"a","message":{"type":"info"}}', "syntax", "a presence of nobody"],
    [
      '{"type":"presence","identifier":"a","message":{"type":"info","total":1,"records":[1]}}',
      "syntax",
      "a presence of nobody"
    ],
    [
      '{"type":"presence","identifier":"a","message":{"type":"fly","id":"a"}}',
      "unknown",
      "a presence of a type that nobody knows"
    ]
  ])("that is none: %s", (text, reason, detail) => {
    expect(transmission(text, extended)).toEqual([reason, detail])
  })
})

describe("what JSON cannot carry", () => {
  it.each<readonly [unknown, string]>([
    [hex("01"), "bytes"],
    [1n, "cannot be sent: a bigint"],
    [Number.NaN, "cannot be sent: NaN"],
    [new Date(0), "cannot be sent: Date"],
    [JSON.parse('{"__proto__":1}'), "cannot be sent: a property with the name __proto__"],
    [nested(64), "cannot be sent: nested too deep, or in a circle"],
    [
      {
        get b(): number {
          throw new RangeError("no")
        }
      },
      "a value that cannot be read"
    ]
  ])("is refused: %#", (value, detail) => {
    const refused = Result.fail(new Packet.UnsendableValue({ detail }))
    expect(Packet.encodeTransmission({ _tag: "Message", identifier, message: value, position: undefined })).toEqual(
      refused
    )
    expect(Packet.encodeCommand({ _tag: "Whisper", identifier, data: value })).toEqual(refused)
    expect(Packet.encodeCommand({ _tag: "Perform", identifier, action: "a", data: { value } })).toEqual(refused)
  })

  it("is null where it is undefined", () => {
    const nothing = { _tag: "Message", identifier: "a", message: undefined, position: undefined } as const
    expect(Packet.encodeTransmission(nothing)).toEqual(Result.succeed('{"identifier":"a","message":null}'))
    const whisper = { _tag: "Whisper", identifier: "a", data: undefined } as const
    expect(Packet.encodeCommand(whisper)).toEqual(Result.succeed('{"command":"whisper","identifier":"a","data":null}'))
  })
})
