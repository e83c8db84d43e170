/** RFC 7692 section 5: what a client offers, and what a server answers. */
import { expect } from "vitest"
import * as PerMessageDeflate from "@millrace/core/codec/PerMessageDeflate"
import { clause } from "./clause.ts"
import { answered, answerTo, bits, madeOf, meaning, offer, offering, offers, servers } from "./negotiation.ts"

clause(
  "5-1",
  "a client puts the registered name into the field, once for each offer, the one it likes best first",
  () => {
    expect(offering(offer())).toBe("permessage-deflate")
    expect(offering(PerMessageDeflate.defaultOffer)).toBe("permessage-deflate; client_max_window_bits")
    expect(
      offering(offer({ serverMaxWindowBits: 10, clientMaxWindowBits: "any" }), PerMessageDeflate.defaultOffer)
    ).toBe(
      "permessage-deflate; server_max_window_bits=10; client_max_window_bits, permessage-deflate; client_max_window_bits"
    )
  }
)

clause("5-2", "whatever is asked of a server, it grants it or declines", () => {
  for (const asked of offers) {
    for (const options of servers) {
      const { parameters, response } = answered(offering(asked)!, options)
      if (parameters === undefined) {
        expect(response).toBeUndefined()
        continue
      }
      if (asked.serverNoContextTakeover) expect(parameters.serverNoContextTakeover).toBe(true)
      expect(parameters.serverMaxWindowBits).toBeLessThanOrEqual(asked.serverMaxWindowBits ?? 15)
    }
  }
})

clause(
  "5-6",
  "a client with a small window asks the server for one that is no larger, in every offer that it makes",
  () => {
    for (const window of bits) {
      expect(offering(offer({ serverMaxWindowBits: window }))).toBe(
        `permessage-deflate; server_max_window_bits=${window}`
      )
    }
    expect(madeOf("permessage-deflate; server_max_window_bits=10", offer({ serverMaxWindowBits: 10 }))).toMatchObject({
      serverMaxWindowBits: 10
    })
    // The server that does not say that it keeps to it has not accepted the offer.
    expect(madeOf("permessage-deflate", offer({ serverMaxWindowBits: 10 }))).toBe("failed")
  }
)

clause("5-10", "a server whose window is smaller than the largest says so, whatever the hint was", () => {
  for (const asked of offers) {
    for (const options of servers) {
      const { parameters, response } = answered(offering(asked)!, options)
      if (parameters === undefined) continue
      const limit = /client_max_window_bits=(\d+)/.exec(response!)?.[1]
      expect(parameters.clientMaxWindowBits).toBe(limit === undefined ? 15 : Number(limit))
    }
  }
})

clause("5-10", "and declines a client that did not say that it can be limited", () => {
  expect(answerTo("permessage-deflate", { clientMaxWindowBits: 10 })).toBeUndefined()
  expect(answerTo("permessage-deflate; client_max_window_bits=15", { clientMaxWindowBits: 10 })).toBe(
    "permessage-deflate; client_max_window_bits=10"
  )
})

clause("5-11", "a server that accepts answers with the name, in a field of its own", () => {
  expect(answerTo("permessage-deflate")).toBe("permessage-deflate")
  expect(answerTo(["foo, permessage-deflate; client_max_window_bits", "bar"])).toBe("permessage-deflate")
})

clause("5-12", "a server accepts the first offer that it can keep to, with all that is in it", () => {
  const fallback = "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=9"
  expect(answerTo(fallback, { smallestWindowBits: 9 })).toBe("permessage-deflate; server_max_window_bits=9")
  expect(answerTo(fallback, { smallestWindowBits: 8 })).toBe("permessage-deflate; server_max_window_bits=8")
  expect(answerTo("permessage-deflate; server_max_window_bits=8", { smallestWindowBits: 9 })).toBeUndefined()
})

clause("5-13", "what a server goes on with is what its words mean, whatever was offered", () => {
  let accepted = 0
  for (const asked of offers) {
    for (const options of servers) {
      const { parameters, response } = answered(offering(asked)!, options)
      if (parameters === undefined) continue
      accepted++
      expect(meaning(response!)).toEqual(parameters)
      // The client need not know which of its offers was accepted.
      expect(madeOf(response, PerMessageDeflate.defaultOffer, asked)).not.toBe("failed")
      expect(madeOf(response, asked)).toEqual(parameters)
    }
  }
  expect(accepted).toBeGreaterThan(300)
})

clause("5-19", "a server that declines has no such element in its response, be there other offers or not", () => {
  expect(answerTo("permessage-deflate; server_max_window_bits=8")).toBeUndefined()
  expect(answerTo("permessage-deflate; foo, permessage-deflate; server_max_window_bits=16")).toBeUndefined()
  expect(answerTo("foo")).toBeUndefined()
})

clause("5-19", "a client whose offers were declined goes on without compression", () => {
  expect(madeOf(undefined, PerMessageDeflate.defaultOffer)).toBe("uncompressed")
})

clause.each(
  "5-20",
  "a client fails the connection at",
  [
    ["an extension that it did not offer", "permessage-foo", [PerMessageDeflate.defaultOffer]],
    ["one that it did not offer beside one that it did", "permessage-deflate, foo", [PerMessageDeflate.defaultOffer]],
    ["compression that it did not offer", "permessage-deflate", []],
    ["compression that is accepted twice", "permessage-deflate, permessage-deflate", [offer(), offer()]],
    ["a request of its own that is not granted", "permessage-deflate", [offer({ serverNoContextTakeover: true })]],
    ["one that is not answered", "permessage-deflate", [offer({ serverMaxWindowBits: 15 })]]
  ] as ReadonlyArray<readonly [string, string, ReadonlyArray<PerMessageDeflate.Offer>]>,
  (_, response, made) => {
    expect(madeOf(response, ...made)).toBe("failed")
  }
)
