/** RFC 6455 section 11.3: header fields that are there once at most. */
import { expect } from "vitest"
import { clause } from "./clause.ts"
import { accepting, answer, ask, asking, outcome, refusesToAsk, statusOf, valuesOf } from "./handshake.ts"

const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="

clause("11.3.1-1", "a client sends one", () => {
  expect(valuesOf(ask(), "Sec-WebSocket-Key")).toHaveLength(1)
  expect(refusesToAsk({ headers: [["sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="]] })).toBe(true)
})

clause("11.3.1-1", "a server refuses two, be they the same", () => {
  expect(statusOf(answer([...asking, key]))).toBe(400)
})

clause("11.3.2-1", "a server lists all its extensions in one", () => {
  const extensions = [
    { name: "foo", params: [] },
    { name: "bar", params: [] }
  ]
  const answered = answer([...asking, "Sec-WebSocket-Extensions: foo", "Sec-WebSocket-Extensions: bar"], {
    choose: () => ({ extensions })
  })
  expect(valuesOf(answered, "Sec-WebSocket-Extensions")).toEqual(["foo, bar"])
})

clause("11.3.3-1", "a server sends one", () => {
  expect(valuesOf(answer(asking), "Sec-WebSocket-Accept")).toHaveLength(1)
  expect(() => answer(asking, { choose: () => ({ headers: [["sec-websocket-accept", "x"]] }) })).toThrow()
})

clause("11.3.3-1", "a client fails at two, be they the same", () => {
  expect(outcome([...accepting, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="])).toBe(
    "violation in Sec-WebSocket-Accept"
  )
})

clause("11.3.4-1", "a server sends one", () => {
  const request = [...asking, "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b"]
  expect(valuesOf(answer(request, { subprotocols: ["a", "b"] }), "Sec-WebSocket-Protocol")).toEqual(["a"])
})

clause("11.3.4-1", "a client fails at two, be they the same", () => {
  const twice = [...accepting, "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: a"]
  expect(outcome(twice, { subprotocols: ["a"] })).toBe("violation in Sec-WebSocket-Protocol")
})

clause("11.3.5-1", "a client sends one", () => {
  expect(valuesOf(ask(), "Sec-WebSocket-Version")).toHaveLength(1)
  expect(refusesToAsk({ headers: [["Sec-WebSocket-Version", "13"]] })).toBe(true)
})

clause("11.3.5-1", "a server refuses two, be they the same", () => {
  expect(statusOf(answer([...asking, "Sec-WebSocket-Version: 13"]))).toBe(400)
})
