/** RFC 6455 section 4.1: what a client asks for, and what it makes of the answer. */
import { expect } from "vitest"
import type { RequestOptions } from "@millrace/core/codec/Handshake"
import type { Extension } from "@millrace/core/codec/Extensions"
import { clause } from "./clause.ts"
import { accepting, ask, outcome, refusesToAsk, replacing, sampleKey, valuesOf, without } from "./handshake.ts"

clause("4.1-15", "the request is a request line, fields, and an empty line", () => {
  expect(ask()).toEqual([
    "GET /chat HTTP/1.1",
    "Host: server.example.com",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13"
  ])
})

const invalid: ReadonlyArray<readonly [string, Partial<RequestOptions>]> = [
  ["a line break in a value", { headers: [["Cookie", "a=b\r\nX-Injected: yes"]] }],
  ["a line feed in a value", { headers: [["Cookie", "a=b\nX-Injected: yes"]] }],
  ["a name that is no token", { headers: [["Bad Name", "x"]] }],
  ["an empty name", { headers: [["", "x"]] }],
  ["a line break in the origin", { origin: "https://a.example\r\nX-Injected: yes" }],
  ["a space in the target", { target: "/a HTTP/1.1" }],
  ["a second Host", { headers: [["Host", "other.example.com"]] }]
]

clause.each("4.1-15", "refuses to send what would not be a valid request", invalid, (_, options) => {
  expect(refusesToAsk(options)).toBe(true)
})

clause("4.1-16", "the method is GET, the version 1.1", () => {
  expect(ask({ target: "/" })[0]).toBe("GET / HTTP/1.1")
})

clause("4.1-17", "the Request-URI is the resource name, with its query", () => {
  expect(ask({ target: "/chat?room=1&name=%C3%BC" })[0]).toBe("GET /chat?room=1&name=%C3%BC HTTP/1.1")
})

clause.each(
  "4.1-17",
  "refuses a target that is no resource name",
  [["chat"], [""], ["http://other.example.com/chat"], ["*"], ["?room=1"]],
  (target) => {
    expect(refusesToAsk({ target })).toBe(true)
  }
)

clause.each(
  "4.1-18",
  "Host is the host, with the port when there is one",
  [["server.example.com"], ["server.example.com:8080"], ["127.0.0.1:80"], ["[::1]:8080"]],
  (host) => {
    expect(valuesOf(ask({ host }), "Host")).toEqual([host])
  }
)

clause.each("4.1-18", "refuses a host that is none", [[""], ["a b"], ["user@server.example.com"], ["a/b"]], (host) => {
  expect(refusesToAsk({ host })).toBe(true)
})

clause("4.1-19", "Upgrade is websocket", () => {
  expect(valuesOf(ask(), "Upgrade")).toEqual(["websocket"])
})

clause("4.1-20", "Connection is Upgrade", () => {
  expect(valuesOf(ask(), "Connection")).toEqual(["Upgrade"])
})

clause("4.1-21", "there is one Sec-WebSocket-Key", () => {
  expect(valuesOf(ask(), "Sec-WebSocket-Key")).toHaveLength(1)
})

clause.each(
  "4.1-22",
  "the key is 16 bytes in base64",
  [
    ["the sample nonce", sampleKey, "dGhlIHNhbXBsZSBub25jZQ=="],
    ["zeros", new Uint8Array(16), "AAAAAAAAAAAAAAAAAAAAAA=="],
    ["the last two characters of the alphabet", new Uint8Array(16).fill(0xfb), "+/v7+/v7+/v7+/v7+/v7+w=="],
    ["all bits set", new Uint8Array(16).fill(0xff), "/////////////////////w=="]
  ],
  (_, key, encoded) => {
    expect(valuesOf(ask({ key }), "Sec-WebSocket-Key")).toEqual([encoded])
  }
)

clause.each("4.1-22", "refuses a key of another length", [["15"], ["17"], ["0"]], (length) => {
  expect(refusesToAsk({ key: new Uint8Array(Number(length)) })).toBe(true)
})

clause("4.1-25", "there is one Sec-WebSocket-Version", () => {
  expect(valuesOf(ask(), "Sec-WebSocket-Version")).toHaveLength(1)
})

