/**
 * The machinery behind `CableClient`: what `CableSubscriptions` wants done is done here, over one connection after the
 * other. That there is another one is `Comeback`'s business.
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { SteadyClock } from "../../cluster/SteadyClock.ts"
import * as Comeback from "../../connection/Comeback.ts"
import { Unresponsive, WebSocketError } from "../../connection/WebSocketError.ts"
import * as Again from "../../messaging/Again.ts"
import { Disconnected, SessionError } from "../../messaging/SessionError.ts"
import type { Wire } from "../../messaging/Wire.ts"
import type * as Message from "../../protocol/Message.ts"
import type * as CableClient from "./CableClient.ts"
import { CableClientError, Dismissed, Foreign, NotSubscribed, Stopped, Unsupported } from "./CableClientError.ts"
import type * as CableEnd from "./CableClientError.ts"
import { type Actions, askAgain, CableSubscriptions, type Question } from "./CableSubscriptions.ts"
import { type CableReader, defaults as readerDefaults, type Element } from "./CableReader.ts"
import * as Packet from "./Packet.ts"

export const defaults = {
  ...readerDefaults,
  /** Durations in milliseconds. */
  staleAfter: 6_000,
  timeout: 10_000
} as const

/** A timer that is late by so many milliseconds tells that time was lost, and not that a server is silent. */
const lateness = 1_000

/** What one connection is to the client. */
interface Session {
  readonly wire: Wire
  /** How many messages have come. */
  heard: number
  /** Why the server ends it, where it has said so. */
  dismissed: Dismissed | undefined
}

const failWith = (reason: CableClientError["reason"]) => Effect.fail(new CableClientError({ reason }))

const ended = (error: Extract<CableEnd.Cause, { readonly _tag: "Ended" }>["error"]): CableEnd.Cause => ({
  _tag: "Ended",
  error
})

/** The default: what the server says, and where it says nothing what `Again.decide` does of any connection. */
export const decide = (cause: CableEnd.Cause): Comeback.Decision => {
  if (cause._tag === "NotOpened") return Again.decide(cause)
  const { error } = cause
  if (error instanceof Dismissed) return error.reconnect ? "Again" : "Stop"
  if (error instanceof Foreign) return "Stop"
  return Again.decide({
    _tag: "Ended",
    error: error && new SessionError({ reason: new Disconnected({ cause: error }) })
  })
}

export class CableReturning implements CableClient.CableClient {
  private readonly protocol: CableSubscriptions
  private readonly comeback: Comeback.Comeback<Session, CableEnd.Cause>
  private readonly clock: SteadyClock
  private readonly log: (violation: Packet.CableViolation) => void
  private readonly staleAfter: number
  private session: Session | undefined
  private sid: string | undefined
  private end: Exit.Exit<never, CableClientError> | undefined
  /** Texts that are not handed to the connection yet. */
  private outgoing: Array<string> = []
  /** Those who wait for anything but an element. */
  private readonly waiters = new Set<() => void>()

  constructor(
    open: CableClient.Open<unknown, Scope.Scope>,
    options: CableClient.Options,
    context: Context.Context<never>
  ) {
    const timeout = Duration.toMillis(options.timeout ?? defaults.timeout)
    this.clock = new SteadyClock(Context.get(context, Clock.Clock))
    this.staleAfter = Duration.toMillis(options.staleAfter ?? defaults.staleAfter)
    const run = Effect.runForkWith(context)
    this.log = (violation) => {
      const log = violation.reason === "unknown" ? Effect.logDebug : Effect.logWarning
      run(log("Action Cable: a message of the server was not understood", violation))
    }
    this.protocol = new CableSubscriptions({
      capacity: options.capacity ?? defaults.capacity,
      capacityLength: options.capacityLength ?? defaults.capacityLength,
      timeout
    })
    this.comeback = new Comeback.Comeback<Session, CableEnd.Cause>(
      {
        open: this.meet(Effect.isEffect(open) ? open : Effect.suspend(() => open(this.sid))),
        failed: (error) =>
          error instanceof Dismissed || error instanceof Foreign || error instanceof WebSocketError
            ? ended(error)
            : { _tag: "NotOpened", error },
        nameOf: () => this.sid ?? "",
        live: (session) => this.converse(session),
        heard: ({ heard }) => heard,
        // It cannot be asked for a sign of life, and gives one every few seconds.
        check: () => Effect.never,
        silent: (_, silence) => ended(new WebSocketError({ reason: new Unresponsive({ silence }) })),
        again: options.again ?? decide,
        stopped: (cause, mistake) => this.stopped(cause, mistake)
      },
      { reconnect: options.reconnect, openTimeout: timeout, surroundings: options.surroundings }
    )
  }

