/**
 * A socket, and the member of the hub that it is. Where connections are recovered, it lives through a cut: it leaves its
 * topics, and enters them again where its client has stopped.
 *
 *     Joining ---> Joined <---> Away ---> Over      (to Over from anywhere)
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import type { BrokerError } from "../../cluster/BrokerError.ts"
import * as HubMessage from "../../cluster/HubMessage.ts"
import type { Member, Notice } from "../../cluster/Member.ts"
import * as Position from "../../cluster/Position.ts"
import type { Encoding, Publication } from "../../cluster/Publication.ts"
import type { Target } from "../../cluster/Target.ts"
import type { Timed, TimerWheel } from "../../connection/TimerWheel.ts"
import type { Prepared } from "../../connection/Prepared.ts"
import type { Written } from "../../connection/WebSocket.ts"
import * as Audience from "./Audience.ts"
import { type Joined, JoinedRooms } from "./JoinedRooms.ts"
import * as KeptEvents from "./KeptEvents.ts"
import { type Bounds, type Delivered, Listening } from "./Listening.ts"
import type * as Packet from "./Packet.ts"
import {
  type AskOptions,
  defaultAskTimeout,
  type Handler,
  type Reason,
  type Socket,
  SocketClosed,
  Unanswered
} from "./Socket.ts"
import type { Moved } from "./SocketMove.ts"
import type { SocketSession } from "./SocketSession.ts"
import * as SocketWire from "./SocketWire.ts"

/** How a client that was cut off may come back. */
export interface Recovery {
  /** Known to the client and nobody else. */
  readonly pid: string
  /** For how long, in milliseconds. */
  readonly maxAway: number
  readonly wheel: TimerWheel
}

/** What all sockets of a server have in common. */
export interface Settings extends Bounds {
  readonly encodings: SocketWire.Encodings
  /** It can come back from now on, or not any more. */
  readonly away: (socket: LiveSocket, isAway: boolean) => void
  /** It is over. */
  readonly over: (socket: LiveSocket) => void
}

/** What a socket is made of. */
export interface Making {
  readonly id: string
  readonly namespace: string
  readonly query: string | undefined
  readonly auth: Packet.Payload
  readonly request: unknown
  readonly user: string | undefined
  readonly place: Audience.Place
  readonly recovery: Recovery | undefined
  /** What it was on the node that it comes from, and where its client has stopped. */
  readonly moved?: (Moved & { readonly offset: string | undefined; readonly now: Position.Position }) | undefined
}

interface Link {
  readonly session: SocketSession
  readonly attempt: number
}

type State =
  /** What is said and joined is kept until the client is let in. */
  | { readonly _tag: "Joining"; readonly link: Link; readonly early: Array<Effect.Effect<unknown, unknown>> }
  | { readonly _tag: "Joined"; readonly link: Link }
  | { readonly _tag: "Away"; readonly unsaid: Array<{ readonly id: number; readonly args: ReadonlyArray<unknown> }> }
  | { readonly _tag: "Over"; readonly reason: Reason }

interface Question {
  readonly name: string
  readonly args: ReadonlyArray<unknown>
  id: number | undefined
  settle: (exit: Exit.Exit<ReadonlyArray<unknown>, Packet.UnsendablePacket | Unanswered>) => void
}

const nothing: ReadonlyArray<KeptEvents.KeptEvent> = []

/** Most answers that are kept for a client that is away. */
const maxUnsaid = 64

const unanswered = (because: Unanswered["because"]) => Exit.fail(new Unanswered({ because }))

export class LiveSocket implements Member, Socket, Audience.Asked, Timed {
  slot: Set<Timed> | undefined
  readonly scope: Scope.Closeable = Scope.makeUnsafe()
  readonly name: string
  private readonly settings: Settings
  private readonly making: Making
  private readonly encoding: Encoding<SocketWire.Wire>
  private readonly over = Deferred.makeUnsafe<Reason>()
  private readonly inside = new JoinedRooms()
  private state: State
  private readonly listening: Listening
  private questions: Set<Question> | undefined
  /** Behind the last publication that was written. */
  private position: Position.Position | undefined
  private kept: KeptEvents.KeptEvents | undefined
  /** What is to be said again before what was published after it. */
  private again = nothing

  constructor(settings: Settings, making: Making, link: Link) {
    this.settings = settings
    this.making = making
    this.name = making.user ?? making.id
    this.encoding = settings.encodings.use(making.namespace, making.query)
    this.state = { _tag: "Joining", link, early: [] }
    this.listening = new Listening(settings, this)
    const { moved } = making
    if (moved === undefined) return
    for (const { at, name, topic } of moved.rooms) this.inside.add({ topic, name, at, since: undefined })
    // What its program joins now it joins now.
    this.position = moved.now
  }

