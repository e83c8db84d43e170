/**
 * A client's session of Engine.IO and a server's, both as state machines, over a network that delivers when it likes:
 * whatever is on its way at the border between polls and a WebSocket, nothing is lost, doubled or out of order.
 */
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Polling from "@millrace/core/interop/engineio/EnginePolling"
import * as Server from "@millrace/core/interop/engineio/EngineProtocol"
import * as Packet from "@millrace/core/interop/engineio/Packet"
import { utf8 } from "../../../support/wire.ts"

const handshake: Packet.Handshake = {
  sid: "a",
  upgrades: ["websocket"],
  pingInterval: 25_000,
  pingTimeout: 20_000,
  maxPayload: 12
}

/** Some are text and some are bytes. */
const numbered = (n: number): string | Uint8Array => (n % 3 === 0 ? utf8(`${n}`) : `${n}`)

const numberOf = (data: string | Uint8Array): number =>
  Number(typeof data === "string" ? data.slice(1) : Buffer.from(data).toString())

const upTo = (count: number) => Array.from({ length: count }, (_, n) => n)

/** What is on its way, in both directions. */
class World {
  client: Polling.State
  server: Server.State
  readonly heardByServer: Array<number> = []
  readonly heardByClient: Array<number> = []
  saidByServer = 0
  saidByClient = 0
  isHeld = false
  /** Whether its end was told. */
  ended: boolean | undefined
  private readonly timers = new Set<Server.Timer>()
  private polls = 0
  private readonly answers: Array<ReadonlyArray<Packet.Packet>> = []
  private readonly posts: Array<string> = []
  private posted = 0
  private opening = 0
  /** `undefined` while there is none. */
  private wire:
    | { readonly toServer: Array<string | Uint8Array>; readonly toClient: Array<string | Uint8Array> }
    | undefined
  /** The client has closed it, behind what is on its way to the server. */
  private isClosed = false
  /** Writes that the WebSocket has not taken yet. */
  private writes: Array<ReadonlyArray<Packet.Packet>> = []
  private isServed = false

  constructor() {
    const [server, actions] = Server.open(handshake, "polling")
    this.server = server
    this.client = Polling.over
    const packets = actions.flatMap((action) => (action._tag === "AnswerPoll" ? action.packets : []))
    this.ofClient(Polling.open(handshake, packets, true))
  }

  private ofClient([state, actions]: Polling.Transition): void {
    this.client = state
    for (const action of actions) {
      switch (action._tag) {
        case "Poll":
          expect(this.polls + this.answers.length).toBeLessThan(2)
          this.polls++
          break
        case "Post":
          expect(this.posts.length + this.posted).toBe(0)
          this.posts.push(Result.getOrThrow(Packet.encodePayload(action.packets)))
          break
        case "Write":
          expect(this.writes.length).toBe(0)
          this.writes.push(action.packets)
          break
        case "OpenSocket":
          this.opening++
          break
        case "Probe":
          this.wire!.toServer.push("2probe")
          break
        case "CloseSocket":
          this.opening = 0
          this.isClosed = true
          break
        case "Deliver":
          if (typeof action.data !== "string" || action.data.startsWith("4")) {
            this.heardByClient.push(numberOf(action.data))
          }
          break
        case "Settle":
          this.ofClient(Polling.settle(this.client))
          break
        case "End":
          expect(this.ended).toBeUndefined()
          this.ended = action.isOrderly
          // A poll that is given up.
          this.polls = 0
          this.answers.length = 0
      }
    }
  }

  /** What a client that keeps the rules never sees throws. */
  private ofServer([state, actions]: Server.Transition): void {
    this.server = state
    for (const action of actions) {
      switch (action._tag) {
        case "AnswerPoll":
          this.isServed = false
          this.answers.push(action.packets)
          break
        case "AnswerPost":
          this.posted++
          break
        case "Deliver":
          this.heardByServer.push(Number(typeof action.data === "string" ? action.data : Buffer.from(action.data)))
          break
        case "Write":
          for (const packet of action.packets) this.wire?.toClient.push(Packet.encode(packet))
          break
        case "CloseSocket":
          this.breakSocket()
          break
        case "Set":
          this.timers.add(action.timer)
          break
        case "Clear":
          this.timers.delete(action.timer)
          break
        case "RefusePoll":
        case "RefusePost":
        case "RefuseSocket":
          throw new Error(action._tag)
        case "End":
          break
      }
    }
  }

  private breakSocket(): void {
    const { wire } = this
    if (wire === undefined) return
    this.wire = undefined
    if (this.isClosed) return
    this.ofClient(Polling.socketEnded(this.client))
  }

