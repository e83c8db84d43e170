/**
 * One client of Action Cable over a WebSocket: `CableProtocol` carried out, with channels and the hub. It lasts as long as
 * its connection, and all its subscriptions end with it. One that goes on with another asks the channels of that one again.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import type { Client } from "../../cluster/HubAccess.ts"
import * as Hub from "../../cluster/Hub.ts"
import * as HubMessage from "../../cluster/HubMessage.ts"
import { toJson } from "../../cluster/JsonText.ts"
import * as Target from "../../cluster/Target.ts"
import * as Prepared from "../../connection/Prepared.ts"
import type { WebSocket } from "../../connection/WebSocket.ts"
import type { WebSocketError } from "../../connection/WebSocketError.ts"
import type * as Message from "../../protocol/Message.ts"
import * as History from "./CableHistory.ts"
import { type CableEncodings, CableMember } from "./CableMember.ts"
import type { CablePresence } from "./CablePresence.ts"
import * as Protocol from "./CableProtocol.ts"
import { type Channels, reject, type Subscription } from "./Channel.ts"
import * as Packet from "./Packet.ts"

type Subscribe = Extract<Protocol.Action, { readonly _tag: "Subscribe" }>

/** A subscription whose channel was asked. */
interface Live<R> {
  readonly scope: Scope.Closeable
  readonly identifier: string
  /** Below zero before a client that comes back is welcomed. */
  attempt: number
  member: CableMember | undefined
  subscription: Subscription<R> | undefined
  deciding: Fiber.Fiber<unknown, unknown> | undefined
  /** Whether it is in all its topics. */
  isIn: boolean
  /** Open when what the client has said before it was in has been heard. */
  gate: Deferred.Deferred<void> | undefined
  /** One answer about what was missed goes out after the other. */
  turns: Semaphore.Semaphore | undefined
}

export interface Options<Request, R> {
  readonly channels: Channels<Request, R>
  readonly client: Client<Request>
  /** Shared by all sessions of the protocol that this one speaks. */
  readonly encodings: CableEncodings
  readonly config?: Protocol.Config | undefined
  /** Who is where; shared by all sessions. Default: nobody can be present. */
  readonly presence?: CablePresence | undefined
}

const liveOf = <R>(identifier: string, attempt: number): Live<R> => ({
  scope: Scope.makeUnsafe(),
  identifier,
  attempt,
  member: undefined,
  subscription: undefined,
  deciding: undefined,
  isIn: false,
  gate: undefined,
  turns: undefined
})

/** How long a client that comes back waits for its welcome: channels that take longer it has to subscribe to anew. */
export const restoreTime = "3 seconds"

/** How long one that has come back has to ask for what it has missed: it gets what was published since then without. */
export const askTime = "3 seconds"

export class CableSession<Request, R> {
  private readonly connection: WebSocket
  private readonly hub: Hub.Hub["Service"]
  private readonly options: Options<Request, R>
  private readonly config: Protocol.Config
  private readonly clock: Clock.Clock
  private readonly fork: (effect: Effect.Effect<unknown, never, R>) => Fiber.Fiber<unknown>
  private readonly live = new Map<number, Live<R>>()
  private state: Protocol.State = Protocol.open
  /** Whether something of the client's is being done, behind which its next words wait. */
  private isBusy = false

  constructor(
    connection: WebSocket,
    hub: Hub.Hub["Service"],
    clock: Clock.Clock,
    fork: (effect: Effect.Effect<unknown, never, R>) => Fiber.Fiber<unknown>,
    options: Options<Request, R>
  ) {
    this.connection = connection
    this.hub = hub
    this.clock = clock
    this.fork = fork
    this.options = options
    this.config = options.config ?? {}
  }

