import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Extensions from "@millrace/core/codec/Extensions"
import * as PerMessageDeflate from "@millrace/core/codec/PerMessageDeflate"
import { prototypeNames } from "../../support/handshake.ts"

const bits = fc.constantFrom<PerMessageDeflate.WindowBits>(8, 9, 10, 11, 12, 13, 14, 15)

const offer: fc.Arbitrary<PerMessageDeflate.Offer> = fc.record({
  serverNoContextTakeover: fc.boolean(),
  clientNoContextTakeover: fc.boolean(),
  serverMaxWindowBits: fc.option(bits, { nil: undefined }),
  clientMaxWindowBits: fc.oneof(bits, fc.constantFrom("any" as const, undefined))
})

const options: fc.Arbitrary<PerMessageDeflate.ServerOptions> = fc.record({
  serverNoContextTakeover: fc.boolean(),
  clientNoContextTakeover: fc.boolean(),
  serverMaxWindowBits: bits,
  clientMaxWindowBits: bits,
  smallestWindowBits: fc.constantFrom<PerMessageDeflate.WindowBits>(8, 9),
  unlimitedClients: fc.constantFrom(undefined, "Decline" as const, "NoContextTakeover" as const)
})

/** Names and values that mean something, and those that must not. */
const param: fc.Arbitrary<Extensions.Param> = fc.tuple(
  fc.constantFrom(
    "server_no_context_takeover",
    "client_no_context_takeover",
    "server_max_window_bits",
    "client_max_window_bits",
    ...prototypeNames
  ),
  fc.constantFrom(undefined, "8", "9", "15", "16", "7", "09", "true", "-1", ...prototypeNames)
)
const extension: fc.Arbitrary<Extensions.Extension> = fc.record({
  name: fc.constantFrom("permessage-deflate", "permessage-deflate", "mux", ...prototypeNames),
  params: fc.array(param, { maxLength: 4 })
})

describe("PerMessageDeflate", () => {
  it("reads the offer that it prints", () => {
    fc.assert(
      fc.property(offer, (value) => {
        expect(PerMessageDeflate.readOffer(PerMessageDeflate.printOffer(value))).toEqual(Result.succeed(value))
      })
    )
  })

  it("both ends come to the same parameters, and neither gets more than it allowed", () => {
    let accepted = 0
    fc.assert(
      fc.property(fc.array(offer, { minLength: 1, maxLength: 3 }), options, (offers, server) => {
        const agreed = PerMessageDeflate.negotiate(offers.map(PerMessageDeflate.printOffer), server)
        if (agreed === undefined) return
        accepted++
        const { parameters, response } = agreed
        expect(parameters.serverMaxWindowBits).toBeLessThanOrEqual(server.serverMaxWindowBits)
        expect(parameters.serverMaxWindowBits).toBeGreaterThanOrEqual(server.smallestWindowBits)
        if (server.unlimitedClients !== "NoContextTakeover" || !parameters.clientNoContextTakeover) {
          expect(parameters.clientMaxWindowBits).toBeLessThanOrEqual(server.clientMaxWindowBits)
        }
        if (server.serverNoContextTakeover) expect(parameters.serverNoContextTakeover).toBe(true)
        if (server.clientNoContextTakeover) expect(parameters.clientNoContextTakeover).toBe(true)
        const wire = Result.getOrThrow(Extensions.parse(Result.getOrThrow(Extensions.print([response]))))
        const client = Result.getOrThrow(PerMessageDeflate.verify(wire, offers))
        if (offers.length === 1) expect(client).toEqual(parameters)
        // With several offers a response may answer an earlier one as well; what the server must keep to is the same.
        expect(client?.serverMaxWindowBits).toBe(parameters.serverMaxWindowBits)
        expect(client?.serverNoContextTakeover).toBe(parameters.serverNoContextTakeover)
        expect(client?.clientMaxWindowBits).toBeLessThanOrEqual(parameters.clientMaxWindowBits)
      }),
      { numRuns: 3000 }
    )
    expect(accepted).toBeGreaterThan(500)
  })

  it("answers any parameters at all with a value, never by throwing", () => {
    fc.assert(
      fc.property(
        fc.array(extension, { maxLength: 4 }),
        fc.array(offer, { maxLength: 2 }),
        options,
        (list, offers, server) => {
          const agreed = PerMessageDeflate.negotiate(list, server)
          if (agreed !== undefined) expect(agreed.response.name).toBe("permessage-deflate")
          const verified = PerMessageDeflate.verify(list, offers)
          if (Result.isFailure(verified)) expect(verified.failure._tag).toBe("HandshakeViolation")
        }
      ),
      { numRuns: 3000 }
    )
  })
})