  get start(): Effect.Effect<void, never, Scope.Scope> {
    return this.comeback.start
  }

  // What a program is given.

  get state() {
    return this.comeback.state
  }

  get states() {
    return this.comeback.states
  }

  get retry() {
    return this.comeback.retry
  }

  get subscribe() {
    return (
      channel: string,
      params: Packet.Payload = {}
    ): Effect.Effect<CableClient.Subscription, CableClientError, Scope.Scope> =>
      Effect.suspend(() => {
        const identifier = Packet.printIdentifier({ channel, params })
        return Result.isFailure(identifier) ? failWith(identifier.failure) : this.subscribeTo(identifier.success)
      })
  }

  get subscribeTo() {
    return (identifier: string): Effect.Effect<CableClient.Subscription, CableClientError, Scope.Scope> =>
      Effect.flatMap(this.reading(identifier), (reader) => Effect.as(this.live(reader), this.subscription(reader)))
  }

  /** As long as the scope. */
  private reading(identifier: string): Effect.Effect<CableReader, CableClientError, Scope.Scope> {
    const begin = Effect.suspend(() => {
      if (this.end !== undefined) return this.end
      const [reader, actions] = this.protocol.subscribe(identifier, this.clock.now)
      this.perform(actions)
      return Effect.succeed(reader)
    })
    return Effect.acquireRelease(begin, (reader) =>
      Effect.sync(() => {
        this.perform(this.protocol.unsubscribe(reader))
        this.changed()
      })
    )
  }

  private subscription(reader: CableReader): CableClient.Subscription {
    const { identifier } = reader
    return {
      identifier,
      messages: Stream.fromPull(Effect.sync(() => this.pullOf(reader))),
      perform: (action, data = {}) => this.tell(reader, { _tag: "Perform", identifier, action, data }),
      whisper: (data) => this.tell(reader, { _tag: "Whisper", identifier, data }),
      join: (id, info) =>
        Effect.andThen(
          this.sayable({ _tag: "Join", identifier, id, info }),
          this.extended(reader, "presence", () =>
            Effect.sync(() => this.perform(this.protocol.joined(reader, { id, info })))
          )
        ),
      leave: Effect.suspend(() => {
        if (reader.end !== undefined) return failWith(reader.end)
        this.perform(this.protocol.joined(reader, undefined))
        return Effect.void
      }),
      present: Effect.map(this.ask(reader, true), ({ records = [] }) => records),
      count: Effect.map(this.ask(reader, false), ({ total }) => total)
    }
  }

  private pullOf(reader: CableReader): Pull.Pull<Arr.NonEmptyReadonlyArray<Element>, CableClientError> {
    return this.until(
      () => !reader.isEmpty || reader.end !== undefined,
      (): Pull.Pull<Arr.NonEmptyReadonlyArray<Element>, CableClientError> => {
        if (!reader.isEmpty) return Effect.succeed(reader.take() as unknown as Arr.NonEmptyReadonlyArray<Element>)
        const { end } = reader
        // Who has left it knows.
        return end === undefined || end instanceof NotSubscribed ? Cause.done() : failWith(end)
      },
      reader.waiters
    )
  }

  // What is said.

  private sayable(command: Packet.Command): Effect.Effect<string, CableClientError> {
    return Result.match(Packet.encodeCommand(command), { onFailure: failWith, onSuccess: Effect.succeed })
  }