  /**
   * The client is in. With `restored`, which is what its last session had, the channels are asked first: those that let
   * it in are named to it, and to the others it subscribes anew, as it does to all when there are none.
   */
  welcome({ restored = [], sid }: Protocol.Acceptance = {}): Effect.Effect<void, WebSocketError, R> {
    if (restored.length === 0) {
      return Effect.suspend(() => this.take(Protocol.accept(this.state, { sid }, this.config)))
    }
    return Effect.flatMap(this.reenter(restored), (lives) => {
      const names = lives.length === 0 ? undefined : lives.map(({ identifier }) => identifier)
      const [state, actions] = Protocol.accept(this.state, { sid, restored: names }, this.config)
      const byName = new Map(lives.map((live) => [live.identifier, live]))
      for (const action of actions) {
        if (action._tag !== "Restore") continue
        const live = byName.get(action.identifier)!
        this.live.delete(live.attempt)
        live.attempt = action.attempt
        this.live.set(live.attempt, live)
      }
      const begun = Effect.forEach(lives, (live) => this.begin(live), { discard: true })
      return Effect.map(Effect.andThen(this.take([state, actions]), begun), () => {
        const unasked = Effect.forEach(lives, (live) => this.unasked(live), { discard: true })
        this.fork(Effect.ignore(Effect.delay(unasked, askTime)))
      })
    })
  }

  /** What it is subscribed to. Nothing once it was disconnected, or has ended. */
  get identifiers(): ReadonlyArray<string> {
    return Protocol.confirmed(this.state)
  }

  /** The client has come back on another connection: what it has here, which ends. */
  leaveUnsafe(): ReadonlyArray<string> {
    const { identifiers } = this
    this.fork(Effect.ignore(this.disconnect("resumed", true)))
    return identifiers
  }

  /**
   * It is time for a ping, which is the same for all clients; `time` is in seconds since 1970. Who does not read does not
   * get it, having more to read than that. Who has to answer and has not is disconnected, but not while the answer may
   * be behind something else that it has said.
   */
  pingUnsafe(ping: Prepared.Prepared, time: number): void {
    const { connection, config, isBusy, state } = this
    if (state._tag !== "Open") return
    if (config.pongs === true && !isBusy) this.fork(Effect.ignore(this.take(Protocol.pingDue(state, time, config))))
    else connection.tryWriteUnsafe(ping)
  }

  receive(message: Message.Message): Effect.Effect<void, WebSocketError, R> {
    // Binary messages are none of this protocol's: the reference takes no notice of them.
    if (message._tag !== "Text") return Effect.void
    return Effect.suspend(() => {
      this.isBusy = true
      return this.take(Protocol.receive(this.state, message.text, this.config))
    }).pipe(Effect.onExit(() => Effect.sync(() => void (this.isBusy = false))))
  }

  /** Tells the client why, and closes the connection. Waits for no channel. Who does not read is not told. */
  disconnect(reason: string, reconnect: boolean): Effect.Effect<void, WebSocketError, R> {
    return Effect.suspend(() => this.finish(Protocol.disconnect(this.state, reason, reconnect)))
  }

  /** The connection has ended. */
  get ended(): Effect.Effect<void, never, R> {
    return Effect.suspend(() => Effect.ignore(this.finish(Protocol.ended(this.state))))
  }

  private endAll(attempts: ReadonlyArray<number>): Effect.Effect<void> {
    return Effect.forEach(attempts, (attempt) => this.end(attempt), { concurrency: "unbounded", discard: true })
  }

  /**
   * All subscriptions end at once, those counted that a client who comes back was not told of yet: what one holds may take
   * its time, or never end.
   */
  private finish([state, actions]: Protocol.Transition): Effect.Effect<void, WebSocketError, R> {
    this.state = state
    const words = actions.filter(({ _tag }) => _tag !== "Unsubscribe")
    const say = Effect.forEach(words, (action) => this.carryOut(action), { discard: true })
    if (this.live.size === 0) return say
    return Effect.all([this.endAll([...this.live.keys()]), say], { concurrency: "unbounded", discard: true })
  }

