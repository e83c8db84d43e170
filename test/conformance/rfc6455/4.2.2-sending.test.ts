/** RFC 6455 section 4.2.2: what a server answers to an opening handshake. */
import { expect } from "vitest"
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import { clause } from "./clause.ts"
import { answer, asking, canChoose, replacing, statusOf, valuesOf } from "./handshake.ts"

const offering = (field: string) => [...asking, field]

clause("4.2.2-3", "refuses a page of another origin with 403, and does not switch", () => {
  const answered = answer(offering("Origin: https://evil.example.com"))
  expect(statusOf(answered)).toBe(403)
  expect(valuesOf(answered, "Sec-WebSocket-Accept")).toEqual([])
  expect(valuesOf(answered, "Upgrade")).toEqual([])
})

clause("4.2.2-3", "accepts a page of its own origin, and who is no browser", () => {
  expect(statusOf(answer(offering("Origin: http://server.example.com")))).toBe(101)
  expect(statusOf(answer(offering("Origin: HTTP://SERVER.EXAMPLE.COM")))).toBe(101)
  expect(statusOf(answer(asking))).toBe(101)
})

clause.each(
  "4.2.2-4",
  "refuses another version with 426 and says which it knows",
  [["0"], ["8"], ["25"], ["255"]],
  (v) => {
    const answered = answer(replacing(asking, `Sec-WebSocket-Version: ${v}`))
    expect(statusOf(answered)).toBe(426)
    expect(valuesOf(answered, "Sec-WebSocket-Version")).toEqual(["13"])
    expect(valuesOf(answered, "Sec-WebSocket-Accept")).toEqual([])
  }
)

clause("4.2.2-6", "chooses a subprotocol that the client offered, by its own preference", () => {
  const answered = answer(offering("Sec-WebSocket-Protocol: chat, superchat"), {
    subprotocols: ["hyperchat", "superchat", "chat"]
  })
  expect(valuesOf(answered, "Sec-WebSocket-Protocol")).toEqual(["superchat"])
})

clause("4.2.2-6", "finds an offer in several fields", () => {
  const request = [...asking, "Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: superchat"]
  expect(valuesOf(answer(request, { subprotocols: ["superchat"] }), "Sec-WebSocket-Protocol")).toEqual(["superchat"])
})

clause("4.2.2-6", "an application cannot choose one that was not offered", () => {
  expect(canChoose({ subprotocol: "superchat" })).toBe(false)
  expect(canChoose({ subprotocol: "" })).toBe(false)
  expect(canChoose({ subprotocol: "chat" })).toBe(true)
})

clause("4.2.2-7", "sends no Sec-WebSocket-Protocol when it agrees to none", () => {
  const offered = answer(offering("Sec-WebSocket-Protocol: chat"), { subprotocols: ["superchat"] })
  expect(statusOf(offered)).toBe(101)
  expect(valuesOf(offered, "Sec-WebSocket-Protocol")).toEqual([])
  expect(valuesOf(answer(asking, { subprotocols: ["superchat"] }), "Sec-WebSocket-Protocol")).toEqual([])
})

const two = [
  { name: "foo", params: [] },
  { name: "bar", params: [["baz", "2"]] }
] as const

clause("4.2.2-8", "answers with extensions that the client offered", () => {
  const answered = answer(offering("Sec-WebSocket-Extensions: foo, qux, bar; baz=2"), {
    choose: () => ({ extensions: two })
  })
  expect(valuesOf(answered, "Sec-WebSocket-Extensions")).toEqual(["foo, bar; baz=2"])
})

clause("4.2.2-8", "sends no Sec-WebSocket-Extensions when it chooses none", () => {
  expect(valuesOf(answer(offering("Sec-WebSocket-Extensions: foo")), "Sec-WebSocket-Extensions")).toEqual([])
})

clause("4.2.2-9", "an application cannot list an extension that was not offered", () => {
  const foo = { name: "foo", params: [] }
  expect(canChoose({ extensions: [foo, { name: "bar", params: [] }] })).toBe(false)
  expect(canChoose({ extensions: [{ name: "constructor", params: [] }] })).toBe(false)
  expect(canChoose({ extensions: [foo] })).toBe(true)
})

clause("4.2.2-10", "the response is the one that the RFC prints", () => {
  expect(answer(asking)).toEqual([
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
  ])
})

const acceptOf = (key: string) =>
  valuesOf(answer(replacing(asking, `Sec-WebSocket-Key: ${key}`)), "Sec-WebSocket-Accept")

clause("4.2.2-10", "Sec-WebSocket-Accept is made of the key as it was sent", () => {
  // Both keys decode to the same bytes; by SHA-1 of the text they differ. Computed by OpenSSL.
  expect(acceptOf("AQIDBAUGBwgJCgsMDQ4PEC==")).toEqual(["OfS0wDaT5NoxF2gqm7Zj2YtetzM="])
  expect(acceptOf("AQIDBAUGBwgJCgsMDQ4PEA==")).toEqual(["C/0nmHhBztSRGR1CwL6Tf4ZjwpY="])
})

const breaking: ReadonlyArray<readonly [string, Headers]> = [
  ["a line break in a value", [["Set-Cookie", "a=b\r\nX-Injected: yes"]]],
  ["a field of the handshake", [["Sec-WebSocket-Accept", "x"]]],
  ["another Connection", [["connection", "close"]]]
]

clause.each("4.2.2-10", "an application cannot break the response", breaking, (_, headers) => {
  expect(() => answer(asking, { choose: () => ({ headers }) })).toThrow()
})
