import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as HubMessage from "@millrace/core/cluster/HubMessage"

const accepted = (text: string) => {
  const decoded = HubMessage.decode(text)
  if (Result.isFailure(decoded)) throw new Error(`refused: ${decoded.failure.code}, ${decoded.failure.message}`)
  return decoded.success
}

const refused = (text: string) => {
  const decoded = HubMessage.decode(text)
  if (Result.isSuccess(decoded)) throw new Error(`accepted: ${JSON.stringify(decoded.success)}`)
  return decoded.failure
}

const dataOf = (text: string) => {
  const message = accepted(text)
  return message._tag === "Publish" ? message.dataJson : undefined
}

const nested = (levels: number) => `{"type":"publish","topic":"t","data":${"[".repeat(levels)}${"]".repeat(levels)}}`

describe("decode", () => {
  it("reads what a client may say", () => {
    expect(accepted('{"type":"subscribe","topic":"lobby"}')).toEqual({
      _tag: "Subscribe",
      topic: "lobby",
      id: undefined
    })
    expect(accepted('{"type":"unsubscribe","topic":"lobby","id":"a"}')).toEqual({
      _tag: "Unsubscribe",
      topic: "lobby",
      id: "a"
    })
    expect(accepted('{"type":"publish","topic":"lobby","data":{"text":"hi"},"id":7}')).toEqual({
      _tag: "Publish",
      topic: "lobby",
      dataJson: '{"text":"hi"}',
      key: undefined,
      echo: true,
      id: 7
    })
    expect(accepted('{"type":"ping"}')).toEqual({ _tag: "Ping", id: undefined })
  })

  it("ignores fields it does not know, and takes a null id for none", () => {
    expect(accepted('{"v":2,"type":"ping","id":null,"topic":5,"data":[]}')).toEqual({ _tag: "Ping", id: undefined })
  })

  it.each([
    ["", "bad-json"],
    ["lobby", "bad-json"],
    ['{"type":"ping"', "bad-json"],
    ['{"type":"ping"}{"type":"ping"}', "bad-json"],
    ["{'type':'ping'}", "bad-json"],
    ['\ufeff{"type":"ping"}', "bad-json"],
    ['{"type":"ping","x":"a\nb"}', "bad-json"],
    ["null", "bad-message"],
    ['"ping"', "bad-message"],
    ['[{"type":"ping"}]', "bad-message"],
    ["{}", "bad-message"],
    ['{"type":1}', "bad-message"],
    ['{"__proto__":{"type":"ping"}}', "bad-message"],
    ['{"type":"PING"}', "unknown-type"],
    ['{"type":"constructor"}', "unknown-type"],
    ['{"type":"subscribe"}', "bad-message"],
    ['{"type":"subscribe","topic":7}', "bad-message"],
    ['{"type":"subscribe","topic":""}', "bad-topic"],
    ['{"type":"unsubscribe","topic":"$all"}', "bad-topic"],
    ['{"type":"publish","topic":"a\\u0000b","data":1}', "bad-topic"],
    ['{"type":"publish","topic":"a"}', "bad-message"],
    ['{"type":"publish","topic":"a","__proto__":{"data":1}}', "bad-message"]
  ])("refuses %j as %s", (text, code) => {
    const refusal = refused(text)
    expect(refusal).toEqual({ type: "error", code, message: expect.stringMatching(/./) })
  })

  it("says where JSON went wrong", () => {
    expect(refused('{"type":"ping",}').message).toContain("position 15")
  })

  it.each([
    ['{"type":"nonsense","id":1}', "unknown-type"],
    ['{"id":1}', "bad-message"],
    ['{"type":"subscribe","id":1}', "bad-message"],
    ['{"type":"subscribe","topic":"$","id":1}', "bad-topic"],
    ['{"type":"publish","topic":"a","id":1}', "bad-message"]
  ])("repeats the id when it refuses %s", (text, code) => {
    expect(refused(text)).toMatchObject({ code, id: 1 })
  })

  it.each(["0", "-1", "1e3", "9007199254740991", "-9007199254740991", '""', `"${"é".repeat(64)}"`])(
    "takes %s for an id",
    (id) => {
      expect(accepted(`{"type":"ping","id":${id}}`)).toEqual({ _tag: "Ping", id: JSON.parse(id) })
    }
  )

  it("counts an id in characters, not in code units", () => {
    expect(accepted(`{"type":"ping","id":"${"🌊".repeat(64)}"}`)).toMatchObject({ id: "🌊".repeat(64) })
    expect(refused(`{"type":"ping","id":"${"🌊".repeat(65)}"}`).code).toBe("bad-message")
  })

  it("takes minus zero for zero", () => {
    expect(accepted('{"type":"ping","id":-0}')).toEqual({ _tag: "Ping", id: 0 })
    const key = '{"producer":"p","epoch":-0,"sequence":-0}'
    expect(accepted(`{"type":"publish","topic":"t","data":1,"key":${key}}`)).toMatchObject({
      key: { producer: "p", epoch: 0, sequence: 0 }
    })
  })

  it.each(["1.5", "9007199254740992", "1e400", "true", "[]", "{}", `"${"a".repeat(65)}"`])(
    "does not take %s for an id, and repeats none",
    (id) => {
      const refusal = refused(`{"type":"ping","id":${id}}`)
      expect(refusal.code).toBe("bad-message")
      expect(refusal).not.toHaveProperty("id")
    }
  )

  it("lets the last of two equal names count", () => {
    expect(accepted('{"type":"ping","topic":"a","type":"subscribe","topic":"b"}')).toMatchObject({
      _tag: "Subscribe",
      topic: "b"
    })
    expect(dataOf('{"data":1,"type":"publish","topic":"a","data":2}')).toBe("2")
    expect(dataOf('{"type":"publish","topic":"a","data":1,"d\\u0061ta":2}')).toBe("2")
  })

  it("treats the names of Object.prototype as any other topic", () => {
    for (const topic of ["__proto__", "constructor", "hasOwnProperty", "toString"]) {
      expect(accepted(JSON.stringify({ type: "subscribe", topic }))).toMatchObject({ topic })
    }
  })

  it("passes data on as it was written", () => {
    for (const data of [
      "null",
      "-0",
      "1e400",
      "18446744073709551615",
      "0.10",
      '"\\ud800 \\u00e9 \\/"',
      '"}, \\"data\\": 1"',
      '"\\\\"',
      '{"b":1,"2":2,"1":3,"__proto__":4}',
      '{"a":1,"a":2}',
      '{"data":{"data":[1,{"data":2}]}}',
      "[]",
      "{}"
    ]) {
      expect(dataOf(`{"type":"publish","topic":"t","data":${data}}`)).toBe(data)
      expect(dataOf(`{ "data" : ${data} , "topic":"t","type":"publish","x":{"data":0}}`)).toBe(data)
    }
  })

  it("makes one line of data", () => {
    expect(dataOf('{"type":"publish","topic":"t","data": \r\n{\n\t"a": "\\n"\n}\n}')).toBe('{  "a": "\\n" }')
  })

  it("accepts nesting up to the limit, and refuses one more before it parses", () => {
    expect(dataOf(nested(HubMessage.maxDepth - 1))).toBe(
      "[".repeat(HubMessage.maxDepth - 1) + "]".repeat(HubMessage.maxDepth - 1)
    )
    expect(refused(nested(HubMessage.maxDepth)).code).toBe("too-deep")
    expect(refused('{"a":'.repeat(HubMessage.maxDepth + 1)).code).toBe("too-deep")
    expect(refused("[".repeat(1_000_000)).code).toBe("too-deep")
    expect(refused(nested(1_000_000)).code).toBe("too-deep")
  })

  it("does not count brackets inside strings, nor brackets that were closed", () => {
    const text = `"${'[\\"{\\\\'.repeat(100)}"`
    expect(dataOf(`{"type":"publish","topic":"t","data":${text}}`)).toBe(text)
    const flat = `[${"[],{},".repeat(1000)}0]`
    expect(dataOf(`{"type":"publish","topic":"t","data":${flat}}`)).toBe(flat)
  })

  it("takes time linear in what it reads", () => {
    // A quadratic scan of a mebibyte takes minutes, and the runner's limit fails it.
    const size = 1 << 20
    expect(dataOf(`{"type":"publish","topic":"t","data":"${"\\\\".repeat(size / 2)}"}`)).toHaveLength(size + 2)
    expect(dataOf(`{"type":"publish","topic":"t","data":"${'\\"'.repeat(size / 2)}"}`)).toHaveLength(size + 2)
    expect(refused(`{"type":"ping","${"k".repeat(size)}":1,"id":[]}`).code).toBe("bad-message")
    expect(refused('"'.repeat(size)).code).toBe("bad-json")
    expect(refused("\\".repeat(size)).code).toBe("bad-json")
    expect(refused(`"${"\\".repeat(size)}`).code).toBe("bad-json")
  })
})

