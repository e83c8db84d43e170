import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as HttpHead from "@millrace/core/codec/HttpHead"
import { failureOf, prototypeNames, sampleRequest, sampleResponse } from "../../support/handshake.ts"
import { hex, utf8 } from "../../support/wire.ts"

/** As RFC 6455 section 1.3 prints it. */
const requestText = [
  "GET /chat HTTP/1.1",
  "Host: server.example.com",
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  "Origin: http://example.com",
  "Sec-WebSocket-Protocol: chat, superchat",
  "Sec-WebSocket-Version: 13",
  "",
  ""
].join("\r\n")

const responseText = [
  "HTTP/1.1 101 Switching Protocols",
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
  "Sec-WebSocket-Protocol: chat",
  "",
  ""
].join("\r\n")

const readRequest = (text: string, limits?: HttpHead.Limits) => HttpHead.requestReader(limits).push(utf8(text))
const readResponse = (text: string) => HttpHead.responseReader().push(utf8(text))

const lines = (count: number) => `GET / HTTP/1.1\r\n${"a: b\r\n".repeat(count)}\r\n`

const refusedRequest = (patch: Partial<HttpHead.Request>) =>
  failureOf(HttpHead.printRequest({ ...sampleRequest, ...patch }))

const refusedResponse = (patch: Partial<HttpHead.Response>) =>
  failureOf(HttpHead.printResponse({ ...sampleResponse, ...patch }))

describe("RFC 6455 1.3: the handshake that the RFC prints", () => {
  it("the request, both ways", () => {
    expect(Result.getOrThrow(HttpHead.printRequest(sampleRequest))).toEqual(utf8(requestText))
    expect(readRequest(requestText)).toEqual(Result.succeed({ head: sampleRequest, consumed: requestText.length }))
  })

  it("the response, both ways", () => {
    expect(Result.getOrThrow(HttpHead.printResponse(sampleResponse))).toEqual(utf8(responseText))
    expect(readResponse(responseText)).toEqual(Result.succeed({ head: sampleResponse, consumed: responseText.length }))
  })
})