  private take([state, actions]: Protocol.Transition): Effect.Effect<void, WebSocketError, R> {
    this.state = state
    return actions.length === 1
      ? this.carryOut(actions[0]!)
      : Effect.forEach(actions, (action) => this.carryOut(action), { discard: true })
  }

  private carryOut(action: Protocol.Action): Effect.Effect<void, WebSocketError, R> {
    switch (action._tag) {
      case "Send":
        return this.send(action.transmission)
      case "Subscribe":
        return Effect.sync(() => this.subscribe(action))
      case "Restore":
      case "SetPing":
        return Effect.void
      case "Unsubscribe":
        return this.end(action.attempt)
      case "Tell":
        return this.tell(action.attempt, action.said)
      case "Ignore":
        return Effect.logDebug("Action Cable: ignored", action.violation)
      case "Close":
        return Effect.ignore(this.connection.close(1000))
    }
  }

  private send(transmission: Packet.Transmission): Effect.Effect<void, WebSocketError> {
    return Result.match(Packet.encodeTransmission(transmission), {
      onFailure: (unsendable) => Effect.logError("Action Cable: a value that cannot be sent", unsendable),
      onSuccess: (text) =>
        transmission._tag === "Disconnect"
          ? Effect.sync(() => void this.connection.tryWriteUnsafe(Prepared.make(text)))
          : this.connection.send(text)
    })
  }

  private subscribe({ attempt, channel, history, identifier, params }: Subscribe): void {
    const live = liveOf<R>(identifier, attempt)
    this.live.set(attempt, live)
    const entered = Effect.flatMap(this.decide(live, channel, params), () => this.enter(live, attempt, history))
    const rejected = Effect.suspend(() => this.rejected(identifier, attempt))
    live.deciding = this.fork(Effect.ignore(this.orElse(live, entered, rejected)))
  }

  /** What the channel says. Fails where there is none of that name. */
  private decide(live: Live<R>, channel: string, params: Packet.Payload) {
    const { channels, client } = this.options
    const make = Object.hasOwn(channels, channel) ? channels[channel] : undefined
    if (make === undefined) return reject
    return Effect.map(
      Scope.provide(
        Effect.suspend(() => make({ params, client, identifier: live.identifier })),
        live.scope
      ),
      (subscription) => void (live.subscription = subscription)
    )
  }

  /** `rejected` goes by itself, which is not to be interrupted by the end of what it decides on. */
  private orElse<A, E>(
    live: Live<R>,
    decided: Effect.Effect<A, unknown, R>,
    rejected: Effect.Effect<void, E, R>
  ): Effect.Effect<A | void, E, R> {
    return Effect.catchCause(decided, (cause) => {
      live.deciding = undefined
      const hasDied = Cause.hasDies(cause)
      const logged = hasDied ? Effect.logError("Action Cable: a channel has failed", cause) : Effect.void
      return Effect.andThen(logged, rejected)
    })
  }

