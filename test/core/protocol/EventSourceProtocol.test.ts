/** `EventSourceProtocol`: what each response means, when it comes back, and with what. */
import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as EventStream from "@millrace/core/codec/EventStream"
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import * as Protocol from "@millrace/core/protocol/EventSourceProtocol"
import { failureOf } from "../../support/handshake.ts"
import { utf8 } from "../../support/wire.ts"

const config: Protocol.Config = Protocol.defaults

const started = (lastEventId = "", settings = config) => Result.getOrThrow(Protocol.start(settings, lastEventId))
const connecting = (lastEventId = "") => started(lastEventId)[0]

const now = Date.UTC(2026, 0)

const respond = (
  state: Protocol.State,
  status: number,
  headers: Headers = [],
  settings: Protocol.Config = config
): Protocol.Transition => Protocol.respond(settings, state, { status, headers }, now)

const eventStream: Headers = [["Content-Type", "text/event-stream"]]

const open = (lastEventId = "") => respond(connecting(lastEventId), 200, eventStream)[0]

/** The state after the body has brought this text. */
const receive = (state: Protocol.State, text: string, settings = config, limits?: EventStream.Limits) =>
  Protocol.receive(settings, state, EventStream.parse(utf8(text), { ...limits, lastEventId: state.lastEventId }))

/** The last event ID that the request says, and what else it does. */
const connect = (lastEventId?: string): Protocol.Action => ({
  _tag: "Connect",
  headers: [
    ["Accept", "text/event-stream"],
    ...(lastEventId === undefined ? [] : [["Last-Event-ID", lastEventId] as const])
  ]
})

const cancel: Protocol.Action = { _tag: "Cancel" }
const wait = (delay: number, failures: number): Protocol.Action => ({ _tag: "Wait", delay, failures })

/** How long the server asks to be left alone, if it may be asked again. */
const waitAfter = (transition: Protocol.Transition): number | undefined => {
  const action = transition[1].find(({ _tag }) => _tag === "Wait")
  return action?._tag === "Wait" ? action.delay : undefined
}

/** The wait after a response with that `Retry-After`. */
const afterRetryAfter = (value: string, status = 503) =>
  waitAfter(respond(connecting(), status, [["Retry-After", value]]))

/** The wait after a body with that `retry`. */
const afterRetry = (value: string) => waitAfter(Protocol.ended(receive(open(), `retry: ${value}\n`)[0]))

/** What a server makes of a field. */
const readField = (value: string) => Protocol.readLastEventId([["last-event-id", value]])

const reasonOf = ([state]: Protocol.Transition) => (state._tag === "Closed" ? state.reason : undefined)

const message = (transition: Protocol.Transition) => {
  const reason = reasonOf(transition)
  return reason !== undefined && "message" in reason ? reason.message : undefined
}

describe("the first request", () => {
  it("9.2.2: asks for an event stream, and has no last event ID", () => {
    expect(started()).toEqual([
      { _tag: "Connecting", lastEventId: "", reconnectionTime: 3000, failures: 0, redirects: 0 },
      [connect()]
    ])
  })

  it("takes up what an earlier client has left off", () => {
    const [state, actions] = started("é1")
    expect(state.lastEventId).toBe("é1")
    expect(actions).toEqual([connect("Ã©1")])
  })

  it.each(["a\nb", "a\rb", "\u0000", "\u001b[0m", "a\u001f", "a\u007f"])(
    "refuses %j, which no field can hold",
    (lastEventId) => {
      const failure = failureOf(Protocol.start(config, lastEventId))
      expect(failure).toMatchObject({ _tag: "UnsendableLastEventId", lastEventId })
      expect(failure?.message).not.toContain(lastEventId)
    }
  )
})

