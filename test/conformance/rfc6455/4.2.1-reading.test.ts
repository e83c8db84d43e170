/** RFC 6455 section 4.2.1: which requests a server takes for an opening handshake. */
import { expect } from "vitest"
import { answer, asking, type Lines, readBy, replacing, statusOf, valuesOf, without } from "./handshake.ts"
import { clause } from "./clause.ts"

const expectRefused = (lines: Lines, status: number) => {
  const answered = answer(lines)
  expect(statusOf(answered)).toBe(status)
  expect(valuesOf(answered, "Sec-WebSocket-Accept")).toEqual([])
}

clause("4.2.1-1", "takes from the handshake what the answer is made of", () => {
  const [, ...fields] = asking
  expect(
    readBy([
      "GET /chat?room=1 HTTP/1.1",
      ...fields,
      "Origin: http://server.example.com",
      "Sec-WebSocket-Protocol: chat, superchat",
      "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
      "Cookie: a=b"
    ])
  ).toEqual({
    target: "/chat?room=1",
    host: "server.example.com",
    origin: "http://server.example.com",
    key: "dGhlIHNhbXBsZSBub25jZQ==",
    subprotocols: ["chat", "superchat"],
    extensions: [{ name: "permessage-deflate", params: [["client_max_window_bits", undefined]] }]
  })
})

clause("4.2.1-2", "accepts a handshake that matches, in any order and case", () => {
  const [line, ...fields] = asking
  expect(statusOf(answer(asking))).toBe(101)
  const other = fields.map((field) => field.replace(/^[^:]+/, (name) => name.toLowerCase())).toReversed()
  expect(statusOf(answer([line!, ...other]))).toBe(101)
  expect(statusOf(answer([...asking, "X-Unknown: ignored"]))).toBe(101)
})

clause("4.2.1-2", "accepts an absolute URI as the target", () => {
  const absolute = asking.map((line) => line.replace("/chat", "http://server.example.com/chat"))
  expect(statusOf(answer(absolute))).toBe(101)
})

clause.each(
  "4.2.1-2",
  "item 1, refuses what is not a GET request of HTTP 1.1 for a resource name",
  [
    ["POST", "POST /chat HTTP/1.1", 405],
    ["get, for methods have a case", "get /chat HTTP/1.1", 405],
    ["HTTP/1.0", "GET /chat HTTP/1.0", 400],
    ["HTTP/0.9", "GET /chat", 400],
    ["HTTP/2.0", "GET /chat HTTP/2.0", 505],
    ["another protocol", "GET /chat HTCP/1.1", 400],
    ["a comma in the version", "GET /chat HTTP/1,1", 400],
    ["a version of three parts", "GET /chat HTTP/1.1.1", 400],
    ["no path", "GET chat HTTP/1.1", 400],
    ["an asterisk", "GET * HTTP/1.1", 400],
    ["a fragment", "GET /chat#top HTTP/1.1", 400],
    ["another scheme", "GET ftp://server.example.com/chat HTTP/1.1", 400],
    ["two spaces", "GET  /chat HTTP/1.1", 400],
    ["no method", " /chat HTTP/1.1", 400]
  ],
  (_, line, status) => {
    expectRefused([line, ...asking.slice(1)], status)
  }
)

clause.each(
  "4.2.1-2",
  "item 2, refuses a Host that is missing or none",
  [
    ["missing", without(asking, "Host")],
    ["empty", replacing(asking, "Host:")],
    ["with a path", replacing(asking, "Host: server.example.com/chat")],
    ["with user information", replacing(asking, "Host: me@server.example.com")],
    ["twice", [...asking, "Host: server.example.com"]]
  ],
  (_, lines) => {
    expectRefused(lines, 400)
  }
)