describe("HttpHead.requestReader", () => {
  it("says how many bytes of the chunk were the head, so that frames behind it are kept", () => {
    const reader = HttpHead.requestReader()
    const wire = utf8(requestText)
    expect(reader.push(wire.subarray(0, 30))).toEqual(Result.succeed(undefined))
    const chunk = Uint8Array.from([...wire.subarray(30), ...hex("81 80 00 00 00 00")])
    const read = Result.getOrThrow(reader.push(chunk))
    expect(read?.head).toEqual(sampleRequest)
    expect(chunk.subarray(read?.consumed)).toEqual(hex("81 80 00 00 00 00"))
    expect(reader.push(chunk)).toEqual(Result.succeed({ head: sampleRequest, consumed: 0 }))
  })

  it("keeps repeated fields, the case of names, and bytes above 0x7f as they came", () => {
    const wire = Uint8Array.from([
      ...utf8("GET / HTTP/1.0\r\nx:\t 1 \r\nX: 2\r\nCookie: "),
      0xe2,
      0x82,
      0xac,
      13,
      10,
      13,
      10
    ])
    expect(HttpHead.requestReader().push(wire)).toMatchObject({
      success: {
        head: {
          version: { major: 1, minor: 0 },
          headers: [
            ["x", "1"],
            ["X", "2"],
            ["Cookie", "\u00e2\u0082\u00ac"]
          ]
        }
      }
    })
  })

  it.each(prototypeNames)("a field named %s is a field", (name) => {
    expect(readRequest(`GET / HTTP/1.1\r\n${name}: x\r\n\r\n`)).toMatchObject({
      success: { head: { headers: [[name, "x"]] } }
    })
  })

  it.each([
    ["RFC 9112 5.2: obs-fold", "GET / HTTP/1.1\r\na: b\r\n c\r\n\r\n"],
    ["RFC 9112 5.2: obs-fold with a tab", "GET / HTTP/1.1\r\na: b\r\n\tc: d\r\n\r\n"],
    ["RFC 9112 2.2: a bare LF", "GET / HTTP/1.1\r\na: b\nc: d\r\n\r\n"],
    ["RFC 9112 2.2: a bare LF after the request line", "GET / HTTP/1.1\na: b\r\n\r\n"],
    ["RFC 9112 2.2: a bare CR", "GET / HTTP/1.1\r\na: b\rc: d\r\n\r\n"],
    ["RFC 9112 2.2: CR CR LF", "GET / HTTP/1.1\r\na: b\r\r\n\r\n"],
    ["RFC 9110 5.5: NUL", "GET / HTTP/1.1\r\na: b\u0000c\r\n\r\n"],
    ["RFC 9110 5.5: a vertical tab", "GET / HTTP/1.1\r\na: b\u000bc\r\n\r\n"],
    ["RFC 9110 5.5: a form feed", "GET / HTTP/1.1\r\na: b\u000cc\r\n\r\n"],
    ["RFC 9110 5.5: a file separator", "GET / HTTP/1.1\r\na: b\u001cc\r\n\r\n"],
    ["RFC 9110 5.5: DEL", "GET / HTTP/1.1\r\na: b\u007fc\r\n\r\n"],
    ["RFC 9112 5.1: a space before the colon", "GET / HTTP/1.1\r\na : b\r\n\r\n"],
    ["RFC 9112 5: no colon", "GET / HTTP/1.1\r\nab\r\n\r\n"],
    ["RFC 9112 5.1: no name", "GET / HTTP/1.1\r\n: b\r\n\r\n"],
    ["RFC 9112 5.1: a name that is no token", "GET / HTTP/1.1\r\na(b): c\r\n\r\n"],
    ["RFC 9112 5.1: a name outside ASCII", "GET / HTTP/1.1\r\na\u0085: c\r\n\r\n"],
    ["RFC 9112 3.2: two spaces, so an empty target", "GET  / HTTP/1.1\r\n\r\n"],
    ["RFC 9112 3: a space in the target", "GET /a b HTTP/1.1\r\n\r\n"],
    ["RFC 9112 3: a space after the version", "GET / HTTP/1.1 \r\n\r\n"],
    ["RFC 9112 3: no version", "GET /\r\n\r\n"],
    ["RFC 9112 3.1: no method", " / HTTP/1.1\r\n\r\n"],
    ["RFC 9112 3.2: a target outside ASCII", "GET /\u00e9 HTTP/1.1\r\n\r\n"],
    ["RFC 9112 3: a version with two digits", "GET / HTTP/1.10\r\n\r\n"],
    ["RFC 9112 3: a version in lower case", "GET / http/1.1\r\n\r\n"],
    ["RFC 9112 3: a version that is no number", "GET / HTTP/x.1\r\n\r\n"],
    ["RFC 9112 3.1: nothing", "\r\n\r\n"]
  ])("%s is refused with 400", (title, text) => {
    const clause = title.slice(0, title.indexOf(":"))
    expect(failureOf(readRequest(text))).toMatchObject({ _tag: "MalformedHead", status: 400, clause })
  })

  it("RFC 9110 15.6.6: another major version is refused with 505", () => {
    expect(failureOf(readRequest("PRI * HTTP/2.0\r\n\r\n"))).toMatchObject({ status: 505 })
  })

  it("a refusal is final", () => {
    const reader = HttpHead.requestReader()
    expect(failureOf(reader.push(utf8("GET / HTTP/1.1\n")))).toMatchObject({ clause: "RFC 9112 2.2" })
    expect(failureOf(reader.push(utf8(requestText)))).toMatchObject({ clause: "RFC 9112 2.2" })
  })
})

