/** A client of Socket.IO in one namespace, and what a server may say to it. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import type * as Packet from "@millrace/core/interop/socketio/Packet"
import * as Protocol from "@millrace/core/interop/socketio/SocketClientProtocol"
import { packet } from "../../../support/socketio.ts"

const to = { namespace: "/", query: undefined } as const
const connect = (payload?: Packet.Payload): Packet.Packet => ({ _tag: "Connect", ...to, payload })
const event = (name: string, args: ReadonlyArray<unknown> = [], id?: number): Packet.Packet => ({
  _tag: "Event",
  ...to,
  id,
  name,
  args
})
const ack = (id: number, ...args: ReadonlyArray<unknown>): Packet.Packet => ({ _tag: "Ack", ...to, id, args })
const disconnect: Packet.Packet = { _tag: "Disconnect", ...to }
const refusal: Packet.Packet = { _tag: "ConnectError", ...to, message: "no", data: { code: 7 } }

/** What becomes of a state, with all actions. */
const play = (state: Protocol.State, packets: ReadonlyArray<Packet.Packet>, config?: Protocol.Config) => {
  const actions: Array<Protocol.Action> = []
  for (const packet of packets) {
    const [next, more] = Protocol.receive(state, packet, 10, config)
    state = next
    actions.push(...more)
  }
  return { state, actions, tags: actions.map(({ _tag }) => _tag) }
}

const joining = (place?: Protocol.Place) => Protocol.join(Protocol.make("/", place), undefined)[0]
const entered = (place: Protocol.Place | undefined, payload: Packet.Payload) => play(joining(place), [connect(payload)])

const payload = (place: Protocol.Place, auth?: Packet.Payload) =>
  Protocol.join(Protocol.make("/", place), auth)[1].flatMap((action) =>
    action._tag === "Send" && action.packet._tag === "Connect" ? [action.packet.payload] : []
  )[0]

const joined = (...more: ReadonlyArray<Packet.Packet>) => play(joining(), [connect({ sid: "s" }), ...more])

describe("joining", () => {
  it("says the namespace, and what the server is to know", () => {
    const [state, actions] = Protocol.join(Protocol.make("/admin"), { token: "t" })
    expect(state.at._tag).toBe("Joining")
    const packet = { _tag: "Connect", namespace: "/admin", query: undefined, payload: { token: "t" } }
    expect(actions).toEqual([{ _tag: "Send", packet }])
    expect(Protocol.join(Protocol.make("/"), undefined)[1]).toEqual([{ _tag: "Send", packet: connect() }])
  })

  it("says the place where the client was, which what is said of it may not contradict", () => {
    expect(payload({ pid: "p", offset: "o" }, { token: "t" })).toEqual({ pid: "p", offset: "o", token: "t" })
    expect(payload({ pid: "p", offset: undefined })).toEqual({ pid: "p" })
  })

  it("ends with the server's word, as who the client was or as another", () => {
    expect(entered(undefined, { sid: "s" }).actions).toEqual([{ _tag: "Entered", sid: "s", recovered: false }])
    const first = entered(undefined, { sid: "s", pid: "p" })
    expect([first.actions, first.state.place]).toEqual([
      [{ _tag: "Entered", sid: "s", recovered: false }],
      { pid: "p", offset: undefined }
    ])
    const same = entered({ pid: "p", offset: "o" }, { sid: "s", pid: "p" })
    expect([same.actions, same.state.place]).toEqual([
      [{ _tag: "Entered", sid: "s", recovered: true }],
      { pid: "p", offset: "o" }
    ])
    const other = entered({ pid: "p", offset: "o" }, { sid: "s", pid: "q" })
    expect([other.actions, other.state.place]).toEqual([
      [{ _tag: "Entered", sid: "s", recovered: false }],
      { pid: "q", offset: undefined }
    ])
    expect(entered({ pid: "p", offset: "o" }, { sid: "s" }).state.place).toBeUndefined()
  })

  it("is refused with a message and data", () => {
    const { actions, state } = play(joining(), [refusal])
    expect([state.at._tag, actions]).toEqual(["Away", [{ _tag: "Refused", message: "no", data: { code: 7 } }]])
  })

  it("keeps the events that come before the server's word, behind which they are delivered, in order", () => {
    const missed = [event("a", ["1"]), event("b", [2]), event("c", ["3"], 7)]
    const before = play(joining({ pid: "p", offset: "0" }), missed)
    expect(before.actions).toEqual([])
    const { actions, state } = play(before.state, [connect({ sid: "s", pid: "p" })])
    expect(actions.map((action) => ("name" in action ? [action.name, action.id] : action._tag))).toEqual([
      "Entered",
      ["a", undefined],
      ["b", undefined],
      ["c", 7]
    ])
    expect(state.place).toEqual({ pid: "p", offset: "1" })
  })

  it("keeps no more of them than it is told to, by count and by bytes", () => {
    const three = [event("a"), event("b"), event("c")]
    expect(play(joining(), three, { maxEarly: 3, maxEarlyBytes: 30 }).tags).toEqual([])
    for (const config of [{ maxEarly: 2 }, { maxEarlyBytes: 29 }]) {
      const { actions, state } = play(joining(), three, config)
      expect([state.at._tag, actions]).toEqual([
        "Away",
        [expect.objectContaining({ violation: expect.objectContaining({ reason: "limit" }) as unknown })]
      ])
    }
  })

  it.each([
    ["no sid, as of version 2", connect()],
    ["a sid that is no text", connect({ sid: 1 })],
    ["an empty sid", connect({ sid: "" })],
    ["a pid that is no text", connect({ sid: "s", pid: {} })]
  ])("takes no word with %s", (_, packet) => {
    const { state, tags } = play(joining(), [packet])
    expect([state.at._tag, tags]).toEqual(["Away", ["Violated"]])
  })
})

