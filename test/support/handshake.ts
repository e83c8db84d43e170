/** Shared by the tests of the opening handshake: the example of RFC 6455 section 1.3, and what failed. */
import * as Result from "effect/Result"
import type { Request, Response } from "@millrace/core/codec/HttpHead"
import type { Headers } from "@millrace/core/codec/HttpHeaders"

/** What it failed with, or `undefined` when it succeeded. */
export const failureOf = <A, E>(result: Result.Result<A, E>): E | undefined =>
  Result.isFailure(result) ? result.failure : undefined

/** `the sample nonce`, in base64 `dGhlIHNhbXBsZSBub25jZQ==`. */
export const sampleKey = new TextEncoder().encode("the sample nonce")

/** The request that section 1.3 prints. */
export const sampleRequest: Request = {
  method: "GET",
  target: "/chat",
  version: { major: 1, minor: 1 },
  headers: [
    ["Host", "server.example.com"],
    ["Upgrade", "websocket"],
    ["Connection", "Upgrade"],
    ["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="],
    ["Origin", "http://example.com"],
    ["Sec-WebSocket-Protocol", "chat, superchat"],
    ["Sec-WebSocket-Version", "13"]
  ]
}

/** The response that section 1.3 prints. */
export const sampleResponse: Response = {
  status: 101,
  reason: "Switching Protocols",
  headers: [
    ["Upgrade", "websocket"],
    ["Connection", "Upgrade"],
    ["Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="],
    ["Sec-WebSocket-Protocol", "chat"]
  ]
}

/** `headers` without the fields of that name. */
export const without = (headers: Headers, name: string): Headers =>
  headers.filter(([candidate]) => candidate.toLowerCase() !== name.toLowerCase())

/** `headers` with the field of that name replaced, by one field for each value. */
export const replaced = (headers: Headers, name: string, ...values: ReadonlyArray<string>): Headers => [
  ...without(headers, name),
  ...values.map((value) => [name, value] as const)
]

/** Names that are properties of every object, and so have broken parsers that keep what a peer names in one. */
export const prototypeNames = [
  "__proto__",
  "constructor",
  "toString",
  "hasOwnProperty",
  "valueOf",
  "prototype"
] as const
