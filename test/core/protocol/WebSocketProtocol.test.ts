/** The state machine step by step: its limits, what the caller may not do, and how an end is read. */
import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as Frame from "@millrace/core/codec/Frame"
import { ProtocolViolation } from "@millrace/core/codec/ProtocolViolation"
import * as Protocol from "@millrace/core/protocol/WebSocketProtocol"
import { frame, toHex } from "../../support/frames.ts"
import { hex, utf8 } from "../../support/wire.ts"

const server: Protocol.Config = { role: "server", maxMessageBytes: 12, maxCodedBytes: 12, maxFragments: 3 }
const client: Protocol.Config = { ...server, role: "client" }

const part = (opcode: Frame.Opcode, payload: Uint8Array, fin = true, remaining = 0): Frame.FramePart => ({
  ...frame(opcode, payload, fin),
  offset: 0,
  remaining
})

const bytes = (opcode: Frame.Opcode, length: number, fin: boolean, remaining = 0) =>
  part(opcode, new Uint8Array(length), fin, remaining)

const closeFrame = (body: string) => part(Frame.Opcode.close, hex(body))

const violation = new ProtocolViolation({ closeCode: 1002, clause: "RFC 6455 5.2", detail: "reserved opcode" })

const closing = (status = { code: 1000, reason: "" }) => Result.getOrThrow(Protocol.close(Protocol.initial, status))

const fragment = (kind: Protocol.Kind, fin: boolean, first = true) => ({ kind, payload: "x", first, fin, rsv: 0 })

const said = (code: number) => ({ code, reason: "" })

/** Actions as words: what was written in hex, "end", and the fragments of messages. */
const show = (actions: ReadonlyArray<Protocol.Action>) =>
  actions.map((action) =>
    action._tag === "Write"
      ? toHex(Frame.encode(action.frame))
      : action._tag === "EndTransport"
        ? "end"
        : `${action.fragment.kind} [${toHex(action.fragment.payload)}]${action.fragment.fin ? "" : "..."}`
  )

const failureOf = (parts: ReadonlyArray<Frame.FramePart>, state = Protocol.initial) => {
  const [next] = Protocol.receive(server, state, parts)
  return next._tag === "Closing" ? next.violation?.closeCode : undefined
}

describe("limits, at the frame that goes over them", () => {
  it.each([
    ["12 bytes in one", [bytes(2, 12, true)], undefined],
    ["13 bytes in one", [bytes(2, 13, true)], 1009],
    ["12 bytes in three", [bytes(2, 4, false), bytes(0, 4, false), bytes(0, 4, true)], undefined],
    ["13 bytes in three", [bytes(2, 4, false), bytes(0, 4, false), bytes(0, 5, true)], 1009],
    ["13 bytes announced, one here", [bytes(2, 6, false), bytes(0, 1, true, 6)], 1009],
    ["12 bytes announced, one here", [bytes(2, 6, false), bytes(0, 1, true, 5)], undefined],
    ["3 empty frames", [bytes(2, 0, false), bytes(0, 0, false), bytes(0, 0, true)], undefined],
    ["4 empty frames", [bytes(2, 0, false), bytes(0, 0, false), bytes(0, 0, false), bytes(0, 0, true)], 1008],
    ["1 and then 3 frames", [bytes(2, 9, true), bytes(2, 4, false), bytes(0, 4, false), bytes(0, 4, true)], undefined]
  ])("%s", (_, parts, code) => {
    expect(failureOf(parts)).toBe(code)
  })

  it("counts frames, not the parts they are cut into", () => {
    const first = bytes(2, 1, true, 11)
    const rest = Array.from({ length: 11 }, (_, i) => ({ ...first, offset: i + 1, remaining: 10 - i }))
    const [state, actions] = Protocol.receive(server, Protocol.initial, [first, ...rest])
    expect(state).toEqual(Protocol.initial)
    expect(show(actions)).toEqual([...Array.from({ length: 11 }, () => "binary [00]..."), "binary [00]"])
  })
})