clause("4.1-26", "it is 13", () => {
  expect(valuesOf(ask(), "Sec-WebSocket-Version")).toEqual(["13"])
})

clause("4.1-27", "subprotocols are sent in the order given", () => {
  expect(valuesOf(ask({ subprotocols: ["chat.v2", "chat.v1", "!#$%&'*+-.^_`|~"] }), "Sec-WebSocket-Protocol")).toEqual([
    "chat.v2, chat.v1, !#$%&'*+-.^_`|~"
  ])
})

clause("4.1-27", "no field is sent when there are none", () => {
  expect(valuesOf(ask({ subprotocols: [] }), "Sec-WebSocket-Protocol")).toEqual([])
})

clause.each(
  "4.1-27",
  "refuses a subprotocol with a separator, or outside U+0021 to U+007E",
  ["", " ", "a b", "\t", "\u007f", "\u0000", "é", ...'()<>@,;:\\"/[]?={}'].map((name) => [JSON.stringify(name), name]),
  (_, name) => {
    expect(refusesToAsk({ subprotocols: [name] })).toBe(true)
    expect(refusesToAsk({ subprotocols: ["chat", `chat${name}chat`] })).toBe(name !== "")
  }
)

clause("4.1-27", "refuses a subprotocol that comes twice", () => {
  expect(refusesToAsk({ subprotocols: ["a", "b", "a"] })).toBe(true)
})

clause("4.1-29", "a valid response establishes the connection", () => {
  expect(outcome(accepting)).toBe("established")
})

clause("4.1-29", "names of fields are compared without regard to case, and their order does not matter", () => {
  const [status, ...fields] = accepting
  const other = fields.map((field) => field.replace(/^[^:]+/, (name) => name.toUpperCase())).toReversed()
  expect(outcome([status!, ...other])).toBe("established")
})

clause.each(
  "4.1-29",
  "a status other than 101 does not establish it, whatever the fields",
  [["200 OK"], ["100 Continue"], ["302 Found"], ["401 Unauthorized"], ["426 Upgrade Required"]],
  (status) => {
    expect(outcome([`HTTP/1.1 ${status}`, ...accepting.slice(1)])).toBe("Declined")
  }
)

clause("4.1-30", "fails without Upgrade", () => {
  expect(outcome(without(accepting, "Upgrade"))).toBe("violation in Upgrade")
})

clause.each(
  "4.1-30",
  "fails at another Upgrade",
  [["h2c"], ["websockets"], ["web socket"], ["websocket/13"], ["websoc\u212Aet"], [""]],
  (value) => {
    expect(outcome(replacing(accepting, `Upgrade: ${value}`))).toBe("violation in Upgrade")
  }
)

clause.each("4.1-30", "takes Upgrade in any case", [["WebSocket"], ["WEBSOCKET"], [" websocket\t"]], (value) => {
  expect(outcome(replacing(accepting, `Upgrade:${value}`))).toBe("established")
})

clause("4.1-31", "fails without Connection", () => {
  expect(outcome(without(accepting, "Connection"))).toBe("violation in Connection")
})

clause.each(
  "4.1-31",
  "fails at a Connection without the token",
  [["keep-alive"], ["close"], ["Upgrades"], ["not-upgrade"], ["keep-alive Upgrade"], [""]],
  (value) => {
    expect(outcome(replacing(accepting, `Connection: ${value}`))).toBe("violation in Connection")
  }
)

clause.each("4.1-31", "takes the token in any case and company", [["upgrade"], ["keep-alive, UPGRADE"]], (value) => {
  expect(outcome(replacing(accepting, `Connection: ${value}`))).toBe("established")
})

clause("4.1-32", "fails without Sec-WebSocket-Accept", () => {
  expect(outcome(without(accepting, "Sec-WebSocket-Accept"))).toBe("violation in Sec-WebSocket-Accept")
})