describe("9.2.3: what a response means", () => {
  it.each([
    "text/event-stream",
    "Text/Event-Stream",
    "text/event-stream;charset=utf-8",
    "text/event-stream ; charset=ISO-8859-1",
    "text/event-stream;",
    'text/event-stream;x="a, b"',
    "\ttext/event-stream "
  ])("200 and %j is an event stream", (type) => {
    expect(respond(connecting(), 200, [["content-type", type]])).toEqual([
      { _tag: "Open", lastEventId: "", reconnectionTime: 3000, failures: 1 },
      []
    ])
  })

  it.each([
    "text/html",
    "text/event-streams",
    "text/event-stream+json",
    "text/event stream",
    "text/event-stream, text/html",
    "application/json;text/event-stream",
    "text/event-\u017ftream",
    "text",
    ""
  ])("200 and %j is none, and the end", (type) => {
    const transition = respond(connecting("7"), 200, [["Content-Type", type]])
    expect(transition[1]).toEqual([cancel])
    expect(transition[0]).toMatchObject({ _tag: "Closed", lastEventId: "7" })
    expect(reasonOf(transition)).toMatchObject({
      _tag: "UnexpectedResponse",
      reason: "type",
      response: { status: 200, headers: [["Content-Type", type]] }
    })
  })

  it("200 without a type is none, and of several types the last counts", () => {
    expect(reasonOf(respond(connecting(), 200))).toMatchObject({ reason: "type" })
    expect(reasonOf(respond(connecting(), 200, [...eventStream, ["Content-Type", "text/html"]]))).toMatchObject({
      reason: "type"
    })
    expect(respond(connecting(), 200, [["Content-Type", "text/html"], ...eventStream])[0]._tag).toBe("Open")
  })

  it("204 is the end that the server wishes, whatever may be come back after", () => {
    const transition = respond(connecting("7"), 204, eventStream, { ...config, retryStatuses: [204] })
    expect(transition).toEqual([
      { _tag: "Closed", lastEventId: "7", reconnectionTime: 3000, reason: { _tag: "NoContent" } },
      [cancel]
    ])
  })

  it.each([201, 202, 205, 206, 300, 304, 305, 400, 401, 403, 404, 407, 410, 421, 451, 501, 505, 511, 599])(
    "%d is the end",
    (status) => {
      const transition = respond(connecting(), status, eventStream)
      expect(transition[1]).toEqual([cancel])
      expect(reasonOf(transition)).toMatchObject({ reason: "status", response: { status, headers: eventStream } })
    }
  )

  it.each(Protocol.transientStatuses)("%d is the end by the standard, and passes by default", (status) => {
    const standard = { ...config, retryStatuses: Protocol.standardStatuses }
    expect(reasonOf(respond(connecting(), status, [], standard))).toMatchObject({ reason: "status" })
    expect(respond(connecting(), status)).toEqual([
      { _tag: "Waiting", lastEventId: "", reconnectionTime: 3000, failures: 1 },
      [cancel, wait(3000, 1)]
    ])
  })

  it("a 200 of another type is the end, whatever may be come back after", () => {
    expect(reasonOf(respond(connecting(), 200, [], { ...config, retryStatuses: [200] }))).toMatchObject({
      reason: "type"
    })
  })

  it.each([301, 302, 303, 307, 308])("%d leads elsewhere, in the same attempt", (status) => {
    const location = "../b?c#d"
    expect(respond(connecting("7"), status, [["LOCATION", location]])).toEqual([
      { _tag: "Connecting", lastEventId: "7", reconnectionTime: 3000, failures: 0, redirects: 1 },
      [cancel, { _tag: "Redirect", location, status }]
    ])
    expect(reasonOf(respond(connecting(), status))).toMatchObject({ reason: "status" })
  })

  it("a Location of another status leads nowhere", () => {
    const location: Headers = [["Location", "/b"]]
    for (const status of [300, 304, 201]) {
      expect(reasonOf(respond(connecting(), status, location))).toMatchObject({ reason: "status" })
    }
    expect(waitAfter(respond(connecting(), 503, location))).toBe(3000)
  })

  it("redirects are followed up to a number, for each attempt", () => {
    const follow = (state: Protocol.State) => respond(state, 302, [["Location", "/"]])
    let state = connecting()
    for (let i = 0; i < config.maxRedirects; i++) [state] = follow(state)
    expect(state).toMatchObject({ _tag: "Connecting", redirects: 20 })
    expect(reasonOf(follow(state))).toMatchObject({ _tag: "UnexpectedResponse", reason: "redirects" })
    expect(respond(state, 200, eventStream)[0]._tag).toBe("Open")
    const [again] = Protocol.elapsed(Protocol.ended(state)[0])
    expect(follow(again)[0]).toMatchObject({ _tag: "Connecting", redirects: 1 })
  })

  it("says what was wrong", () => {
    expect(message(respond(connecting(), 404))).toBe("The server answered with status 404 (WHATWG HTML 9.2.3)")
    expect(message(respond(connecting(), 200))).toBe(
      "The server answered with something other than text/event-stream (WHATWG HTML 9.2.3)"
    )
    expect(message(respond(connecting(), 302, [["Location", "/"]], { ...config, maxRedirects: 0 }))).toBe(
      "The server redirected too often (WHATWG Fetch 4.4)"
    )
  })
})