  /** Asks the channels of a session again, all at once. Succeeds with those that let the client in, in its order. */
  private reenter(identifiers: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<Live<R>>, never, R> {
    return Effect.suspend(() => {
      const lives = identifiers.flatMap((identifier, index) => this.ask(identifier, -1 - index) ?? [])
      const decided = Effect.forEach(lives, ({ deciding }) => (deciding ? Fiber.await(deciding) : Effect.void), {
        discard: true
      })
      return Effect.map(Effect.timeoutOption(decided, restoreTime), () => {
        const isThere = (live: Live<R>) => live.isIn && this.live.get(live.attempt) === live
        const [still, late] = [lives.filter(isThere), lives.filter((live) => !isThere(live))]
        // Nobody waits for what takes its time to let go.
        if (late.length > 0) this.fork(this.endAll(late.map(({ attempt }) => attempt)))
        return still
      })
    })
  }

  private ask(identifier: string, attempt: number): Live<R> | undefined {
    const identified = Packet.parseIdentifier(identifier, this.config)
    if (Result.isFailure(identified)) return undefined
    const live = liveOf<R>(identifier, attempt)
    this.live.set(attempt, live)
    const { channel, params } = identified.success
    const entered = this.decide(live, channel, params).pipe(
      Effect.flatMap(() => this.join(live, { isHeld: true })),
      Effect.map(() => void (live.isIn = true))
    )
    const rejected = Effect.suspend(() => this.end(live.attempt))
    live.deciding = this.fork(this.orElse(live, entered, rejected))
    return live
  }

  private rejected(identifier: string, attempt: number): Effect.Effect<void, WebSocketError, R> {
    return Effect.suspend(() =>
      Effect.andThen(this.end(attempt), () => this.take(Protocol.reject(this.state, identifier, attempt)))
    )
  }

  /** In all its topics before the client is told that it is in, which is told nothing of them before. */
  private enter(live: Live<R>, attempt: number, history: Packet.HistoryRequest | undefined) {
    const { identifier } = live
    let early: ReadonlyArray<Protocol.Said> = []
    const confirm = Effect.suspend(() => {
      const [state, actions] = Protocol.confirm(this.state, identifier, attempt)
      const [confirmation, ...rest] = actions
      this.state = state
      early = rest.flatMap((action) => (action._tag === "Tell" ? [action.said] : []))
      // What it says from now on comes behind what it has said.
      if (early.length > 0) live.gate = Deferred.makeUnsafe()
      return confirmation === undefined ? Effect.void : this.carryOut(confirmation)
    })
    const hear = Effect.suspend(() => {
      const { gate } = live
      if (gate === undefined) return Effect.void
      return Effect.ensuring(
        Effect.forEach(early, (said) => this.hear(live, attempt, said), { discard: true }),
        Effect.sync(() => {
          live.gate = undefined
          Deferred.doneUnsafe(gate, Exit.void)
        })
      )
    })
    return this.join(live, { admitted: confirm, isHeld: history !== undefined }).pipe(
      Effect.andThen(this.begin(live)),
      Effect.andThen(history === undefined ? Effect.void : this.history(live, history)),
      Effect.andThen(hear)
    )
  }

  /** Into all topics of a subscription. Held, the client is told nothing of them until it has what it has missed. */
  private join(
    live: Live<R>,
    { admitted = Effect.void, isHeld = false }: { admitted?: Effect.Effect<void, WebSocketError, R>; isHeld?: boolean }
  ) {
    const { client, encodings } = this.options
    const { identifier, subscription } = live
    const topics = subscription?.topics ?? []
    if (topics.length === 0) return admitted
    const kicked = () => void this.fork(Effect.ignore(this.rejected(identifier, live.attempt)))
    const member = new CableMember(this.connection, client, encodings.use(identifier), {
      kicked,
      gap: () => this.gap()
    })
    if (isHeld) member.hold()
    live.member = member
    const leave = Effect.sync(() => {
      member.leave()
      encodings.release(identifier)
      for (const topic of topics) this.hub.departUnsafe(topic, member)
    })
    return Effect.andThen(
      Scope.addFinalizer(live.scope, leave),
      this.hub.enter(topics, member, { admitted: () => admitted })
    )
  }

  /** What else the client is told from when it is in. */
  private begin(live: Live<R>): Effect.Effect<void, never, R> {
    const transmissions = live.subscription?.transmissions
    const transmitted =
      transmissions === undefined
        ? Effect.void
        : Effect.suspend(() => {
            const fiber = this.fork(Scope.provide(this.forward(live, live.attempt, transmissions), live.scope))
            return Scope.addFinalizer(
              live.scope,
              Effect.sync(() => fiber.interruptUnsafe())
            )
          })
    return Effect.andThen(
      transmitted,
      Effect.suspend(() => this.watch(live, live.attempt))
    )
  }

  /** Tells who comes and goes, from when the client is in. Who does not read that is behind with it for good. */
  private watch({ identifier, scope, subscription }: Live<R>, attempt: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { presence } = this.options
      const topic = subscription?.presence?.topic
      if (presence === undefined || topic === undefined || this.config.extended !== true) return Effect.void
      const unwatch = presence.watch(topic, {
        identifier,
        tellUnsafe: (prepared) => {
          const isFull = this.connection.tryWriteUnsafe(prepared) === "Full"
          if (isFull) this.fork(Effect.ignore(this.disconnect("too_slow", true)))
        }
      })
      return Scope.addFinalizer(
        scope,
        Effect.sync(() => {
          unwatch()
          presence.leave(topic, this.memberOf(attempt))
        })
      )
    })
  }

  /** By which presence knows a subscription. */
  private memberOf(attempt: number): string {
    return `${this.options.client.id}/${attempt}`
  }

  private present(
    { identifier, subscription }: Live<R>,
    attempt: number,
    said: Packet.Join | Packet.Leave | Packet.Presence
  ): Effect.Effect<void, WebSocketError, R> {
    const { presence } = this.options
    const { id = undefined, topic = undefined } = subscription?.presence ?? {}
    const tell = (event: Packet.PresenceEvent["event"]) =>
      this.take(Protocol.transmit(this.state, attempt, { _tag: "PresenceEvent", identifier, event }))
    if (presence === undefined || topic === undefined) {
      return said._tag === "Presence" ? tell({ type: "error" }) : Effect.void
    }
    switch (said._tag) {
      case "Join": {
        const joined = presence.join(topic, this.memberOf(attempt), { id: id ?? said.id, info: said.info })
        return joined ? Effect.void : tell({ type: "error" })
      }
      case "Leave":
        presence.leave(topic, this.memberOf(attempt))
        return Effect.void
      case "Presence":
        return tell(presence.info(topic, said.records))
    }
  }

  private forward(live: Live<R>, attempt: number, transmissions: Stream.Stream<unknown, never, R>) {
    const { identifier } = live
    const transmit = (message: unknown) =>
      Effect.suspend(() =>
        this.take(Protocol.transmit(this.state, attempt, { _tag: "Message", identifier, message, position: undefined }))
      )
    return Effect.ignore(Stream.runForEach(transmissions, transmit))
  }

  private end(attempt: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const live = this.live.get(attempt)
      if (live === undefined) return Effect.void
      this.live.delete(attempt)
      live.deciding?.interruptUnsafe()
      if (live.gate !== undefined) Deferred.doneUnsafe(live.gate, Exit.void)
      return Effect.catchCause(Scope.close(live.scope, Exit.void), (cause) =>
        Effect.logError("Action Cable: what a subscription held was not released", cause)
      )
    })
  }

  private tell(attempt: number, said: Protocol.Said): Effect.Effect<void, WebSocketError, R> {
    const live = this.live.get(attempt)
    if (live === undefined) return Effect.void
    if (live.gate === undefined) return this.hear(live, attempt, said)
    return Effect.andThen(
      Deferred.await(live.gate),
      Effect.suspend(() => this.tell(attempt, said))
    )
  }

  private hear(live: Live<R>, attempt: number, said: Protocol.Said): Effect.Effect<void, WebSocketError, R> {
    const { subscription } = live
    if (subscription === undefined) return Effect.void
    switch (said._tag) {
      case "Perform": {
        const { perform } = subscription
        if (perform === undefined) return Effect.logDebug("Action Cable: a channel without actions")
        return Effect.catchCause(
          Effect.suspend(() => Effect.asVoid(perform(said.action, said.data))),
          (cause) => Effect.logError("Action Cable: an action has failed", cause)
        )
      }
      case "Whisper":
        return this.whisper(live, said.data)
      case "History":
        return this.history(live, said.history)
      default:
        return Effect.suspend(() => this.present(live, attempt, said))
    }
  }

  private whisper({ member, subscription }: Live<R>, data: unknown): Effect.Effect<void> {
    const topic = subscription?.whispers
    if (topic === undefined || member === undefined) return Effect.void
    const { client } = this.options
    const text = HubMessage.encodeMessage({
      topic,
      dataJson: toJson(data),
      from: client.name,
      time: this.clock.currentTimeMillisUnsafe()
    })
    // To who is there now: it has no place in the log, so that nobody hears of it later.
    const whispered = this.hub.publish(Target.topic(topic), text, { except: [member.id] })
    return Effect.catch(Effect.asVoid(whispered), (error) =>
      Effect.logWarning("Action Cable: a whisper was not published", error)
    )
  }

  private history(live: Live<R>, request: Packet.HistoryRequest): Effect.Effect<void, WebSocketError, R> {
    return this.catchUp(live, (reader) => History.answer(reader, request))
  }

  /** It has not asked for what it has missed: it may be one that does not. */
  private unasked(live: Live<R>): Effect.Effect<void, WebSocketError, R> {
    return this.catchUp(live, (reader) =>
      live.member?.isHeld === true ? History.release(reader) : Effect.succeed("Live")
    )
  }

  private catchUp(
    live: Live<R>,
    read: (reader: History.Reader<WebSocketError, R>) => Effect.Effect<History.End, WebSocketError, R>
  ): Effect.Effect<void, WebSocketError, R> {
    return Effect.suspend(() => {
      const { attempt, identifier, member, subscription } = live
      const reader: History.Reader<WebSocketError, R> = {
        hub: this.hub,
        identifier,
        topics: subscription?.topics ?? [],
        member,
        tell: (transmission) => Effect.suspend(() => this.take(Protocol.transmit(this.state, attempt, transmission)))
      }
      const turns = (live.turns ??= Semaphore.makeUnsafe(1))
      const hasLeft = () => this.live.get(attempt) !== live
      const end = turns.withPermit(Effect.suspend(() => (hasLeft() ? Effect.succeed("Live" as const) : read(reader))))
      return Effect.map(end, (end) => {
        if (end === "Gap" && !hasLeft()) this.gap()
      })
    })
  }

  /** There is no word for it that something is missing: the client comes back, and asks. */
  private gap(): void {
    this.fork(Effect.ignore(this.disconnect("gap", true)))
  }
}

