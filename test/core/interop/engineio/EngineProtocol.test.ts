import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as Engine from "@millrace/core/interop/engineio/EngineProtocol"
import * as Packet from "@millrace/core/interop/engineio/Packet"
import { hex, utf8 } from "../../../support/wire.ts"

const handshake: Packet.Handshake = {
  sid: "lv_VI97HAXpY6yYWAAAC",
  upgrades: ["websocket"],
  pingInterval: 25_000,
  pingTimeout: 20_000,
  maxPayload: 1_000_000
}

type Step = (state: Engine.State) => Engine.Transition

/** What a history comes to, each action as it would be on the wire. */
const said = (action: Engine.Action): string => {
  switch (action._tag) {
    case "AnswerPoll":
      return `< ${Result.getOrThrow(Packet.encodePayload(action.packets)).replaceAll("\u001e", " ")}`
    case "Write":
      return `ws< ${action.packets.map(Packet.encode).join(" ")}`
    case "Deliver":
      return `deliver ${String(action.data)}`
    case "Set":
    case "Clear":
      return `${action._tag.toLowerCase()} ${action.timer}`
    case "End":
      return `end ${action.reason}${action.violation === undefined ? "" : `: ${action.violation.detail}`}`
    default:
      return action._tag
  }
}

/** The state after these steps, and what the last one called for. */
const after = (over: "polling" | "websocket", ...steps: ReadonlyArray<Step>) => {
  let [state, actions] = Engine.open(handshake, over)
  for (const step of steps) [state, actions] = step(state)
  return { state, actions: actions.map(said) }
}

const polling = (...steps: ReadonlyArray<Step>) => after("polling", ...steps)
const socket = (...steps: ReadonlyArray<Step>) => after("websocket", ...steps)
const lastOf = (...steps: ReadonlyArray<Step>) => polling(...steps).actions
const lastOfSocket = (...steps: ReadonlyArray<Step>) => socket(...steps).actions

const posted =
  (body: string, config?: Engine.Config): Step =>
  (state) =>
    Engine.posted(Engine.post(state)[0], utf8(body), config)

const receive =
  (message: string | Uint8Array): Step =>
  (state) =>
    Engine.receive(state, message)

const send =
  (...messages: ReadonlyArray<string | Uint8Array>): Step =>
  (state) =>
    Result.getOrThrow(Engine.send(state, messages))

const expire =
  (timer: Engine.Timer): Step =>
  (state) =>
    Engine.expire(state, timer)

const { attach, poll, pollAborted, post, postAborted, shutdown, socketEnded } = Engine

/** On the way to a WebSocket: it has been answered. */
const probing = [attach, receive("2probe")]