describe("receive", () => {
  it("carries what the message was through Pings and parts", () => {
    const [state, actions] = Protocol.receive(server, Protocol.initial, [
      part(Frame.Opcode.text, hex("e2"), false),
      part(Frame.Opcode.ping, hex("07")),
      part(Frame.Opcode.pong, hex("08")),
      part(Frame.Opcode.continuation, hex("82 ac"))
    ])
    expect(show(actions)).toEqual(["text [e2]...", "8a 01 07", "text [82 ac]"])
    expect(state).toEqual(Protocol.initial)
  })

  it("does not change the state for whole messages, so that they cost no more than an action", () => {
    const [state] = Protocol.receive(server, Protocol.initial, [part(Frame.Opcode.text, utf8("hi")), bytes(2, 3, true)])
    expect(state).toBe(Protocol.initial)
  })

  it("delivers what came before a fault, and nothing that comes after", () => {
    const [state, actions] = Protocol.receive(server, Protocol.initial, [
      part(Frame.Opcode.text, utf8("a")),
      part(Frame.Opcode.continuation, utf8("b")),
      part(Frame.Opcode.text, utf8("c")),
      part(Frame.Opcode.ping, utf8("d"))
    ])
    expect(show(actions)).toEqual(["text [61]", expect.stringMatching(/^88 .. 03 ea /), "end"])
    expect(state).toMatchObject({ _tag: "Closing", by: "local", discarding: true, violation: { closeCode: 1002 } })
  })

  it("echoes the body of a Close, and lets the server end the transport", () => {
    for (const body of ["", "03 e8", "0f a0 62 79 65"]) {
      const wire = `88 ${hex(body).length.toString(16).padStart(2, "0")}${body === "" ? "" : ` ${body}`}`
      expect(show(Protocol.receive(server, Protocol.initial, [closeFrame(body)])[1])).toEqual([wire, "end"])
      expect(show(Protocol.receive(client, Protocol.initial, [closeFrame(body)])[1])).toEqual([wire])
    }
  })

  it("answers no Close to the answer to its own, and remembers both", () => {
    const [state] = closing({ code: 4000, reason: "mine" })
    const [next, actions] = Protocol.receive(server, state, [closeFrame("0f a1")])
    expect(show(actions)).toEqual(["end"])
    expect(Protocol.transportEnded(next)).toEqual({
      _tag: "Closed",
      by: "local",
      sent: { code: 4000, reason: "mine" },
      received: { code: 4001, reason: "" },
      violation: undefined
    })
  })

  it("still takes messages and answers Pings while it waits for the peer's Close", () => {
    const [state] = closing()
    const [, actions] = Protocol.receive(server, state, [part(Frame.Opcode.ping, hex("01")), bytes(2, 1, true)])
    expect(show(actions)).toEqual(["8a 01 01", "binary [00]"])
    expect(failureOf([bytes(2, 13, true)], state)).toBe(1009)
  })

  it("says no second Close when the peer breaks a rule after ours", () => {
    const [state] = closing()
    const [next, actions] = Protocol.fail(server, state, violation)
    expect(show(actions)).toEqual(["end"])
    expect(next).toMatchObject({ sent: { code: 1000 }, discarding: true, violation })
    expect(show(Protocol.fail(client, state, violation)[1])).toEqual([])
  })
})