  get id(): string {
    return this.making.id
  }

  get namespace(): string {
    return this.making.namespace
  }

  get query(): string | undefined {
    return this.making.query
  }

  get auth(): Packet.Payload {
    return this.making.auth
  }

  get request(): never {
    return this.making.request as never
  }

  get user(): string | undefined {
    return this.making.user
  }

  get pid(): string | undefined {
    return this.making.recovery?.pid
  }

  get isRecovered(): boolean {
    return this.making.moved !== undefined
  }

  get wire(): string {
    return "socketio"
  }

  get isConnected(): boolean {
    return this.state._tag === "Joined"
  }

  isIn(topic: string): boolean {
    return this.inside.has(topic)
  }

  get closed(): Effect.Effect<Reason> {
    return Deferred.await(this.over)
  }

  // Coming and going.

  /** The client is let in, with what was said to it and what it has joined meanwhile. */
  enter(handler: Handler | undefined): Effect.Effect<void, BrokerError> {
    return Effect.suspend((): Effect.Effect<void, BrokerError> => {
      const { place, namespace, recovery } = this.making
      this.listening.handler = handler
      if (this.state._tag !== "Joining") return Effect.void
      const { early, link } = this.state
      const afterwards = Effect.forEach(early, (said) => Effect.ignore(said), { discard: true })
      const { moved } = this.making
      if (moved !== undefined) {
        this.kept = KeptEvents.KeptEvents.restore(moved.events, moved.last)
        this.state = { _tag: "Away", unsaid: [...moved.unsaid] }
        return Effect.flatMap(this.resume(link, moved.offset), (is) => (is ? afterwards : this.end("transport")))
      }
      this.inside.add({ topic: place.all, name: "", at: undefined, since: undefined })
      const admitted = (at: Position.Position | undefined) =>
        Effect.suspend(() => {
          if (this.state._tag !== "Joining") return Effect.void
          this.position = at
          for (const room of this.inside.all) room.at = at
          // Without a position nobody can tell what a client has missed.
          if (recovery !== undefined && at !== undefined) this.kept = new KeptEvents.KeptEvents()
          this.state = { _tag: "Joined", link }
          const pid = this.kept === undefined ? undefined : recovery?.pid
          return link.session.accept(namespace, link.attempt, { sid: this.id, pid })
        })
      const now = this.inside.all.filter(({ since }) => since === undefined)
      return place.hub
        .enter(
          now.map(({ topic }) => topic),
          this,
          { admitted }
        )
        .pipe(
          Effect.andThen(
            Effect.forEach(
              this.inside.all.filter(({ since }) => since !== undefined),
              ({ since, topic }) => place.hub.enter([topic], this, { since }),
              { discard: true }
            )
          ),
          Effect.andThen(afterwards),
          Effect.andThen(() => this.leaveIfOver())
        )
    })
  }

  /** What it is to be elsewhere, where its client has come back; `undefined` where it has something to do here. */
  moving(offset: string | undefined): Moved | undefined {
    const from = this.missedFrom(offset)
    if (this.state._tag !== "Away" || this.listening.isBusy || this.questions !== undefined) return undefined
    if (from === undefined || this.kept === undefined) return undefined
    const rooms = this.inside.all.map(({ at, name, topic }) => ({ topic, name, at }))
    const { unsaid } = this.state
    return { id: this.id, user: this.user, rooms, events: from.events, last: this.kept.next - 1, unsaid }
  }

  /** Whether everything can be said that a client which is there has missed. */
  canResume(offset: string | undefined, query: string | undefined): Effect.Effect<boolean> {
    return Effect.suspend(() => {
      const from = this.missedFrom(offset)
      if (from === undefined || query !== this.query) return Effect.succeed(false)
      const missed = this.making.place.hub.since(this.inside.topics, from.at)
      return Effect.match(missed, { onFailure: () => false, onSuccess: ({ gap }) => gap.length === 0 })
    })
  }

  private missedFrom(offset: string | undefined) {
    const { kept } = this
    const place = offset === undefined ? undefined : KeptEvents.parse(offset)
    if (kept === undefined || (offset !== undefined && place === undefined)) return undefined
    // A client that has seen nothing begins where it was let in.
    const at = place?.at ?? this.inside.get(this.making.place.all)?.at
    const events = kept.after(place)
    return at === undefined || events === undefined ? undefined : { at, events }
  }