clause.each(
  "4.2.1-2",
  "item 3, refuses an Upgrade that is missing or another",
  [
    ["missing", without(asking, "Upgrade")],
    ["another", replacing(asking, "Upgrade: h2c")],
    ["longer", replacing(asking, "Upgrade: websockets")]
  ],
  (_, lines) => {
    expectRefused(lines, 426)
  }
)

clause.each("4.2.1-2", "item 3, takes it in any case", [["WebSocket"], ["WEBSOCKET"]], (value) => {
  expect(statusOf(answer(replacing(asking, `Upgrade: ${value}`)))).toBe(101)
})

clause.each(
  "4.2.1-2",
  "item 4, refuses a Connection that is missing or without the token",
  [
    ["missing", without(asking, "Connection")],
    ["another", replacing(asking, "Connection: keep-alive")],
    ["longer", replacing(asking, "Connection: Upgraded")]
  ],
  (_, lines) => {
    expectRefused(lines, 400)
  }
)

clause.each(
  "4.2.1-2",
  "item 4, takes the token in any case and company",
  [["upgrade"], ["keep-alive, Upgrade"]],
  (value) => {
    expect(statusOf(answer(replacing(asking, `Connection: ${value}`)))).toBe(101)
  }
)

clause.each(
  "4.2.1-2",
  "item 5, refuses a key that is missing or not 16 bytes in base64",
  [
    ["missing", without(asking, "Sec-WebSocket-Key")],
    ["empty", replacing(asking, "Sec-WebSocket-Key:")],
    ["15 bytes", replacing(asking, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA")],
    ["17 bytes", replacing(asking, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=")],
    ["18 bytes", replacing(asking, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA")],
    ["no padding", replacing(asking, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ")],
    ["characters of no alphabet", replacing(asking, "Sec-WebSocket-Key: dGhlIHNhbXBs*SBub25jZQ==")],
    ["padding in the middle", replacing(asking, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub2==ZQ==")]
  ],
  (_, lines) => {
    expectRefused(lines, 400)
  }
)

clause("4.2.1-2", "item 5, takes the key that section 4.1 prints, though a bit of it is lost", () => {
  expect(statusOf(answer(replacing(asking, "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC==")))).toBe(101)
})

clause("4.2.1-2", "item 6, refuses a handshake without a version", () => {
  expectRefused(without(asking, "Sec-WebSocket-Version"), 400)
})

clause.each(
  "4.2.1-2",
  "item 6, refuses a version that is not one number from 0 to 255",
  [["013"], ["256"], ["-13"], ["13.0"], ["13, 8"], ["thirteen"], [""]],
  (value) => {
    expectRefused(replacing(asking, `Sec-WebSocket-Version: ${value}`), 400)
  }
)

clause.each(
  "4.2.1-2",
  "item 8, refuses subprotocols that are no list of tokens",
  [["chat room"], ["chat;q=1"], ["a, b c"], ['"chat"'], [""], [","], ["chat/1"]],
  (value) => {
    expectRefused(replacing(asking, `Sec-WebSocket-Protocol: ${value}`), 400)
  }
)

clause.each(
  "4.2.1-2",
  "item 9, refuses extensions that do not follow the grammar",
  [["a b"], ["a;"], ["a; ="], ["a; b="], ['a; b="'], ["; a"], ["a, ;"], [""], ["a/b"]],
  (value) => {
    expectRefused(replacing(asking, `Sec-WebSocket-Extensions: ${value}`), 400)
  }
)

clause.each(
  "4.2.1-2",
  "refuses what is not HTTP",
  [
    ["a field without a colon", [...asking, "what is this"]],
    ["a space before the colon", [...asking, "Cookie : a=b"]],
    ["a folded field", [...asking, " folded"]],
    ["a bare carriage return", [...asking, "X-Field: a\rb"]],
    ["a bare line feed", [...asking, "X-Field: a\nb"]],
    ["a NUL", [...asking, "X-Field: \0"]]
  ],
  (_, lines) => {
    expectRefused(lines, 400)
  }
)