/** How a connection is served. */
export interface ServeOptions<Request, R> extends Options<Request, R> {
  /** How the client is welcomed. Default: as a new one, whose session has no name. */
  readonly acceptance?: Protocol.Acceptance | undefined
  /** Told of the session before the client is welcomed, and that its connection has ended. */
  readonly watch?: ((session: CableSession<Request, R>) => () => void) | undefined
}

/**
 * Serves a connection until it ends. Succeeds when that was in order, and fails on any other end. What a client does
 * wrong does not end its connection, as with the reference.
 */
export const serve = <Request, R>(
  connection: WebSocket,
  { acceptance, watch, ...options }: ServeOptions<Request, R>
): Effect.Effect<void, WebSocketError, Hub.Hub | R> =>
  Effect.scoped(
    Effect.gen(function* () {
      const hub = yield* Hub.Hub
      const clock = yield* Clock.Clock
      const fork = yield* FiberSet.makeRuntime<R>()
      const session = new CableSession<Request, R>(connection, hub, clock, fork, options)
      const unwatch = watch?.(session)
      const heard = connection.pull.pipe(
        Effect.flatMap((messages) =>
          Effect.forEach(messages, (message) => session.receive(message), { discard: true })
        ),
        Effect.forever({ disableYield: true }),
        Pull.catchDone(() => Effect.void)
      )
      const welcome = session.welcome(acceptance)
      // Who comes back waits for the channels: that it has gone is noticed meanwhile.
      const isBack = (acceptance?.restored?.length ?? 0) > 0
      const welcomed = isBack ? Effect.raceFirst(welcome, Effect.asVoid(connection.closed)) : welcome
      yield* Effect.onExit(Effect.andThen(welcomed, heard), () => {
        unwatch?.()
        return session.ended
      })
    })
  )
