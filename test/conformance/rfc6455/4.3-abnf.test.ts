/** RFC 6455 section 4.3: the one demand in the grammar of the header fields. */
import { expect } from "vitest"
import { clause } from "./clause.ts"
import { accepting, answer, asking, extensionsIn, outcome, statusOf } from "./handshake.ts"

clause("4.3-1", "a quoted value that is a token once unescaped is that token", () => {
  expect(extensionsIn(String.raw`foo; a="b\c"; d = "e"`)).toEqual([
    {
      name: "foo",
      params: [
        ["a", "bc"],
        ["d", "e"]
      ]
    }
  ])
})

const notTokens: ReadonlyArray<readonly [string, string]> = [
  ["a space", '"b c"'],
  ["a comma", '"b,c"'],
  ["an escaped quote", String.raw`"b\"c"`],
  ["nothing", '""'],
  ["no end", '"b'],
  ["an escape at the end", String.raw`"b\ `]
]

clause.each("4.3-1", "a server refuses one that is not", notTokens, (_, value) => {
  expect(statusOf(answer([...asking, `Sec-WebSocket-Extensions: foo; a=${value}`]))).toBe(400)
})

clause.each("4.3-1", "a client fails the connection at one that is not", notTokens, (_, value) => {
  const extensions = [{ name: "foo", params: [] }]
  expect(outcome([...accepting, `Sec-WebSocket-Extensions: foo; a=${value}`], { extensions })).toBe(
    "violation in Sec-WebSocket-Extensions"
  )
})
