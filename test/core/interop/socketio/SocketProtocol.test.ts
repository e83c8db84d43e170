/** A session of Socket.IO, step by step, and in any order of steps. */
import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Packet from "@millrace/core/interop/socketio/Packet"
import * as Socket from "@millrace/core/interop/socketio/SocketProtocol"

const at = (namespace: string, query?: string) => ({ namespace, query })
const connect = (namespace: string, payload?: Packet.Payload, query?: string): Packet.Packet => ({
  _tag: "Connect",
  ...at(namespace, query),
  payload
})
const event = (namespace: string, name: string, id?: number, ...args: ReadonlyArray<unknown>): Packet.Packet => ({
  _tag: "Event",
  ...at(namespace),
  id,
  name,
  args
})
const ack = (namespace: string, id: number, ...args: ReadonlyArray<unknown>): Packet.Packet => ({
  _tag: "Ack",
  ...at(namespace),
  id,
  args
})

/** What all of these steps come to, one after the other. */
const after = (
  ...steps: ReadonlyArray<(state: Socket.State) => readonly [Socket.State, ...ReadonlyArray<unknown>]>
) => {
  let [state] = Socket.open
  for (const step of steps) [state] = step(state)
  return state
}

const receive = (packet: Packet.Packet, config?: Socket.Config) => (state: Socket.State) =>
  Socket.receive(state, packet, config)
const accept =
  (namespace: string, attempt = 1) =>
  (state: Socket.State) =>
    Socket.accept(state, namespace, attempt, { sid: "s1" })

const inChat = after(receive(connect("/chat")), accept("/chat"))

const violationOf = (actions: ReadonlyArray<Socket.Action>) => {
  const last = actions.at(-1)
  return last?._tag === "Close" ? last.violation?.detail : undefined
}

