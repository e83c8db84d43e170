import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as Extensions from "@millrace/core/codec/Extensions"
import * as Handshake from "@millrace/core/codec/Handshake"
import { MalformedHead, Refusal } from "@millrace/core/codec/HandshakeError"
import * as HttpHead from "@millrace/core/codec/HttpHead"
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import * as Negotiation from "@millrace/core/codec/Negotiation"
import * as Origin from "@millrace/core/codec/Origin"
import {
  failureOf,
  prototypeNames,
  replaced,
  sampleKey,
  sampleRequest,
  sampleResponse,
  without
} from "../../support/handshake.ts"
import { hex, utf8 } from "../../support/wire.ts"

const deflate = Result.getOrThrow(Extensions.parse("permessage-deflate; client_max_window_bits"))

const options: Handshake.RequestOptions = {
  host: "server.example.com",
  target: "/chat",
  key: sampleKey,
  subprotocols: ["chat", "superchat"],
  extensions: deflate
}

const read = (headers: Headers) => Handshake.readRequest({ ...sampleRequest, headers })
const readField = (name: string, ...values: ReadonlyArray<string>) =>
  read(replaced(sampleRequest.headers, name, ...values))
const sample = Result.getOrThrow(Handshake.readRequest(sampleRequest))

const verify = (headers: Headers, status = 101) => Handshake.verify({ status, reason: "", headers }, options)
const verifyField = (name: string, ...values: ReadonlyArray<string>) =>
  verify(replaced(sampleResponse.headers, name, ...values))

const refusal = (patch: Partial<ConstructorParameters<typeof Refusal>[0]> = {}) =>
  Handshake.refuse(new Refusal({ status: 403, headers: [], clause: "RFC 6455 10.2", detail: "no", ...patch }))