  /** When the server has the subscription in. */
  private live(reader: CableReader): Effect.Effect<void, CableClientError> {
    return this.until(
      () => reader.end !== undefined || this.protocol.isLive(reader),
      () => (reader.end === undefined ? Effect.void : failWith(reader.end)),
      this.waiters
    )
  }

  private extended<A>(
    reader: CableReader,
    what: Unsupported["what"],
    then: () => Effect.Effect<A, CableClientError>
  ): Effect.Effect<A, CableClientError> {
    return Effect.flatMap(this.live(reader), () =>
      this.protocol.isExtended ? then() : failWith(new Unsupported({ what }))
    )
  }

  /** Once at most. What a connection does not take any more was not said, and waits for the next. */
  private tell(reader: CableReader, command: Packet.Perform | Packet.Whisper): Effect.Effect<void, CableClientError> {
    return Effect.flatMap(this.sayable(command), (text) => {
      const once: Effect.Effect<void, CableClientError> = Effect.suspend(() => {
        const { session } = this
        // The connection went in the very moment.
        if (session === undefined) return say
        return Effect.catch(session.wire.send(text), () => {
          this.lose(session)
          return say
        })
      })
      const say: Effect.Effect<void, CableClientError> =
        command._tag === "Perform"
          ? Effect.flatMap(this.live(reader), () => once)
          : this.extended(reader, "whisper", () => once)
      return say
    })
  }

  private ask(
    reader: CableReader,
    records: boolean
  ): Effect.Effect<Extract<Packet.PresenceEvent["event"], { readonly type: "info" }>, CableClientError> {
    const asking = Effect.acquireRelease(
      Effect.sync(() => {
        const [question, actions] = this.protocol.question(reader, records)
        this.perform(actions)
        return question
      }),
      (question) => Effect.sync(() => this.protocol.unask(reader, question))
    )
    const answered = (question: Question) =>
      this.until(
        () => question.answer !== undefined || reader.end !== undefined,
        () => {
          const { answer } = question
          if (answer instanceof Unsupported) return failWith(answer)
          if (answer?.type === "info") return Effect.succeed(answer)
          return failWith(reader.end ?? new Unsupported({ what: "presence" }))
        },
        this.waiters
      )
    return this.extended(reader, "presence", () => Effect.scoped(Effect.flatMap(asking, answered)))
  }

  // Waiting.

  /** Does something when it may be done, or fails with the end of the client. */
  private until<A, E>(
    mayGo: () => boolean,
    go: () => Effect.Effect<A, E>,
    waiters: Set<() => void>
  ): Effect.Effect<A, E | CableClientError> {
    return Effect.suspend((): Effect.Effect<A, E | CableClientError> => {
      if (mayGo()) return go()
      if (this.end !== undefined) return this.end
      const waiting = Effect.callback<void>((resume) => {
        // The fiber may have yielded since it was looked, and nobody was there to be woken.
        if (mayGo() || this.end !== undefined) return resume(Effect.void)
        const wake = () => {
          leave()
          resume(Effect.void)
        }
        const leave = () => {
          waiters.delete(wake)
          this.everybody.delete(wake)
        }
        waiters.add(wake)
        this.everybody.add(wake)
        return Effect.sync(leave)
      })
      return Effect.andThen(waiting, this.until(mayGo, go, waiters))
    })
  }

  /** All who wait for anything, to be told of the end. */
  private readonly everybody = new Set<() => void>()

  private changed(): void {
    for (const wake of Array.from(this.waiters)) wake()
  }

  // What the protocol wants done.

  private perform(actions: Actions): void {
    let hasChanged = false
    for (const action of actions) {
      switch (action._tag) {
        case "Say":
          this.outgoing.push(action.text)
          hasChanged = true
          break
        case "Welcome":
          this.sid = action.sid
          break
        case "Dismissed": {
          const { reason, reconnect } = action
          // A session that was ended on purpose is none to go on with.
          this.sid = undefined
          if (this.session !== undefined) this.session.dismissed = new Dismissed({ reason, reconnect })
          break
        }
        case "Changed":
          hasChanged = true
          break
        case "Ignored":
          this.log(action.violation)
      }
    }
    if (hasChanged) this.changed()
  }