describe("a session", () => {
  const opened =
    '0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'

  it("is opened by the answer to a poll, or by the first message of a WebSocket", () => {
    expect(lastOf()).toEqual([`< ${opened}`, "set ping"])
    expect(lastOfSocket()).toEqual([`ws< ${opened}`, "set ping"])
  })

  it("pings, and waits for the pong, which may come at any time", () => {
    expect(lastOf(poll, expire("ping"))).toEqual(["set pong", "< 2"])
    expect(lastOf(expire("ping"))).toEqual(["set pong"])
    expect(lastOf(expire("ping"), poll)).toEqual(["< 2"])
    expect(lastOf(posted("3"))).toEqual(["clear pong", "set ping", "AnswerPost"])
    expect(lastOfSocket(expire("ping"))).toEqual(["ws< 2", "set pong"])
    expect(lastOfSocket(receive("3"))).toEqual(["clear pong", "set ping"])
  })

  it("ends when no pong comes in time", () => {
    expect(lastOf(poll, expire("pong"))).toEqual(["< 1", "end pingTimeout"])
    expect(lastOf(expire("pong"))).toEqual(["end pingTimeout"])
    expect(lastOf(attach, expire("pong"))).toEqual(["CloseSocket", "end pingTimeout"])
    expect(lastOfSocket(expire("pong"))).toEqual(["CloseSocket", "end pingTimeout"])
  })

  it("delivers messages, text and bytes", () => {
    expect(lastOf(posted("4a\u001ebAQ==\u001e4"))).toEqual(["deliver a", "deliver 1", "deliver ", "AnswerPost"])
    expect(lastOfSocket(receive("4a"))).toEqual(["deliver a"])
    expect(lastOfSocket(receive(hex("01 02")))).toEqual(["deliver 1,2"])
  })

  it("takes no notice of what a client has no reason to say", () => {
    expect(lastOf(posted("0\u001e5\u001e6"))).toEqual(["AnswerPost"])
    expect(lastOfSocket(receive("5"))).toEqual([])
  })

  it("sends at once where a poll waits or over a WebSocket, and otherwise when one comes", () => {
    expect(lastOf(poll)).toEqual([])
    expect(lastOf(poll, send("a", hex("01 02 03")))).toEqual(["< 4a bAQID"])
    expect(lastOf(poll, send("a"), send("b"))).toEqual([])
    expect(lastOf(poll, send("a"), send("b"), poll)).toEqual(["< 4b"])
    expect(lastOf(send("a"))).toEqual([])
    expect(lastOf(send("a"), send("b"), poll)).toEqual(["< 4a 4b"])
    expect(lastOf(poll, send())).toEqual([])
    expect(lastOfSocket(send("a", "b"))).toEqual(["ws< 4a 4b"])
    expect(lastOfSocket(send())).toEqual([])
  })

  it("keeps what was to be sent when a poll is given up", () => {
    expect(lastOf(poll, pollAborted, send("a"))).toEqual([])
    expect(lastOf(poll, pollAborted, send("a"), poll)).toEqual(["< 4a"])
  })
})

describe("a client that breaks a rule", () => {
  it("by two polls at once loses the session", () => {
    expect(lastOf(poll, poll)).toEqual(["RefusePoll", "< 1", "end violation: two polls at once"])
  })

  it("by two posts at once loses the session", () => {
    expect(lastOf(poll, post, post)).toEqual(["RefusePost", "< 1", "end violation: two posts at once"])
    expect(lastOf(post, postAborted, post)).toEqual([])
    expect(lastOf(posted("4a"), post)).toEqual([])
  })

  it("by a ping loses the session", () => {
    expect(lastOf(poll, posted("4a\u001e2"))).toEqual([
      "deliver a",
      "RefusePost",
      "< 1",
      "end violation: a ping from a client"
    ])
    expect(lastOfSocket(receive("2"))).toEqual(["CloseSocket", "end violation: a ping from a client"])
  })

  it("by what is no packet loses the session, and what came before is delivered", () => {
    expect(lastOf(poll, posted("4a\u001e7\u001e4b"))).toEqual([
      "deliver a",
      "RefusePost",
      "< 1",
      "end violation: a packet without a type"
    ])
    expect(lastOf(posted(""))).toEqual(["RefusePost", "end violation: a packet of nothing"])
    expect(lastOf(posted("4a\u001e4b", { payload: { maxPackets: 1 } }))).toEqual([
      "deliver a",
      "RefusePost",
      "end violation: more than 1 packets"
    ])
    expect(lastOfSocket(receive("x"))).toEqual(["CloseSocket", "end violation: a packet without a type"])
  })

  it("by the body of a post that has not begun is refused", () => {
    expect(lastOf((state) => Engine.posted(state, utf8("4a")))).toEqual(["RefusePost"])
  })
})