  /** Its client is back, over this link, and gets what it has missed. Succeeds with whether it was away. */
  resume(link: Link, offset: string | undefined): Effect.Effect<boolean, BrokerError> {
    return Effect.suspend(() => {
      const { namespace, place, recovery } = this.making
      const from = this.missedFrom(offset)
      if (this.state._tag !== "Away" || from === undefined || recovery === undefined) return Effect.succeed(false)
      const { unsaid } = this.state
      this.state = { _tag: "Joined", link }
      this.settings.away(this, false)
      recovery.wheel.cancel(this)
      this.again = from.events
      const admitted = () => link.session.accept(namespace, link.attempt, { sid: this.id, pid: recovery.pid })
      const filter = ({ at, topic }: Publication): boolean => {
        const joined = this.inside.get(topic)?.at
        return at === undefined || joined === undefined || Position.isBehind(at, joined)
      }
      return place.hub.enter(this.inside.topics, this, { since: from.at, filter, admitted }).pipe(
        Effect.andThen(() => this.sayAgain()),
        Effect.andThen(() =>
          Effect.forEach(unsaid, ({ args, id }) => link.session.answer(namespace, link.attempt, id, args), {
            discard: true
          })
        ),
        Effect.andThen(() =>
          Effect.forEach([...(this.questions ?? [])], (question) => this.put(question), { discard: true })
        ),
        Effect.andThen(() => this.leaveIfOver()),
        Effect.as(true)
      )
    })
  }

  /** What was kept, and comes before `before` was published. */
  private tryAgainUnsafe(before: Position.Position | undefined): Written {
    while (this.again.length > 0) {
      const { at, wire } = this.again[0]!
      if (before !== undefined && !Position.isBehind(before, at)) break
      const written = this.writeUnsafe(wire)
      if (written !== "Written") return written
      this.again = this.again.slice(1)
    }
    return "Written"
  }