describe("Retry-After", () => {
  it("is waited for, at most an hour, and never less than the reconnection time", () => {
    expect(afterRetryAfter("120")).toBe(120_000)
    expect(afterRetryAfter("120", 429)).toBe(120_000)
    expect(afterRetryAfter("Thu, 01 Jan 2026 00:00:30 GMT")).toBe(30_000)
    expect(afterRetryAfter("Thu, 01 Jan 2025 00:00:00 GMT")).toBe(3_000)
    expect(afterRetryAfter("1")).toBe(3_000)
    expect(afterRetryAfter("soon")).toBe(3_000)
    expect(afterRetryAfter("3600")).toBe(3_600_000)
    expect(afterRetryAfter("3601")).toBe(3_600_000)
    expect(afterRetryAfter("9".repeat(400))).toBe(3_600_000)
  })

  it("is for one wait, and no reconnection time", () => {
    const [state] = respond(connecting(), 503, [["Retry-After", "120"]])
    expect(waitAfter(Protocol.ended(Protocol.elapsed(state)[0]))).toBe(3000)
  })
})

describe("the last event ID", () => {
  it("9.2.3: is sent as UTF-8 when the client comes back", () => {
    const [state] = receive(open(), "id: …1\ndata: a\n\n")
    expect(state.lastEventId).toBe("…1")
    expect(Protocol.elapsed(Protocol.ended(state)[0])[1]).toEqual([connect("\u00e2\u0080\u00a61")])
  })

  it("9.2.6: is that of the last block that was dispatched, with an event or without", () => {
    expect(receive(open(), "id: 1\ndata: a\n\nid: 2\ndata: b\n")[0].lastEventId).toBe("1")
    expect(receive(open(), "id: 1\ndata: a\n\nid: 2\n\n")[0].lastEventId).toBe("2")
  })

  it("is not sent once it is empty", () => {
    const [state] = receive(open("7"), "id\n\n")
    expect(Protocol.elapsed(Protocol.ended(state)[0])[1]).toEqual([connect()])
  })

  it("stays over failures, responses and redirects", () => {
    let [state] = Protocol.ended(connecting("7"))
    ;[state] = Protocol.elapsed(state)
    ;[state] = respond(state, 503)
    ;[state] = Protocol.elapsed(state)
    ;[state] = respond(state, 307, [["Location", "/"]])
    ;[state] = respond(state, 200, eventStream)
    ;[state] = receive(state, "data: without an id\n\n")
    expect(state).toMatchObject({ _tag: "Open", lastEventId: "7" })
  })

  it("goes without white space around it, which HTTP does not carry", () => {
    expect(Protocol.printLastEventId(" \ta b\t")).toEqual(Result.succeed("a b"))
    expect(Protocol.elapsed(Protocol.ended(open(" "))[0])[1]).toEqual([connect("")])
  })

  it("that no field can hold is the end when it is to be sent, and never silently left out", () => {
    const [state, actions] = receive(open(), "id: a\u0001\ndata: a\n\n")
    expect([state._tag, actions.length]).toEqual(["Open", 1])
    const transition = Protocol.elapsed(Protocol.ended(state)[0])
    expect(transition[1]).toEqual([])
    expect(reasonOf(transition)).toMatchObject({ _tag: "UnsendableLastEventId", lastEventId: "a\u0001" })
  })

  it("is read by a server as it was meant", () => {
    for (const lastEventId of ["1", "…é😀", "\ufeffa", "a b:c"]) {
      expect(readField(Result.getOrThrow(Protocol.printLastEventId(lastEventId)))).toBe(lastEventId)
    }
    expect(readField("")).toBe("")
    expect(readField("é")).toBe("\ufffd") // one byte, which is not UTF-8
    expect(readField("…")).toBe("…") // not bytes any more
    expect(Protocol.readLastEventId([])).toBeUndefined()
    expect(
      Protocol.readLastEventId([
        ["Last-Event-ID", "1"],
        ["Last-Event-ID", "2"]
      ])
    ).toBe("2")
  })
})

describe("the reconnection time", () => {
  it("9.2.6: is what the server has said last, within the bounds", () => {
    expect(afterRetry("5000")).toBe(5000)
    expect(afterRetry("5000\nretry: 6000")).toBe(6000)
    expect(afterRetry("0")).toBe(100)
    expect(afterRetry("99")).toBe(100)
    expect(afterRetry("300000")).toBe(300_000)
    expect(afterRetry("300001")).toBe(300_000)
    expect(afterRetry("9".repeat(400))).toBe(300_000)
    expect(afterRetry("-1")).toBe(3000)
    expect(afterRetry("x")).toBe(3000)
  })

  it("stays, and counts at once, also when its block is never dispatched", () => {
    let [state] = receive(open(), "data: a\nretry: 7000\n")
    ;[state] = receive(state, "data: b\n\n")
    const [after, actions] = Protocol.ended(state)
    expect(actions).toEqual([wait(7000, 0)])
    expect(waitAfter(Protocol.ended(Protocol.elapsed(after)[0]))).toBe(7000)
  })
})