  /** What may happen next, each as something that can be done. */
  get possible(): ReadonlyArray<() => void> {
    const next: Array<() => void> = []
    const { client, wire } = this
    if (this.polls > 0 && !this.isServed) {
      next.push(() => {
        this.polls--
        this.isServed = true
        this.ofServer(Server.poll(this.server))
      })
    }
    if (this.answers.length > 0) next.push(() => this.ofClient(Polling.polled(this.client, this.answers.shift()!)))
    if (this.posts.length > 0) {
      next.push(() => {
        this.ofServer(Server.post(this.server))
        this.ofServer(Server.posted(this.server, utf8(this.posts.shift()!)))
      })
    }
    if (this.posted > 0) {
      next.push(() => {
        this.posted--
        this.ofClient(Polling.said(this.client))
      })
    }
    if (this.opening > 0) {
      next.push(() => {
        this.opening--
        this.wire = { toServer: [], toClient: [] }
        this.ofServer(Server.attach(this.server))
        this.ofClient(Polling.socketOpened(this.client))
      })
    }
    if (this.writes.length > 0) {
      next.push(() => {
        for (const packet of this.writes.shift()!) this.wire?.toServer.push(Packet.encode(packet))
        this.ofClient(Polling.said(this.client))
      })
    }
    if (wire !== undefined && wire.toServer.length > 0) {
      next.push(() => this.ofServer(Server.receive(this.server, wire.toServer.shift()!)))
    }
    if (wire?.toServer.length === 0 && this.isClosed) {
      next.push(() => {
        this.wire = undefined
        this.ofServer(Server.socketEnded(this.server))
      })
    }
    if (wire !== undefined && wire.toClient.length > 0 && !this.isClosed) {
      next.push(() => this.ofClient(Polling.socketSaid(this.client, wire.toClient.shift()!)))
    }
    if (this.timers.has("nudge")) {
      next.push(() => {
        this.timers.delete("nudge")
        this.ofServer(Server.expire(this.server, "nudge"))
      })
    }
    if (client._tag === "Open" && client.isHeld) next.push(() => this.ofClient(Polling.hold(this.client, false)))
    return next
  }

  /** What nobody has to do. */
  readonly whims: ReadonlyArray<() => void> = [
    () => this.ofClient(Polling.say(this.client, [{ _tag: "Message", data: numbered(this.saidByClient++) }])),
    () => this.ofServer(Result.getOrThrow(Server.send(this.server, [numbered(this.saidByServer++)]))),
    () => this.ofClient(Polling.hold(this.client, true)),
    () => {
      if (this.client._tag !== "Open" || this.client.over === "socket") return
      if (this.opening > 0) {
        this.opening--
        this.ofClient(Polling.socketEnded(this.client))
      } else if (this.wire !== undefined) {
        this.breakSocket()
        this.ofServer(Server.socketEnded(this.server))
      }
    }
  ]

  /** Until nothing is left but a poll that waits. */
  settle(): void {
    for (let steps = 0; steps < 10_000; steps++) {
      const [first] = this.possible
      // A nudge comes again and again: the last thing to wait for.
      if (first === undefined) return
      this.possible[steps % this.possible.length]!()
      if (this.isQuiet) return
    }
    throw new Error("it does not settle")
  }

  private get isQuiet(): boolean {
    const rest = this.possible.length - (this.timers.has("nudge") ? 1 : 0)
    return rest === 0 && !(this.client._tag === "Open" && this.client.probe === "answered")
  }

  leave(): void {
    this.ofClient(Polling.leave(this.client))
  }
}

const play = (moves: ReadonlyArray<number>): World => {
  const world = new World()
  for (const move of moves) {
    const all = [...world.possible, ...world.whims]
    all[move % all.length]!()
  }
  return world
}

const moves = fc.array(fc.nat(1_000), { maxLength: 120 })

describe("a client and a server", () => {
  it("lose, double and disorder nothing, whenever the WebSocket takes over or fails to", () => {
    let upgraded = 0
    fc.assert(
      fc.property(moves, (moves) => {
        const world = play(moves)
        world.settle()
        if (world.client._tag === "Open" && world.client.over === "socket") upgraded++
        expect([world.heardByServer, world.heardByClient]).toEqual([upTo(world.saidByClient), upTo(world.saidByServer)])
        expect([world.client._tag, world.ended]).toEqual(["Open", undefined])
      }),
      { numRuns: 2_000 }
    )
    expect(upgraded).toBeGreaterThan(100)
  })

  it("end behind what the client has said, whenever it leaves", () => {
    fc.assert(
      fc.property(moves, (moves) => {
        const world = play(moves)
        world.leave()
        const before = world.saidByClient
        world.settle()
        expect(world.heardByServer).toEqual(upTo(before))
        expect([world.client._tag, world.ended]).toEqual(["Over", true])
      }),
      { numRuns: 1_000 }
    )
  })
})
