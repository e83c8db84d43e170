/** A token as a subprotocol, there and back. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as BearerSubprotocol from "@millrace/core/codec/BearerSubprotocol"
import * as HttpHeaders from "@millrace/core/codec/HttpHeaders"

describe("a token", () => {
  it("of letters, digits and what a JSON Web Token has besides stands as it is", () => {
    expect(BearerSubprotocol.encode("eyJhbGciOi.JI_UzI1-Ni~9")).toBe("bearer.eyJhbGciOi.JI_UzI1-Ni~9")
  })

  it("of anything else is written as in a URL", () => {
    expect(BearerSubprotocol.encode('a/b+(c)="é", %41')).toBe("bearer.a%2Fb%2B%28c%29%3D%22%C3%A9%22%2C%20%2541")
  })

  it("is a subprotocol whatever it is made of, and is found again among others", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (token) => {
        const subprotocol = BearerSubprotocol.encode(token)
        expect(HttpHeaders.isToken(subprotocol)).toBe(true)
        expect(BearerSubprotocol.find(["chat", subprotocol, "bearer.later"])).toBe(token)
      })
    )
  })

  it("has U+FFFD for a lone surrogate", () => {
    expect(BearerSubprotocol.find([BearerSubprotocol.encode("\ud800")])).toBe("\ufffd")
  })

  it("is not there when nobody offers one, nor when it is not written so", () => {
    expect(BearerSubprotocol.find([])).toBeUndefined()
    expect(BearerSubprotocol.find(["chat", "bearer"])).toBeUndefined()
    expect(BearerSubprotocol.find(["bearer.%"])).toBeUndefined()
    expect(BearerSubprotocol.find(["bearer.%ff"])).toBeUndefined()
  })
})
