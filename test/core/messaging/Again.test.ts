/** Whether to come back: the whole table. */
import { readFileSync } from "node:fs"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as CloseCode from "@millrace/core/codec/CloseCode"
import { HandshakeViolation, InvalidHead, MalformedHead } from "@millrace/core/codec/HandshakeError"
import { ProtocolViolation } from "@millrace/core/codec/ProtocolViolation"
import {
  HandshakeTimeout,
  Http2Unavailable,
  InvalidOptions,
  InvalidUrl,
  OpenError,
  Undisclosed
} from "@millrace/core/connection/OpenError"
import { Refused } from "@millrace/core/connection/Refused"
import {
  ConnectionLost,
  InboxFull,
  TransportError,
  Unresponsive,
  WebSocketError
} from "@millrace/core/connection/WebSocketError"
import * as Again from "@millrace/core/messaging/Again"
import {
  Disconnected,
  Failed,
  Mismatch,
  NotOpened,
  OutboxFull,
  Rejected,
  RequestTimeout,
  SessionError,
  SessionViolation,
  Undecodable,
  Unencodable
} from "@millrace/core/messaging/SessionError"
import { InvalidCloseCode, NotOpen } from "@millrace/core/protocol/WebSocketProtocol"
import { root } from "../../support/markdown.ts"

const refused = (status: number) =>
  new OpenError({
    reason: new Refused({ status, headers: [], url: "ws://x", body: new Uint8Array(), truncated: false })
  })

const ended = (reason: SessionError["reason"]): Again.Cause => ({ _tag: "Ended", error: new SessionError({ reason }) })

const lost = (reason: WebSocketError["reason"]) => ended(new Disconnected({ cause: new WebSocketError({ reason }) }))

const closedWith = (code: number) =>
  lost(new ConnectionLost({ by: "remote", sent: { code, reason: "" }, received: { code, reason: "" } }))

const violated = (closeCode: ProtocolViolation["closeCode"]) =>
  lost(new ProtocolViolation({ closeCode, clause: "RFC 6455", detail: "" }))

const notOpened = (reason: OpenError["reason"]): Again.Cause => ({
  _tag: "NotOpened",
  error: new OpenError({ reason })
})

const names = { clause: "RFC 6455 4.1", detail: "" }

const table: ReadonlyArray<readonly [what: string, cause: Again.Cause, decision: Again.Decision]> = [
  ["an ordinary close", { _tag: "Ended", error: undefined }, "Again"],
  ["an ordinary close that a question failed with", ended(new Disconnected({ cause: undefined })), "Again"],
  [
    "a connection without a Close",
    lost(new ConnectionLost({ by: "network", sent: undefined, received: undefined })),
    "Again"
  ],
  ["a reset", lost(new TransportError({ cause: "reset" })), "Again"],
  ["silence", lost(new Unresponsive({ silence: 1 })), "Again"],
  ["an inbox that is full", lost(new InboxFull({ limit: 1 })), "Again"],
  ["a connection that closes", lost(new NotOpen({ state: "Closing" })), "Again"],
  ["a code that may not be sent", lost(new InvalidCloseCode({ code: 1 })), "Again"],
  ["a peer that breaks the framing", violated(1002), "Stop"],
  ["text that is no UTF-8", violated(1007), "Stop"],
  ["too many fragments", violated(1008), "Again"],
  ["a message that is too long", violated(1009), "Stop"],
  ["a peer that breaks the rules of a session", ended(new SessionViolation({ code: 4400, detail: "" })), "Again"],
  ["no welcome in time", ended(new SessionViolation({ code: 4408, detail: "" })), "Again"],
  ["what does not decode, where that is the end", ended(new Undecodable({ name: "x", cause: "" })), "Stop"],
  ["another contract", ended(new Mismatch({ ours: "a 1", theirs: "a 2" })), "Stop"],
  ["credentials that were refused", ended(new Rejected({ detail: "" })), "Stop"],
  ["credentials that are none", ended(new Unencodable({ name: "credentials", cause: "" })), "Stop"],
  ["no answer in time", ended(new RequestTimeout({ name: "x", timeout: 1 })), "Again"],
  ["a failure", ended(new Failed({ name: "x", code: "defect", detail: "" })), "Again"],
  ["a full outbox", ended(new OutboxFull({ capacity: 1 })), "Again"],
  ["what was not opened", ended(new NotOpened({ cause: "" })), "Again"],
  ["no handshake in time", notOpened(new HandshakeTimeout({ timeout: 1 })), "Again"],
  ["nobody who listens", notOpened(new TransportError({ cause: "ECONNREFUSED" })), "Again"],
  ["what a page is not told", notOpened(new Undisclosed({ url: "ws://x" })), "Again"],
  ["a URL that is none", notOpened(new InvalidUrl({ url: "x", detail: "" })), "Stop"],
  ["options that are none", notOpened(new InvalidOptions({ cause: "" })), "Stop"],
  ["no HTTP/2", notOpened(new Http2Unavailable(names)), "Stop"],
  ["an answer that is no handshake", notOpened(new HandshakeViolation(names as never)), "Stop"],
  ["an answer that is no HTTP", notOpened(new MalformedHead(names as never)), "Stop"],
  ["a header that cannot be sent", notOpened(new InvalidHead(names as never)), "Stop"],
  ["an error of one's own", { _tag: "NotOpened", error: { _tag: "TokenServerDown" } }, "Again"],
  ["an error that is no object", { _tag: "NotOpened", error: "down" }, "Again"],
  ["nothing at all", { _tag: "NotOpened", error: null }, "Again"]
]

describe("by default", () => {
  it.each(table)("after %s", (_, cause, decision) => {
    expect(Again.decide(cause)).toBe(decision)
  })

  it.each([301, 400, 401, 403, 404, 407, 409, 410, 418, 421, 422, 426, 431, 451])(
    "after status %i it stops",
    (status) => {
      expect(Again.decide({ _tag: "NotOpened", error: refused(status) })).toBe("Stop")
    }
  )

  it.each([408, 425, 429, 500, 502, 503, 504, 511, 599])("after status %i it tries again", (status) => {
    expect(Again.decide({ _tag: "NotOpened", error: refused(status) })).toBe("Again")
  })

  it("decides about every close code that there is, and the same of a Close as of a violation of ours", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1_000, max: 4_999 }), (code) => {
        const decision = Again.afterCode(code)
        expect(["Again", "Stop"]).toContain(decision)
        expect(Again.decide(closedWith(code))).toBe(decision)
        expect(Again.decide(ended(new SessionViolation({ code, detail: "" })))).toBe(decision)
      }),
      { numRuns: 1_000 }
    )
  })
})

describe("docs/closing.md", () => {
  const rows = readFileSync(`${root}docs/closing.md`, "utf8")
    .split("\n## Coming back\n")[1]!
    .split("\n## ")[0]!
    .split("\n")
    .map((line) => /^\| +(\d{4})(?: to (\d{4}))? +\|.*\| (again|stop) +\|$/.exec(line))
    .filter((row) => row !== null)
    .map(([, from, to, decision]) => ({ from: Number(from), to: Number(to ?? from), decision }))

  it("says of every close code whether a client comes back", () => {
    for (let code = 1_000; code < 5_000; code++) {
      const said = rows.filter(({ from, to }) => from <= code && code <= to).map(({ decision }) => decision)
      const isKnown = CloseCode.isOnWire(code) || code === 1005 || code === 1006
      if (isKnown || said.length > 0) expect([code, ...said]).toEqual([code, Again.afterCode(code).toLowerCase()])
    }
  })
})
