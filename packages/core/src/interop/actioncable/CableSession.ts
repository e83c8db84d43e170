/**
 * One client of Action Cable over a WebSocket: `CableProtocol` carried out, with channels and the hub. It lasts as long as
 * its connection, and all its subscriptions end with it.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Client } from "../../cluster/HubAccess.ts"
import * as Hub from "../../cluster/Hub.ts"
import * as HubMessage from "../../cluster/HubMessage.ts"
import { toJson } from "../../cluster/JsonText.ts"
import { Publication } from "../../cluster/Publication.ts"
import * as Target from "../../cluster/Target.ts"
import * as Prepared from "../../connection/Prepared.ts"
import type { WebSocket } from "../../connection/WebSocket.ts"
import type { WebSocketError } from "../../connection/WebSocketError.ts"
import type * as Message from "../../protocol/Message.ts"
import * as Content from "../Content.ts"
import { type CableEncodings, CableMember } from "./CableMember.ts"
import type { CablePresence } from "./CablePresence.ts"
import * as Protocol from "./CableProtocol.ts"
import type { Channels, Subscription } from "./Channel.ts"
import * as Packet from "./Packet.ts"

type Subscribe = Extract<Protocol.Action, { readonly _tag: "Subscribe" }>

/** A subscription whose channel was asked. */
interface Live<R> {
  readonly scope: Scope.Closeable
  readonly identifier: string
  member: CableMember | undefined
  subscription: Subscription<R> | undefined
  deciding: Fiber.Fiber<unknown, unknown> | undefined
  /** Open when what the client has said before it was in has been heard. */
  gate: Deferred.Deferred<void> | undefined
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

