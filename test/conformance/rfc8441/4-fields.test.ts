/** RFC 8441 section 4: the pseudo-header fields of an extended CONNECT. */
import { expect } from "vitest"
import { clause } from "./clause.ts"
import { answer, ask, asking, replacing, statusOf, valuesOf, without } from "./fields.ts"

clause("4-1", "a client sends both, with the scheme and the path that it was given", () => {
  const request = ask({ scheme: "http", target: "/chat?room=1" })
  expect([valuesOf(request, ":scheme"), valuesOf(request, ":path")]).toEqual([["http"], ["/chat?room=1"]])
})

clause.each("4-1", "a server refuses a request without", [[":scheme"], [":path"]], (name) => {
  expect(statusOf(answer(asking))).toBe(200)
  expect(statusOf(answer(without(asking, name)))).toBe(400)
})

clause(
  "4-2",
  "a server takes the authority for its own name, to hold a Host and an Origin against, and for no address",
  () => {
    expect(statusOf(answer([...asking, "host: server.example.com"]))).toBe(200)
    expect(statusOf(answer([...asking, "host: elsewhere.example.com"]))).toBe(400)
  }
)

clause("4-2", "an ordinary CONNECT, which asks for a tunnel, is refused", () => {
  const request = [":method: CONNECT", ":authority: server.example.com:25"]
  expect(statusOf(answer(request))).toBe(400)
  expect(statusOf(answer(without(asking, ":protocol")))).toBe(400)
})

clause("4-3", "a server that is asked for something else than a WebSocket says that it has none of it", () => {
  for (const protocol of ["connect-udp", "webtransport", "WebSocket", "websocket2", "websocket, connect-ip"]) {
    expect(statusOf(answer(replacing(asking, `:protocol: ${protocol}`)))).toBe(501)
  }
})
