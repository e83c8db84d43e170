/** A session of Engine.IO, as a client sees it. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Protocol from "@millrace/core/interop/engineio/EngineClientProtocol"

const handshake = { sid: "a", upgrades: [], pingInterval: 25_000, pingTimeout: 20_000, maxPayload: 1_000_000 }
const opened = `0${JSON.stringify(handshake)}`

/** What becomes of messages, with all actions. */
const play = (...messages: ReadonlyArray<string | Uint8Array>) => {
  let state = Protocol.opening
  const actions: Array<Protocol.Action> = []
  for (const message of messages) {
    const [next, more] = Protocol.receive(state, message)
    state = next
    actions.push(...more)
  }
  return { state, actions, tags: actions.map(({ _tag }) => _tag) }
}

describe("a session", () => {
  it("is opened by the handshake, which says how long the first ping may take", () => {
    const { actions, state } = play(opened)
    expect(state).toEqual({ _tag: "Open", handshake })
    expect(actions).toEqual([
      { _tag: "Opened", handshake },
      { _tag: "Set", patience: 45_000 }
    ])
  })

  it("takes messages, of text and of bytes", () => {
    expect(play(opened, "4hi", Uint8Array.of(1), "4").actions.slice(2)).toEqual([
      { _tag: "Deliver", data: "hi" },
      { _tag: "Deliver", data: Uint8Array.of(1) },
      { _tag: "Deliver", data: "" }
    ])
  })

  it("answers a ping with the same data, and waits anew for the next", () => {
    expect(play(opened, "2", "2probe").actions.slice(2)).toEqual([
      { _tag: "Write", packet: { _tag: "Pong", data: "" } },
      { _tag: "Set", patience: 45_000 },
      { _tag: "Write", packet: { _tag: "Pong", data: "probe" } },
      { _tag: "Set", patience: 45_000 }
    ])
  })

  it("waits no longer than a timer can", () => {
    const long = JSON.stringify({ ...handshake, pingInterval: 2 ** 31 - 1, pingTimeout: 2 ** 31 - 1 })
    expect(play(`0${long}`).actions[1]).toEqual({ _tag: "Set", patience: 2 ** 31 - 1 })
  })

  it("takes no notice of what a server has no reason to say", () => {
    expect(play(opened, "3", "5", "6").tags).toEqual(["Opened", "Set"])
  })

  it.each([
    ["something before the handshake", ["4hi"]],
    ["bytes before it", [Uint8Array.of(1)]],
    ["a ping before it", ["2"]],
    ["a handshake that is none", ["0[]"]],
    ["a second handshake", [opened, opened]],
    ["no type", [opened, "hello"]],
    ["nothing", [opened, ""]]
  ])("is ended by %s", (_, messages) => {
    const { actions, state } = play(...messages)
    expect(state).toEqual({ _tag: "Closed", reason: "violation" })
    expect(actions.at(-1)).toMatchObject({ _tag: "End", reason: "violation", violation: { reason: "syntax" } })
  })

  it("is ended by the server's word, before the handshake and behind it", () => {
    const end = { _tag: "End", reason: "server", violation: undefined }
    expect(play("1").actions).toEqual([end])
    expect(play(opened, "1", "4late").actions.slice(2)).toEqual([end])
  })

  it("is ended by silence when it is open, and by the network always", () => {
    const open = play(opened).state
    expect(Protocol.expire(open)[1]).toEqual([{ _tag: "End", reason: "pingTimeout", violation: undefined }])
    expect(Protocol.expire(Protocol.opening)).toEqual([Protocol.opening, []])
    for (const state of [open, Protocol.opening]) {
      expect(Protocol.ended(state)[1]).toEqual([{ _tag: "End", reason: "network", violation: undefined }])
    }
  })

  it("whatever a server says, ends once, and nothing comes behind that", () => {
    const scrap = fc.oneof(
      fc.constantFrom(opened, "1", "2", "3", "4hi", "5", "6", "", "7", "0{}"),
      fc.string({ unit: "binary", maxLength: 5 }),
      fc.uint8Array({ maxLength: 3 })
    )
    fc.assert(
      fc.property(fc.array(scrap), fc.boolean(), (messages, first) => {
        const { state, tags } = play(...(first ? [opened] : []), ...messages)
        expect(tags.filter((tag) => tag === "End").length).toBe(state._tag === "Closed" ? 1 : 0)
        if (state._tag === "Closed") expect(tags.at(-1)).toBe("End")
        const before = tags.indexOf("Opened")
        expect(tags.every((tag, i) => tag === "End" || (before !== -1 && i >= before))).toBe(true)
        if (state._tag === "Closed") {
          expect([Protocol.expire(state)[1], Protocol.ended(state)[1], Protocol.receive(state, "4")[1]]).toEqual([
            [],
            [],
            []
          ])
        }
      })
    )
  })
})
