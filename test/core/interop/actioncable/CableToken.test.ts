/** Where clients of AnyCable have their tokens. */
import { assert, describe, it } from "@effect/vitest"
import * as CableToken from "@millrace/core/interop/actioncable/CableToken"

const of = (query: string, protocols?: string) =>
  CableToken.of(new URLSearchParams(query), (name) => (name === "sec-websocket-protocol" ? protocols : undefined))

describe("a token", () => {
  it("is in the query, or among the subprotocols, which comes first", () => {
    assert.strictEqual(of("jid=a.b.c"), "a.b.c")
    assert.strictEqual(of("", "actioncable-v1-ext-json, anycable-token.a.b.c"), "a.b.c")
    assert.strictEqual(of("jid=query", "anycable-token.header,actioncable-v1-json"), "header")
  })

  it("is none where there is none, where it is empty, and where it is too long", () => {
    assert.isUndefined(of(""))
    assert.isUndefined(of("jid=", "actioncable-v1-json"))
    assert.isUndefined(of("", "anycable-token."))
    assert.isUndefined(of(`jid=${"a".repeat(CableToken.maxLength + 1)}`))
    assert.isDefined(of(`jid=${"a".repeat(CableToken.maxLength)}`))
  })
})