describe("the caller may not", () => {
  it("send a message into another, nor continue one that is not there", () => {
    const [state] = Result.getOrThrow(Protocol.send(Protocol.initial, [fragment("text", false)]))
    for (const wrong of [fragment("binary", true), fragment("text", true), fragment("binary", true, false)]) {
      expect(Protocol.send(state, [wrong])).toEqual(Result.fail(new Protocol.Interleaved({ sending: "text" })))
    }
    expect(Protocol.send(Protocol.initial, [fragment("text", true, false)])).toEqual(
      Result.fail(new Protocol.Interleaved({ sending: undefined }))
    )
    const [after, actions] = Result.getOrThrow(
      Protocol.send(state, [fragment("text", true, false), fragment("binary", true)])
    )
    expect(actions).toEqual([
      { _tag: "Write", frame: { fin: true, rsv: 0, opcode: 0, payload: "x" } },
      { _tag: "Write", frame: { fin: true, rsv: 0, opcode: 2, payload: "x" } }
    ])
    expect(after).toEqual(Protocol.initial)
  })

  it("send, ping or close what is closing or closed", () => {
    const [state] = closing()
    for (const [past, tag] of [
      [state, "Closing"],
      [Protocol.transportEnded(state), "Closed"]
    ] as const) {
      const refused = Result.fail(new Protocol.NotOpen({ state: tag }))
      expect(Protocol.send(past, [fragment("text", true)])).toEqual(refused)
      expect(Protocol.ping(past, hex(""))).toEqual(refused)
      expect(Protocol.close(past, { code: 1000, reason: "" })).toEqual(refused)
      // It is the state that is told, not the code, which would be wrong too.
      expect(Protocol.close(past, { code: 1006, reason: "" })).toEqual(refused)
    }
  })

  it.each([0, 999, 1004, 1006, 1015, 2999, 5000, 1000.5])("close with %d", (code) => {
    expect(Protocol.close(Protocol.initial, { code, reason: "" })).toEqual(
      Result.fail(new Protocol.InvalidCloseCode({ code }))
    )
  })
})

describe("close", () => {
  it("remembers what was said, not what was meant: a long reason is cut, 1005 says nothing", () => {
    const [long, [action]] = closing({ code: 1000, reason: "é".repeat(100) })
    expect(long).toMatchObject({ sent: { code: 1000, reason: "é".repeat(61) }, discarding: false })
    expect(show([action!])[0]!.split(" ")).toHaveLength(2 + 2 + 122)
    const [none, actions] = closing({ code: 1005, reason: "lost" })
    expect(none).toMatchObject({ sent: { code: 1005, reason: "" } })
    expect(show(actions)).toEqual(["88 00"])
  })

  it("goes on with the message that was arriving", () => {
    const [open] = Protocol.receive(server, Protocol.initial, [part(Frame.Opcode.text, utf8("a"), false)])
    const [state] = Result.getOrThrow(Protocol.close(open, { code: 1000, reason: "" }))
    const [next, actions] = Protocol.receive(server, state, [part(Frame.Opcode.continuation, utf8("b"))])
    expect(show(actions)).toEqual(["text [62]"])
    expect(next).toMatchObject({ _tag: "Closing", receiving: undefined, violation: undefined })
  })
})

it("a Ping carries 125 bytes at most", () => {
  const [, actions] = Result.getOrThrow(Protocol.ping(Protocol.initial, new Uint8Array(200)))
  expect(show(actions)[0]!.split(" ")).toHaveLength(2 + 125)
})

describe("an end is ordinary", () => {
  it.each([
    ["when both said 1000", said(1000), said(1000), undefined, true],
    ["when the peer goes away", said(1001), said(1001), undefined, true],
    ["when a page just closes", said(1005), said(1005), undefined, true],
    ["by what the peer said", said(4000), said(1000), undefined, true],
    ["but not with another code", said(4000), said(4000), undefined, false],
    ["but not with 1011", said(1000), said(1011), undefined, false],
    ["but not without the peer's Close", said(1000), undefined, undefined, false],
    ["but not without ours", undefined, said(1000), undefined, false],
    ["but not after a violation", said(1002), said(1000), violation, false],
    ["but not when nobody said a thing", undefined, undefined, undefined, false]
  ])("%s", (_, sent, received, violation, ordinary) => {
    expect(Protocol.isOrdinary({ sent, received, violation })).toBe(ordinary)
  })
})