describe("the way to a WebSocket", () => {
  it("is a probe, and an upgrade when the client's requests have been answered", () => {
    expect(lastOf(attach)).toEqual(["set upgrade"])
    expect(lastOf(...probing)).toEqual(["ws< 3probe", "set nudge"])
    expect(lastOf(poll, ...probing)).toEqual(["ws< 3probe", "set nudge", "< 6"])
    expect(lastOf(poll, ...probing, send("a"))).toEqual([])
    expect(polling(...probing, receive("5"))).toEqual({
      state: { _tag: "Upgraded" },
      actions: ["clear upgrade", "clear nudge"]
    })
  })

  it("sends what no poll has taken first, over the WebSocket", () => {
    expect(lastOf(send("a"), ...probing, send("b"), receive("5"))).toEqual([
      "clear upgrade",
      "clear nudge",
      "ws< 4a 4b"
    ])
    expect(lastOf(...probing, receive("5"), send("c"))).toEqual(["ws< 4c"])
  })

  it("carries nothing but the probe, while polls and posts go on", () => {
    expect(lastOf(poll, attach, send("a"))).toEqual(["< 4a"])
    expect(lastOf(...probing, poll, send("a"))).toEqual(["< 4a"])
    expect(lastOf(...probing, posted("4a"))).toEqual(["deliver a", "AnswerPost"])
  })

  it("sends a poll that waits away, again and again", () => {
    expect(lastOf(...probing, poll, expire("nudge"))).toEqual(["< 6", "set nudge"])
    expect(lastOf(...probing, expire("nudge"))).toEqual(["set nudge"])
    expect(lastOf(...probing, receive("5"), expire("nudge"))).toEqual([])
    expect(lastOf(poll, attach, expire("nudge"))).toEqual([])
  })

  it("answers a poll that still waits when the client upgrades", () => {
    expect(lastOf(...probing, poll, receive("5"))).toEqual(["clear upgrade", "clear nudge", "< 6"])
  })

  it("is no way for requests any more, when it has been gone", () => {
    const upgraded = [...probing, receive("5")]
    expect(lastOf(...upgraded, poll)).toEqual(["RefusePoll"])
    expect(lastOf(...upgraded, post)).toEqual(["RefusePost"])
    expect(lastOf(...upgraded, (state) => Engine.posted(state, utf8("4a")))).toEqual(["RefusePost"])
    expect(lastOf(...upgraded, attach)).toEqual(["RefuseSocket"])
  })

  it("is for one WebSocket at a time", () => {
    expect(lastOf(attach, attach)).toEqual(["RefuseSocket"])
    expect(lastOf(attach, attach, receive("2probe"))).toEqual(["ws< 3probe", "set nudge"])
    expect(lastOf(attach, socketEnded, attach)).toEqual(["set upgrade"])
    expect(lastOfSocket(attach)).toEqual(["RefuseSocket"])
  })

  it.each<readonly [string, ReadonlyArray<Step>]>([
    ["an upgrade without a probe", [attach, receive("5")]],
    ["an upgrade while a post is on its way", [...probing, post, receive("5")]],
    ["a second probe", [...probing, receive("2probe")]],
    ["another ping", [attach, receive("2")]],
    ["a message", [attach, receive("4a")]],
    ["a message after the probe", [...probing, receive("4a")]],
    ["bytes", [attach, receive(hex("01"))]],
    ["what is no packet", [attach, receive("")]]
  ])("ends at %s, and the session polls on", (_, steps) => {
    expect(lastOf(...steps)).toEqual(["CloseSocket", "clear upgrade", "clear nudge"])
    expect(lastOf(...steps, send("a"), poll)).toEqual(["< 4a"])
    expect(lastOf(...steps, attach)).toEqual(["set upgrade"])
  })

  it("ends when it takes too long, or when the WebSocket does, and the session polls on", () => {
    expect(lastOf(attach, expire("upgrade"))).toEqual(["CloseSocket", "clear upgrade", "clear nudge"])
    expect(lastOf(...probing, expire("upgrade"))).toEqual(["CloseSocket", "clear upgrade", "clear nudge"])
    expect(lastOf(...probing, receive("5"), expire("upgrade"))).toEqual([])
    expect(lastOf(expire("upgrade"))).toEqual([])
    expect(lastOf(receive("2probe"))).toEqual([])
    expect(lastOf(...probing, socketEnded)).toEqual(["clear upgrade", "clear nudge"])
    expect(lastOf(...probing, socketEnded, send("a"), poll)).toEqual(["< 4a"])
  })
})

