/** RFC 6455 section 9.1: the grammar of extensions, and when one is in use. */
import { expect } from "vitest"
import * as PerMessageDeflate from "@millrace/core/codec/PerMessageDeflate"
import { clause } from "./clause.ts"
import { Endpoint, expectFailed } from "./endpoint.ts"
import { accepting, answer, ask, asking, extensionsIn, outcome, refusesToAsk, statusOf, valuesOf } from "./handshake.ts"

const malformed: ReadonlyArray<readonly [string, string]> = [
  ["a parameter without a name", "foo; =1"],
  ["a parameter without a value", "foo; a="],
  ["two names", "foo bar"],
  ["a parameter of nothing", "; a"],
  ["a semicolon at the end", "foo;"],
  ["a separator", "foo@bar"],
  ["a quote in a name", '"foo"'],
  ["a character outside ASCII", "fo\u00f6"],
  ["no element", " , ,"],
  ["nothing", ""]
]

const foo = [{ name: "foo", params: [] }]

clause.each("9.1-1", "a server refuses the handshake at", malformed, (_, value) => {
  expect(statusOf(answer([...asking, `Sec-WebSocket-Extensions: ${value}`]))).toBe(400)
})

clause.each("9.1-1", "a client fails the connection at", malformed, (_, value) => {
  expect(outcome([...accepting, `Sec-WebSocket-Extensions: ${value}`], { extensions: foo })).toBe(
    "violation in Sec-WebSocket-Extensions"
  )
})

clause("9.1-1", "takes the examples that the RFC prints, in one field or in several", () => {
  const bar = { name: "bar", params: [["baz", "2"]] }
  expect(extensionsIn("foo", "bar; baz=2")).toEqual([...foo, bar])
  expect(extensionsIn("foo, bar; baz=2")).toEqual([...foo, bar])
  expect(extensionsIn("deflate-stream")).toEqual([{ name: "deflate-stream", params: [] }])
  expect(extensionsIn("mux; max-channels=4; flow-control, deflate-stream")).toEqual([
    {
      name: "mux",
      params: [
        ["max-channels", "4"],
        ["flow-control", undefined]
      ]
    },
    { name: "deflate-stream", params: [] }
  ])
})

clause("9.1-2", "a quoted value is unescaped before it is judged", () => {
  expect(extensionsIn(String.raw`foo; a="\b\c"`)).toEqual([{ name: "foo", params: [["a", "bc"]] }])
  expect(extensionsIn(String.raw`foo; a="b\ c"`)).toBeUndefined()
})

clause("9.1-2", "what is sent is a token", () => {
  expect(refusesToAsk({ extensions: [{ name: "foo", params: [["a", "b c"]] }] })).toBe(true)
  expect(refusesToAsk({ extensions: [{ name: "foo", params: [["a b", undefined]] }] })).toBe(true)
  expect(refusesToAsk({ extensions: [{ name: "foo bar", params: [] }] })).toBe(true)
  expect(valuesOf(ask({ extensions: [{ name: "foo", params: [["a", "b"]] }] }), "Sec-WebSocket-Extensions")).toEqual([
    "foo; a=b"
  ])
})

const offer: PerMessageDeflate.Offer = {
  serverNoContextTakeover: true,
  clientNoContextTakeover: true,
  serverMaxWindowBits: 10,
  clientMaxWindowBits: "any"
}

clause("9.1-3", "the one extension that Millrace knows goes by its registered name", () => {
  const sent = valuesOf(ask({ extensions: [PerMessageDeflate.printOffer(offer)] }), "Sec-WebSocket-Extensions")
  expect(sent.map((value) => value.split(";")[0])).toEqual(["permessage-deflate"])
})

clause("9.1-4", "and its parameters are those of its definition", () => {
  const sent = valuesOf(ask({ extensions: [PerMessageDeflate.printOffer(offer)] }), "Sec-WebSocket-Extensions")
  expect(sent[0]!.split("; ").slice(1).sort()).toEqual([
    "client_max_window_bits",
    "client_no_context_takeover",
    "server_max_window_bits=10",
    "server_no_context_takeover"
  ])
})

clause("9.1-5", "an extension that was offered and not chosen is not in use", () => {
  expect(outcome(accepting, { extensions: [PerMessageDeflate.printOffer(offer)] })).toBe("established")
  // Such a connection neither sends nor takes the bit that marks compression.
  const client = new Endpoint("client")
  client.sendText("a".repeat(1000))
  expect(client.seen.map(({ rsv, payload }) => [rsv, payload.length])).toEqual([[0, 1000]])
  client.receive("c1 07 f2 48 cd c9 c9 07 00")
  expectFailed(client, 1002)
})
