/** RFC 6455 section 9: extensions are offered by the client and chosen by the server from what it was offered. */
import * as Result from "effect/Result"
import { expect } from "vitest"
import type { Param } from "@millrace/core/codec/Extensions"
import * as PerMessageDeflate from "@millrace/core/codec/PerMessageDeflate"
import { clause } from "./clause.ts"
import { answer, asking, statusOf, valuesOf } from "./handshake.ts"

const deflating = (offer: string) =>
  valuesOf(
    answer([...asking, `Sec-WebSocket-Extensions: ${offer}`], {
      choose: ({ extensions }) => {
        const accepted = PerMessageDeflate.negotiate(extensions)
        return accepted === undefined ? {} : { extensions: [accepted.response] }
      }
    }),
    "Sec-WebSocket-Extensions"
  )

clause("9-1", "a server that can compress does not, unless the client offers it", () => {
  expect(deflating("x-webkit-deflate-frame")).toEqual([])
  expect(deflating("permessage-deflate")).toHaveLength(1)
})

const choose = () => ({ extensions: [{ name: "permessage-deflate", params: [] }] })

clause("9-1", "a server that is told to answer with another extension sends no response at all", () => {
  expect(() => answer(asking, { choose })).toThrow()
  expect(statusOf(answer([...asking, "Sec-WebSocket-Extensions: permessage-deflate"], { choose }))).toBe(101)
})

clause.each(
  "9-2",
  "a server answers with parameters that the extension lets it choose",
  [
    ["what was asked for is granted", "permessage-deflate; server_no_context_takeover; server_max_window_bits=10"],
    ["the first offer that it can meet", "permessage-deflate; server_max_window_bits=7, permessage-deflate"]
  ],
  (_, offer) => {
    const [answered = ""] = deflating(offer)
    const asked = offer.split(", ").at(-1)!.split("; ").slice(1)
    expect(answered.split("; ")).toEqual(expect.arrayContaining(["permessage-deflate", ...asked]))
    // 7.1.2.2 of RFC 7692: a client that did not mention its own window must not be told how large it may be.
    expect(answered).not.toContain("client_max_window_bits")
  }
)

clause.each(
  "9-2",
  "a server does not agree to parameters that the extension does not know",
  [
    ["another name", "permessage-deflate; max_memory=1"],
    ["a value where there is none", "permessage-deflate; server_no_context_takeover=yes"],
    ["a window too large", "permessage-deflate; server_max_window_bits=16"],
    ["a leading zero", "permessage-deflate; server_max_window_bits=08"],
    ["the same twice", "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10"]
  ],
  (_, offer) => {
    expect(deflating(offer)).toEqual([])
  }
)

const offer: PerMessageDeflate.Offer = {
  serverNoContextTakeover: false,
  clientNoContextTakeover: false,
  serverMaxWindowBits: undefined,
  clientMaxWindowBits: undefined
}

const unanswering: ReadonlyArray<readonly [string, ReadonlyArray<Param>]> = [
  ["a name that is not defined", [["max_memory", "1"]]],
  ["a value that is not defined", [["server_max_window_bits", "7"]]],
  ["a limit that it did not say it could keep", [["client_max_window_bits", "10"]]]
]

clause.each("9-2", "a client fails at parameters that are no answer to its offer", unanswering, (_, params) => {
  expect(Result.isSuccess(PerMessageDeflate.verify([{ name: "permessage-deflate", params: [] }], [offer]))).toBe(true)
  expect(Result.isFailure(PerMessageDeflate.verify([{ name: "permessage-deflate", params }], [offer]))).toBe(true)
})