describe("RFC 6455 1.3: the accept key", () => {
  it("of the example", () => {
    expect(Handshake.acceptKey("dGhlIHNhbXBsZSBub25jZQ==")).toBe("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
  })
})

describe("Handshake.request, RFC 6455 4.1", () => {
  it("2 to 11: builds a GET with the fields that are required, and those that were asked for", () => {
    expect(Handshake.request({ ...options, origin: "http://example.com", headers: [["Cookie", "a=b"]] })).toEqual(
      Result.succeed({
        method: "GET",
        target: "/chat",
        version: { major: 1, minor: 1 },
        headers: [
          ["Host", "server.example.com"],
          ["Upgrade", "websocket"],
          ["Connection", "Upgrade"],
          ["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="],
          ["Sec-WebSocket-Version", "13"],
          ["Sec-WebSocket-Protocol", "chat, superchat"],
          ["Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"],
          ["Origin", "http://example.com"],
          ["Cookie", "a=b"]
        ]
      })
    )
  })

  it("10, 11: leaves out the fields of what was not asked for", () => {
    const request = Result.getOrThrow(Handshake.request({ ...options, subprotocols: [], extensions: [] }))
    expect(request.headers.map(([name]) => name)).toEqual([
      "Host",
      "Upgrade",
      "Connection",
      "Sec-WebSocket-Key",
      "Sec-WebSocket-Version"
    ])
  })

  it.each([
    ["host", { host: "a b" }],
    ["host", { host: "a\r\nX: y" }],
    ["host", { host: "user@a" }],
    ["host", { host: "" }],
    ["target", { target: "chat" }],
    ["target", { target: "" }],
    ["target", { target: "/a#b" }],
    ["target", { target: "/a b" }],
    ["target", { target: "/\r\nX: y" }],
    ["target", { target: "/\u0085" }],
    ["key", { key: new Uint8Array(15) }],
    ["key", { key: new Uint8Array(17) }],
    ["subprotocol", { subprotocols: ["a", "a"] }],
    ["subprotocol", { subprotocols: [""] }],
    ["subprotocol", { subprotocols: ["a,b"] }],
    ["subprotocol", { subprotocols: ["a\r\nX: y"] }],
    ["extension", { extensions: [{ name: "a b", params: [] }] }],
    ["field value", { origin: "http://a\r\nX: y" }],
    ["field value", { headers: [["Cookie", "a\nb"]] }],
    ["field name", { headers: [["a\nb", "c"]] }],
    ...[
      "Host",
      "UPGRADE",
      "connection",
      "Sec-WebSocket-Key",
      "sec-websocket-anything",
      "Origin",
      "Content-Length",
      "Transfer-Encoding"
    ].map((name) => ["field name", { headers: [[name, "x"]] }] as const)
  ] as ReadonlyArray<[string, Partial<Handshake.RequestOptions>]>)(
    "refuses a %s such as %j: the caller's fault",
    (part, patch) => {
      expect(failureOf(Handshake.request({ ...options, ...patch }))).toMatchObject({ _tag: "InvalidHead", part })
    }
  )
})

describe("Handshake.verify, RFC 6455 4.1", () => {
  it("accepts the response that section 1.3 prints", () => {
    expect(Handshake.verify(sampleResponse, options)).toEqual(Result.succeed({ subprotocol: "chat", extensions: [] }))
  })

  it("4.2.2: accepts a response without a subprotocol, and one with an extension", () => {
    const headers = replaced(
      without(sampleResponse.headers, "Sec-WebSocket-Protocol"),
      "sec-websocket-extensions",
      "permessage-deflate"
    )
    expect(verify(headers)).toEqual(
      Result.succeed({ subprotocol: undefined, extensions: [{ name: "permessage-deflate", params: [] }] })
    )
  })

  it.each([200, 301, 401, 403, 426, 500, 100, 103])(
    "1: status %i is not an error of the protocol, and is handed on",
    (status) => {
      const headers: Headers = [["WWW-Authenticate", "Basic"]]
      expect(failureOf(verify(headers, status))).toMatchObject({
        _tag: "Declined",
        status,
        headers,
        clause: "RFC 6455 4.1"
      })
    }
  )

  it.each([
    ["2: lacks Upgrade", "Upgrade", []],
    ["2: another Upgrade", "Upgrade", ["h2c"]],
    ["2: Upgrade is not websocket alone", "Upgrade", ["websocket, h2c"]],
    ["2: Upgrade twice", "Upgrade", ["websocket", "websocket"]],
    ["2: Upgrade with a Kelvin sign", "Upgrade", ["websoc\u212aet"]],
    ["3: lacks Connection", "Connection", []],
    ["3: another Connection", "Connection", ["close"]],
    ["3: Connection has no such token", "Connection", ["not-upgrade, upgrades"]],
    ["4: lacks Sec-WebSocket-Accept", "Sec-WebSocket-Accept", []],
    ["4: another Sec-WebSocket-Accept", "Sec-WebSocket-Accept", ["s3pPLMBiTxaQ9kYGzzhZRbK+xOO="]],
    ["4: Sec-WebSocket-Accept in another case", "Sec-WebSocket-Accept", ["S3PPLMBITXAQ9KYGZZHZRBK+XOO="]],
    ["4: the key itself", "Sec-WebSocket-Accept", ["dGhlIHNhbXBsZSBub25jZQ=="]],
    [
      "4: Sec-WebSocket-Accept twice",
      "Sec-WebSocket-Accept",
      ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]
    ],
    ["5: an extension that was not offered", "Sec-WebSocket-Extensions", ["mux"]],
    ["5: one that was offered, one that was not", "Sec-WebSocket-Extensions", ["permessage-deflate, mux"]],
    ...prototypeNames.map((name) => [`5: ${name}`, "Sec-WebSocket-Extensions", [name]] as const),
    ["6: a subprotocol that was not offered", "Sec-WebSocket-Protocol", ["other"]],
    ["6: a subprotocol in another case", "Sec-WebSocket-Protocol", ["CHAT"]],
    ["6: two subprotocols in one field", "Sec-WebSocket-Protocol", ["chat, superchat"]],
    ["6: an empty subprotocol", "Sec-WebSocket-Protocol", [""]],
    ...prototypeNames.map((name) => [`6: ${name}`, "Sec-WebSocket-Protocol", [name]] as const)
  ] as ReadonlyArray<[string, string, ReadonlyArray<string>]>)("%s: MUST fail the connection", (_, field, values) => {
    expect(failureOf(verifyField(field, ...values))).toMatchObject({
      _tag: "HandshakeViolation",
      field,
      clause: "RFC 6455 4.1"
    })
  })

  it("4.2.2: two fields with a subprotocol, even with the same", () => {
    expect(failureOf(verifyField("Sec-WebSocket-Protocol", "chat", "chat"))).toMatchObject({
      field: "Sec-WebSocket-Protocol",
      clause: "RFC 6455 4.2.2"
    })
  })

  it("9.1: extensions that do not follow the grammar", () => {
    expect(failureOf(verifyField("Sec-WebSocket-Extensions", "permessage-deflate;"))).toMatchObject({
      field: "Sec-WebSocket-Extensions",
      clause: "RFC 6455 9.1"
    })
  })

  it("2, 3, 4: case and white space do not count", () => {
    expect(
      verify([
        ["upgrade", " WebSocket\t"],
        ["CONNECTION", "keep-alive , uPGRADE"],
        ["sec-websocket-accept", "\ts3pPLMBiTxaQ9kYGzzhZRbK+xOo= "]
      ])
    ).toEqual(Result.succeed({ subprotocol: undefined, extensions: [] }))
  })
})

