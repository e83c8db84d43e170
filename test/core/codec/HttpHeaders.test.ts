import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as HttpHeaders from "@millrace/core/codec/HttpHeaders"
import { failureOf, prototypeNames } from "../../support/handshake.ts"

describe("HttpHeaders look-ups", () => {
  const headers: HttpHeaders.Headers = [
    ["Connection", " keep-alive ,"],
    ["X-Other", "1"],
    ["CONNECTION", "\tUpgrade "],
    ["Sec_WebSocket_Key", "spoofed"]
  ]

  it("RFC 9110 5.1: names are case-insensitive", () => {
    expect(HttpHeaders.values(headers, "connection")).toEqual(["keep-alive ,", "Upgrade"])
    expect(HttpHeaders.values(headers, "cONNECTION")).toEqual(["keep-alive ,", "Upgrade"])
  })

  it("RFC 9110 5.3: repeated fields stand for one list, in order", () => {
    expect(HttpHeaders.combined(headers, "connection")).toBe("keep-alive ,, Upgrade")
    expect(HttpHeaders.combined(headers, "x-missing")).toBeUndefined()
    expect(HttpHeaders.combined([["a", ""]], "a")).toBe("")
  })

  it("RFC 9110 5.6.1.2: empty elements of a list do not count", () => {
    expect(HttpHeaders.elements(" , a,,b\t, ,c c,")).toEqual(["a", "b", "c c"])
    expect(HttpHeaders.hasToken(headers, "connection", "UPGRADE")).toBe(true)
    expect(HttpHeaders.hasToken(headers, "connection", "up")).toBe(false)
    expect(HttpHeaders.hasToken([["connection", "not upgrade"]], "connection", "upgrade")).toBe(false)
  })

  it("an underscore is not a dash", () => {
    expect(HttpHeaders.values(headers, "Sec-WebSocket-Key")).toEqual([])
  })

  it.each(prototypeNames)("a field named %s is there when it was sent, and not otherwise", (name) => {
    expect(HttpHeaders.values([[name, "x"]], name)).toEqual(["x"])
    expect(HttpHeaders.values([], name)).toEqual([])
  })

  it("only ASCII letters have a case: the Kelvin sign is no k, the dotless i no i", () => {
    expect(HttpHeaders.equalsIgnoringCase("WebSocket", "wEBsOCKET")).toBe(true)
    expect(HttpHeaders.equalsIgnoringCase("websoc\u212aet", "websocket")).toBe(false)
    expect(HttpHeaders.equalsIgnoringCase("@[`{", "`{@[")).toBe(false)
  })

  it("only spaces and tabs are white space", () => {
    expect(HttpHeaders.trim(" \t a b \t")).toBe("a b")
    expect(HttpHeaders.trim("\u00a0a\u2003\ufeff")).toBe("\u00a0a\u2003\ufeff")
    expect(HttpHeaders.trim(" \t ")).toBe("")
  })
})

describe("HttpHeaders.validate", () => {
  it.each(["", " x", "x ", "a b", "a:b", "a\r\nb", "a\u0000", "(a)", "a\u00e9", "a\u212a", "a\u0085"])(
    "RFC 9110 5.1: %j is not a name",
    (name) => {
      expect(failureOf(HttpHeaders.validate([[name, "x"]]))).toMatchObject({ part: "field name" })
    }
  )

  it.each([
    ..."\u0000\u0001\u0008\t\n\u000b\u000c\r\u001b\u001c\u001d\u001e\u001f\u007f\u0080\u0085\u009f\u0100\u2028\u2029",
    "\r\nX-Injected: 1"
  ])("RFC 9110 5.5: %j cannot be in a value", (text) => {
    expect(failureOf(HttpHeaders.validate([["a", `x${text}y`]]))).toMatchObject({ part: "field value" })
  })

  it.each([" x", "x ", " "])("%j would lose its white space", (value) => {
    expect(failureOf(HttpHeaders.validate([["a", value]]))).toMatchObject({ part: "field value" })
  })

  it("gives the same fields when there is nothing wrong with them", () => {
    const headers: HttpHeaders.Headers = [
      ["Cookie", 'a=b; c="d e"'],
      ["x", ""],
      ["x", "caf\u00e9"]
    ]
    expect(Result.getOrThrow(HttpHeaders.validate(headers))).toBe(headers)
  })

  it("names the field and does not quote its value, which may be a secret", () => {
    const error = failureOf(HttpHeaders.validate([["Authorization", "Bearer hunter2\n"]]))
    expect(error?.message).toContain("Authorization")
    expect(error?.message).not.toContain("hunter2")
  })
})
