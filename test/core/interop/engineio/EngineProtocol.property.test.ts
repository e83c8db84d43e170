/**
 * Sessions of Engine.IO: a client that keeps the rules, over a network that delivers when it likes, and whatever else a
 * client and a network could do.
 */
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Engine from "@millrace/core/interop/engineio/EngineProtocol"
import * as Packet from "@millrace/core/interop/engineio/Packet"
import { packet, payloadText } from "../../../support/engineio.ts"
import { utf8 } from "../../../support/wire.ts"

const handshake: Packet.Handshake = {
  sid: "a",
  upgrades: ["websocket"],
  pingInterval: 25_000,
  pingTimeout: 20_000,
  maxPayload: 1_000_000
}

/** Some are text and some are bytes. */
const numbered = (n: number): string | Uint8Array => (n % 3 === 0 ? utf8(`${n}`) : `${n}`)

const numberOf = (data: string | Uint8Array) => Number(typeof data === "string" ? data : Buffer.from(data).toString())

const upTo = (count: number) => Array.from({ length: count }, (_, n) => n)

/** A WebSocket: what is on its way in each direction. */
interface Wire {
  readonly toServer: Array<string | Uint8Array>
  readonly toClient: Array<string | Uint8Array>
}

type Request =
  | { readonly at: "server" | "way" }
  | { readonly at: "back"; readonly packets: ReadonlyArray<Packet.Packet> }

/** A client as the protocol's document has it, a server, and between them what has not arrived yet. */
class World {
  state: Engine.State
  readonly timers = new Set<Engine.Timer>()
  readonly toServer: Array<number> = []
  readonly toClient: Array<number> = []
  sentByServer = 0
  sentByClient = 0
  /** What the client has not sent yet. */
  buffer: Array<Packet.Packet> = []
  mode: "pausing" | "polling" | "upgraded" = "polling"
  poll: Request | undefined
  post: (Request & { readonly body: string }) | undefined
  wire: Wire | undefined
  /** The server has not heard yet that its WebSocket is gone. */
  isCut = false
  upgrades = 0

  constructor() {
    const [state, actions] = Engine.open(handshake, "polling")
    this.state = state
    expect(actions[0]).toMatchObject({ _tag: "AnswerPoll" })
    this.timers.add("ping")
  }

