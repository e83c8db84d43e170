/** Close codes, section 7.4, and the body of a Close frame, section 5.5.1. */
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as CloseCode from "@millrace/core/codec/CloseCode"
import { toHex } from "../../support/frames.ts"
import { hex, utf8 } from "../../support/wire.ts"

/** What is wrong with a body, as `close code, clause`. */
const wrong = (body: Uint8Array) => {
  const decoded = CloseCode.decode(body)
  return Result.isFailure(decoded) ? `${decoded.failure.closeCode}, ${decoded.failure.clause}` : decoded.success
}

/** Those that an endpoint may send, written out from 7.4.1, 7.4.2 and the IANA registry. */
const onWire = (code: number) =>
  [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014].includes(code) ||
  (code >= 3000 && code < 5000)

describe("a code", () => {
  it("may be on the wire or not, each of 65,536", () => {
    const wrongs: Array<number> = []
    for (let code = 0; code < 65_536; code++) {
      const body = CloseCode.decode(Uint8Array.of(code >> 8, code))
      if (CloseCode.isOnWire(code) !== onWire(code) || Result.isSuccess(body) !== onWire(code)) wrongs.push(code)
    }
    expect(wrongs).toEqual([])
  })

  it.each([1000.5, 3000.1, Number.NaN, Infinity, -1000, 65_536 + 1000])("is not a code: %d", (code) => {
    expect(CloseCode.isOnWire(code)).toBe(false)
  })

  it("is an ordinary end for 1000, 1001 and none given", () => {
    const ordinary = Array.from({ length: 5000 }, (_, code) => code).filter(CloseCode.isOrdinary)
    expect(ordinary).toEqual([1000, 1001, 1005])
  })

  it("has the number that the registry gives its name", () => {
    expect(CloseCode.CloseCode).toEqual({
      normal: 1000,
      goingAway: 1001,
      protocolError: 1002,
      unsupportedData: 1003,
      noStatus: 1005,
      abnormal: 1006,
      invalidPayload: 1007,
      policyViolation: 1008,
      messageTooBig: 1009,
      mandatoryExtension: 1010,
      internalError: 1011,
      serviceRestart: 1012,
      tryAgainLater: 1013,
      badGateway: 1014
    })
  })
})

describe("decode", () => {
  it.each([
    ["nothing", "", { code: 1005, reason: "" }],
    ["1000", "03 e8", { code: 1000, reason: "" }],
    ["1000 bye", "03 e8 62 79 65", { code: 1000, reason: "bye" }],
    ["4999 and a euro sign", "13 87 e2 82 ac", { code: 4999, reason: "€" }],
    ["a byte order mark, which is a character", "03 e8 ef bb bf 61", { code: 1000, reason: "\ufeffa" }]
  ])("%s", (_, body, status) => {
    expect(CloseCode.decode(hex(body))).toEqual(Result.succeed(status))
  })

  it.each([
    ["one byte", "03", "1002, RFC 6455 5.5.1"],
    ["999", "03 e7", "1002, RFC 6455 7.4"],
    ["1004, reserved", "03 ec", "1002, RFC 6455 7.4"],
    ["1005, never on the wire", "03 ed", "1002, RFC 6455 7.4"],
    ["1006, never on the wire", "03 ee", "1002, RFC 6455 7.4"],
    ["1015, never on the wire", "03 f7", "1002, RFC 6455 7.4"],
    ["2999", "0b b7", "1002, RFC 6455 7.4"],
    ["5000", "13 88", "1002, RFC 6455 7.4"],
    ["a reason that is not UTF-8", "03 e8 ff", "1007, RFC 6455 8.1"],
    ["a reason that ends within a character", "03 e8 e2 82", "1007, RFC 6455 8.1"],
    ["a wrong code before a wrong reason", "03 e7 ff", "1002, RFC 6455 7.4"]
  ])("refuses %s", (_, body, answer) => {
    expect(wrong(hex(body))).toBe(answer)
  })

  it("gives a status or a violation for any body, never an exception", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 125 }), (body) => {
        const decoded = CloseCode.decode(body)
        if (Result.isSuccess(decoded)) expect(toHex(CloseCode.encode(decoded.success))).toBe(toHex(body))
        else expect([1002, 1007]).toContain(decoded.failure.closeCode)
      }),
      { numRuns: 1000 }
    )
  })
})

describe("encode", () => {
  it.each([
    [{ code: 1000, reason: "" }, "03 e8"],
    [{ code: 4999, reason: "bye" }, "13 87 62 79 65"],
    [{ code: 1005, reason: "" }, ""],
    [{ code: 1005, reason: "has nowhere to stand" }, ""],
    [{ code: 1000, reason: "\ud800" }, "03 e8 ef bf bd"]
  ])("%j", (status, body) => {
    expect(toHex(CloseCode.encode(status))).toBe(body)
  })

  it.each([
    ["a", 123, 123],
    ["é", 61, 122],
    ["€", 41, 123],
    ["😀", 30, 120],
    ["a€", 30, 120]
  ])("cuts a long reason of %s after its last whole character that fits", (unit, units, bytes) => {
    const body = CloseCode.encode({ code: 1000, reason: unit.repeat(200) })
    expect(body.length).toBe(2 + bytes + (unit === "a€" ? 1 : 0))
    expect(new TextDecoder("utf-8", { fatal: true }).decode(body.subarray(2))).toBe(
      unit.repeat(units) + (unit === "a€" ? "a" : "")
    )
  })

  it("keeps a reason of 123 bytes whole", () => {
    const reason = `${"x".repeat(119)}😀`
    expect(utf8(reason).length).toBe(CloseCode.maxReasonBytes)
    expect(CloseCode.encode({ code: 3000, reason }).length).toBe(125)
    expect(CloseCode.decode(CloseCode.encode({ code: 3000, reason }))).toEqual(Result.succeed({ code: 3000, reason }))
  })

  it("gives what decodes to the same code and as much of the reason as fits", () => {
    const code = fc.integer({ min: 1000, max: 4999 }).filter(onWire)
    const reason = fc.string({ unit: "grapheme", maxLength: 150 })
    fc.assert(
      fc.property(code, reason, (code, reason) => {
        const body = CloseCode.encode({ code, reason })
        const decoded = Result.getOrThrow(CloseCode.decode(body))
        expect(decoded.code).toBe(code)
        expect(reason.startsWith(decoded.reason)).toBe(true)
        const next = String.fromCodePoint(reason.codePointAt(decoded.reason.length) ?? 0)
        if (decoded.reason !== reason) expect(body.length + utf8(next).length).toBeGreaterThan(125)
      })
    )
  })

  it("shares no bytes with what was encoded before", () => {
    const first = CloseCode.encode({ code: 1000, reason: "first" })
    CloseCode.encode({ code: 4000, reason: "other" })
    expect(toHex(first)).toBe("03 e8 66 69 72 73 74")
  })
})