  /** The client is in. */
  get welcome(): Effect.Effect<void, WebSocketError, R> {
    return Effect.suspend(() => this.take(Protocol.accept(this.state, {}, this.config)))
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

  /** All subscriptions end at once: what one holds may take its time, or never end. */
  private finish([state, actions]: Protocol.Transition): Effect.Effect<void, WebSocketError, R> {
    this.state = state
    const [ends, words] = [actions.filter(isEnd), actions.filter((action) => !isEnd(action))]
    const together = { concurrency: "unbounded", discard: true } as const
    const one = (action: Protocol.Action) => this.carryOut(action)
    const say = Effect.forEach(words, one, { discard: true })
    return ends.length === 0 ? say : Effect.all([Effect.forEach(ends, one, together), say], together)
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
    const { channels, client } = this.options
    const live: Live<R> = {
      scope: Scope.makeUnsafe(),
      identifier,
      member: undefined,
      subscription: undefined,
      deciding: undefined,
      gate: undefined
    }
    this.live.set(attempt, live)
    const make = Object.hasOwn(channels, channel) ? channels[channel] : undefined
    // By itself, which is not to be interrupted by the end of what it decides on.
    const rejected = Effect.suspend(() => {
      live.deciding = undefined
      return this.rejected(identifier, attempt)
    })
    const decided =
      make === undefined
        ? rejected
        : Scope.provide(
            Effect.suspend(() => make({ params, client, identifier })),
            live.scope
          ).pipe(
            Effect.flatMap((subscription) => this.enter(live, attempt, subscription)),
            Effect.andThen(() => (history === undefined ? Effect.void : this.history(live, attempt, history))),
            Effect.catchCause((cause) =>
              Effect.andThen(
                Cause.hasDies(cause) ? Effect.logError("Action Cable: a channel has failed", cause) : Effect.void,
                rejected
              )
            )
          )
    live.deciding = this.fork(Effect.ignore(decided))
  }

  private rejected(identifier: string, attempt: number): Effect.Effect<void, WebSocketError, R> {
    return Effect.suspend(() =>
      Effect.andThen(this.end(attempt), () => this.take(Protocol.reject(this.state, identifier, attempt)))
    )
  }

  /** In all its topics before the client is told that it is in, which is told nothing of them before. */
  private enter(live: Live<R>, attempt: number, subscription: Subscription<R>) {
    const { client, encodings } = this.options
    const { identifier } = live
    const { topics = [], transmissions } = subscription
    live.subscription = subscription
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
    const transmitted =
      transmissions === undefined
        ? Effect.void
        : Effect.suspend(() => {
            const fiber = this.fork(Scope.provide(this.forward(live, attempt, transmissions), live.scope))
            return Scope.addFinalizer(
              live.scope,
              Effect.sync(() => fiber.interruptUnsafe())
            )
          })
    const begun = Effect.andThen(Effect.andThen(transmitted, this.watch(live, attempt)), hear)
    if (topics.length === 0) return Effect.andThen(confirm, begun)
    const kicked = () => void this.fork(Effect.ignore(this.rejected(identifier, attempt)))
    const gap = () => void this.fork(Effect.ignore(this.disconnect("gap", true)))
    const member = new CableMember(this.connection, client, encodings.use(identifier), { kicked, gap })
    live.member = member
    const leave = Effect.sync(() => {
      member.leave()
      encodings.release(identifier)
      for (const topic of topics) this.hub.departUnsafe(topic, member)
    })
    return Scope.addFinalizer(live.scope, leave).pipe(
      Effect.andThen(this.hub.enter(topics, member, { admitted: () => confirm })),
      Effect.andThen(begun)
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
        return this.history(live, attempt, said.history)
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

  /**
   * What was published behind where the client was. What comes meanwhile goes out as well, so that something may come
   * twice: a client tells by its offset.
   */
  private history(
    { identifier, subscription }: Live<R>,
    attempt: number,
    { since, streams }: Packet.HistoryRequest
  ): Effect.Effect<void, WebSocketError, R> {
    const transmit = (transmission: Parameters<typeof Protocol.transmit>[2]) =>
      Effect.suspend(() => this.take(Protocol.transmit(this.state, attempt, transmission)))
    return Effect.gen({ self: this }, function* () {
      const found: Array<Packet.Message> = []
      for (const topic of subscription?.topics ?? []) {
        const position = streams.get(topic)
        if (position === undefined && since === undefined) continue
        const missed = yield* Effect.option(this.hub.since([topic], position))
        if (missed._tag === "None" || (position !== undefined && missed.value.gap.length > 0)) {
          return yield* transmit({ _tag: "RejectHistory", identifier })
        }
        for (const { offset, value: parcel } of missed.value.entries) {
          const at = { epoch: missed.value.to.epoch, offset }
          const content = Content.of(new Publication(topic, Prepared.make(parcel.message), at))
          if (content._tag === "Bytes") continue
          if (position === undefined && content.time !== undefined && content.time < since! * 1_000) continue
          const message: unknown = JSON.parse(content.data)
          found.push({ _tag: "Message", identifier, message, position: { stream: topic, ...at } })
        }
      }
      for (const message of found) yield* transmit(message)
      yield* transmit({ _tag: "ConfirmHistory", identifier })
    })
  }
}

const isEnd = (action: Protocol.Action): boolean => action._tag === "Unsubscribe"

/** How a connection is served. */
export interface ServeOptions<Request, R> extends Options<Request, R> {
  /** Told of the session when the client is in, and that it has ended. */
  readonly watch?: ((session: CableSession<Request, R>) => () => void) | undefined
}

/**
 * Serves a connection until it ends. Succeeds when that was in order, and fails on any other end. What a client does
 * wrong does not end its connection, as with the reference.
 */
export const serve = <Request, R>(
  connection: WebSocket,
  { watch, ...options }: ServeOptions<Request, R>
): Effect.Effect<void, WebSocketError, Hub.Hub | R> =>
  Effect.scoped(
    Effect.gen(function* () {
      const hub = yield* Hub.Hub
      const clock = yield* Clock.Clock
      const fork = yield* FiberSet.makeRuntime<R>()
      const session = new CableSession<Request, R>(connection, hub, clock, fork, options)
      yield* session.welcome
      const unwatch = watch?.(session)
      yield* connection.pull.pipe(
        Effect.flatMap((messages) =>
          Effect.forEach(messages, (message) => session.receive(message), { discard: true })
        ),
        Effect.forever({ disableYield: true }),
        Pull.catchDone(() => Effect.void),
        Effect.onExit(() => {
          unwatch?.()
          return session.ended
        })
      )
    })
  )
