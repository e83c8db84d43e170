import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { Extension } from "@millrace/core/codec/Extensions"
import * as Handshake from "@millrace/core/codec/Handshake"
import * as HttpHead from "@millrace/core/codec/HttpHead"
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import * as Negotiation from "@millrace/core/codec/Negotiation"
import { failureOf, prototypeNames, replaced, sampleRequest } from "../../support/handshake.ts"
import { utf8 } from "../../support/wire.ts"

const token = fc.oneof(
  fc.string({ unit: fc.constantFrom(..."abYZ09-_.~"), minLength: 1, maxLength: 8 }),
  fc.constantFrom<string>(...prototypeNames)
)
const extension: fc.Arbitrary<Extension> = fc.record({
  name: token,
  params: fc.array(fc.tuple(token, fc.option(token, { nil: undefined })), { maxLength: 3 })
})

const options: fc.Arbitrary<Handshake.RequestOptions> = fc.record({
  host: fc.constantFrom("example.com", "localhost:8080", "[::1]:3000"),
  target: fc.webPath({ size: "small" }).map((path) => `/${path}`),
  key: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  subprotocols: fc.uniqueArray(token, { maxLength: 4 }),
  extensions: fc.array(extension, { maxLength: 3 }),
  origin: fc.constantFrom(undefined, "null", "https://example.com"),
  headers: fc.array(
    fc.tuple(
      token.map((name) => `x-${name}`),
      token
    ),
    { maxLength: 3 }
  )
})

/** What a server reads of what a client's bytes say. */
const overTheWire = (request: HttpHead.Request) => {
  const wire = Result.getOrThrow(HttpHead.printRequest(request))
  return Result.getOrThrow(HttpHead.requestReader().push(wire))!.head
}

describe("Handshake, both ends", () => {
  it("a server reads what the client asked for, and the client accepts what the server chose", () => {
    fc.assert(
      fc.property(options, fc.nat(), fc.nat(), (asked, a, b) => {
        const request = Result.getOrThrow(Handshake.request(asked))
        const offered = Result.getOrThrow(Handshake.readRequest(overTheWire(request)))
        expect(offered).toMatchObject({
          host: asked.host,
          target: asked.target,
          origin: asked.origin,
          subprotocols: asked.subprotocols,
          extensions: asked.extensions
        })
        const subprotocol = offered.subprotocols[a % 5]
        const extensions = offered.extensions.slice(0, b % 4)
        const response = Result.getOrThrow(Handshake.response(offered, { subprotocol, extensions }))
        const wire = Result.getOrThrow(HttpHead.printResponse(response))
        const { head } = Result.getOrThrow(HttpHead.responseReader().push(wire))!
        expect(Handshake.verify(head, asked)).toEqual(Result.succeed({ subprotocol, extensions }))
      })
    )
  })

  it("a response to another key is refused", () => {
    const key = fc.uint8Array({ minLength: 16, maxLength: 16 })
    fc.assert(
      fc.property(key, fc.nat(15), fc.integer({ min: 1, max: 255 }), (mine, at, difference) => {
        const theirs = mine.map((byte, i) => (i === at ? byte ^ difference : byte))
        const request = Result.getOrThrow(Handshake.request({ host: "a", target: "/", key: theirs }))
        const offered = Result.getOrThrow(Handshake.readRequest(request))
        const response = Result.getOrThrow(Handshake.response(offered))
        expect(failureOf(Handshake.verify(response, { key: mine }))).toMatchObject({ field: "Sec-WebSocket-Accept" })
        expect(Result.isSuccess(Handshake.verify(response, { key: theirs }))).toBe(true)
      })
    )
  })

  it("text that somebody else chose never reaches a head but as one field's value", () => {
    const text = fc.string({
      unit: fc.constantFrom(
        "a",
        "b",
        "c",
        " ",
        ",",
        ";",
        ":",
        "\r",
        "\n",
        "\u0000",
        "\u000b",
        "\u001c",
        "\u0085",
        "\u2028"
      ),
      maxLength: 5
    })
    const names = [
      "host",
      "upgrade",
      "connection",
      "sec-websocket-key",
      "sec-websocket-version",
      "sec-websocket-protocol",
      "origin",
      "x"
    ]
    let built = 0
    fc.assert(
      fc.property(text, text, text, text, (target, subprotocol, origin, header) => {
        const request = Handshake.request({
          host: "example.com",
          target: `/${target}`,
          key: new Uint8Array(16),
          subprotocols: [`p${subprotocol}`],
          origin,
          headers: [["x", header]]
        })
        if (Result.isFailure(request)) return
        built++
        const { headers } = overTheWire(request.success)
        expect(headers.map(([name]) => name.toLowerCase()).sort()).toEqual([...names].sort())
        expect(headers).toEqual(request.success.headers)
      }),
      { numRuns: 5000 }
    )
    // About one in two hundred can be sent: enough of them to have looked.
    expect(built).toBeGreaterThan(2)
  })
})

