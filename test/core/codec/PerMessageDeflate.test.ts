import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as Extensions from "@millrace/core/codec/Extensions"
import * as PerMessageDeflate from "@millrace/core/codec/PerMessageDeflate"
import { failureOf, prototypeNames } from "../../support/handshake.ts"

const parse = (value: string) => Result.getOrThrow(Extensions.parse(value))
const print = (extension: Extensions.Extension) => Result.getOrThrow(Extensions.print([extension]))
const readOffer = (params: string) => PerMessageDeflate.readOffer(parse(`permessage-deflate${params}`)[0]!)

/** What a server says to a list of offers: its field value, or `undefined` when it declines. */
const answer = (offers: string, options: Partial<PerMessageDeflate.ServerOptions> = {}) => {
  const accepted = PerMessageDeflate.negotiate(parse(offers), { ...PerMessageDeflate.defaultServerOptions, ...options })
  return accepted === undefined ? undefined : print(accepted.response)
}

const offerOf = (params: string) => Result.getOrThrow(readOffer(params))
const verify = (response: string, ...offers: ReadonlyArray<string>) =>
  PerMessageDeflate.verify(parse(response), offers.map(offerOf))

const full: PerMessageDeflate.DeflateParameters = {
  serverNoContextTakeover: false,
  clientNoContextTakeover: false,
  serverMaxWindowBits: 15,
  clientMaxWindowBits: 15
}

describe("RFC 7692 7.1: what an offer asks for", () => {
  it.each([
    ["", { ...full, serverMaxWindowBits: undefined, clientMaxWindowBits: undefined }],
    ["; client_max_window_bits", PerMessageDeflate.defaultOffer],
    [
      '; client_max_window_bits="10"; server_max_window_bits=8',
      { ...full, serverMaxWindowBits: 8, clientMaxWindowBits: 10 }
    ],
    [
      "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15; client_max_window_bits=15",
      { serverNoContextTakeover: true, clientNoContextTakeover: true, serverMaxWindowBits: 15, clientMaxWindowBits: 15 }
    ]
  ])("permessage-deflate%s", (params, offer) => {
    expect(readOffer(params)).toEqual(Result.succeed(offer))
    expect(PerMessageDeflate.readOffer(PerMessageDeflate.printOffer(offer as PerMessageDeflate.Offer))).toEqual(
      Result.succeed(offer)
    )
  })

  it("the default offer is the one that browsers send", () => {
    expect(print(PerMessageDeflate.printOffer(PerMessageDeflate.defaultOffer))).toBe(
      "permessage-deflate; client_max_window_bits"
    )
  })

  it.each([
    ["RFC 7692 7.1", "; unknown"],
    ["RFC 7692 7.1", "; Server_no_context_takeover"],
    ["RFC 7692 7.1", "; client_max_window_bits; client_max_window_bits"],
    ["RFC 7692 7.1", "; server_no_context_takeover; server_no_context_takeover"],
    ["RFC 7692 7.1.1.1", "; server_no_context_takeover=true"],
    ["RFC 7692 7.1.1.2", "; client_no_context_takeover=1"],
    ["RFC 7692 7.1.2.1", "; server_max_window_bits"],
    ["RFC 7692 7.1.2.1", "; server_max_window_bits=7"],
    ["RFC 7692 7.1.2.1", "; server_max_window_bits=16"],
    ["RFC 7692 7.1.2.1", "; server_max_window_bits=08"],
    ["RFC 7692 7.1.2.1", "; server_max_window_bits=+9"],
    ["RFC 7692 7.1.2.1", "; server_max_window_bits=1e1"],
    ["RFC 7692 7.1.2.1", "; server_max_window_bits=15.0"],
    ["RFC 7692 7.1.2.1", "; server_max_window_bits=0xf"],
    ["RFC 7692 7.1.2.2", "; client_max_window_bits=7"],
    ["RFC 7692 7.1.2.2", "; client_max_window_bits=16"],
    ["RFC 7692 7.1.2.2", "; client_max_window_bits=010"],
    ["RFC 7692 7.1.2.2", "; client_max_window_bits=1000000000000000000000"],
    ...prototypeNames.map((name) => ["RFC 7692 7.1", `; ${name}`] as const),
    ...prototypeNames.map((name) => ["RFC 7692 7.1.2.1", `; server_max_window_bits=${name}`] as const)
  ] as ReadonlyArray<[string, string]>)("%s: a server MUST decline permessage-deflate%s", (clause, params) => {
    expect(failureOf(readOffer(params))).toMatchObject({ _tag: "HandshakeViolation", clause })
    expect(answer(`permessage-deflate${params}`)).toBeUndefined()
    expect(answer(`permessage-deflate${params}, permessage-deflate`)).toBe("permessage-deflate")
  })
})

