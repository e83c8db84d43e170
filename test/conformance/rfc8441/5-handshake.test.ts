/** RFC 8441 section 5: the opening handshake, field by field. */
import { expect } from "vitest"
import { clause } from "./clause.ts"
import {
  accepting,
  answer,
  ask,
  asking,
  nameOf,
  outcome,
  readBy,
  refusesToAsk,
  replacing,
  statusOf,
  valuesOf,
  without
} from "./fields.ts"

const deflate = [{ name: "permessage-deflate", params: [] }]

/** What the client of section 5.1 wants. */
const wanted = { subprotocols: ["chat", "superchat"], extensions: deflate }

clause("5-1", "a client asks as section 5.1 prints it", () => {
  expect(ask({ ...wanted, origin: "http://www.example.com" }).toSorted()).toEqual(asking.toSorted())
})

clause("5-1", "a client puts the pseudo-header fields first, each of them once", () => {
  const names = ask(wanted).map(nameOf)
  expect(names.slice(0, 5).toSorted()).toEqual([":authority", ":method", ":path", ":protocol", ":scheme"])
  expect(names.slice(5).filter((name) => name.startsWith(":"))).toEqual([])
})

clause.each(
  "5-1",
  "a server opens no WebSocket for",
  [
    ["another method", replacing(asking, ":method: GET"), 405],
    ["no protocol", without(asking, ":protocol"), 400],
    ["another protocol", replacing(asking, ":protocol: connect-udp"), 501],
    ["two protocols", [":protocol: websocket", ...asking], 400],
    ["a protocol among the other fields", [...without(asking, ":protocol"), ":protocol: websocket"], 400]
  ] as ReadonlyArray<readonly [string, ReadonlyArray<string>, number]>,
  (_, request, status) => {
    expect(statusOf(answer(request))).toBe(status)
  }
)

clause("5-2", "a server takes both schemes, and no other", () => {
  for (const scheme of ["http", "https"]) {
    expect(readBy(replacing(asking, `:scheme: ${scheme}`)).scheme).toBe(scheme)
  }
  for (const scheme of ["ws", "wss", "HTTPS", "ftp"]) {
    expect(statusOf(answer(replacing(asking, `:scheme: ${scheme}`)))).toBe(400)
  }
})

clause("5-3", "a client asks for path and query as they are in its URI", () => {
  for (const target of ["/", "/chat", "/chat?room=1&x=%23", "/?", "/a%2Fb"]) {
    expect(valuesOf(ask({ target }), ":path")).toEqual([target])
    expect(readBy(ask({ target })).target).toBe(target)
  }
  for (const target of ["", "chat", "*", "/chat#top", "/ä", "/a b"]) expect(refusesToAsk({ target })).toBe(true)
})

const connectionFields = ["connection", "upgrade", "keep-alive", "proxy-connection", "transfer-encoding"]

clause("5-4", "a client sends none of them, nor lets a program add them", () => {
  const names = ask(wanted).map(nameOf)
  for (const name of connectionFields) {
    expect(names).not.toContain(name)
    expect(refusesToAsk({ headers: [[name, "Upgrade"]] })).toBe(true)
  }
  expect(refusesToAsk({ headers: [["x-other", "Upgrade"]] })).toBe(false)
})

clause.each(
  "5-4",
  "a server refuses a request with",
  connectionFields.map((name) => [name] as const),
  (name) => {
    expect(statusOf(answer([...asking, `${name}: upgrade`]))).toBe(400)
  }
)

clause("5-5", "a client sends the host in the authority, and no Host beside it", () => {
  const request = ask({ host: "server.example.com:8443" })
  expect(valuesOf(request, ":authority")).toEqual(["server.example.com:8443"])
  expect(valuesOf(request, "host")).toEqual([])
})

clause("5-5", "a server reads it there, and refuses a request without it or with another Host", () => {
  expect(readBy(asking).host).toBe("server.example.com")
  expect(statusOf(answer(without(asking, ":authority")))).toBe(400)
  expect(statusOf(answer([...asking, "host: other.example.com"]))).toBe(400)
})

clause("5-6", "neither end sends a key or what is made of it", () => {
  const names = [...ask(wanted), ...answer(asking)].map(nameOf)
  expect(names).not.toContain("sec-websocket-key")
  expect(names).not.toContain("sec-websocket-accept")
})

clause("5-6", "neither end looks at one that the other sends, be it ever so wrong", () => {
  for (const key of ["dGhlIHNhbXBsZSBub25jZQ==", "no key"]) {
    expect(answer([...asking, `sec-websocket-key: ${key}`])).toEqual(answer(asking))
  }
  expect(outcome([...accepting, "sec-websocket-accept: wrong"], wanted)).toEqual(outcome(accepting, wanted))
})

clause("5-7", "a server answers the request of section 5.1 as it is printed there", () => {
  expect(readBy(asking)).toMatchObject({
    origin: "http://www.example.com",
    subprotocols: ["chat", "superchat"],
    extensions: deflate
  })
  expect(answer(asking)).toEqual(accepting)
  expect(answer(asking, () => ({ extensions: deflate }))).toContain("sec-websocket-extensions: permessage-deflate")
})

clause("5-7", "a client takes the answer of section 5.1, and none that chooses what it did not ask for", () => {
  expect(outcome(accepting, wanted)).toEqual({ subprotocol: "chat", extensions: [] })
  const compressed = [...accepting, "sec-websocket-extensions: permessage-deflate"]
  expect(outcome(compressed, wanted)).toEqual({ subprotocol: "chat", extensions: deflate })
  expect(outcome(compressed, { subprotocols: ["chat"] })).toBe("HandshakeViolation")
  expect(outcome(accepting, { extensions: deflate })).toBe("HandshakeViolation")
})

clause("5-7", "a server refuses another version, and says which it speaks", () => {
  for (const version of ["8", "14", "13, 8"]) {
    const refused = answer(replacing(asking, `sec-websocket-version: ${version}`))
    expect([statusOf(refused), valuesOf(refused, "sec-websocket-version")]).toEqual([400, ["13"]])
  }
  expect(statusOf(answer(without(asking, "sec-websocket-version")))).toBe(400)
})

clause("5-7", "a client goes on with a status that accepts a CONNECT, and with no other", () => {
  expect(outcome(replacing(accepting, ":status: 204"), wanted)).toEqual(outcome(accepting, wanted))
  expect(outcome(replacing(accepting, ":status: 101"), wanted)).toBe("Declined")
  expect(outcome(replacing(accepting, ":status: 403"), wanted)).toBe("Declined")
  expect(outcome(without(accepting, ":status"), wanted)).toBe("HandshakeViolation")
})

clause("5-8", "all names of fields are sent in lower case, those of a program too", () => {
  const headers = [["X-Mixed-Case", "Yes"]] as const
  const lines = [
    ...ask({ ...wanted, headers, origin: "http://www.example.com" }),
    ...answer(asking, () => ({ headers })),
    ...answer(replacing(asking, "sec-websocket-version: 8"))
  ]
  expect(lines).toContain("x-mixed-case: Yes")
  expect(lines.filter((line) => nameOf(line) !== nameOf(line).toLowerCase())).toEqual([])
})
