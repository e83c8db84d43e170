/** RFC 7692 sections 7 and 7.1: the parameters of permessage-deflate. */
import { expect } from "vitest"
import * as PerMessageDeflate from "@millrace/core/codec/PerMessageDeflate"
import { clause } from "./clause.ts"
import { answered, answerTo, bits, madeOf, offer, offering, offers, servers } from "./negotiation.ts"

const unknown: ReadonlyArray<readonly [string, string]> = [
  ["a parameter that is not defined", "max_window_bits=10"],
  ["one that is not quite", "Server_no_context_takeover"],
  ["a name that every object has", "constructor"]
]

const invalid: ReadonlyArray<readonly [string, string]> = [
  ["a value where there is none", "server_no_context_takeover=1"],
  ["a value where there is none, of the client", "client_no_context_takeover=true"],
  ["no value where there must be one", "server_max_window_bits"],
  ["a window that is too small", "server_max_window_bits=7"],
  ["a window that is too large", "client_max_window_bits=16"]
]

const repeated: ReadonlyArray<readonly [string, string]> = [
  ["the same twice", "server_max_window_bits=10; server_max_window_bits=10"],
  ["the same twice with different values", "client_max_window_bits=10; client_max_window_bits=11"],
  ["the same twice without a value", "server_no_context_takeover; server_no_context_takeover"]
]

clause.each("7-1", "a server declines an offer with", [...unknown, ...invalid, ...repeated], (_, params) => {
  expect(answerTo(`permessage-deflate; ${params}`)).toBeUndefined()
  // It is the offer that is declined, and neither the next one nor the connection.
  expect(answerTo(`permessage-deflate; ${params}, permessage-deflate`)).toBe("permessage-deflate")
})

clause.each(
  "7-1",
  "a server declines what it does not support",
  [
    ["a window that zlib cannot keep to", "server_max_window_bits=8", {}],
    ["a client that cannot be limited", "server_no_context_takeover", { clientMaxWindowBits: 12 }]
  ] as ReadonlyArray<readonly [string, string, Partial<PerMessageDeflate.ServerOptions>]>,
  (_, params, options) => {
    expect(answerTo(`permessage-deflate; ${params}`, options)).toBeUndefined()
  }
)

const all = offer({
  serverNoContextTakeover: true,
  clientNoContextTakeover: true,
  serverMaxWindowBits: 15,
  clientMaxWindowBits: "any"
})
const granted = "permessage-deflate; server_no_context_takeover; server_max_window_bits=15"

clause("7-2", "the response that the next tests spoil is one that a client takes", () => {
  expect(madeOf(granted, all)).toMatchObject({ serverNoContextTakeover: true, serverMaxWindowBits: 15 })
})

clause.each("7-2", "a client fails the connection at", unknown, (_, params) => {
  expect(madeOf(`${granted}; ${params}`, all)).toBe("failed")
})

clause.each(
  "7-2",
  "a client fails the connection at",
  [...invalid, ["no value where only an offer may lack it", "client_max_window_bits"]],
  (_, params) => {
    expect(madeOf(`permessage-deflate; ${params}`, PerMessageDeflate.defaultOffer)).toBe("failed")
  }
)

clause.each("7-2", "a client fails the connection at", repeated, (_, params) => {
  expect(madeOf(`permessage-deflate; ${params}`, offer({ clientMaxWindowBits: "any" }))).toBe("failed")
})

clause.each(
  "7-2",
  "a client fails the connection at what it does not support",
  [
    ["a window larger than its own", "server_max_window_bits=11", offer({ serverMaxWindowBits: 10 })],
    ["any window", "server_no_context_takeover", offer({ serverMaxWindowBits: 10 })],
    ["a window carried over", "server_max_window_bits=10", offer({ serverNoContextTakeover: true })],
    ["a limit that it cannot keep to", "client_max_window_bits=10", offer()]
  ] as ReadonlyArray<readonly [string, string, PerMessageDeflate.Offer]>,
  (_, params, made) => {
    expect(madeOf(`permessage-deflate; ${params}`, made)).toBe("failed")
  }
)

clause("7.1.1.2-1", "a client takes it, whether it has offered it or not", () => {
  for (const clientNoContextTakeover of [false, true]) {
    expect(madeOf("permessage-deflate; client_no_context_takeover", offer({ clientNoContextTakeover }))).toMatchObject({
      clientNoContextTakeover: true
    })
  }
})

/** Everything that a number may look like and that section 7.1.2 does not allow. */
const misprinted = [
  "7",
  "16",
  "08",
  "015",
  "+9",
  "-9",
  "9.0",
  "1e1",
  "0xa",
  "'9'",
  "ten",
  "9_",
  "1000000000000000000000"
]

const printed = (name: string, text: string | undefined) =>
  [...(text ?? "").matchAll(new RegExp(`; ${name}(=[^;,]*)?`, "g"))].map(([, value]) => value)

clause("7.1.2.1-1", "a client prints 8 to 15, without a leading zero", () => {
  expect(
    bits.flatMap((window) => printed("server_max_window_bits", offering(offer({ serverMaxWindowBits: window }))))
  ).toEqual(["=8", "=9", "=10", "=11", "=12", "=13", "=14", "=15"])
})

