/**
 * What a client of Action Cable says and what it makes of what it hears, over one connection after the other, without any
 * of them. Both protocols. Total: whatever is heard, nothing throws. Time is an argument, in milliseconds since 1970.
 *
 * Those who want the same identifier share one subscription, as a server knows it by nothing else. After a break it is
 * made again. Rails' protocol has no word for what was said meanwhile: that is told as a `Gap`. In AnyCable's it is asked
 * for: behind the last position of each stream, and where none is known by the time of the last sign of life.
 */
import * as Result from "effect/Result"
import { NotSubscribed, Rejected, Unanswered, Unsupported } from "./CableClientError.ts"
import { type Bounds as ReaderBounds, CableReader, type Element } from "./CableReader.ts"
import { CatchUp } from "./CatchUp.ts"
import * as Packet from "./Packet.ts"

export interface Bounds extends ReaderBounds {
  /** How long a server may take to answer, in milliseconds. */
  readonly timeout: number
}

/** A subscription that is not answered is asked for again after so long, in milliseconds: one of Rails may get lost. */
export const askAgain = 1_000

/** Who is asked for. */
export interface Question {
  readonly records: boolean
  answer: Packet.PresenceEvent["event"] | Unsupported | undefined
}

interface Held {
  readonly identifier: string
  readonly readers: Set<CableReader>
  /** Whether the server was asked on this connection, and has said that it is in. */
  state: "Asked" | "Idle" | "Live"
  /** When it was asked first, and last. */
  firstAsked: number
  asked: number
  hasBegun: boolean
  /** Where it is in its streams. */
  readonly positions: Map<string, Packet.Position>
  /** The server's time when it was last known to miss nothing, in seconds. */
  since: number
  catchUp: CatchUp | undefined
  present: Packet.Present | undefined
  readonly questions: Set<Question>
}

export type Action =
  | { readonly _tag: "Say"; readonly text: string }
  /** The server has let the client in. */
  | { readonly _tag: "Welcome"; readonly sid: string | undefined }
  /** The server ends the connection. */
  | { readonly _tag: "Dismissed"; readonly reason: string | undefined; readonly reconnect: boolean }
  /** Something has changed for those who wait for anything but an element. */
  | { readonly _tag: "Changed" }
  | { readonly _tag: "Ignored"; readonly violation: Packet.CableViolation }

export type Actions = ReadonlyArray<Action>

const changed: Action = { _tag: "Changed" }

export class CableSubscriptions {
  private readonly bounds: Bounds
  private readonly held = new Map<string, Held>()
  private actions: Array<Action> = []
  private state: "Closed" | "Greeting" | "Open" = "Closed"
  private extended = false
  /** The server's time, in seconds, and when it said so. */
  private ping: { readonly time: number; readonly heard: number } | undefined

  constructor(bounds: Bounds) {
    this.bounds = bounds
  }

  get isOpen(): boolean {
    return this.state === "Open"
  }

  /** Whether the server speaks AnyCable's protocol. */
  get isExtended(): boolean {
    return this.extended
  }

  get size(): number {
    return this.held.size
  }

  // The connection.

  /** There is a connection, over which nothing was said yet. */
  connected(extended: boolean): void {
    this.state = "Greeting"
    this.extended = extended
  }

  /** There is none any more. */
  lost(): Actions {
    for (const held of this.held.values()) {
      if (held.state === "Live" && held.catchUp === undefined) held.since = Math.max(held.since, this.ping?.time ?? 0)
      held.state = "Idle"
      // What was not told to be all of it is asked for again.
      held.catchUp = undefined
    }
    this.state = "Closed"
    this.ping = undefined
    this.actions.push(changed)
    return this.done()
  }

  /** A Text message has come. */
  received(text: string, now: number): Actions {
    if (this.state === "Closed") return []
    // How long a message may be, the wire knows.
    const decoded = Packet.decodeTransmission(text, { extended: this.extended, maxLength: Infinity })
    if (Result.isFailure(decoded)) this.actions.push({ _tag: "Ignored", violation: decoded.failure })
    else this.heard(decoded.success, text.length, now)
    return this.done()
  }