const subscribe = (position: string) => `{"type":"subscribe","topic":"t","id":1,"position":${position}}`

describe("the position of a subscribe", () => {
  it.each([
    ['"k3Yw9_sB:41"', { epoch: "k3Yw9_sB", offset: 41 }],
    ['"a:b:0"', { epoch: "a:b", offset: 0 }],
    ['":9007199254740991"', { epoch: "", offset: 9_007_199_254_740_991 }],
    ["null", undefined],
    [`"${"e".repeat(126)}:7"`, { epoch: "e".repeat(126), offset: 7 }]
  ])("%.40s is read", (text, position) => {
    expect(accepted(subscribe(text))).toEqual({ _tag: "Subscribe", topic: "t", position, id: 1 })
  })

  it.each(["41", '""', '"41"', '"k:-1"', '"k:01"', '"k:1.0"', '"k:9007199254740992"', "{}", `"${"e".repeat(127)}:7"`])(
    "%.40s is none that a hub has told",
    (text) => {
      expect(refused(subscribe(text))).toMatchObject({ code: "bad-message", id: 1 })
    }
  )
})

const subscribeWithPresence = (presence: string) => `{"type":"subscribe","topic":"t","id":1,"presence":${presence}}`

const deep = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`

describe("the presence of a subscribe", () => {
  it.each([
    ["null", undefined],
    ["false", undefined],
    ["true", { info: undefined }],
    ["{}", { info: undefined }],
    ['{"info":null}', { info: "null" }],
    ['{"info":1.50}', { info: "1.50" }],
    ['{"info":12345678901234567890,"mood":1}', { info: "12345678901234567890" }],
    ['{"info": {"__proto__": [1,\n2] }}', { info: '{"__proto__": [1, 2] }' }],
    ['{"__proto__":{"info":1}}', { info: undefined }],
    ['{"info":1,"in\\u0066o":2}', { info: "2" }],
    ['true,"presence":{"info":"}\\""}', { info: '"}\\""' }],
    [`{"info":${deep(61)}}`, { info: deep(61) }]
  ])("%.40s is read", (text, presence) => {
    expect(accepted(subscribeWithPresence(text))).toEqual({ _tag: "Subscribe", topic: "t", presence, id: 1 })
  })

  it.each(["1", "0", '""', '"true"', "[]", "[true]"])("%s is none", (presence) => {
    expect(refused(subscribeWithPresence(presence))).toMatchObject({ code: "bad-message", id: 1 })
  })

  it("has no info that others could not read for its depth", () => {
    expect(refused(subscribeWithPresence(`{"info":${deep(62)}}`))).toMatchObject({ code: "too-deep", id: 1 })
    expect(refused(subscribeWithPresence(`{"info":${deep(63)}}`))).toMatchObject({ code: "too-deep" })
  })

  it("is asked for by itself, too", () => {
    expect(accepted('{"type":"presence","topic":"t","id":"a"}')).toEqual({ _tag: "Presence", topic: "t", id: "a" })
    expect(accepted('{"type":"presence","topic":"t"}')).toEqual({ _tag: "Presence", topic: "t", id: undefined })
    expect(refused('{"type":"presence","id":1}')).toMatchObject({ code: "bad-message", id: 1 })
    expect(refused('{"type":"presence","topic":"$x","id":1}')).toMatchObject({ code: "bad-topic", id: 1 })
  })
})

const publishWithKey = (key: string) => `{"type":"publish","topic":"t","data":1,"id":1,"key":${key}}`

describe("the key of a publish", () => {
  const keyed = (producer: string, epoch: string | number = 0, sequence: string | number = 0) =>
    publishWithKey(`{"producer":${JSON.stringify(producer)},"epoch":${epoch},"sequence":${sequence}}`)

  it.each([
    ["p", 0, 0],
    ["__proto__", 1, 2],
    ["x".repeat(HubMessage.maxProducerBytes), Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
    ["é".repeat(60), 0, 0]
  ])("with producer %.10j, epoch %i and sequence %i is read", (producer, epoch, sequence) => {
    expect(accepted(keyed(producer, epoch, sequence))).toMatchObject({ key: { producer, epoch, sequence } })
  })

  it("is none when it is null", () => {
    expect(accepted(publishWithKey("null"))).toMatchObject({ key: undefined })
  })

  it.each([
    publishWithKey('"p"'),
    publishWithKey("7"),
    publishWithKey("[]"),
    publishWithKey("{}"),
    publishWithKey('{"producer":"p","epoch":0}'),
    publishWithKey('{"producer":7,"epoch":0,"sequence":0}'),
    keyed(""),
    keyed("x".repeat(HubMessage.maxProducerBytes + 1)),
    keyed("é".repeat(61)),
    publishWithKey('{"producer":"\\ud800","epoch":0,"sequence":0}'),
    keyed("p", -1),
    keyed("p", 0, -1),
    keyed("p", 0.5),
    keyed("p", 0, "9007199254740992"),
    keyed("p", "1e400"),
    keyed("p", '"0"')
  ])("%.90s is refused", (text) => {
    expect(refused(text)).toMatchObject({ code: "bad-message", id: 1 })
  })
})

const publishWithEcho = (echo: string) => `{"type":"publish","topic":"t","data":1,"echo":${echo}}`

describe("the echo of a publish", () => {
  it("is wanted unless it is said that it is not", () => {
    const echoes = ["true", "null", "false"].map((echo) => accepted(publishWithEcho(echo)))
    expect(echoes).toMatchObject([{ echo: true }, { echo: true }, { echo: false }])
  })

  it.each(["0", '"false"', "[]"])("%s is neither", (echo) => {
    expect(refused(publishWithEcho(echo)).code).toBe("bad-message")
  })
})

describe("decodePublish", () => {
  it("reads the body of POST /publish", () => {
    expect(HubMessage.decodePublish('{"topic":"lobby","data":12345678901234567890}')).toEqual(
      Result.succeed({
        _tag: "Publish",
        topic: "lobby",
        dataJson: "12345678901234567890",
        key: undefined,
        echo: true,
        id: undefined
      })
    )
  })

  it.each([
    ["", "bad-json"],
    ["[]", "bad-message"],
    ['{"data":1}', "bad-message"],
    ['{"topic":"lobby"}', "bad-message"],
    ['{"topic":"$lobby","data":1}', "bad-topic"],
    ["[".repeat(1_000_000), "too-deep"]
  ])("refuses %.20j as %s", (text, code) => {
    expect(HubMessage.decodePublish(text)).toMatchObject({ failure: { code } })
  })
})

describe("isTopic", () => {
  it.each([
    ["a", true],
    ["", false],
    ["a".repeat(256), true],
    ["a".repeat(257), false],
    ["é".repeat(128), true],
    ["é".repeat(128) + "a", false],
    ["€".repeat(85) + "a", true],
    ["€".repeat(85) + "aa", false],
    ["🌊".repeat(64), true],
    ["🌊".repeat(64) + "a", false],
    ["$", false],
    ["a$", true],
    ["room/1:lobby * #", true],
    ["a\u0000", false],
    ["a\u001f", false],
    ["a\u007f", false],
    ["a\u009f", false],
    ["a\u00a0", true],
    ["\ud83c", false],
    ["\udf0a\ud83c", false]
  ])("of %j is %s", (text, expected) => {
    expect(HubMessage.isTopic(text)).toBe(expected)
  })
})

describe("isClientName", () => {
  it.each([
    ["ada", true],
    ["", false],
    ["a".repeat(64), true],
    ["a".repeat(65), false],
    ["🌊".repeat(64), true],
    ["🌊".repeat(65), false],
    ["@http", false],
    ["@", false],
    ["ada@home", true],
    ["Ada Lovelace", true],
    ["ada\n", false],
    ["a\u0085", false],
    ["\ud83c", false]
  ])("of %j is %s", (text, expected) => {
    expect(HubMessage.isClientName(text)).toBe(expected)
  })
})

describe("encode", () => {
  it("prints every message as docs/protocol.md shows it", () => {
    expect(
      [
        HubMessage.encode({ type: "welcome", client: "ada", protocol: 1 }),
        HubMessage.encode({ type: "subscribed", topic: "lobby", id: undefined }),
        HubMessage.encode({ type: "unsubscribed", topic: "lobby", id: 0 }),
        HubMessage.encode({ type: "published", topic: "lobby", id: "", receivers: 2 }),
        HubMessage.encode({ type: "pong", id: undefined }),
        HubMessage.encode(HubMessage.refuse("binary")),
        HubMessage.encode(HubMessage.refuse("too-many-topics", 9, "no more"))
      ].join("\n")
    ).toBe(
      [
        '{"type":"welcome","client":"ada","protocol":1}',
        '{"type":"subscribed","topic":"lobby"}',
        '{"type":"unsubscribed","topic":"lobby","id":0}',
        '{"type":"published","topic":"lobby","id":"","receivers":2}',
        '{"type":"pong"}',
        '{"type":"error","code":"binary","message":"messages are text, not binary"}',
        '{"type":"error","code":"too-many-topics","message":"no more","id":9}'
      ].join("\n")
    )
  })

  it("prints a message around data that is already JSON", () => {
    expect(
      HubMessage.encodeMessage({
        topic: 'a "b"',
        dataJson: HubMessage.toJson({ n: 1 }),
        from: "\\",
        time: 1_790_000_000_000
      })
    ).toBe('{"type":"message","topic":"a \\"b\\"","data":{"n":1},"from":"\\\\","time":1790000000000}')
  })

  it("has a JSON text for what JSON has no word for", () => {
    expect([undefined, () => 1, Number.NaN].map(HubMessage.toJson)).toEqual(["null", "null", "null"])
  })
})

describe("dataOf", () => {
  it("is what was published, as it was written, out of a message and nothing else", () => {
    const dataJson = '{"n":1e400, "data":12345678901234567890}' as HubMessage.JsonText
    const text = HubMessage.encodeMessage({ topic: '"data":1', dataJson, from: "a", time: 0 })
    expect(HubMessage.dataOf(text)).toBe(dataJson)
    const others = [
      "",
      "null",
      "1",
      "as it is",
      '{"data":1}',
      '{"type":"other","data":1}',
      '{"type":"message"}',
      text + "}"
    ]
    for (const other of others) expect(HubMessage.dataOf(other)).toBeUndefined()
  })
})
