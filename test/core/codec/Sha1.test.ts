import { createHash } from "node:crypto"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Sha1 from "@millrace/core/codec/Sha1"
import { hex, utf8 } from "../../support/wire.ts"

const agrees = (bytes: Uint8Array) => {
  expect(Sha1.digest(bytes)).toEqual(new Uint8Array(createHash("sha1").update(bytes).digest()))
}

describe("Sha1.digest", () => {
  it.each([
    ["FIPS 180-4: abc", "abc", "a9 99 3e 36 47 06 81 6a ba 3e 25 71 78 50 c2 6c 9c d0 d8 9d"],
    ["FIPS 180-4: nothing", "", "da 39 a3 ee 5e 6b 4b 0d 32 55 bf ef 95 60 18 90 af d8 07 09"],
    [
      "FIPS 180-4: 448 bits, which need a second block for the length",
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "84 98 3e 44 1c 3b d2 6e ba ae 4a a1 f9 51 29 e5 e5 46 70 f1"
    ],
    [
      "RFC 6455 1.3: the example, before base64",
      "dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
      "b3 7a 4f 2c c0 62 4f 16 90 f6 46 06 cf 38 59 45 b2 be c4 ea"
    ]
  ])("%s", (_, message, digest) => {
    expect(Sha1.digest(utf8(message))).toEqual(hex(digest))
  })

  it("agrees with another implementation on any bytes, and on every length around a block", () => {
    for (let length = 50; length <= 140; length++) agrees(new Uint8Array(length).fill(length))
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), agrees))
  })
})