  private sayAgain(): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.tryAgainUnsafe(undefined) === "Full" ? Effect.andThen(this.room, this.sayAgain()) : Effect.void
    )
  }

  private leaveIfOver(): Effect.Effect<void> {
    return Effect.sync(() => {
      if (this.state._tag === "Over" || this.state._tag === "Away") this.departUnsafe()
    })
  }

  private departUnsafe(): void {
    for (const topic of this.inside.topics) this.making.place.hub.departUnsafe(topic, this)
  }

  /** That session has it no more. */
  left(session: SocketSession, reason: Reason): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { state } = this
      if ((state._tag !== "Joined" && state._tag !== "Joining") || state.link.session !== session) return Effect.void
      const { recovery } = this.making
      const mayReturn = reason === "transport" && state._tag === "Joined" && this.kept !== undefined
      if (!mayReturn || recovery === undefined) return this.end(reason)
      this.state = { _tag: "Away", unsaid: [] }
      this.again = nothing
      for (const question of this.questions ?? []) question.id = undefined
      this.departUnsafe()
      recovery.wheel.schedule(this, recovery.maxAway)
      this.settings.away(this, true)
      return Effect.void
    })
  }

  /** It has not come back in time. */
  expired(): void {
    this.settings.fork(this.end("transport"))
  }

  end(reason: Reason): Effect.Effect<void> {
    // A listener that ends its own socket is interrupted, and all is released nevertheless.
    const ending = Effect.suspend(() => {
      if (this.state._tag === "Over") return Effect.void
      const { namespace, query, recovery } = this.making
      if (this.state._tag === "Away") this.settings.away(this, false)
      this.state = { _tag: "Over", reason }
      recovery?.wheel.cancel(this)
      this.departUnsafe()
      this.settings.encodings.release(namespace, query)
      for (const question of this.questions ?? []) question.settle(unanswered("Gone"))
      this.listening.stopUnsafe()
      this.settings.over(this)
      Deferred.doneUnsafe(this.over, Effect.succeed(reason))
      return Scope.close(this.scope, Exit.void)
    })
    return Effect.uninterruptible(ending)
  }

  get disconnect(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { state } = this
      if (state._tag === "Joined" || state._tag === "Joining") {
        return state.link.session.disconnect(this.namespace, state.link.attempt)
      }
      return this.end("server")
    })
  }

  /** The client is to come back, and to know that it has missed something. */
  private giveUp(): void {
    const { state } = this
    this.kept = undefined
    if (state._tag === "Joined") state.link.session.cutUnsafe()
    else this.settings.fork(this.end("transport"))
  }

  /** Its connection is not needed any more, as its client has another. */
  dropUnsafe(): void {
    if (this.state._tag === "Joined") this.state.link.session.cutUnsafe()
  }

  // What is published.

  private writeUnsafe(wire: SocketWire.Wire): Written {
    return this.state._tag === "Joined" ? this.state.link.session.tryWriteUnsafe(wire) : "NotOpen"
  }

  tryWriteUnsafe(_message: Prepared, publication: Publication): Written {
    if (this.state._tag !== "Joined") return "NotOpen"
    const before = this.again.length === 0 ? "Written" : this.tryAgainUnsafe(publication.at)
    if (before !== "Written") return before
    const wire = publication.encodedBy(this.encoding)
    const written = wire === undefined ? "Written" : this.state.link.session.tryWriteUnsafe(wire)
    if (written === "Written" && publication.at !== undefined) this.position = publication.at
    return written
  }

  tellUnsafe(notice: Notice): Written {
    switch (notice._tag) {
      case "Gap":
        // The one word that this wire has for it.
        if (this.kept !== undefined) this.giveUp()
        break
      case "Advanced":
        this.position = notice.position
        break
      case "Kicked":
        this.inside.delete(notice.topic)
        break
      case "Moved": {
        this.inside.delete(notice.from)
        const prefix = `${this.namespace}#`
        const name = notice.to.startsWith(prefix) ? notice.to.slice(prefix.length) : notice.to
        this.inside.add({ topic: notice.to, name, at: notice.position, since: undefined })
      }
    }
    return "Written"
  }

  get room(): Effect.Effect<void> {
    return Effect.suspend(() => (this.state._tag === "Joined" ? this.state.link.session.room : Effect.void))
  }

  /** Too slow for the hub: cut, as a connection that is lost. */
  close(): Effect.Effect<void> {
    return Effect.sync(() => this.dropUnsafe())
  }

  // What is said to it alone.

  emit(name: string, ...args: ReadonlyArray<unknown>): Effect.Effect<void, Packet.UnsendablePacket | SocketClosed> {
    return Effect.suspend((): Effect.Effect<void, Packet.UnsendablePacket | SocketClosed> => {
      const { state } = this
      if (state._tag === "Over") return Effect.fail(new SocketClosed())
      if (state._tag === "Joining") {
        state.early.push(this.emit(name, ...args))
        return Effect.void
      }
      if (state._tag === "Away") return this.emitAway(name, args)
      const { kept, position } = this
      const more = kept === undefined || position === undefined ? [] : [KeptEvents.print(position, kept.next)]
      const wire = this.encode(name, [...args, ...more])
      if (Result.isFailure(wire)) return Effect.fail(wire.failure)
      if (kept !== undefined && position !== undefined) kept.add(position, wire.success)
      // What is said again comes first.
      const before = this.again.length > 0 ? this.sayAgain() : Effect.void
      return Effect.andThen(before, state.link.session.send(wire.success)).pipe(
        // What was not written was kept, where anything is.
        Effect.catchTag("SessionClosed", () => (kept === undefined ? Effect.fail(new SocketClosed()) : Effect.void))
      )
    })
  }

  /** It is said again behind what was published before it, which may be far from where the socket was. */
  private emitAway(
    name: string,
    args: ReadonlyArray<unknown>
  ): Effect.Effect<void, Packet.UnsendablePacket | SocketClosed> {
    return Effect.flatMap(Effect.option(this.making.place.hub.broker.position), (found) => {
      const { kept, state } = this
      const at = found._tag === "Some" ? found.value : this.position
      if (state._tag !== "Away") return this.emit(name, ...args)
      if (kept === undefined || at === undefined) return Effect.fail(new SocketClosed())
      const wire = this.encode(name, [...args, KeptEvents.print(at, kept.next)])
      if (Result.isFailure(wire)) return Effect.fail(wire.failure)
      kept.add(at, wire.success)
      return Effect.void
    })
  }

  private encode(name: string, args: ReadonlyArray<unknown>): Result.Result<SocketWire.Wire, Packet.UnsendablePacket> {
    const { namespace, place, query } = this.making
    return SocketWire.encode({ _tag: "Event", namespace, query, id: undefined, name, args }, place.packets)
  }

  emitVolatile(name: string, ...args: ReadonlyArray<unknown>): Effect.Effect<boolean, Packet.UnsendablePacket> {
    return Effect.suspend(() => {
      // A client takes text that stands last for its place.
      const more = this.kept === undefined ? [] : [null]
      const wire = this.encode(name, [...args, ...more])
      if (Result.isFailure(wire)) return Effect.fail(wire.failure)
      return Effect.succeed(this.again.length === 0 && this.writeUnsafe(wire.success) === "Written")
    })
  }

  ask(
    name: string,
    args: ReadonlyArray<unknown>,
    { timeout = defaultAskTimeout }: AskOptions = {}
  ): Effect.Effect<ReadonlyArray<unknown>, Packet.UnsendablePacket | Unanswered> {
    return Effect.suspend(() => {
      const { state } = this
      if (state._tag === "Over") return unanswered("Gone")
      if (state._tag === "Joining") return unanswered("TooEarly")
      let exit: Exit.Exit<ReadonlyArray<unknown>, Packet.UnsendablePacket | Unanswered> | undefined
      const question: Question = { name, args, id: undefined, settle: (settled) => void (exit ??= settled) }
      this.questions ??= new Set()
      this.questions.add(question)
      const answer = Effect.callback<ReadonlyArray<unknown>, Packet.UnsendablePacket | Unanswered>((resume) => {
        if (exit !== undefined) return resume(exit)
        question.settle = resume
      })
      return Effect.andThen(this.put(question), answer).pipe(
        Effect.timeoutOrElse({ duration: timeout, orElse: () => unanswered("Late") }),
        Effect.ensuring(Effect.sync(() => this.drop(question)))
      )
    })
  }

  /** Asks, where the client is there; otherwise it is asked when it is. */
  private put(question: Question): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { state } = this
      if (state._tag !== "Joined") return Effect.void
      const { attempt, session } = state.link
      const asked = session.ask(this.namespace, attempt, question.name, question.args)
      if (asked === undefined) return Effect.sync(() => question.settle(unanswered("TooMany")))
      if (Result.isFailure(asked)) return Effect.sync(() => question.settle(Exit.fail(asked.failure)))
      question.id = asked.success.id
      return Effect.ignore(session.send(asked.success.wire))
    })
  }

  private drop(question: Question): void {
    this.questions?.delete(question)
    if (this.questions?.size === 0) this.questions = undefined
    if (question.id === undefined || this.state._tag !== "Joined") return
    this.state.link.session.forget(this.namespace, this.state.link.attempt, question.id)
  }

  answered(id: number, args: ReadonlyArray<unknown>): void {
    for (const question of this.questions ?? []) if (question.id === id) question.settle(Exit.succeed(args))
  }

  // Rooms.

  get rooms(): ReadonlyArray<string> {
    return this.inside.all.flatMap(({ name }) => (name === "" ? [] : [name]))
  }

  join(room: string, since?: Position.Position): Effect.Effect<void, BrokerError> {
    return Effect.suspend(() => {
      const { place } = this.making
      const topic = place.topicOf(room)
      if (room === "" || !HubMessage.isTopic(topic)) throw new TypeError("a room with no proper name")
      if (this.inside.has(topic) || this.state._tag === "Over") return Effect.void
      const joined: Joined = { topic, name: room, at: undefined, since }
      this.inside.add(joined)
      if (this.state._tag !== "Joined") {
        joined.at = this.position
        return Effect.void
      }
      const admitted = (at: Position.Position | undefined) => Effect.sync(() => void (joined.at = since ?? at))
      return place.hub.enter([topic], this, { since, admitted }).pipe(
        Effect.onError(() => Effect.sync(() => void this.inside.delete(topic))),
        Effect.andThen(() => this.leaveIfOver())
      )
    })
  }

  leave(room: string): Effect.Effect<void> {
    return Effect.sync(() => {
      const { place } = this.making
      const topic = place.topicOf(room)
      if (room !== "" && this.inside.delete(topic)) place.hub.departUnsafe(topic, this)
    })
  }

  joinedAt(room: string): Position.Position | undefined {
    return this.inside.get(this.making.place.topicOf(room))?.at
  }

  to(...rooms: ReadonlyArray<Target | string>): Audience.Audience {
    return Audience.make(this.making.place, rooms, this)
  }

  get others(): Audience.Audience {
    return Audience.make(this.making.place, [], this)
  }

  // What it says.

  /** Deals with it, or has it wait; suspends while as much waits as may. */
  deliver(event: Delivered, size: number): Effect.Effect<void> {
    return this.listening.deliver(event, size)
  }

  /** Of what it has asked. */
  answer(id: number, args: ReadonlyArray<unknown>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { state } = this
      if (state._tag === "Joined") return state.link.session.answer(this.namespace, state.link.attempt, id, args)
      if (state._tag === "Away" && state.unsaid.length < maxUnsaid) state.unsaid.push({ id, args })
      return Effect.void
    })
  }
}