describe("RFC 7692 7.1: what a server answers", () => {
  it.each([
    ["nothing offered", "mux", {}, undefined],
    ["no parameters", "permessage-deflate", {}, "permessage-deflate"],
    ["the offer of a browser", "permessage-deflate; client_max_window_bits", {}, "permessage-deflate"],
    [
      "7.1.1.1 asked",
      "permessage-deflate; server_no_context_takeover",
      {},
      "permessage-deflate; server_no_context_takeover"
    ],
    [
      "7.1.1.1 and 7.1.1.2 unasked, by the server's own choice",
      "permessage-deflate",
      { serverNoContextTakeover: true, clientNoContextTakeover: true },
      "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    ],
    [
      "7.1.2.1 the same value",
      "permessage-deflate; server_max_window_bits=15",
      {},
      "permessage-deflate; server_max_window_bits=15"
    ],
    [
      "7.1.2.1 a smaller value of the server's own",
      "permessage-deflate; server_max_window_bits=12",
      { serverMaxWindowBits: 10 },
      "permessage-deflate; server_max_window_bits=10"
    ],
    [
      "7.1.2.1 the smaller value of the client",
      "permessage-deflate; server_max_window_bits=10",
      { serverMaxWindowBits: 12 },
      "permessage-deflate; server_max_window_bits=10"
    ],
    [
      "7.1.2.1 a value nobody asked for",
      "permessage-deflate",
      { serverMaxWindowBits: 11 },
      "permessage-deflate; server_max_window_bits=11"
    ],
    ["a window the compressor cannot keep to", "permessage-deflate; server_max_window_bits=8", {}, undefined],
    [
      "a window another compressor can keep to",
      "permessage-deflate; server_max_window_bits=8",
      { smallestWindowBits: 8 },
      "permessage-deflate; server_max_window_bits=8"
    ],
    [
      "7.1.2.2 a limit for a client that can be limited",
      "permessage-deflate; client_max_window_bits",
      { clientMaxWindowBits: 10 },
      "permessage-deflate; client_max_window_bits=10"
    ],
    [
      "7.1.2.2 the hint of the client, when it is smaller",
      "permessage-deflate; client_max_window_bits=9",
      { clientMaxWindowBits: 10 },
      "permessage-deflate; client_max_window_bits=9"
    ],
    [
      "7.1.2.2 MUST NOT limit a client that did not offer it",
      "permessage-deflate",
      { clientMaxWindowBits: 10 },
      undefined
    ],
    [
      "7.1.1.2 an empty window for each message of a client that cannot be limited",
      "permessage-deflate",
      { clientMaxWindowBits: 10, unlimitedClients: "NoContextTakeover" },
      "permessage-deflate; client_no_context_takeover"
    ],
    [
      "7.1.2.2 the limit all the same for one that can be",
      "permessage-deflate; client_max_window_bits",
      { clientMaxWindowBits: 10, unlimitedClients: "NoContextTakeover" },
      "permessage-deflate; client_max_window_bits=10"
    ],
    [
      "the second offer, when the first cannot be met",
      "permessage-deflate; server_max_window_bits=8, mux, permessage-deflate; client_max_window_bits",
      { clientMaxWindowBits: 9 },
      "permessage-deflate; client_max_window_bits=9"
    ],
    [
      "the first offer, when both can be met",
      "permessage-deflate; server_max_window_bits=10, permessage-deflate",
      {},
      "permessage-deflate; server_max_window_bits=10"
    ]
  ] as ReadonlyArray<[string, string, Partial<PerMessageDeflate.ServerOptions>, string | undefined]>)(
    "%s: %s",
    (_, offers, options, response) => {
      expect(answer(offers, options)).toBe(response)
    }
  )
})

describe("RFC 7692 7.1: what a client makes of the answer", () => {
  it.each([
    ["no compression", "mux", "; client_max_window_bits", undefined],
    ["no parameters", "permessage-deflate", "", full],
    [
      "7.1.1.1 unasked",
      "permessage-deflate; server_no_context_takeover",
      "",
      { ...full, serverNoContextTakeover: true }
    ],
    [
      "7.1.1.2 unasked",
      "permessage-deflate; client_no_context_takeover",
      "",
      { ...full, clientNoContextTakeover: true }
    ],
    [
      "7.1.1.2 the client keeps its word, answered or not",
      "permessage-deflate",
      "; client_no_context_takeover",
      { ...full, clientNoContextTakeover: true }
    ],
    [
      "7.1.2.1 smaller than asked",
      "permessage-deflate; server_max_window_bits=9",
      "; server_max_window_bits=10",
      { ...full, serverMaxWindowBits: 9 }
    ],
    ["7.1.2.1 unasked", "permessage-deflate; server_max_window_bits=9", "", { ...full, serverMaxWindowBits: 9 }],
    [
      "7.1.2.2 a limit",
      "permessage-deflate; client_max_window_bits=9",
      "; client_max_window_bits",
      { ...full, clientMaxWindowBits: 9 }
    ],
    [
      "7.1.2.2 the client keeps its word, whatever larger value is answered",
      "permessage-deflate; client_max_window_bits=12",
      "; client_max_window_bits=10",
      { ...full, clientMaxWindowBits: 10 }
    ],
    [
      "7.1.2.2 the client keeps its word, answered or not",
      "permessage-deflate",
      "; client_max_window_bits=10",
      { ...full, clientMaxWindowBits: 10 }
    ]
  ])("%s: %s to permessage-deflate%s", (_, response, offer, parameters) => {
    expect(verify(response, offer)).toEqual(Result.succeed(parameters))
  })

  it.each([
    ["RFC 7692 7.1", "permessage-deflate; unknown", ""],
    ["RFC 7692 7.1", "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9", ""],
    ["RFC 7692 7.1", "permessage-deflate, permessage-deflate", ""],
    ["RFC 7692 7.1.1.1", "permessage-deflate", "; server_no_context_takeover"],
    ["RFC 7692 7.1.1.1", "permessage-deflate; server_no_context_takeover=1", ""],
    ["RFC 7692 7.1.2.1", "permessage-deflate", "; server_max_window_bits=10"],
    ["RFC 7692 7.1.2.1", "permessage-deflate; server_max_window_bits=11", "; server_max_window_bits=10"],
    ["RFC 7692 7.1.2.1", "permessage-deflate; server_max_window_bits", ""],
    ["RFC 7692 7.1.2.1", "permessage-deflate; server_max_window_bits=16", ""],
    ["RFC 7692 7.1.2.2", "permessage-deflate; client_max_window_bits=15", ""],
    ["RFC 7692 7.1.2.2", "permessage-deflate; client_max_window_bits", "; client_max_window_bits"],
    ...prototypeNames.map((name) => ["RFC 7692 7.1", `permessage-deflate; ${name}`, ""] as const)
  ] as ReadonlyArray<[string, string, string]>)(
    "%s: a client MUST fail the connection on %s to permessage-deflate%s",
    (clause, response, offer) => {
      expect(failureOf(verify(response, offer))).toMatchObject({
        _tag: "HandshakeViolation",
        field: "Sec-WebSocket-Extensions",
        clause
      })
    }
  )

  it("takes the first of its offers that the response answers", () => {
    const offers = ["; server_max_window_bits=9; client_max_window_bits=10", "; client_max_window_bits"]
    expect(verify("permessage-deflate; server_max_window_bits=9", ...offers)).toEqual(
      Result.succeed({ ...full, serverMaxWindowBits: 9, clientMaxWindowBits: 10 })
    )
    expect(verify("permessage-deflate; client_max_window_bits=11", ...offers)).toEqual(
      Result.succeed({ ...full, clientMaxWindowBits: 11 })
    )
  })

  it("RFC 6455 4.1: fails when nothing was offered", () => {
    expect(failureOf(verify("permessage-deflate"))).toMatchObject({ clause: "RFC 6455 4.1" })
  })
})