describe("what the body brings", () => {
  it("is delivered in order, in one action, and nothing is nothing", () => {
    const [, actions] = receive(open(), "data: a\n\ndata: b\n\n")
    expect(actions).toEqual([
      {
        _tag: "Deliver",
        events: [
          { event: "message", data: "a", id: "" },
          { event: "message", data: "b", id: "" }
        ]
      }
    ])
    expect(receive(open(), ": heartbeat\n\n")[1]).toEqual([])
  })

  it("past a limit is the end, behind what came before it", () => {
    const limits = { maxLineBytes: 10, maxEventBytes: 10 }
    const transition = receive(open(), "id: 1\ndata: a\n\nretry: 50\n12345678901", config, limits)
    expect(transition[1]).toEqual([{ _tag: "Deliver", events: [{ event: "message", data: "a", id: "1" }] }, cancel])
    expect(transition[0]).toMatchObject({ _tag: "Closed", lastEventId: "1", reconnectionTime: 100 })
    expect(reasonOf(transition)).toMatchObject({ _tag: "EventStreamViolation", over: "line" })
  })
})

describe("coming back", () => {
  it("9.2.3: when the body ends, however it does, after the reconnection time", () => {
    const [state] = receive(open(), "data: a\n\n")
    const [after, actions] = Protocol.ended(state)
    expect(after).toEqual({ _tag: "Waiting", lastEventId: "", reconnectionTime: 3000, failures: 0 })
    expect(actions).toEqual([wait(3000, 0)])
    expect(Protocol.elapsed(after)).toEqual(started())
  })

  it("counts the attempts in a row that have brought nothing: no response, a status, an empty body", () => {
    let [state, actions] = Protocol.ended(connecting())
    expect(actions).toEqual([wait(3000, 1)])
    ;[state] = Protocol.elapsed(state)
    expect(state).toMatchObject({ _tag: "Connecting", failures: 1 })
    ;[state, actions] = respond(state, 503)
    expect(actions).toEqual([cancel, wait(3000, 2)])
    ;[state] = respond(Protocol.elapsed(state)[0], 200, eventStream)
    expect(state).toMatchObject({ _tag: "Open", failures: 3 })
    ;[state, actions] = Protocol.ended(state)
    expect(actions).toEqual([wait(3000, 3)])
    ;[state] = respond(Protocol.elapsed(state)[0], 200, eventStream)
    ;[state] = receive(state, ":\n\n")
    ;[state, actions] = Protocol.ended(state)
    expect(actions).toEqual([wait(3000, 0)])
  })

  it("counts a first response without a byte", () => {
    expect(Protocol.ended(open())[1]).toEqual([wait(3000, 1)])
  })
})

describe("9.2.2: the ready state, and close", () => {
  it("is connecting also while it waits", () => {
    const [waiting] = Protocol.ended(open())
    const [closed] = Protocol.close(waiting)
    expect([connecting(), open(), waiting, closed].map(Protocol.readyState)).toEqual([
      "connecting",
      "open",
      "connecting",
      "closed"
    ])
  })

  it("lets go of the request when there is one", () => {
    const [waiting] = Protocol.ended(open())
    const done = { _tag: "Closed", lastEventId: "", reconnectionTime: 3000, reason: { _tag: "Done" } }
    expect(Protocol.close(connecting())).toEqual([done, [cancel]])
    expect(Protocol.close(open())).toEqual([done, [cancel]])
    expect(Protocol.close(waiting)).toEqual([done, []])
  })

  it("is final: nothing is delivered, asked for, or changed any more", () => {
    const [closed] = respond(connecting("7"), 404)
    const parsed = EventStream.parse(utf8("id: 8\nretry: 5\ndata: a\n\n"))
    expect(Protocol.close(closed)).toEqual([closed, []])
    expect(respond(closed, 200, eventStream)).toEqual([closed, []])
    expect(Protocol.receive(config, closed, parsed)).toEqual([closed, []])
    expect(Protocol.ended(closed)).toEqual([closed, []])
    expect(Protocol.elapsed(closed)).toEqual([closed, []])
  })

  it("what cannot happen changes nothing", () => {
    const [waiting] = Protocol.ended(open())
    const parsed = EventStream.parse(utf8("id: 8\ndata: a\n\n"))
    for (const state of [connecting(), waiting]) expect(Protocol.receive(config, state, parsed)).toEqual([state, []])
    for (const state of [open(), waiting]) expect(respond(state, 404)).toEqual([state, []])
    for (const state of [open(), connecting()]) expect(Protocol.elapsed(state)).toEqual([state, []])
    expect(Protocol.ended(waiting)).toEqual([waiting, []])
  })
})