clause("7.1.2.1-1", "a server takes these, in quotes too, and declines all else", () => {
  for (const window of bits.slice(1)) {
    const accepted = `permessage-deflate; server_max_window_bits=${window}`
    expect(answerTo(accepted)).toBe(accepted)
    expect(answerTo(`permessage-deflate; server_max_window_bits="${window}"`)).toBe(accepted)
  }
  for (const wrong of misprinted) {
    expect([wrong, answerTo(`permessage-deflate; server_max_window_bits=${wrong}`)]).toEqual([wrong, undefined])
  }
})

clause("7.1.2.1-2", "a server prints 8 to 15, and no more than the offer has", () => {
  for (const asked of offers) {
    for (const options of servers) {
      const [value, ...more] = printed("server_max_window_bits", answerTo(offering(asked)!, options))
      expect(more).toEqual([])
      if (value === undefined) continue
      expect(value).toMatch(/^=([89]|1[0-5])$/)
      expect(Number(value.slice(1))).toBeLessThanOrEqual(asked.serverMaxWindowBits ?? 15)
    }
  }
})

clause("7.1.2.1-2", "a client takes these and fails the connection at all else", () => {
  for (const window of bits) {
    expect(madeOf(`permessage-deflate; server_max_window_bits=${window}`, offer())).toMatchObject({
      serverMaxWindowBits: window
    })
  }
  for (const wrong of misprinted) {
    expect([wrong, madeOf(`permessage-deflate; server_max_window_bits=${wrong}`, offer())]).toEqual([wrong, "failed"])
  }
})

clause("7.1.2.2-1", "a client prints nothing, or 8 to 15 without a leading zero", () => {
  const windows = ["any", ...bits] as const
  expect(
    windows.flatMap((window) => printed("client_max_window_bits", offering(offer({ clientMaxWindowBits: window }))))
  ).toEqual([undefined, "=8", "=9", "=10", "=11", "=12", "=13", "=14", "=15"])
})

clause("7.1.2.2-1", "a server takes these and declines all else", () => {
  for (const window of bits) {
    expect(answered(`permessage-deflate; client_max_window_bits=${window}`).parameters).toMatchObject({
      clientMaxWindowBits: window
    })
  }
  for (const wrong of misprinted) {
    expect([wrong, answerTo(`permessage-deflate; client_max_window_bits=${wrong}`)]).toEqual([wrong, undefined])
  }
})

clause("7.1.2.2-2", "a server prints 8 to 15, and never the parameter alone", () => {
  for (const asked of offers) {
    for (const options of servers) {
      const response = answerTo(offering(asked)!, options)
      if (response?.includes("client_max_window_bits") !== true) continue
      expect(printed("client_max_window_bits", response)).toEqual([expect.stringMatching(/^=([89]|1[0-5])$/)])
    }
  }
})

clause("7.1.2.2-2", "a client takes these and fails the connection at all else", () => {
  const made = offer({ clientMaxWindowBits: "any" })
  for (const window of bits) {
    expect(madeOf(`permessage-deflate; client_max_window_bits=${window}`, made)).toMatchObject({
      clientMaxWindowBits: window
    })
  }
  for (const wrong of misprinted) {
    expect([wrong, madeOf(`permessage-deflate; client_max_window_bits=${wrong}`, made)]).toEqual([wrong, "failed"])
  }
})

clause("7.1.2.2-3", "no server says it to a client that did not, however many other offers there are", () => {
  for (const asked of offers.filter(({ clientMaxWindowBits }) => clientMaxWindowBits === undefined)) {
    for (const options of servers) {
      expect(answerTo(offering(asked)!, options) ?? "").not.toContain("client_max_window_bits")
    }
  }
})

clause("7.1.2.2-3", "a server that keeps no window for such a client says the other parameter to it", () => {
  const options = { clientMaxWindowBits: 10, unlimitedClients: "NoContextTakeover" } as const
  expect(answerTo("permessage-deflate", options)).toBe("permessage-deflate; client_no_context_takeover")
  expect(answerTo("permessage-deflate; client_max_window_bits", options)).toBe(
    "permessage-deflate; client_max_window_bits=10"
  )
})

clause("7.1.2.2-3", "a client fails the connection at a server that does", () => {
  expect(madeOf("permessage-deflate; client_max_window_bits=15", offer())).toBe("failed")
  expect(madeOf("permessage-deflate; client_max_window_bits=15", offer({ serverMaxWindowBits: 10 }))).toBe("failed")
})

clause("7.1.3-1", "the offers that the section prints get the answers that it prints", () => {
  expect(answerTo("permessage-deflate")).toBe("permessage-deflate")
  const first = "permessage-deflate; client_max_window_bits; server_max_window_bits=10"
  const second = "permessage-deflate; client_max_window_bits"
  expect(answerTo(first)).toBe("permessage-deflate; server_max_window_bits=10")
  expect(answerTo(`${first}, ${second}`)).toBe("permessage-deflate; server_max_window_bits=10")
  // A server that cannot keep to a window of 1,024 bytes takes the second.
  expect(answerTo(`${first}, ${second}`, { smallestWindowBits: 11 })).toBe("permessage-deflate")
})

clause("7.1.3-1", "a server that wants to limit the window of the client declines the simplest offer", () => {
  expect(answerTo("permessage-deflate", { clientMaxWindowBits: 14 })).toBeUndefined()
})