  private heard(said: Packet.Transmission, length: number, now: number): void {
    switch (said._tag) {
      case "Welcome":
        return this.welcome(said, now)
      case "Disconnect":
        return void this.actions.push({ _tag: "Dismissed", reason: said.reason, reconnect: said.reconnect })
      case "Ping":
        if (said.time !== undefined) this.ping = { time: said.time, heard: now }
        if (this.extended) this.say({ _tag: "Pong" })
        return
    }
    const held = this.held.get(said.identifier)
    if (held === undefined || this.state !== "Open") return
    switch (said._tag) {
      case "ConfirmSubscription":
        return held.state === "Asked" ? this.confirmed(held, now) : undefined
      case "RejectSubscription":
        return this.end(held, new Rejected({ identifier: held.identifier }))
      case "Message":
        return this.message(held, said, length)
      case "ConfirmHistory":
        return this.caughtUp(held, true)
      case "RejectHistory":
        return this.caughtUp(held, false)
      case "PresenceEvent":
        return this.presence(held, said.event, length)
    }
  }

  private welcome({ restored, sid }: Packet.Welcome, now: number): void {
    if (this.state !== "Greeting") return
    this.state = "Open"
    this.actions.push({ _tag: "Welcome", sid })
    const live = new Set(restored)
    for (const held of this.held.values()) {
      if (!live.delete(held.identifier) || !held.hasBegun) {
        held.firstAsked = now
        this.ask(held, now)
        continue
      }
      // What was said while nobody was there is asked for all the same.
      this.say({ _tag: "History", identifier: held.identifier, history: this.wanted(held, now) })
      this.live(held)
    }
    for (const identifier of live) this.say({ _tag: "Unsubscribe", identifier })
  }

  // Subscriptions.

  subscribe(identifier: string, now: number): readonly [CableReader, Actions] {
    const reader = new CableReader(identifier, this.bounds)
    const known = this.held.get(identifier)
    known?.readers.add(reader)
    if (known !== undefined) return [reader, []]
    const held: Held = {
      identifier,
      readers: new Set([reader]),
      state: "Idle",
      firstAsked: now,
      asked: now,
      hasBegun: false,
      positions: new Map(),
      since: 0,
      catchUp: undefined,
      present: undefined,
      questions: new Set()
    }
    this.held.set(identifier, held)
    if (this.state === "Open") this.ask(held, now)
    return [reader, this.done()]
  }

  /** One of those who share it wants it no more; with the last the server is told. */
  unsubscribe(reader: CableReader): Actions {
    const held = this.held.get(reader.identifier)
    const { identifier } = reader
    reader.fail(new NotSubscribed({ identifier }))
    if (held === undefined || !held.readers.delete(reader) || held.readers.size > 0) return []
    this.held.delete(identifier)
    if (held.state !== "Idle") this.say({ _tag: "Unsubscribe", identifier })
    return this.done()
  }

  /** Whether the server has it in on this connection. */
  isLive({ identifier }: CableReader): boolean {
    return this.held.get(identifier)?.state === "Live"
  }

  private ask(held: Held, now: number): void {
    const { identifier } = held
    held.state = "Asked"
    held.asked = now
    const history = held.hasBegun && this.extended ? this.wanted(held, now) : undefined
    this.say({ _tag: "Subscribe", identifier, history })
  }

  /** From here on all is gathered until the server says that this was all. */
  private wanted(held: Held, now: number): Packet.HistoryRequest {
    held.catchUp = new CatchUp(now, this.bounds.capacityLength)
    return { since: held.since, streams: new Map(held.positions) }
  }

  private confirmed(held: Held, now: number): void {
    if (held.hasBegun) {
      if (!this.extended) this.put(held, { _tag: "Gap", why: "Disconnected" }, 0)
    } else {
      held.hasBegun = true
      const { ping } = this
      held.since = Math.floor(ping === undefined ? now / 1_000 : ping.time + (now - ping.heard) / 1_000)
    }
    // It was asked a while ago, and begins now.
    if (held.catchUp !== undefined) held.catchUp = new CatchUp(now, this.bounds.capacityLength)
    this.live(held)
  }

  private live(held: Held): void {
    held.state = "Live"
    const { identifier, present } = held
    if (present !== undefined) this.say({ _tag: "Join", identifier, ...present })
    for (const { records } of held.questions) this.say({ _tag: "Presence", identifier, records })
    this.actions.push(changed)
  }

  private end(held: Held, reason: Rejected | Unanswered): void {
    this.held.delete(held.identifier)
    for (const reader of held.readers) reader.fail(reason)
    this.actions.push(changed)
  }