describe("joining", () => {
  it("asks the server with what the client says of itself, and tells the client by which name it is known", () => {
    const [state, actions] = Socket.receive(Socket.open[0], connect("/chat", { token: "x" }, "v=1"))
    assert.deepStrictEqual(actions, [
      { _tag: "Join", namespace: "/chat", query: "v=1", attempt: 1, auth: { token: "x" } }
    ])
    const [, accepted] = Socket.accept(state, "/chat", 1, { sid: "s1", pid: "p1" })
    assert.deepStrictEqual(accepted, [
      { _tag: "ClearDeadline" },
      { _tag: "Send", packet: { _tag: "Connect", ...at("/chat", "v=1"), payload: { sid: "s1", pid: "p1" } } }
    ])
  })

  it("is refused with a message and what the program adds, and may be tried again", () => {
    const [refused, actions] = Socket.refuse(after(receive(connect("/a"))), "/a", 1, "no", { code: 7 })
    assert.deepStrictEqual(actions, [
      { _tag: "Send", packet: { _tag: "ConnectError", ...at("/a"), message: "no", data: { code: 7 } } },
      { _tag: "Leave", namespace: "/a", attempt: 1, reason: "server" }
    ])
    const [, again] = Socket.receive(refused, connect("/a"))
    assert.deepInclude(again[0], { _tag: "Join", attempt: 2 })
  })

  it("is decided once: what comes later, or for an attempt that is over, changes nothing", () => {
    assert.deepStrictEqual(Socket.accept(inChat, "/chat", 1, { sid: "s2" }), [inChat, []])
    assert.deepStrictEqual(Socket.refuse(inChat, "/chat", 1, "late"), [inChat, []])
    const [gone] = Socket.receive(inChat, { _tag: "Disconnect", ...at("/chat") })
    const [back] = Socket.receive(gone, connect("/chat"))
    assert.deepStrictEqual(Socket.accept(back, "/chat", 1, { sid: "s1" }), [back, []])
  })

  it("has to be in time: a session that is nowhere is closed, and one that was once somewhere is not", () => {
    const [state, actions] = Socket.expire(Socket.open[0])
    assert.deepStrictEqual(
      [state._tag, actions],
      ["Closed", [{ _tag: "ClearDeadline" }, { _tag: "Close", violation: undefined }]]
    )
    assert.deepStrictEqual(Socket.expire(inChat), [inChat, []])
    const nowhere = after(receive(connect("/chat")), accept("/chat"), receive({ _tag: "Disconnect", ...at("/chat") }))
    assert.strictEqual(Socket.expire(nowhere)[0]._tag, "Open")
  })

  it.each([
    ["to a namespace that it is in", connect("/chat"), "a namespace that it is in already"],
    [
      "that answers for a server",
      { _tag: "ConnectError", ...at("/chat"), message: "", data: undefined },
      "a refusal from a client"
    ],
    ["of an event elsewhere", event("/", "hi"), "a namespace that it is not in"],
    ["of an answer elsewhere", ack("/", 1), "a namespace that it is not in"],
    ["that leaves where it is not", { _tag: "Disconnect", ...at("/") }, "a namespace that it is not in"]
  ] satisfies ReadonlyArray<[string, Packet.Packet, string]>)(
    "ends the session with a packet %s",
    (_, packet, detail) => {
      const [state, actions] = Socket.receive(inChat, packet)
      assert.strictEqual(state._tag, "Closed")
      assert.strictEqual(violationOf(actions), detail)
      assert.deepStrictEqual(actions[0], { _tag: "Leave", namespace: "/chat", attempt: 1, reason: "violation" })
    }
  )

  it("comes before events: one that is said too early ends the session", () => {
    const [state, actions] = Socket.receive(after(receive(connect("/a"))), event("/a", "hi"))
    assert.deepStrictEqual([state._tag, violationOf(actions)], ["Closed", "a namespace that it is not in yet"])
  })

  it("is bounded: one namespace more than may be ends the session", () => {
    const config = { maxNamespaces: 2 }
    const two = after(receive(connect("/a"), config), receive(connect("/b"), config))
    assert.strictEqual(violationOf(Socket.receive(two, connect("/c"), config)[1]), "more than 2 namespaces")
  })

  it("takes the names of Object.prototype for any other", () => {
    for (const name of ["/__proto__", "/constructor", "/toString"]) {
      const [, actions] = Socket.receive(Socket.open[0], event(name, "hi"))
      assert.strictEqual(violationOf(actions), "a namespace that it is not in")
      assert.strictEqual(Socket.receive(Socket.open[0], connect(name))[1][0]?._tag, "Join")
    }
  })
})

describe("events", () => {
  it("are delivered with the id to answer, and answered where they were said", () => {
    const [state, actions] = Socket.receive(inChat, event("/chat", "say", 12, "hi"))
    assert.deepStrictEqual(actions, [
      { _tag: "Deliver", namespace: "/chat", attempt: 1, name: "say", args: ["hi"], id: 12 }
    ])
    assert.deepStrictEqual(Socket.answer(state, "/chat", 1, 12, ["ok"])[1], [
      { _tag: "Send", packet: ack("/chat", 12, "ok") }
    ])
  })

  it("that want an answer get it once, by ids of each namespace; another's, and a second, are nothing", () => {
    const [one, said, first] = Socket.ask(inChat, "/chat", 1, "q", [])
    const [two, , second] = Socket.ask(one, "/chat", 1, "q", [])
    assert.deepStrictEqual([first, second], [0, 1])
    assert.deepStrictEqual(said, [{ _tag: "Send", packet: event("/chat", "q", 0) }])
    const [three, answered] = Socket.receive(two, ack("/chat", 1, "yes"))
    assert.deepStrictEqual(answered, [{ _tag: "Answered", namespace: "/chat", attempt: 1, id: 1, args: ["yes"] }])
    for (const id of [1, 2, Number.MAX_SAFE_INTEGER])
      assert.deepStrictEqual(Socket.receive(three, ack("/chat", id)), [three, []])
    const [four] = Socket.forget(three, "/chat", 1, 0)
    assert.deepStrictEqual(Socket.receive(four, ack("/chat", 0)), [four, []])
  })

  it("are not asked of one who has too much to answer, nor of one who is not there", () => {
    const [one] = Socket.ask(inChat, "/chat", 1, "q", [], { maxAsked: 1 })
    assert.deepStrictEqual(Socket.ask(one, "/chat", 1, "q", [], { maxAsked: 1 }), [one, [], undefined])
    assert.deepStrictEqual(Socket.ask(inChat, "/", 1, "q", []), [inChat, [], undefined])
    assert.deepStrictEqual(Socket.emit(inChat, "/chat", 2, "e", []), [inChat, []])
  })
})

