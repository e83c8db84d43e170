import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as HttpHead from "@millrace/core/codec/HttpHead"
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import { cut, utf8 } from "../../support/wire.ts"

/** Text that may be anything, with what breaks heads in it on purpose. */
const text = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.string({
    unit: fc.constantFrom("a", " ", ":", "\r", "\n", "\t", "\u0000", "\u000b", "\u0085", "\u00e9", "\u2028"),
    maxLength: 6
  })
)

const token = fc.string({ unit: fc.constantFrom(..."abcXYZ019-_!#$%&'*+.^`|~"), minLength: 1, maxLength: 12 })

const name = fc.oneof({ weight: 9, arbitrary: token }, { weight: 1, arbitrary: text })
const value = fc.oneof(
  fc.string({ unit: fc.constantFrom(...'ab =;,"\u00a0\u00ff~'), maxLength: 12 }).map((s) => s.trim()),
  text
)
const headers: fc.Arbitrary<Headers> = fc.array(fc.tuple(name, value), { maxLength: 6 })

const request: fc.Arbitrary<HttpHead.Request> = fc.record({
  method: name,
  target: fc.oneof(
    fc.webPath({ size: "small" }).map((path) => `/${path}`),
    text
  ),
  version: fc.record({ major: fc.constant(1), minor: fc.constantFrom(0, 1, 9) }),
  headers
})

const response: fc.Arbitrary<HttpHead.Response> = fc.record({
  status: fc.integer({ min: 100, max: 999 }),
  reason: fc.oneof(fc.string({ unit: fc.constantFrom(..."ab \u00e9"), maxLength: 9 }), text),
  headers
})

const positions = fc.array(fc.nat(), { maxLength: 12 })

/** The outcome of reading chunk after chunk, and how many bytes in all were the head. */
const readAll = <A>(reader: HttpHead.Reader<A>, chunks: ReadonlyArray<Uint8Array>) => {
  let before = 0
  for (const chunk of chunks) {
    const read = reader.push(chunk)
    if (Result.isFailure(read)) return { failed: read.failure.message }
    if (read.success !== undefined) return { head: read.success.head, consumed: before + read.success.consumed }
    before += chunk.length
  }
  return "incomplete"
}

const onlyAllowedBytes = (wire: Uint8Array) => {
  for (const [i, byte] of wire.entries()) {
    if (byte === 0x0d) expect(wire[i + 1]).toBe(0x0a)
    else if (byte === 0x0a) expect(wire[i - 1]).toBe(0x0d)
    else expect((byte >= 0x20 && byte <= 0x7e) || byte >= 0xa0).toBe(true)
  }
}

const roundTrip = <A extends { readonly headers: Headers }>(
  arbitrary: fc.Arbitrary<A>,
  print: (value: A) => Result.Result<Uint8Array, unknown>,
  reader: (limits: HttpHead.Limits) => HttpHead.Reader<A>
) => {
  let printed = 0
  fc.assert(
    fc.property(arbitrary, positions, (value, at) => {
      const wire = print(value)
      if (Result.isFailure(wire)) return
      printed++
      const lines = new TextDecoder().decode(wire.success).split("\r\n")
      expect(lines.length).toBe(value.headers.length + 3)
      onlyAllowedBytes(wire.success)
      const tail = utf8("tail")
      const chunks = cut(Uint8Array.from([...wire.success, ...tail]), at)
      expect(readAll(reader(HttpHead.defaultLimits), chunks)).toEqual({ head: value, consumed: wire.success.length })
    }),
    { numRuns: 2000 }
  )
  // The generator makes what must be refused as well as what must not; both have to be reached.
  expect(printed).toBeGreaterThan(200)
  expect(printed).toBeLessThan(1900)
}

describe("HttpHead, whatever is printed", () => {
  it("a request is refused, or reads back as the same value wherever it is cut, and no control character survives", () =>
    roundTrip(request, HttpHead.printRequest, HttpHead.requestReader))

  it("a response is refused, or reads back as the same value wherever it is cut, and no control character survives", () =>
    roundTrip(response, HttpHead.printResponse, HttpHead.responseReader))
})

describe("HttpHead, whatever is sent", () => {
  const piece = fc.constantFrom(
    "GET / HTTP/1.1",
    "HTTP/1.1 101 ok",
    "a: b",
    "\r\n",
    "\r\n",
    "\r",
    "\n",
    " ",
    ":",
    "\u0000",
    "x"
  )
  const noise = fc.oneof(
    fc.array(piece, { maxLength: 12 }).map((pieces) => utf8(pieces.join(""))),
    fc.uint8Array({ maxLength: 60 })
  )

  it("gives the same answer however it is cut", () => {
    fc.assert(
      fc.property(noise, positions, fc.boolean(), (bytes, at, asRequest) => {
        const make = (): HttpHead.Reader<unknown> => {
          const limits = { maxBytes: 50, maxLines: 3 }
          return asRequest ? HttpHead.requestReader(limits) : HttpHead.responseReader(limits)
        }
        expect(readAll(make(), cut(bytes, at))).toEqual(readAll(make(), [bytes]))
      }),
      { numRuns: 2000 }
    )
  })
})