  /**
   * To be called about once a second: asks again for what was not answered, and gives up what never will be. A
   * subscription that has begun once is asked for as long as it takes.
   */
  sweep(now: number): Actions {
    if (this.state !== "Open") return []
    const { timeout } = this.bounds
    for (const held of this.held.values()) {
      const waited = now - held.firstAsked
      if (held.catchUp !== undefined && held.state === "Live" && now - held.catchUp.since >= timeout) {
        this.caughtUp(held, false)
      }
      if (held.state !== "Asked" || now - held.asked < askAgain) continue
      if (!held.hasBegun && waited >= timeout) {
        const { identifier } = held
        this.say({ _tag: "Unsubscribe", identifier })
        this.end(held, new Unanswered({ identifier, waited }))
      } else this.ask(held, now)
    }
    return this.done()
  }

  // Messages.

  private message(held: Held, message: Packet.Message, length: number): void {
    if (held.state !== "Live") return
    const { catchUp } = held
    if (catchUp === undefined) return this.deliver(held, message, length)
    // More was missed than there is room for: what there is of it is given, and the rest is told to be missing.
    if (!catchUp.add(message, length)) this.caughtUp(held, false)
  }

  private deliver(held: Held, { message: data, position }: Packet.Message, length: number): void {
    if (position !== undefined) {
      const { epoch, offset, stream } = position
      const before = held.positions.get(stream)
      if (before?.epoch === epoch && offset <= before.offset) return
      // Another log, and nobody has said so.
      if (before !== undefined && before.epoch !== epoch) this.put(held, { _tag: "Gap", why: "Forgotten" }, 0)
      held.positions.set(stream, { epoch, offset })
    }
    this.put(held, { _tag: "Message", data, position }, length)
  }

  private caughtUp(held: Held, isAll: boolean): void {
    const { catchUp } = held
    if (catchUp === undefined) return
    held.catchUp = undefined
    if (!isAll) {
      held.positions.clear()
      this.put(held, { _tag: "Gap", why: "Forgotten" }, 0)
    }
    for (const { length, message } of catchUp.inOrder) this.deliver(held, message, length)
  }

  private put(held: Held, element: Element, length: number): void {
    // As it is now: some leave as soon as they are told, and come back in the same call, to hear what is next.
    for (const reader of Array.from(held.readers)) if (held.readers.has(reader)) reader.put(element, length)
  }

  // What only AnyCable's protocol has.

  /** What to say of a subscription: whether it may be, its caller has asked. */
  joined({ identifier }: CableReader, present: Packet.Present | undefined): Actions {
    const held = this.held.get(identifier)
    if (held === undefined) return []
    const before = held.present
    held.present = present
    if (held.state === "Live") {
      if (present !== undefined) this.say({ _tag: "Join", identifier, ...present })
      else if (before !== undefined) this.say({ _tag: "Leave", identifier })
    }
    return this.done()
  }

  /** Asks who is present, again on each connection until there is an answer. */
  question({ identifier }: CableReader, records: boolean): readonly [Question, Actions] {
    const question: Question = { records, answer: undefined }
    const held = this.held.get(identifier)
    held?.questions.add(question)
    if (held?.state === "Live") this.say({ _tag: "Presence", identifier, records })
    return [question, this.done()]
  }

  unask({ identifier }: CableReader, question: Question): void {
    this.held.get(identifier)?.questions.delete(question)
  }

  private presence(held: Held, event: Packet.PresenceEvent["event"], length: number): void {
    switch (event.type) {
      case "join":
        return this.put(held, { _tag: "Joined", id: event.id, info: event.info }, length)
      case "leave":
        return this.put(held, { _tag: "Left", id: event.id }, length)
    }
    for (const question of held.questions) {
      if (event.type === "info" && question.records && event.records === undefined) continue
      question.answer = event.type === "error" ? new Unsupported({ what: "presence" }) : event
      held.questions.delete(question)
    }
    this.actions.push(changed)
  }

  private say(command: Packet.Command): void {
    const text = Packet.encodeCommand(command)
    // The caller's values were looked at when they were given.
    if (Result.isSuccess(text)) this.actions.push({ _tag: "Say", text: text.success })
  }

  private done(): Actions {
    const { actions } = this
    this.actions = []
    return actions
  }
}