describe("the end", () => {
  it("of a membership by the server is told the client", () => {
    assert.deepStrictEqual(Socket.disconnect(inChat, "/chat", 1)[1], [
      { _tag: "Send", packet: { _tag: "Disconnect", ...at("/chat") } },
      { _tag: "Leave", namespace: "/chat", attempt: 1, reason: "server" }
    ])
  })

  it("of one that was not let in yet is a refusal", () => {
    const [, actions] = Socket.disconnect(after(receive(connect("/a"))), "/a", 1)
    assert.deepInclude(actions[0], {
      packet: { _tag: "ConnectError", ...at("/a"), message: "not let in", data: undefined }
    })
  })

  it("of the session is that of each membership, with the cause", () => {
    const two = after(receive(connect("/a")), accept("/a"), receive(connect("/b")))
    for (const [reason, [state, actions]] of [
      ["transport", Socket.ended(two)],
      ["server", Socket.shutdown(two)]
    ] as const) {
      assert.strictEqual(state._tag, "Closed")
      const left = actions.filter(({ _tag }) => _tag === "Leave")
      assert.deepStrictEqual(left, [
        { _tag: "Leave", namespace: "/a", attempt: 1, reason },
        { _tag: "Leave", namespace: "/b", attempt: 2, reason }
      ])
    }
  })
})

describe("a client that is not let in yet", () => {
  const joining = after(receive(connect("/a")))

  it("is told nothing, asked nothing and answered nothing", () => {
    assert.deepStrictEqual(Socket.emit(joining, "/a", 1, "e", []), [joining, []])
    assert.deepStrictEqual(Socket.ask(joining, "/a", 1, "q", []), [joining, [], undefined])
    assert.deepStrictEqual(Socket.answer(joining, "/a", 1, 0, []), [joining, []])
  })

  it("may go, and is not waited for any more, however its session ends", () => {
    const leave = { _tag: "Leave", namespace: "/a", attempt: 1 } as const
    const [gone, left] = Socket.receive(joining, { _tag: "Disconnect", ...at("/a") })
    assert.deepStrictEqual([gone._tag, left], ["Open", [{ ...leave, reason: "client" }]])
    assert.deepStrictEqual(Socket.ended(joining)[1], [{ _tag: "ClearDeadline" }, { ...leave, reason: "transport" }])
    assert.deepStrictEqual(Socket.receive(joining, event("/a", "e"))[1].slice(0, 2), [
      { _tag: "ClearDeadline" },
      { ...leave, reason: "violation" }
    ])
    assert.deepStrictEqual(Socket.shutdown(joining)[1], [
      { _tag: "ClearDeadline" },
      { ...leave, reason: "server" },
      { _tag: "Close", violation: undefined }
    ])
  })
})

/** Anything that may happen, with names and numbers of which some are meant. */
type Step = (state: Socket.State) => readonly [Socket.State, ReadonlyArray<Socket.Action>, ...ReadonlyArray<unknown>]

const name = fc.constantFrom("/", "/a", "/__proto__")
const number = fc.integer({ min: 0, max: 6 })
const packet: fc.Arbitrary<Packet.Packet> = fc.oneof(
  { weight: 3, arbitrary: name.map((namespace) => connect(namespace)) },
  name.map((namespace): Packet.Packet => ({ _tag: "Disconnect", ...at(namespace) })),
  { weight: 3, arbitrary: fc.tuple(name, fc.option(number, { nil: undefined })).map(([n, id]) => event(n, "e", id)) },
  { weight: 4, arbitrary: fc.tuple(name, fc.nat({ max: 2 })).map(([n, id]) => ack(n, id)) }
)

