import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as ExtendedConnect from "@millrace/core/codec/ExtendedConnect"
import * as Extensions from "@millrace/core/codec/Extensions"
import { Refusal } from "@millrace/core/codec/HandshakeError"
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import * as Negotiation from "@millrace/core/codec/Negotiation"
import { failureOf, replaced, without } from "../../support/handshake.ts"

/** The request and the response that RFC 8441 section 5.1 prints, without the names of their frames. */
const sampleRequest: Headers = [
  [":method", "CONNECT"],
  [":protocol", "websocket"],
  [":scheme", "https"],
  [":path", "/chat"],
  [":authority", "server.example.com"],
  ["sec-websocket-version", "13"],
  ["sec-websocket-protocol", "chat, superchat"],
  ["sec-websocket-extensions", "permessage-deflate"],
  ["origin", "http://www.example.com"]
]
const sampleResponse: Headers = [
  [":status", "200"],
  ["sec-websocket-protocol", "chat"]
]

const options: ExtendedConnect.RequestOptions = {
  scheme: "https",
  host: "server.example.com",
  target: "/chat",
  subprotocols: ["chat", "superchat"],
  extensions: Result.getOrThrow(Extensions.parse("permessage-deflate")),
  origin: "http://www.example.com"
}

const sample = Result.getOrThrow(ExtendedConnect.readRequest(sampleRequest))

/** The sample with one field replaced in its place: pseudo-header fields have to stay in front. */
const read = (name: string, ...values: ReadonlyArray<string>) =>
  ExtendedConnect.readRequest([
    ...values.map((value) => [name, value] as const).filter(() => name.startsWith(":")),
    ...without(sampleRequest, name),
    ...values.map((value) => [name, value] as const).filter(() => !name.startsWith(":"))
  ])

const answered = (name: string, value: string) =>
  failureOf(ExtendedConnect.verify(replaced(sampleResponse, name, value), options))

const refuse = (status: number, headers: Headers = []) =>
  ExtendedConnect.refuse(new Refusal({ status, headers, clause: "x", detail: "no" }))

describe("RFC 8441 5.1: the example", () => {
  it("the request, both ways", () => {
    expect(ExtendedConnect.request(options)).toEqual(Result.succeed(sampleRequest))
    expect(sample).toEqual({
      scheme: "https",
      host: "server.example.com",
      target: "/chat",
      origin: "http://www.example.com",
      subprotocols: ["chat", "superchat"],
      extensions: [{ name: "permessage-deflate", params: [] }]
    })
  })

  it("the response, both ways", () => {
    expect(ExtendedConnect.response(sample, { subprotocol: "chat" })).toEqual(Result.succeed(sampleResponse))
    expect(ExtendedConnect.verify(sampleResponse, options)).toEqual(
      Result.succeed({ subprotocol: "chat", extensions: [] })
    )
  })
})

describe("ExtendedConnect.request", () => {
  it("RFC 9113 8.2.1: names are in lower case, an application's too", () => {
    const headers = Result.getOrThrow(ExtendedConnect.request({ ...options, headers: [["X-Token", "Abc"]] }))
    expect(headers.at(-1)).toEqual(["x-token", "Abc"])
  })

  it.each([
    ["host", { host: "a b" }],
    ["target", { target: "chat" }],
    ["target", { target: "/a#b" }],
    ["subprotocol", { subprotocols: ["a", "a"] }],
    ["field value", { origin: "a\r\nb" }],
    ["field name", { headers: [["Connection", "Upgrade"]] }],
    ["field name", { headers: [[":status", "200"]] }]
  ] as ReadonlyArray<[string, Partial<ExtendedConnect.RequestOptions>]>)(
    "refuses a %s such as %j: the caller's fault",
    (part, patch) => {
      expect(failureOf(ExtendedConnect.request({ ...options, ...patch }))).toMatchObject({ _tag: "InvalidHead", part })
    }
  )
})