  // One connection after the other.

  /** A connection over which the server has said welcome. */
  private meet(open: Effect.Effect<Wire, unknown, Scope.Scope>): Effect.Effect<Session, unknown, Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      const wire = yield* open
      const { subprotocol } = wire
      if (subprotocol !== Packet.subprotocol && subprotocol !== Packet.extendedSubprotocol) {
        return yield* Effect.fail(new Foreign({ subprotocol }))
      }
      const session: Session = { wire, heard: 0, dismissed: undefined }
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          this.session = session
          this.protocol.connected(subprotocol === Packet.extendedSubprotocol)
        }),
        () => Effect.sync(() => this.lose(session))
      )
      while (!this.protocol.isOpen) {
        if (session.dismissed !== undefined) return yield* Effect.fail(session.dismissed)
        const message = yield* Pull.catchDone(wire.receive, () =>
          Effect.fail(new Dismissed({ reason: undefined, reconnect: true }))
        )
        this.hear(session, [message])
      }
      return session
    })
  }

  private converse(session: Session): Effect.Effect<CableEnd.Cause> {
    const { wire } = session
    const reading = wire.pull.pipe(
      Effect.flatMap((messages) => {
        this.hear(session, messages)
        return session.dismissed === undefined ? Effect.void : Effect.fail(session.dismissed)
      }),
      Effect.forever({ disableYield: true }),
      Pull.catchDone(() => Effect.succeed(ended(undefined))),
      Effect.catch((error) => Effect.succeed(ended(error as Dismissed | WebSocketError)))
    )
    const others = Effect.raceFirst(this.watch(session), Effect.raceFirst(this.saying(session), this.sweeping))
    return Effect.raceFirst(reading, others)
  }

  private hear(session: Session, messages: ReadonlyArray<Message.Message>): void {
    session.heard += messages.length
    for (const message of messages) {
      if (message._tag === "Text") this.perform(this.protocol.received(message.text, this.clock.now))
    }
  }

  /** Who learns first that nothing can be said over it any more. */
  private lose(session: Session): void {
    if (this.session !== session) return
    this.session = undefined
    this.outgoing = []
    this.perform(this.protocol.lost())
  }

  /** Says what there is to say. Where it cannot, the reader learns why. */
  private saying({ wire }: Session): Effect.Effect<never> {
    const hasWork = () => this.outgoing.length > 0
    const once: Effect.Effect<void, WebSocketError | CableClientError> = this.until(
      hasWork,
      () => {
        const texts = this.outgoing
        this.outgoing = []
        return Effect.forEach(texts, (text) => wire.send(text), { discard: true })
      },
      this.waiters
    )
    return Effect.catch(Effect.forever(once), () => Effect.never)
  }

  private readonly sweeping: Effect.Effect<never> = Effect.forever(
    Effect.andThen(
      Effect.sleep(askAgain),
      Effect.sync(() => this.perform(this.protocol.sweep(this.clock.now)))
    )
  )

  /** Ends when the server has said nothing for too long. */
  private watch(session: Session): Effect.Effect<CableEnd.Cause> {
    const { clock, staleAfter } = this
    if (staleAfter === Infinity) return Effect.never
    return Effect.gen(function* () {
      while (true) {
        const { heard } = session
        const began = clock.now
        yield* Effect.sleep(staleAfter)
        const silence = clock.now - began
        if (session.heard === heard && silence < staleAfter + lateness) {
          return ended(new WebSocketError({ reason: new Unresponsive({ silence }) }))
        }
      }
    })
  }

  private stopped(
    cause: CableEnd.Cause | Comeback.Died | undefined,
    mistake: Cause.Cause<never> | undefined
  ): () => void {
    const known = cause?._tag === "Died" ? undefined : cause
    this.end =
      mistake === undefined
        ? Exit.fail(new CableClientError({ reason: new Stopped({ cause: known }) }))
        : Exit.failCause(mistake)
    return () => {
      for (const wake of Array.from(this.everybody)) wake()
    }
  }
}
