/** What a client's session of Engine.IO does next, step by step. */
import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as Polling from "@millrace/core/interop/engineio/EnginePolling"
import * as Packet from "@millrace/core/interop/engineio/Packet"

const handshake: Packet.Handshake = {
  sid: "a",
  upgrades: ["websocket"],
  pingInterval: 25_000,
  pingTimeout: 20_000,
  maxPayload: 8
}

const packets = (...texts: ReadonlyArray<string>) => texts.map((text) => Result.getOrThrow(Packet.decode(text)))

const opening = `0${Packet.encodeHandshake(handshake)}`

/** Actions as short texts. */
const shown = (actions: ReadonlyArray<Polling.Action>) =>
  actions.map((action) => {
    switch (action._tag) {
      case "Deliver":
        return `heard ${action.data === opening ? "opening" : String(action.data)}`
      case "Post":
      case "Write":
        return `${action._tag} ${action.packets.map(Packet.encode).join(" ")}`
      case "End":
        return action.isOrderly ? "End" : "End, failed"
      default:
        return action._tag
    }
  })

type Step = (state: Polling.State) => Polling.Transition

const said = Polling.said
const say =
  (text: string): Step =>
  (state) =>
    Polling.say(state, packets(text))
const polled =
  (...texts: ReadonlyArray<string>): Step =>
  (state) =>
    Polling.polled(state, packets(...texts))
const heard =
  (text: string): Step =>
  (state) =>
    Polling.socketSaid(state, text)
const held =
  (isHeld: boolean): Step =>
  (state) =>
    Polling.hold(state, isHeld)
const ended: Step = (state) => Polling.socketEnded(state)

/** What each step calls for, from the opening on. */
const play = (canUpgrade: boolean, ...steps: ReadonlyArray<Step>) => {
  let state: Polling.State = Polling.over
  const begin: Step = () => Polling.open(handshake, packets(opening), canUpgrade)
  return [begin, ...steps].map((step) => {
    const [next, actions] = step(state)
    const [settled, more] = actions.at(-1)?._tag === "Settle" ? Polling.settle(next) : [next, []]
    state = settled
    return shown([...actions.filter(({ _tag }) => _tag !== "Settle"), ...more])
  })
}

describe("a session that polls", () => {
  it("polls again when it was answered, and posts one after the other, as much as the server takes", () => {
    expect(
      play(
        false,
        say("4one"),
        say("4two"),
        say("4three"),
        say("4four"),
        said,
        said,
        said,
        polled("4hi", "2"),
        polled("6")
      )
    ).toEqual([
      ["heard opening", "Poll"],
      ["Post 4one"],
      [],
      [],
      [],
      ["Post 4two"],
      ["Post 4three"],
      ["Post 4four"],
      ["heard 4hi", "heard 2", "Poll"],
      ["Poll"]
    ])
  })

  it("does not poll while nobody reads", () => {
    expect(play(false, held(true), polled("4one"), say("4x"), held(false))).toEqual([
      ["heard opening", "Poll"],
      [],
      ["heard 4one"],
      ["Post 4x"],
      ["Poll"]
    ])
  })

  it("ends with the server's word, with a failure, and behind what was said with our own", () => {
    expect(play(false, polled("4one", "1"), say("4x"), polled("4two")).slice(1)).toEqual([
      ["heard 4one", "heard 1", "End"],
      [],
      []
    ])
    expect(play(false, Polling.failed, Polling.failed).slice(1)).toEqual([["End, failed"], []])
    expect(play(false, say("4one"), say("4two"), Polling.leave, say("4no"), said, said, said).slice(1)).toEqual([
      ["Post 4one"],
      [],
      [],
      [],
      ["Post 4two"],
      ["Post 1"],
      ["End"]
    ])
  })

  it("asks for no WebSocket where the server has none, and where it is over at once", () => {
    const none = { ...handshake, upgrades: [] }
    expect(shown(Polling.open(none, [], true)[1])).toEqual(["Settle"])
    expect(shown(Polling.open(handshake, packets("1"), true)[1])).toEqual(["heard 1", "End"])
  })
})

describe("a WebSocket", () => {
  const answered = [Polling.socketOpened, heard("3probe")]

  it("takes over when it has answered, and all that is on its way has come back", () => {
    expect(
      play(true, say("4one"), ...answered, say("4two"), polled("4hi"), said, heard("4there"), say("4three"), said, said)
    ).toEqual([
      ["OpenSocket", "heard opening", "Poll"],
      ["Post 4one"],
      ["Probe"],
      [],
      [],
      ["heard 4hi"],
      ["Write 5 4two"],
      ["heard 4there"],
      [],
      ["Write 4three"],
      []
    ])
  })

  it.each(["4early", "3", "3no", "x", "5"])("that says %s where it was probed is closed, and polls go on", (text) => {
    expect(play(true, Polling.socketOpened, heard(text), polled("4hi")).slice(2)).toEqual([
      ["CloseSocket"],
      ["heard 4hi", "Poll"]
    ])
  })

  it("that fails before it has taken over changes nothing, at whichever moment", () => {
    expect(play(true, ended, polled("4hi"))).toEqual([
      ["OpenSocket", "heard opening", "Poll"],
      [],
      ["heard 4hi", "Poll"]
    ])
    // In between nothing was begun, which is made up for.
    expect(play(true, ...answered, polled("4hi"), ended).slice(3)).toEqual([["heard 4hi", "Write 5"], ["End, failed"]])
    expect(play(true, say("4one"), ...answered, polled("4hi"), say("4two"), ended, said).slice(4)).toEqual([
      ["heard 4hi"],
      [],
      ["Poll"],
      ["Post 4two"]
    ])
  })

  it("that has taken over ends the session with it", () => {
    const over = [...answered, polled("6"), said]
    expect(play(true, ...over, ended, heard("4late")).slice(5)).toEqual([["End, failed"], []])
    expect(play(true, ...over, (state) => Polling.socketEnded(state, true)).slice(5)).toEqual([["End"]])
    expect(play(true, ...over, say("4one"), Polling.leave, said).slice(5)).toEqual([
      ["Write 4one"],
      [],
      ["CloseSocket", "End"]
    ])
  })

  it("is given up by who leaves before it has taken over", () => {
    expect(play(true, Polling.socketOpened, Polling.leave, said).slice(2)).toEqual([["CloseSocket", "Post 1"], ["End"]])
  })

  it("that comes when the session is over is closed", () => {
    expect(play(true, Polling.failed, Polling.socketOpened).slice(1)).toEqual([["End, failed"], ["CloseSocket"]])
  })
})