describe("HttpHead limits", () => {
  it("are 8 KiB and 128 fields", () => {
    expect(HttpHead.defaultLimits).toEqual({ maxBytes: 8192, maxLines: 128 })
  })

  it("128 fields pass, one more is refused with 431", () => {
    expect(readRequest(lines(128))).toMatchObject({ success: { consumed: lines(128).length } })
    expect(failureOf(readRequest(lines(129)))).toMatchObject({ status: 431, clause: "RFC 6585 5" })
  })

  it("a head of exactly maxBytes passes, one more byte is refused with 431", () => {
    const head = "GET / HTTP/1.1\r\na: b\r\n\r\n"
    const limits = { maxBytes: head.length, maxLines: 1 }
    expect(readRequest(head, limits)).toMatchObject({ success: { consumed: head.length } })
    expect(readRequest(`${head}more`, limits)).toMatchObject({ success: { consumed: head.length } })
    expect(failureOf(readRequest("GET / HTTP/1.1\r\na: bc\r\n\r\n", limits))).toMatchObject({ status: 431 })
  })

  it("an endless line is refused at the limit, without an end in sight", () => {
    const reader = HttpHead.requestReader()
    expect(reader.push(new Uint8Array(8192).fill(0x41))).toEqual(Result.succeed(undefined))
    expect(failureOf(reader.push(new Uint8Array(1).fill(0x41)))).toMatchObject({ status: 431 })
  })

  it("2000 fields are refused, and not read on", () => {
    const reader = HttpHead.requestReader({ maxBytes: 1 << 20, maxLines: 128 })
    expect(failureOf(reader.push(utf8(lines(2000))))).toMatchObject({ status: 431 })
  })
})

describe("HttpHead.responseReader", () => {
  it.each([
    ["HTTP/1.1 404 \r\n\r\n", 404, ""],
    ["HTTP/1.1 404\r\n\r\n", 404, ""],
    ["HTTP/1.0 200 All is well\r\n\r\n", 200, "All is well"],
    ["HTTP/1.1 999  x \r\n\r\n", 999, " x "]
  ])("RFC 9112 4: %j", (text, status, reason) => {
    expect(readResponse(text)).toEqual(Result.succeed({ head: { status, reason, headers: [] }, consumed: text.length }))
  })

  it.each([
    "HTTP/1.1 99 x",
    "HTTP/1.1 099 x",
    "HTTP/1.1 1010 x",
    "HTTP/1.1 1e2 x",
    "HTTP/1.1  101 x",
    "HTTP/1.1 +10 x",
    "HTTP/1.1 101x",
    "HTTP/1.1",
    "HTTP/2.0 101 x",
    "ICY 200 OK",
    ""
  ])("RFC 9112 4: %j is no status line", (line) => {
    expect(failureOf(readResponse(`${line}\r\n\r\n`))).toMatchObject({ _tag: "MalformedHead", clause: "RFC 9112 4" })
  })
})

describe("HttpHead printing refuses what would break out of its place", () => {
  const controls = [
    "\r",
    "\n",
    "\r\n",
    "\u0000",
    "\t",
    "\u000b",
    "\u000c",
    "\u001c",
    "\u001d",
    "\u001e",
    "\u007f",
    "\u0085",
    "\u2028"
  ]

  it.each(controls)("%j", (control) => {
    expect(refusedRequest({ method: `GET${control}` })).toMatchObject({ _tag: "InvalidHead", part: "method" })
    expect(refusedRequest({ target: `/${control}x` })).toMatchObject({ part: "target" })
    expect(refusedRequest({ headers: [[`a${control}b`, "c"]] })).toMatchObject({ part: "field name" })
    expect(refusedRequest({ headers: [["a", `b${control}c`]] })).toMatchObject({ part: "field value" })
    expect(refusedResponse({ reason: `a${control}b` })).toMatchObject({ part: "reason" })
    expect(refusedResponse({ headers: [["a", `b${control}c`]] })).toMatchObject({ part: "field value" })
  })

  it("a space in the target, and an empty one", () => {
    expect(failureOf(HttpHead.printRequest({ ...sampleRequest, target: "/ HTTP/1.1" }))).toMatchObject({
      part: "target"
    })
    expect(failureOf(HttpHead.printRequest({ ...sampleRequest, target: "" }))).toMatchObject({ part: "target" })
  })

  it.each([
    { major: 2, minor: 0 },
    { major: 1, minor: 10 },
    { major: 1, minor: -1 }
  ])("a version that is not HTTP/1: $major.$minor", (version) => {
    expect(failureOf(HttpHead.printRequest({ ...sampleRequest, version }))).toMatchObject({ part: "version" })
  })

  it.each([99, 1000, 101.5, Number.NaN])("the status %d", (status) => {
    expect(failureOf(HttpHead.printResponse({ ...sampleResponse, status }))).toMatchObject({ part: "status" })
  })
})