clause.each(
  "4.1-32",
  "fails at another value",
  [
    ["of another key", "HSmrc0sMlYUkAGmm5OPpG2HaGWk="],
    ["in another case", "S3pPLMBiTxaQ9kYGzzhZRbK+xOo="],
    ["with more behind it", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=="],
    ["without padding", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo"],
    ["twice", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=, s3pPLMBiTxaQ9kYGzzhZRbK+xOo="],
    ["the key itself", "dGhlIHNhbXBsZSBub25jZQ=="],
    ["of the decoded key", "BXhwxM0SZasKmCD9S4BfpPmCnEw="],
    ["nothing", ""]
  ],
  (_, value) => {
    expect(outcome(replacing(accepting, `Sec-WebSocket-Accept: ${value}`))).toBe("violation in Sec-WebSocket-Accept")
  }
)

clause("4.1-32", "ignores white space around the value", () => {
  expect(outcome(replacing(accepting, "Sec-WebSocket-Accept: \t s3pPLMBiTxaQ9kYGzzhZRbK+xOo= \t"))).toBe("established")
})

const deflate: ReadonlyArray<Extension> = [{ name: "permessage-deflate", params: [] }]

clause.each(
  "4.1-33",
  "fails at an extension that was not asked for",
  [
    ["none was", "permessage-deflate", []],
    ["another was", "bbf-usp-protocol", deflate],
    ["one of two was", "permessage-deflate, bbf-usp-protocol", deflate],
    ["a name that every object has", "constructor", deflate]
  ],
  (_, value, extensions) => {
    expect(outcome([...accepting, `Sec-WebSocket-Extensions: ${value}`], { extensions })).toBe(
      "violation in Sec-WebSocket-Extensions"
    )
  }
)

clause("4.1-33", "takes one that was, and none", () => {
  const withDeflate = [...accepting, "Sec-WebSocket-Extensions: permessage-deflate"]
  expect(outcome(withDeflate, { extensions: deflate })).toBe("established")
  expect(outcome(accepting, { extensions: deflate })).toBe("established")
})

clause.each(
  "4.1-34",
  "fails at a subprotocol that was not asked for",
  [
    ["none was", "chat", []],
    ["another was", "chat", ["superchat"]],
    ["the same in another case", "Chat", ["chat"]],
    ["two of those that were", "chat, superchat", ["chat", "superchat"]],
    ["nothing", "", ["chat"]]
  ],
  (_, value, subprotocols) => {
    expect(outcome([...accepting, `Sec-WebSocket-Protocol: ${value}`], { subprotocols })).toBe(
      "violation in Sec-WebSocket-Protocol"
    )
  }
)

clause("4.1-34", "takes one that was, and none", () => {
  const withChat = [...accepting, "Sec-WebSocket-Protocol: chat"]
  expect(outcome(withChat, { subprotocols: ["superchat", "chat"] })).toBe("established")
  expect(outcome(accepting, { subprotocols: ["chat"] })).toBe("established")
})

clause.each(
  "4.1-35",
  "fails at what is not the HTTP response of a handshake",
  [
    ["no status line", ["101 Switching Protocols", ...accepting.slice(1)]],
    ["a status of two digits", ["HTTP/1.1 10 Switching", ...accepting.slice(1)]],
    ["another protocol", ["ICY 101 Switching Protocols", ...accepting.slice(1)]],
    ["another protocol in as many letters", ["HTCP/1.1 101 Switching Protocols", ...accepting.slice(1)]],
    ["HTTP/2.0", ["HTTP/2.0 101 Switching Protocols", ...accepting.slice(1)]],
    ["a comma in the version", ["HTTP/1,1 101 Switching Protocols", ...accepting.slice(1)]],
    ["a line without a colon", [...accepting, "what is this"]],
    ["a space before the colon", [...accepting, "X-Field : 1"]],
    ["a folded line", [...accepting, " folded"]],
    ["two subprotocols in two fields", [...accepting, "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b"]],
    ["extensions that are no list", [...accepting, "Sec-WebSocket-Extensions: permessage-deflate; ="]]
  ],
  (_, lines) => {
    const wanted = { subprotocols: ["a", "b"], extensions: deflate }
    expect(outcome(lines, wanted)).toMatch(/^(MalformedHead|violation in Sec-WebSocket-(Protocol|Extensions))$/)
  }
)