describe("the end", () => {
  it("by the client is answered, and a poll that waits with nothing", () => {
    expect(lastOf(poll, posted("4a\u001e1\u001e4b"))).toEqual(["deliver a", "AnswerPost", "< 6", "end client"])
    expect(lastOfSocket(receive("1"))).toEqual(["CloseSocket", "end client"])
  })

  it("by the server is told to the poll that waits", () => {
    expect(lastOf(poll, shutdown)).toEqual(["< 1", "end server"])
    expect(lastOf(poll, attach, shutdown)).toEqual(["< 1", "CloseSocket", "end server"])
    expect(lastOfSocket(shutdown)).toEqual(["CloseSocket", "end server"])
  })

  it("by the server waits for a poll where there is none, and for so long only", () => {
    const cleared = ["clear upgrade", "clear nudge", "clear ping", "clear pong", "set close"]
    expect(lastOf(send("a"), shutdown)).toEqual(cleared)
    expect(lastOf(attach, shutdown)).toEqual(["CloseSocket", ...cleared])
    expect(lastOf(send("a"), shutdown, poll)).toEqual(["< 4a 1", "end server"])
    expect(lastOf(shutdown, expire("close"))).toEqual(["end server"])
    expect(lastOf(post, shutdown, (state) => Engine.posted(state, utf8("4a")))).toEqual(["AnswerPost"])
    expect(lastOf(shutdown, post)).toEqual([])
    expect(lastOf(shutdown, attach)).toEqual(["RefuseSocket"])
    expect(lastOf(shutdown, shutdown)).toEqual([])
    expect(lastOf(shutdown, expire("ping"))).toEqual([])
    expect(lastOf(shutdown, receive("4a"))).toEqual([])
    expect(lastOf(expire("close"))).toEqual([])
  })

  it("by the network is that of the WebSocket", () => {
    expect(lastOfSocket(socketEnded)).toEqual(["end network"])
    expect(socket(socketEnded).state).toEqual({ _tag: "Closed", reason: "network" })
    expect(lastOf(socketEnded)).toEqual([])
  })

  it("is final", () => {
    const closed = [poll, shutdown]
    expect(lastOf(...closed, poll)).toEqual(["RefusePoll"])
    expect(lastOf(...closed, post)).toEqual(["RefusePost"])
    expect(lastOf(...closed, (state) => Engine.posted(state, utf8("4a")))).toEqual(["RefusePost"])
    expect(lastOf(...closed, attach)).toEqual(["RefuseSocket"])
    for (const step of [
      pollAborted,
      postAborted,
      socketEnded,
      shutdown,
      receive("4a"),
      expire("ping"),
      expire("close")
    ]) {
      expect(polling(...closed, step)).toEqual({ state: { _tag: "Closed", reason: "server" }, actions: [] })
    }
  })
})

const failure = (over: Engine.State, messages: ReadonlyArray<string | Uint8Array>, config?: Engine.Config) => {
  const sent = Engine.send(over, messages, config)
  return Result.isFailure(sent) ? sent.failure._tag : "sent"
}

const many = (count: number) => Array.from({ length: count }, () => "")

describe("what cannot be sent", () => {
  it("is anything, when the session is over", () => {
    expect(failure(polling(shutdown).state, ["a"])).toBe("SessionClosed")
    expect(failure(polling(poll, shutdown).state, ["a"])).toBe("SessionClosed")
  })

  it("is text with what separates packets in it, for as long as the session polls", () => {
    expect(failure(polling().state, ["a", "b\u001ec"])).toBe("UnsendableMessage")
    expect(failure(socket().state, ["a", "b\u001ec"])).toBe("sent")
  })

  it("is more than may wait for a poll", () => {
    const { state } = polling(send("aa"))
    // A packet has its digit, and a separator behind it.
    expect(failure(state, ["b"], { maxQueuedBytes: 7 })).toBe("sent")
    expect(failure(state, ["b"], { maxQueuedBytes: 6 })).toBe("QueueFull")
    expect(failure(state, ["b"], { maxQueuedPackets: 2 })).toBe("sent")
    expect(failure(state, ["b"], { maxQueuedPackets: 1 })).toBe("QueueFull")
    const { state: none } = polling()
    expect(failure(none, ["a".repeat(999_998)])).toBe("sent")
    expect(failure(none, ["a".repeat(999_999)])).toBe("QueueFull")
    expect([failure(none, many(10_000)), failure(none, many(10_001))]).toEqual(["sent", "QueueFull"])
  })
})