describe("ExtendedConnect.readRequest, RFC 8441", () => {
  it("5: Sec-WebSocket-Key is not processed, though a client may send one", () => {
    expect(read("sec-websocket-key", "nonsense")).toEqual(Result.succeed(sample))
  })

  it("http is for ws", () => {
    expect(read(":scheme", "http")).toMatchObject({ success: { scheme: "http" } })
  })

  it("RFC 9113 8.3.1: a Host that is :authority may come along", () => {
    expect(read("host", "SERVER.example.com")).toEqual(Result.succeed(sample))
  })

  it.each([
    ["4: another method", ":method", ["GET"], 405, "RFC 8441 4"],
    ["4: no method", ":method", [], 405, "RFC 8441 4"],
    ["4: a CONNECT that is not extended", ":protocol", [], 400, "RFC 8441 4"],
    ["RFC 9220 3: another protocol", ":protocol", ["webtransport"], 501, "RFC 9220 3"],
    ["5: another scheme", ":scheme", ["wss"], 400, "RFC 8441 5"],
    ["4: no scheme", ":scheme", [], 400, "RFC 8441 5"],
    ["4: no path", ":path", [], 400, "RFC 8441 5"],
    ["5: a path that is none", ":path", ["chat"], 400, "RFC 8441 5"],
    ["5: a path with a fragment", ":path", ["/a#b"], 400, "RFC 8441 5"],
    ["5: a path with a space", ":path", ["/a b"], 400, "RFC 8441 5"],
    ["4: no authority", ":authority", [], 400, "RFC 8441 5"],
    ["5: an authority that is none", ":authority", ["a@b"], 400, "RFC 8441 5"],
    ["RFC 9113 8.3: a pseudo-header field twice", ":path", ["/a", "/a"], 400, "RFC 9113 8.3"],
    ["RFC 9113 8.3: an unknown pseudo-header field", ":status", ["200"], 400, "RFC 9113 8.3"],
    ["RFC 9113 8.3: a pseudo-header field named like a prototype", ":__proto__", ["x"], 400, "RFC 9113 8.3"],
    ["5: Connection MUST NOT be there", "connection", ["upgrade"], 400, "RFC 9113 8.2.2"],
    ["5: Upgrade MUST NOT be there", "upgrade", ["websocket"], 400, "RFC 9113 8.2.2"],
    ["RFC 9113 8.2.2: Transfer-Encoding", "transfer-encoding", ["chunked"], 400, "RFC 9113 8.2.2"],
    ["RFC 9113 8.3.1: another Host", "host", ["evil.example"], 400, "RFC 9113 8.3.1"],
    ["RFC 6455 4.2.1: no version", "sec-websocket-version", [], 400, "RFC 6455 4.2.1"],
    ["RFC 6455 4.4: another version", "sec-websocket-version", ["8"], 426, "RFC 6455 4.4"],
    ["RFC 6455 9.1: extensions against the grammar", "sec-websocket-extensions", ["a;"], 400, "RFC 6455 9.1"]
  ])("%s", (_, name, values, status, clause) => {
    expect(failureOf(read(name, ...values))).toMatchObject({ _tag: "Refusal", status, clause })
  })

  it("RFC 9113 8.3: a pseudo-header field after a header field", () => {
    const headers: Headers = [...without(sampleRequest, ":path"), [":path", "/chat"]]
    expect(failureOf(ExtendedConnect.readRequest(headers))).toMatchObject({ status: 400, clause: "RFC 9113 8.3" })
  })

  it("compares the scheme of an origin, which HTTP/2 tells", () => {
    const page = { ...sample, origin: "http://server.example.com" }
    expect(failureOf(Negotiation.checkOrigin(page, undefined, page.scheme))).toMatchObject({ status: 403 })
    const secure = { ...page, origin: "https://server.example.com" }
    expect(Result.isSuccess(Negotiation.checkOrigin(secure, undefined, secure.scheme))).toBe(true)
  })
})

describe("ExtendedConnect.verify", () => {
  it.each([200, 201, 204, 299])("RFC 9110 9.3.6: status %i accepts", (status) => {
    const headers = replaced(sampleResponse, ":status", `${status}`)
    expect(ExtendedConnect.verify(headers, options)).toEqual(Result.succeed({ subprotocol: "chat", extensions: [] }))
  })

  it.each([101, 199, 301, 400, 403, 501])("RFC 8441 5: status %i is handed on", (status) => {
    const headers = replaced(sampleResponse, ":status", `${status}`)
    expect(failureOf(ExtendedConnect.verify(headers, options))).toMatchObject({ _tag: "Declined", status, headers })
  })

  it.each([[[]], [["200", "200"]], [["20"]], [["1e2"]], [["OK!"]], [[""]]])(
    "RFC 9113 8.3.2: %j is not one status",
    (values) => {
      expect(failureOf(ExtendedConnect.verify(replaced(sampleResponse, ":status", ...values), options))).toMatchObject({
        _tag: "HandshakeViolation",
        field: ":status"
      })
    }
  )

  it("RFC 6455 4.1: what was not asked for", () => {
    expect(answered("sec-websocket-protocol", "other")).toMatchObject({ field: "Sec-WebSocket-Protocol" })
    expect(answered("sec-websocket-extensions", "mux")).toMatchObject({ field: "Sec-WebSocket-Extensions" })
  })
})

describe("ExtendedConnect.refuse", () => {
  it("has names in lower case, and a body", () => {
    expect(refuse(401, [["WWW-Authenticate", "Basic"]])).toMatchObject({
      success: {
        headers: [
          [":status", "401"],
          ["content-type", "text/plain; charset=utf-8"],
          ["content-length", "3"],
          ["www-authenticate", "Basic"]
        ]
      }
    })
  })

  it("another version is 400 here, for there is nothing to upgrade to", () => {
    const error = failureOf(read("sec-websocket-version", "8"))!
    const { headers } = Result.getOrThrow(ExtendedConnect.refuse(error))
    expect(headers[0]).toEqual([":status", "400"])
    expect(headers.at(-1)).toEqual(["sec-websocket-version", "13"])
  })

  it("refuses a status that is no refusal: the caller's fault", () => {
    expect(failureOf(refuse(200))).toMatchObject({ _tag: "InvalidHead", part: "status" })
  })
})

describe("ExtendedConnect, whatever is sent", () => {
  it("a server gives a handshake or a refusal, never an exception", () => {
    const name = fc.constantFrom(...sampleRequest.map(([n]) => n), ":__proto__", "__proto__", "host", "connection")
    const field = fc.tuple(name, fc.oneof(fc.constantFrom("CONNECT", "13", "/", "a"), fc.string({ maxLength: 4 })))
    fc.assert(
      fc.property(fc.array(field, { maxLength: 4 }), fc.boolean(), (fields, before) => {
        const read = ExtendedConnect.readRequest(before ? [...fields, ...sampleRequest] : [...sampleRequest, ...fields])
        if (Result.isFailure(read)) expect(Result.isSuccess(ExtendedConnect.refuse(read.failure))).toBe(true)
        else expect(Result.isSuccess(ExtendedConnect.response(read.success))).toBe(true)
      }),
      { numRuns: 2000 }
    )
  })
})