describe("a client that is in", () => {
  it("is delivered events, with the connection over which they came", () => {
    expect(joined(event("say", ["hi"]), event("ask", [1], 0)).actions.slice(1)).toEqual([
      { _tag: "Deliver", name: "say", args: ["hi"], id: undefined, attempt: 1 },
      { _tag: "Deliver", name: "ask", args: [1], id: 0, attempt: 1 }
    ])
  })

  it("remembers the place of the last event, which no question has and nothing but a text is", () => {
    const { state } = play(joining(), [connect({ sid: "s", pid: "p" }), event("a", [1, "x"]), event("b", ["y"], 3)])
    expect(state.place).toEqual({ pid: "p", offset: "x" })
    expect(play(state, [event("c", [1]), event("d")]).state.place).toEqual({ pid: "p", offset: "x" })
    expect(joined(event("a", ["x"])).state.place).toBeUndefined()
  })

  it("hears the answers to what it has said, once", () => {
    const [asking, id] = Protocol.ask(joined().state)
    expect(play(asking, [ack(id, 1)]).actions).toEqual([])
    const state = Protocol.said(asking, [id])
    const answered = { _tag: "Answered", id, args: [1] }
    expect(play(state, [ack(id + 1, 0), ack(id, 1), ack(id, 2)]).actions).toEqual([answered])
    expect(play(Protocol.forget(state, id), [ack(id, 1)]).actions).toEqual([])
  })

  it("hears that there will be none when the connection is lost, and never takes one of another connection", () => {
    const [asking, id] = Protocol.ask(joined().state)
    const [lost, actions] = Protocol.lost(Protocol.said(asking, [id]))
    expect(actions).toEqual([{ _tag: "Unanswered", id }])
    const again = play(Protocol.join(lost, undefined)[0], [connect({ sid: "s" }), ack(id, 1)])
    expect(again.tags).toEqual(["Entered"])
    expect(Protocol.ask(again.state)[1]).not.toBe(id)
  })

  it("may answer over the connection over which it was asked, and over no other", () => {
    const { state } = joined()
    expect([Protocol.mayAnswer(state, 1), Protocol.mayAnswer(state, 0)]).toEqual([true, false])
    const [lost] = Protocol.lost(state)
    expect(Protocol.mayAnswer(lost, 1)).toBe(false)
    const { state: again } = play(Protocol.join(lost, undefined)[0], [connect({ sid: "s" })])
    expect([Protocol.mayAnswer(again, 1), Protocol.mayAnswer(again, 2)]).toEqual([false, true])
  })

  it("is put out by the server's word", () => {
    const { state, tags } = joined(disconnect, event("late"))
    expect([state.at._tag, tags]).toEqual(["Away", ["Entered", "PutOut"]])
    const [asking, id] = Protocol.ask(joined().state)
    expect(play(Protocol.said(asking, [id]), [disconnect]).tags).toEqual(["Unanswered", "PutOut"])
  })

  it.each([
    ["let in again", connect({ sid: "s" })],
    ["refused", refusal]
  ])("cannot be %s", (_, packet) => {
    const { state, tags } = joined(packet)
    expect([state.at._tag, tags]).toEqual(["Away", ["Entered", "Violated"]])
  })

  it("takes no notice of other namespaces", () => {
    const { state, tags } = joined({ ...disconnect, namespace: "/admin" }, { ...refusal, namespace: "/a" })
    expect([state.at._tag, tags]).toEqual(["Joined", ["Entered"]])
  })
})