  /** What a client that keeps the rules never sees throws. */
  #carryOut([state, actions]: Engine.Transition): void {
    this.state = state
    for (const action of actions) {
      switch (action._tag) {
        case "AnswerPoll": {
          const body = utf8(Result.getOrThrow(Packet.encodePayload(action.packets)))
          const { packets, violation } = Packet.decodePayload(body)
          expect(violation).toBeUndefined()
          expect(this.poll?.at).toBe("server")
          this.poll = { at: "back", packets }
          break
        }
        case "AnswerPost":
          this.post = { ...this.post!, at: "back", packets: [] }
          break
        case "Write":
          for (const one of action.packets) if (!this.isCut) this.wire!.toClient.push(Packet.encode(one))
          break
        case "RefuseSocket":
          this.wire = undefined
          break
        case "Deliver":
          this.toServer.push(numberOf(action.data))
          break
        case "Set":
          this.timers.add(action.timer)
          break
        case "Clear":
          this.timers.delete(action.timer)
          break
        default:
          throw new Error(`${action._tag} for a client that has kept the rules`)
      }
    }
  }

  #hear(one: Packet.Packet): void {
    if (one._tag === "Message") this.toClient.push(numberOf(one.data))
    else if (one._tag === "Ping") this.buffer.push({ _tag: "Pong", data: "" })
    else expect(one._tag).toBe("Noop")
  }

  /** Each that can be done now, in an order that is always the same. */
  get steps(): ReadonlyArray<() => void> {
    const steps: Array<() => void> = []
    const { poll, post, wire } = this
    if (this.mode === "polling" && poll === undefined) steps.push(() => (this.poll = { at: "way" }))
    if (poll?.at === "way") {
      steps.push(() => {
        this.poll = { at: "server" }
        this.#carryOut(Engine.poll(this.state))
      })
    }
    if (poll?.at === "back") {
      steps.push(() => {
        this.poll = undefined
        for (const one of poll.packets) this.#hear(one)
      })
    }
    if (this.mode === "polling" && post === undefined && this.buffer.length > 0) {
      steps.push(() => {
        this.post = { at: "way", body: Result.getOrThrow(Packet.encodePayload(this.buffer)) }
        this.buffer = []
      })
    }
    if (post?.at === "way") {
      steps.push(() => {
        this.post = { ...post, at: "server" }
        this.#carryOut(Engine.post(this.state))
      })
    }
    if (post?.at === "server") steps.push(() => this.#carryOut(Engine.posted(this.state, utf8(post.body))))
    if (post?.at === "back") steps.push(() => (this.post = undefined))
    if (wire !== undefined && wire.toServer.length > 0) {
      steps.push(() => this.#carryOut(Engine.receive(this.state, wire.toServer.shift()!)))
    }
    if (wire !== undefined && wire.toClient.length > 0) {
      steps.push(() => {
        const one = Result.getOrThrow(Packet.decode(wire.toClient.shift()!))
        if (one._tag === "Pong") this.mode = "pausing"
        else this.#hear(one)
      })
    }
    if (this.mode === "pausing" && poll === undefined && post === undefined) {
      steps.push(() => {
        this.mode = "upgraded"
        this.upgrades++
        wire!.toServer.push("5")
      })
    }
    if (this.mode === "upgraded" && this.buffer.length > 0) {
      steps.push(() => {
        wire!.toServer.push(...this.buffer.map(Packet.encode))
        this.buffer = []
      })
    }
    if (this.isCut) {
      steps.push(() => {
        this.isCut = false
        this.#carryOut(Engine.socketEnded(this.state))
      })
    }
    return steps
  }

  /** What need not be done. */
  get chances(): ReadonlyArray<() => void> {
    const chances: Array<() => void> = [
      () => this.buffer.push({ _tag: "Message", data: numbered(this.sentByClient++) }),
      () => {
        const messages = [this.sentByServer++, this.sentByServer++].map(numbered)
        this.#carryOut(Result.getOrThrow(Engine.send(this.state, messages)))
      }
    ]
    if (this.mode === "polling" && this.wire === undefined) {
      chances.push(() => {
        // A WebSocket that comes before the server has noticed the end of the one before is refused.
        this.wire = { toServer: ["2probe"], toClient: [] }
        this.#carryOut(Engine.attach(this.state))
      })
    }
    if (this.mode !== "upgraded" && this.wire !== undefined && !this.isCut) {
      chances.push(() => {
        this.wire = undefined
        this.isCut = true
        this.mode = "polling"
      })
    }
    if (this.timers.has("ping")) chances.push(() => this.#expire("ping"))
    return chances
  }

  #expire(timer: Engine.Timer): void {
    this.timers.delete(timer)
    this.#carryOut(Engine.expire(this.state, timer))
  }

  nudge(): void {
    if (this.timers.has("nudge")) this.#expire("nudge")
  }

  /** All that is on its way arrives. A poll that waits for nothing may wait. */
  settle(): void {
    for (let i = 0; i < 10_000; i++) {
      this.nudge()
      const { steps } = this
      if (steps.length === 0) return
      // In turn, so that none waits for ever behind polls that are sent away.
      steps[i % steps.length]!()
    }
    throw new Error("never settles")
  }
}

describe("a session of Engine.IO", () => {
  it("loses, doubles and reorders nothing, whenever it is upgraded, and however the network delivers", () => {
    let upgrades = 0
    let cuts = 0
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(), fc.nat({ max: 3 })), { maxLength: 120 }), (choices) => {
        const world = new World()
        for (const [choice, kind] of choices) {
          const { chances, steps } = world
          const from = kind === 0 || steps.length === 0 ? chances : steps
          if (kind === 1) world.nudge()
          const wasCut = world.isCut
          from[choice % from.length]!()
          if (world.isCut && !wasCut) cuts++
        }
        world.settle()
        expect(world.toServer).toEqual(upTo(world.sentByClient))
        expect(world.toClient).toEqual(upTo(world.sentByServer))
        expect(world.state._tag).toBe(world.mode === "upgraded" ? "Upgraded" : "Polling")
        upgrades += world.upgrades
      }),
      { numRuns: 2000 }
    )
    expect(upgrades).toBeGreaterThan(100)
    expect(cuts).toBeGreaterThan(50)
  })

  const frame = fc.oneof(
    fc.constantFrom("2probe", "5", "3", "2", "1", "4a", "", "x"),
    fc.uint8Array({ maxLength: 2 }),
    packet.map(Packet.encode)
  )

  const body = fc.oneof(fc.constantFrom("4a", "3", "1", "2", "", "4a\u001ex"), payloadText).map(utf8)

  type Event = readonly [name: string, step: (state: Engine.State) => Engine.Transition]

  const event: fc.Arbitrary<Event> = fc.oneof(
    fc.constant(["poll", Engine.poll] as const),
    fc.constant(["pollAborted", Engine.pollAborted] as const),
    fc.constant(["post", Engine.post] as const),
    fc.constant(["postAborted", Engine.postAborted] as const),
    body.map((bytes) => ["posted", (state: Engine.State) => Engine.posted(state, bytes)] as const),
    fc.constant(["attach", Engine.attach] as const),
    frame.map((one) => ["receive", (state: Engine.State) => Engine.receive(state, one)] as const),
    fc.constant(["socketEnded", Engine.socketEnded] as const),
    fc
      .constantFrom<Engine.Timer>("close", "nudge", "ping", "pong", "upgrade")
      .map((timer) => [timer, (state: Engine.State) => Engine.expire(state, timer)] as const),
    fc.constant(["send", (state: Engine.State) => [state, []] as Engine.Transition] as const)
  )

  const upgrade: ReadonlyArray<Event> = [
    ["attach", Engine.attach],
    ["receive", (state) => Engine.receive(state, "2probe")],
    ["receive", (state) => Engine.receive(state, "5")]
  ]

  /** Mostly anything, and now and then what leads further. */
  const events = fc
    .array(
      fc.oneof(
        { weight: 9, arbitrary: event.map((one): ReadonlyArray<Event> => [one]) },
        fc.nat({ max: 3 }).map((count) => upgrade.slice(0, count))
      ),
      { maxLength: 30 }
    )
    .map((all) => all.flat())

  it("stands whatever happens, in whatever order, answers each request once, and ends once", () => {
    const seen = { ended: 0, upgraded: 0, emitted: 0 }
    fc.assert(
      fc.property(fc.boolean(), events, (isPolling, all) => {
        let [state] = Engine.open(handshake, isPolling ? "polling" : "websocket")
        let hasSocket = !isPolling
        let isWaiting = false
        let isOver = false
        let accepted = 0
        const emitted: Array<number> = []
        const emit = (packets: ReadonlyArray<Packet.Packet>) => {
          for (const one of packets) if (one._tag === "Message") emitted.push(numberOf(one.data))
        }
        for (const [name, step] of all) {
          let [next, actions] = step(state)
          if (name === "send") {
            const sent = Engine.send(state, [numbered(accepted)])
            if (Result.isFailure(sent)) {
              expect(["Closing", "Closed"]).toContain(state._tag)
            } else {
              accepted++
              ;[next, actions] = sent.success
            }
          }
          if (name === "poll") {
            // The one that waits is not the one that is refused.
            if (!isWaiting) isWaiting = !actions.some(({ _tag }) => _tag === "RefusePoll")
          }
          if (name === "pollAborted") isWaiting = false
          if (name === "attach" && !actions.some(({ _tag }) => _tag === "RefuseSocket")) {
            expect(hasSocket).toBe(false)
            hasSocket = true
          }
          if (name === "socketEnded") hasSocket = false
          for (const action of actions) {
            switch (action._tag) {
              case "AnswerPoll":
                expect(isWaiting).toBe(true)
                expect(action.packets.length).toBeGreaterThan(0)
                expect(action.packets.every(Packet.isPollable)).toBe(true)
                isWaiting = false
                emit(action.packets)
                break
              case "Write":
                expect(hasSocket).toBe(true)
                emit(action.packets)
                break
              case "CloseSocket":
                expect(hasSocket).toBe(true)
                hasSocket = false
                break
              case "AnswerPost":
              case "RefusePost":
                expect(["post", "posted"]).toContain(name)
                break
              case "RefusePoll":
                expect(name).toBe("poll")
                break
              case "Deliver":
                expect(isOver).toBe(false)
                break
              case "End":
                expect(isOver).toBe(false)
                isOver = true
                break
            }
          }
          if (isOver) {
            expect(next._tag).toBe("Closed")
            expect([isWaiting, hasSocket]).toEqual([false, false])
          }
          // All that was accepted has gone out once and in order, but for what waits for a poll.
          expect(emitted).toEqual(upTo(emitted.length))
          expect(emitted.length).toBeLessThanOrEqual(accepted)
          if (next._tag === "Upgraded" || (next._tag === "Polling" && next.waiting))
            expect(emitted.length).toBe(accepted)
          if (next._tag === "Polling") {
            expect(next.waiting).toBe(isWaiting)
            expect(next.queue.count === 0 || !next.waiting).toBe(true)
            expect(next.probe !== "none").toBe(hasSocket)
          }
          if (next._tag === "Upgraded" && state._tag !== "Upgraded") seen.upgraded++
          state = next
        }
        if (isOver) seen.ended++
        seen.emitted += emitted.length
      }),
      { numRuns: 3000 }
    )
    expect(seen.ended).toBeGreaterThan(300)
    expect(seen.emitted).toBeGreaterThan(300)
    expect(seen.upgraded).toBeGreaterThan(100)
  })
})
