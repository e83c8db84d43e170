import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Base64 from "@millrace/core/codec/Base64"
import { hex, utf8 } from "../../support/wire.ts"

describe("Base64", () => {
  it.each([
    ["", ""],
    ["f", "Zg=="],
    ["fo", "Zm8="],
    ["foo", "Zm9v"],
    ["foob", "Zm9vYg=="],
    ["fooba", "Zm9vYmE="],
    ["foobar", "Zm9vYmFy"],
    ["the sample nonce", "dGhlIHNhbXBsZSBub25jZQ=="]
  ])("RFC 4648 10: %j is %j", (plain, text) => {
    expect(Base64.encode(utf8(plain))).toBe(text)
    expect(Base64.decode(text)).toEqual(utf8(plain))
  })

  it("uses + and / and nothing of the URL-safe alphabet", () => {
    expect(Base64.encode(hex("fb ef ff"))).toBe("++//")
    expect(Base64.decode("++//")).toEqual(hex("fb ef ff"))
    expect(Base64.decode("--__")).toBeUndefined()
  })

  it("RFC 6455 4.1: decodes the example key that the RFC prints, whose last bits are not zero", () => {
    expect(Base64.decode("AQIDBAUGBwgJCgsMDQ4PEC==")).toEqual(hex("01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10"))
  })

  it.each([
    "A",
    "AA",
    "AAA",
    "AAAAA",
    "A===",
    "====",
    "AA=A",
    "=AAA",
    "AA A",
    "AAA\n",
    " AAAA",
    "AAA\u00e9",
    "AAA\u0141"
  ])("%j is not base64", (text) => {
    expect(Base64.decode(text)).toBeUndefined()
  })

  it("decodes what it encodes, and encodes as another implementation does", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70 }), (bytes) => {
        expect(Base64.encode(bytes)).toBe(Buffer.from(bytes).toString("base64"))
        expect(Base64.decode(Base64.encode(bytes))).toEqual(bytes)
      })
    )
  })
})