/** The attempt that is meant, mostly. */
const attempt = fc.tuple(fc.nat({ max: 9 }), number)
const attemptOf = (state: Socket.State, namespace: string, [coin, other]: readonly [number, number]): number =>
  (coin > 0 && state._tag === "Open" && state.namespaces.get(namespace)?.attempt) || other

/** A client breaks a rule only now and then. */
const received = fc.tuple(packet, fc.nat({ max: 39 })).map(([packet, coin]): Step => (state) => {
  const next = Socket.receive(state, packet)
  return coin > 0 && next[0]._tag === "Closed" ? [state, []] : next
})
const decided = (decide: (state: Socket.State, namespace: string, attempt: number) => ReturnType<Step>) =>
  fc.tuple(name, attempt).map(
    ([n, which]): Step =>
      (state) =>
        decide(state, n, attemptOf(state, n, which))
  )

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 16, arbitrary: received },
  { weight: 8, arbitrary: decided((state, n, i) => Socket.accept(state, n, i, { sid: "s" })) },
  { weight: 2, arbitrary: decided((state, n, i) => Socket.refuse(state, n, i, "no")) },
  { weight: 8, arbitrary: decided((state, n, i) => Socket.ask(state, n, i, "q", [])) },
  { weight: 2, arbitrary: decided((state, n, i) => Socket.emit(state, n, i, "e", [])) },
  { weight: 2, arbitrary: decided((state, n, i) => Socket.forget(state, n, i, 0)) },
  { weight: 2, arbitrary: decided((state, n, i) => Socket.disconnect(state, n, i)) },
  {
    weight: 1,
    arbitrary: fc.constantFrom<Step>(Socket.expire, Socket.expire, Socket.expire, Socket.ended, Socket.shutdown)
  }
)

it("whatever happens, each who joins leaves once, nothing reaches who is not in, and answers are those of what was asked", () => {
  const seen = new Map<string, number>()
  const property = fc.property(fc.array(step, { minLength: 60, maxLength: 120 }), (steps) => {
    let [state] = Socket.open
    const present = new Map<number, string>()
    const left = new Set<number>()
    const asked = new Set<string>()
    let closes = 0
    for (const one of [...steps, Socket.ended]) {
      const [next, actions] = one(state)
      const wasClosed = state._tag === "Closed"
      state = next
      for (const action of actions) {
        seen.set(action._tag, (seen.get(action._tag) ?? 0) + 1)
        assert.isFalse(wasClosed)
        switch (action._tag) {
          case "Join":
            assert.isFalse(present.has(action.attempt) || left.has(action.attempt))
            present.set(action.attempt, action.namespace)
            break
          case "Leave":
            assert.strictEqual(present.get(action.attempt), action.namespace)
            present.delete(action.attempt)
            left.add(action.attempt)
            break
          case "Deliver":
            assert.strictEqual(present.get(action.attempt), action.namespace)
            break
          case "Answered":
            assert.isTrue(asked.delete(`${action.attempt}:${action.id}`))
            break
          case "Send":
            if (action.packet._tag === "Event" && action.packet.id !== undefined) {
              const attempt = [...present].find(([, namespace]) => namespace === action.packet.namespace)![0]
              asked.add(`${attempt}:${action.packet.id}`)
            }
            break
          case "Close":
            closes++
            break
        }
      }
    }
    assert.strictEqual(state._tag, "Closed")
    assert.strictEqual(present.size, 0)
    assert.isAtMost(closes, 1)
  })
  fc.assert(property, { numRuns: 500 })
  for (const tag of ["Join", "Leave", "Deliver", "Answered", "Send", "Close"])
    assert.isAbove(seen.get(tag) ?? 0, 10, tag)
})