describe("Handshake.readRequest, RFC 6455 4.2.1", () => {
  it("reads the request that section 1.3 prints", () => {
    expect(Handshake.readRequest(sampleRequest)).toEqual(
      Result.succeed({
        host: "server.example.com",
        target: "/chat",
        key: "dGhlIHNhbXBsZSBub25jZQ==",
        origin: "http://example.com",
        subprotocols: ["chat", "superchat"],
        extensions: []
      })
    )
  })

  it("4.1 7: takes the key that the RFC prints as an example", () => {
    expect(readField("Sec-WebSocket-Key", " AQIDBAUGBwgJCgsMDQ4PEC== ")).toMatchObject({
      success: { key: "AQIDBAUGBwgJCgsMDQ4PEC==" }
    })
  })

  it("3, 4: case and order do not count, other values may stand beside", () => {
    const headers = replaced(
      replaced(sampleRequest.headers.toReversed(), "UPGRADE", "h2c, WebSocket"),
      "connection",
      "keep-alive",
      "foo, UPGRADE"
    )
    expect(Result.isSuccess(read(headers))).toBe(true)
  })

  it("8, 9: without Origin, subprotocols and extensions", () => {
    const headers = without(without(sampleRequest.headers, "Origin"), "Sec-WebSocket-Protocol")
    expect(read(headers)).toMatchObject({ success: { origin: undefined, subprotocols: [], extensions: [] } })
  })

  it("8, 9: lists may be split over fields and have empty elements, and their order is kept", () => {
    const headers = replaced(
      replaced(sampleRequest.headers, "Sec-WebSocket-Protocol", "b,, a", "c ,"),
      "Sec-WebSocket-Extensions",
      "foo",
      "bar; baz=2"
    )
    expect(read(headers)).toMatchObject({
      success: {
        subprotocols: ["b", "a", "c"],
        extensions: [
          { name: "foo", params: [] },
          { name: "bar", params: [["baz", "2"]] }
        ]
      }
    })
  })

  it.each([
    ["/a?b=c", "server.example.com", "/a?b=c"],
    ["http://other.example/a?b", "other.example", "/a?b"],
    ["HTTPS://other.example:8443", "other.example:8443", "/"],
    ["https://other.example?a/b", "other.example", "/?a/b"],
    ["//other.example/a", "server.example.com", "//other.example/a"]
  ])("1: the target %s is the resource of %s, %s", (target, host, resource) => {
    expect(Handshake.readRequest({ ...sampleRequest, target })).toMatchObject({ success: { host, target: resource } })
  })

  it.each([
    "",
    "*",
    "chat",
    "server.example.com:443",
    "ftp://server.example.com/",
    "http://",
    "http:///a",
    "http://user@server.example.com/",
    "/a#b",
    "/a b",
    "/\u0000",
    "/\u00e9"
  ])("1: the target %j is no resource: 400", (target) => {
    expect(failureOf(Handshake.readRequest({ ...sampleRequest, target }))).toMatchObject({
      _tag: "Refusal",
      status: 400
    })
  })

  it.each(["POST", "get", "HEAD", "CONNECT", "OPTIONS"])("1: the method %s is refused with 405", (method) => {
    expect(failureOf(Handshake.readRequest({ ...sampleRequest, method }))).toMatchObject({
      status: 405,
      headers: [["Allow", "GET"]],
      clause: "RFC 6455 4.2.1"
    })
  })

  it.each([
    [1, 0, false],
    [0, 9, false],
    [1, 1, true],
    [1, 2, true],
    [2, 0, true]
  ])("1: HTTP/%i.%i, which MUST be 1.1 or higher: %s", (major, minor, passes) => {
    expect(Result.isSuccess(Handshake.readRequest({ ...sampleRequest, version: { major, minor } }))).toBe(passes)
  })

  it.each([
    ["2: Host is missing", "Host", [], 400],
    ["2: Host twice", "Host", ["server.example.com", "server.example.com"], 400],
    ["2: Host is two", "Host", ["a, b"], 400],
    ["2: Host is empty", "Host", [""], 400],
    ["2: Host has a path", "Host", ["a/b"], 400],
    ["3: Upgrade is missing", "Upgrade", [], 426],
    ["3: Upgrade is another", "Upgrade", ["h2c"], 426],
    ["3: Upgrade has no such token", "Upgrade", ["websocket2"], 426],
    ["3: Upgrade with a Kelvin sign", "Upgrade", ["websoc\u212aet"], 426],
    ["4: Connection is missing", "Connection", [], 400],
    ["4: Connection is another", "Connection", ["keep-alive"], 400],
    ["5: the key is missing", "Sec-WebSocket-Key", [], 400],
    ["5: the key is there twice", "Sec-WebSocket-Key", ["dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="], 400],
    ["5: the key is 15 bytes", "Sec-WebSocket-Key", ["dGhlIHNhbXBsZSBub25j"], 400],
    ["5: the key is 17 bytes", "Sec-WebSocket-Key", ["dGhlIHNhbXBsZSBub25jZXM="], 400],
    ["5: the key is 18 bytes", "Sec-WebSocket-Key", ["dGhlIHNhbXBsZSBub25jZXNz"], 400],
    ["5: the key is not base64", "Sec-WebSocket-Key", ["dGhlIHNhbXBsZSBub25j*Q=="], 400],
    ["5: the key is empty", "Sec-WebSocket-Key", [""], 400],
    ["6: the version is missing", "Sec-WebSocket-Version", [], 400],
    ["6: the version is there twice", "Sec-WebSocket-Version", ["13", "13"], 400],
    ["6: the version is a list", "Sec-WebSocket-Version", ["13, 8"], 400],
    ["6: the version has a leading zero", "Sec-WebSocket-Version", ["013"], 400],
    ["6: the version is over 255", "Sec-WebSocket-Version", ["256"], 400],
    ["6: the version is no number", "Sec-WebSocket-Version", ["thirteen"], 400],
    ["6: the version is empty", "Sec-WebSocket-Version", [""], 400],
    ["7: two origins", "Origin", ["http://example.com", "http://example.com"], 400],
    ["8: a subprotocol that is no token", "Sec-WebSocket-Protocol", ["a b"], 400],
    ["8: an empty list of subprotocols", "Sec-WebSocket-Protocol", [","], 400],
    ["8: a subprotocol twice", "Sec-WebSocket-Protocol", ["a, b", "a"], 400],
    ["9: extensions that do not follow the grammar", "Sec-WebSocket-Extensions", ["a;;"], 400],
    ["9: an empty list of extensions", "Sec-WebSocket-Extensions", [""], 400],
    ["a body by length", "Content-Length", ["5"], 400],
    ["a body by length, twice", "Content-Length", ["0", "5"], 400],
    ["a body by coding", "Transfer-Encoding", ["chunked"], 400]
  ])("%s", (_, name, values, status) => {
    expect(failureOf(readField(name, ...values))).toMatchObject({ _tag: "Refusal", status })
  })

  it("an empty body is none", () => {
    expect(Result.isSuccess(readField("Content-Length", "0"))).toBe(true)
  })

  it.each(["0", "7", "8", "12", "14", "25", "255"])(
    "4.4: version %s is answered with 426 and the version that is spoken",
    (version) => {
      expect(failureOf(readField("Sec-WebSocket-Version", version))).toMatchObject({
        status: 426,
        headers: [["Sec-WebSocket-Version", "13"]],
        clause: "RFC 6455 4.4"
      })
    }
  )

  it("no refusal quotes what the client sent", () => {
    const names = [
      "Host",
      "Upgrade",
      "Connection",
      "Sec-WebSocket-Key",
      "Sec-WebSocket-Version",
      "Sec-WebSocket-Protocol",
      "Sec-WebSocket-Extensions"
    ]
    for (const name of names) {
      const error = failureOf(readField(name, "<b>hello</b>"))
      expect(error?.message).not.toContain("hello")
    }
  })

  it("an HTTP server that dropped fields over its own limit leaves a request that is refused, not a crash", () => {
    const filler: Headers = Array.from({ length: 2000 }, (_, i) => [`x-${i}`, "y"] as const)
    expect(failureOf(read(filler))).toMatchObject({ status: 400 })
    expect(failureOf(read([]))).toMatchObject({ status: 400 })
    expect(Result.isSuccess(read([...filler, ...sampleRequest.headers]))).toBe(true)
  })

  it.each(prototypeNames)("%s as a subprotocol, an extension and a field", (name) => {
    const headers: Headers = [
      ...replaced(sampleRequest.headers, "Sec-WebSocket-Protocol", name),
      ["Sec-WebSocket-Extensions", `${name}; ${name}`],
      [name, name]
    ]
    expect(read(headers)).toMatchObject({
      success: { subprotocols: [name], extensions: [{ name, params: [[name, undefined]] }] }
    })
    expect(Negotiation.chooseSubprotocol(sample, [name])).toBeUndefined()
  })
})