describe("Handshake, whatever is sent", () => {
  const name = fc.constantFrom(
    ...sampleRequest.headers.map(([n]) => n),
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Accept",
    ...prototypeNames
  )
  const value = fc.oneof(
    fc.constantFrom("websocket", "Upgrade", "13", "8", "chat", "a;b", "dGhlIHNhbXBsZSBub25jZQ==", "", ",", "null"),
    fc.string({ unit: "binary", maxLength: 8 })
  )
  const field = fc.tuple(name, value)

  it("a server gives a handshake or a refusal that can be printed, never an exception", () => {
    fc.assert(
      fc.property(
        fc.array(field, { maxLength: 4 }),
        fc.boolean(),
        fc.string({ maxLength: 4 }),
        (fields, instead, target) => {
          const headers: Headers = instead
            ? fields.reduce<Headers>((all, [n, v]) => replaced(all, n, v), sampleRequest.headers)
            : [...sampleRequest.headers, ...fields]
          const read = Handshake.readRequest({ ...sampleRequest, target: `/${target}`, headers })
          if (Result.isSuccess(read)) {
            const offered = read.success
            const [subprotocol] = offered.subprotocols
            const response = Result.getOrThrow(
              Handshake.response(offered, { subprotocol, extensions: offered.extensions })
            )
            expect(Result.isSuccess(HttpHead.printResponse(response))).toBe(true)
            Negotiation.checkOrigin(offered)
          } else {
            const { response } = Result.getOrThrow(Handshake.refuse(read.failure))
            expect(response.status).toBeGreaterThanOrEqual(400)
            expect(Result.isSuccess(HttpHead.printResponse(response))).toBe(true)
          }
        }
      ),
      { numRuns: 3000 }
    )
  })

  it("a client gives an agreement or a failure, never an exception", () => {
    const asked = { key: new Uint8Array(16), subprotocols: ["chat"] }
    fc.assert(
      fc.property(fc.array(field, { maxLength: 6 }), fc.constantFrom(101, 101, 200), (headers, status) => {
        const verified = Handshake.verify({ status, reason: "", headers }, asked)
        expect(failureOf(verified)?._tag).toBe(status === 101 ? "HandshakeViolation" : "Declined")
      }),
      { numRuns: 1000 }
    )
  })
})

/** The least of a few runs, in milliseconds: noise only ever adds. */
const time = (run: () => unknown) => {
  const runs = Array.from({ length: 5 }, () => {
    const start = performance.now()
    run()
    return performance.now() - start
  })
  return Math.min(...runs)
}

/**
 * From 16 KiB to 256 KiB linear work costs 16 times as much and quadratic work 256 times. The bound lies between, far
 * from both; where a busy machine took the time from the larger only, it is measured again.
 */
const isLinear = <A>(make: (size: number) => A, run: (input: A) => unknown) => {
  const [small, large] = [make(1 << 14), make(1 << 18)]
  run(large)
  const measured: Array<number> = []
  do
    measured.push(
      time(() => run(large)) /
        Math.max(
          time(() => run(small)),
          0.02
        )
    )
  while (measured.at(-1)! >= 90 && measured.length < 10)
  expect(Math.min(...measured)).toBeLessThan(90)
}

const readField = (field: string, value: string) =>
  Handshake.readRequest({ ...sampleRequest, headers: replaced(sampleRequest.headers, field, value) })

const wholeHead = (size: number) =>
  utf8(`GET / HTTP/1.1\r\na: ${"b".repeat(size / 2)}\r\n${"c: d\r\n".repeat(size / 12)}\r\n`)

describe("Handshake, in linear time", () => {
  it.each([
    ["Sec-WebSocket-Protocol", "white space", (n: number) => `a${" ".repeat(n)}b`],
    ["Sec-WebSocket-Protocol", "white space and commas", (n: number) => "a, \t".repeat(n / 4)],
    [
      "Sec-WebSocket-Protocol",
      "different tokens",
      (n: number) => Array.from({ length: n / 8 }, (_, i) => `t${i}`).join(" , ")
    ],
    ["Sec-WebSocket-Protocol", "commas", (n: number) => ",".repeat(n)],
    ["Sec-WebSocket-Extensions", "a quoted string", (n: number) => `a;b="${"\\a".repeat(n / 2)}`],
    ["Sec-WebSocket-Extensions", "white space", (n: number) => `a${" ".repeat(n)};${"\t".repeat(n)}`],
    ["Connection", "commas", (n: number) => `${",".repeat(n)}upgrade`],
    ["Upgrade", "white space", (n: number) => `${" ".repeat(n)}x${" ".repeat(n)}`],
    ["Host", "dots", (n: number) => "a.".repeat(n / 2)],
    ["Sec-WebSocket-Key", "padding", (n: number) => "=".repeat(n)],
    ["Sec-WebSocket-Version", "digits", (n: number) => "1".repeat(n)]
  ])("%s full of %s", (field, _, make) => {
    isLinear(make, (value) => readField(field, value))
  })

  it("a head that comes byte by byte", () => {
    const limits = { maxBytes: 1 << 20, maxLines: 1 << 20 }
    isLinear(wholeHead, (wire) => {
      const reader = HttpHead.requestReader(limits)
      for (let i = 0; i < wire.length; i++) reader.push(wire.subarray(i, i + 1))
      expect(Result.isSuccess(reader.push(wire))).toBe(true)
    })
  })
})