type Step =
  | { readonly _tag: "Ask" }
  | { readonly _tag: "Join" }
  | { readonly _tag: "Lost" }
  | { readonly _tag: "Forget"; readonly id: number }
  | { readonly _tag: "Receive"; readonly packet: Packet.Packet }

const known = fc.constantFrom(
  connect({ sid: "s" }),
  connect({ sid: "s", pid: "p" }),
  event("a", ["x"]),
  event("b", [], 1),
  ack(0, 1),
  ack(1, 2),
  disconnect,
  refusal
)

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.constantFrom<Step>({ _tag: "Ask" }, { _tag: "Join" }, { _tag: "Lost" }),
  fc.record({ _tag: fc.constant("Forget" as const), id: fc.nat({ max: 3 }) }),
  {
    weight: 4,
    arbitrary: fc.record({
      _tag: fc.constant("Receive" as const),
      packet: fc.oneof({ weight: 3, arbitrary: known }, packet)
    })
  }
)

describe("whatever happens", () => {
  it("each question has one end, no event comes but to a client that is in, and none behind the end of that", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        let state = Protocol.make("/")
        let isIn = false
        const open = new Set<number>()
        for (const step of steps) {
          let actions: ReadonlyArray<Protocol.Action> = []
          if (step._tag === "Ask") {
            const [next, id] = Protocol.ask(state)
            state = Protocol.said(next, [id])
            if (isIn) open.add(id)
          } else if (step._tag === "Forget") {
            state = Protocol.forget(state, step.id)
            open.delete(step.id)
          } else {
            const transition =
              step._tag === "Join"
                ? Protocol.join(state, undefined)
                : step._tag === "Lost"
                  ? Protocol.lost(state)
                  : Protocol.receive(state, step.packet, 10)
            state = transition[0]
            actions = transition[1]
          }
          for (const action of actions) {
            if (action._tag === "Entered") isIn = true
            if (action._tag === "Deliver") expect(isIn).toBe(true)
            if (action._tag === "Answered" || action._tag === "Unanswered") expect(open.delete(action.id)).toBe(true)
            if (action._tag === "Send") expect(action.packet._tag).toBe("Connect")
          }
          if (state.at._tag !== "Joined") isIn = false
          expect(state.at._tag === "Joined" ? [...state.at.asked].toSorted() : []).toEqual([...open].toSorted())
          expect(isIn).toBe(state.at._tag === "Joined")
        }
      }),
      { numRuns: 500 }
    )
  })
})