describe("Handshake.response, RFC 6455 4.2.2", () => {
  const chat = Result.getOrThrow(readField("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"))

  it("5: answers the request that section 1.3 prints with the response that it prints", () => {
    expect(Handshake.response(sample, { subprotocol: "chat" })).toEqual(Result.succeed(sampleResponse))
  })

  it("5.5, 5.6: without a choice sends no field for it", () => {
    expect(Result.getOrThrow(Handshake.response(sample)).headers.map(([name]) => name)).toEqual([
      "Upgrade",
      "Connection",
      "Sec-WebSocket-Accept"
    ])
  })

  it("5.6: with extensions and fields of the application's", () => {
    const response = Handshake.response(chat, {
      extensions: [{ name: "permessage-deflate", params: [["server_max_window_bits", "10"]] }],
      headers: [["Set-Cookie", "a=b"]]
    })
    expect(Result.getOrThrow(response).headers.slice(3)).toEqual([
      ["Sec-WebSocket-Extensions", "permessage-deflate; server_max_window_bits=10"],
      ["Set-Cookie", "a=b"]
    ])
  })

  it.each([
    ["subprotocol", { subprotocol: "other" }],
    ["subprotocol", { subprotocol: "" }],
    ["subprotocol", { subprotocol: "Chat" }],
    ["extension", { extensions: [{ name: "mux", params: [] }] }],
    ["extension", { extensions: [{ name: "constructor", params: [] }] }],
    ["extension", { extensions: [{ name: "permessage-deflate", params: [["a", "b\r\nc"]] }] }],
    ["field value", { headers: [["Set-Cookie", "a\r\nb: c"]] }],
    ["field name", { headers: [["Sec-WebSocket-Protocol", "chat"]] }],
    ["field name", { headers: [["content-length", "0"]] }]
  ] as ReadonlyArray<[string, Parameters<typeof Handshake.response>[1]]>)(
    "refuses a %s such as %j: the caller's fault",
    (part, chosen) => {
      expect(failureOf(Handshake.response(chat, chosen))).toMatchObject({ _tag: "InvalidHead", part })
    }
  )

  it("a handshake that somebody made by hand is not trusted either", () => {
    const handmade = { ...chat, subprotocols: ["a\r\nb: c"] }
    expect(failureOf(Handshake.response(handmade, { subprotocol: "a\r\nb: c" }))).toMatchObject({
      _tag: "InvalidHead",
      part: "field value"
    })
  })

  it("step 4: the server's order of preference decides between the subprotocols that were offered", () => {
    expect(Negotiation.chooseSubprotocol(sample, ["other", "superchat", "chat"])).toBe("superchat")
    expect(Negotiation.chooseSubprotocol(sample, ["other"])).toBeUndefined()
    expect(Negotiation.chooseSubprotocol(sample, [])).toBeUndefined()
  })

  it("step 4, 10.2: an origin that may not connect is refused with 403", () => {
    expect(failureOf(Negotiation.checkOrigin(sample))).toMatchObject({ status: 403, clause: "RFC 6455 10.2" })
    expect(Result.isSuccess(Negotiation.checkOrigin(sample, Origin.any))).toBe(true)
    const page = { ...sample, origin: "https://server.example.com" }
    expect(Result.isSuccess(Negotiation.checkOrigin(page))).toBe(true)
    expect(failureOf(Negotiation.checkOrigin(page, Origin.sameOrigin, "http"))).toMatchObject({ status: 403 })
    expect(Result.isSuccess(Negotiation.checkOrigin({ ...sample, origin: undefined }))).toBe(true)
  })
})

describe("Handshake.refuse, RFC 6455 4.2.2", () => {
  it("is a whole response with a body", () => {
    const { body, response } = Result.getOrThrow(refusal())
    expect(body).toEqual(hex("6e 6f 0a"))
    expect(new TextDecoder().decode(Result.getOrThrow(HttpHead.printResponse(response)))).toBe(
      "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n\r\n"
    )
  })

  it("4.4: another version is answered with 426, what to upgrade to, and the versions", () => {
    const error = failureOf(readField("Sec-WebSocket-Version", "25"))!
    expect(Result.getOrThrow(Handshake.refuse(error)).response).toMatchObject({
      status: 426,
      reason: "Upgrade Required",
      headers: [
        ["Upgrade", "websocket"],
        ["Connection", "Upgrade, close"],
        ["Content-Type", "text/plain; charset=utf-8"],
        ["Content-Length", "46"],
        ["Sec-WebSocket-Version", "13"]
      ]
    })
  })

  it("has the body and the type that it was given", () => {
    const { body, response } = Result.getOrThrow(
      refusal({ body: '{"code":4,"message":"\u00e9"}', headers: [["content-type", "application/json"]] })
    )
    expect(body).toEqual(utf8('{"code":4,"message":"\u00e9"}'))
    expect(response.headers).toEqual([
      ["Connection", "close"],
      ["Content-Length", `${body.length}`],
      ["content-type", "application/json"]
    ])
  })

  it("answers a head that could not be read", () => {
    const error = new MalformedHead({ status: 431, clause: "RFC 6585 5", detail: "header too long" })
    expect(Result.getOrThrow(Handshake.refuse(error)).response.status).toBe(431)
  })

  it.each([
    ["status", { status: 101 }],
    ["status", { status: 200 }],
    ["status", { status: 600 }],
    ["status", { status: 400.5 }],
    ["field value", { headers: [["WWW-Authenticate", "a\r\nb"]] }],
    ["field name", { headers: [["Content-Length", "9"]] }],
    ["field name", { headers: [["Connection", "keep-alive"]] }]
  ] as ReadonlyArray<[string, Partial<ConstructorParameters<typeof Refusal>[0]>]>)(
    "refuses a %s such as %j: the caller's fault",
    (part, patch) => {
      expect(failureOf(refusal(patch))).toMatchObject({ _tag: "InvalidHead", part })
    }
  )
})
