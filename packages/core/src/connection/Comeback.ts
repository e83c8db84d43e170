/**
 * Coming back: one session after the other, with what waits between them, what the server asks for, and what goes on
 * around. Every client that is to outlive its connections stands on it.
 *
 *     const comeback = new Comeback<Session, Cause>({ open, live, cause, ... })
 *     yield* comeback.start          // lives as long as the scope
 *     comeback.states                // Connecting -> Open -> Waiting -> Connecting ...
 *
 * What a session is, its owner says in `Parts`: how it is opened, how it ends, how its peer is asked for a sign of life.
 * Not in here: what is said in a session, and what waits to be said in the next.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { HandshakeTimeout, OpenError } from "./OpenError.ts"
import * as Reconnect from "./Reconnect.ts"
import type { Happening } from "./Surroundings.ts"
import { Watched } from "./Watched.ts"

/** A connection is being opened, and the ends meet. */
export interface Connecting {
  readonly _tag: "Connecting"
  /** How many attempts in a row have failed. */
  readonly failures: number
}

/** The ends talk. */
export interface Open {
  readonly _tag: "Open"
  /** The session's, which is another one after each connection. */
  readonly session: string
}

/** There is no connection; the next attempt is in `delay` milliseconds. */
export interface Waiting<out C> {
  readonly _tag: "Waiting"
  readonly lost: Lost<C>
  readonly delay: number
}

/** There is no connection, and will be none before the surroundings say `Return`: they have said `Leave`. */
export interface Away {
  readonly _tag: "Away"
}

/** There will be no more attempts. */
export interface Stopped<out C> {
  readonly _tag: "Stopped"
  /** `undefined` when whoever had it is done with it. */
  readonly cause: C | Died | undefined
}

/** A mistake of the program, in `open` or another option: everything that is asked of the client dies of it. */
export interface Died {
  readonly _tag: "Died"
  readonly defect: unknown
}

export type State<C> = Away | Connecting | Open | Stopped<C> | Waiting<C>

/** Why there is no connection. What a `Schedule` is asked with. */
export interface Lost<out C> {
  readonly cause: C
  /** How many attempts in a row have failed, with this one. A session of 10 s begins a new row, and the schedule anew. */
  readonly failures: number
  /** What the server asks to be waited at least, in milliseconds: `Retry-After`, of which an hour counts. */
  readonly asked: number
}

export type Decision = "Again" | "Stop"

/** How an attempt came to its end, for who closes what belongs to it. */
export type Ending =
  /** There was no session. */
  | "Failed"
  /** The session has ended by itself, or its peer was silent. */
  | "Ended"
  /** The session, or the attempt, was given up because the surroundings said `Leave`. */
  | "Left"
  /** The client is done with. */
  | "Stopped"

/** How to come back: what a program may say of any client. Nothing is required. */
export interface Options<C> {
  /** How long to wait before each attempt, on top of what the server asks for. Default `Reconnect.fullJitter()`. */
  readonly reconnect?: Schedule.Schedule<unknown, Lost<C>> | undefined
  /** How long an attempt may take. Default 30 s. */
  readonly openTimeout?: Duration.Input | undefined
  /** What goes on around the client. Default: nothing is known of it. */
  readonly surroundings?: Stream.Stream<Happening> | undefined
  /**
   * After so long without a word from the peer, and twice as long at most, it is asked for a sign of life; when none has
   * come for 20 s more, the connection is given up. Default: never, as Pings of the WebSocket do the same where there are
   * any.
   */
  readonly heartbeat?: Duration.Input | undefined
}

/** What a client that comes back is made of. `S` is its session, `C` how that ends, or why there is none. */
export interface Parts<S, C> {
  /**
   * Opens a connection, and meets the peer. Run for each attempt, in a scope of its own that is closed with the session;
   * interrupted when `openTimeout` is over, which gives an `OpenError` of `HandshakeTimeout`.
   */
  readonly open: Effect.Effect<S, unknown, Scope.Scope>
  /** What has become of an attempt that failed. */
  readonly failed: (error: unknown) => C
  /** The session's name, for `Open`. */
  readonly nameOf: (session: S) => string
  /** Runs from when the session is open until it has ended, and says why. Interrupted when it is given up. */
  readonly live: (session: S) => Effect.Effect<C>
  /**
   * How much has come from the peer: a number that is another one after whatever has come. `NaN` while nothing is read,
   * as nobody can know then whether it has.
   */
  readonly heard: (session: S) => number
  /** Asks the peer for a sign of life, and succeeds when there was one. Interrupted when it takes too long. */
  readonly check: (session: S) => Effect.Effect<unknown, unknown>
  /** Called when nothing has come for `silence` milliseconds though it was asked. Who waits in the session is told. */
  readonly silent: (session: S, silence: number) => C
  /** Whether to come back. */
  readonly again: (cause: C) => Decision
  /**
   * Runs `close`, which closes the scope of an attempt. Behind `Ended` and `Left` nobody waits for it in order to connect
   * again. Default: `close` and nothing else.
   */
  readonly leave?: ((close: Effect.Effect<void>, ending: Ending) => Effect.Effect<void>) | undefined
  /**
   * Called once, before the state is `Stopped`: from now on nothing more may be asked. What it gives is called behind it,
   * to tell those who wait. `mistake` is the whole cause when somebody `Died`.
   */
  readonly stopped: (cause: C | Died | undefined, mistake: Cause.Cause<never> | undefined) => () => void
}

/** A session of so many milliseconds was worth it, and begins a new row. */
const worthwhile = 10_000

/** In milliseconds: no server sends its clients away for longer. */
const maxRetryAfter = 3_600_000

const defaultOpenTimeout = "30 seconds"

/** How long a peer has for a sign of life in milliseconds, when the surroundings want it checked. */
const checkTimeout = 5_000

/** The same, when it was merely silent for long. */
const heartbeatTimeout = 20_000

type NextDelay<C> = Effect.Success<ReturnType<typeof Schedule.toStep<unknown, Lost<C>, never, never>>>

export class Comeback<S, C extends { readonly error: unknown }> {
  private readonly parts: Parts<S, C>
  private readonly options: Options<C>
  private readonly watched = new Watched<State<C>>(
    { _tag: "Connecting", failures: 0 },
    ({ _tag }) => _tag === "Stopped"
  )
  /** Whether something has ended it. */
  private isStopped = false
  private isAway = false
  private failures = 0
  private nextDelay: NextDelay<C> | undefined
  /** Ends a wait for the next attempt, or for `Return`. */
  private wake: (() => void) | undefined
  /** Gives up the attempt or the session that there is. */
  private giveUp: (() => void) | undefined
  /** Has the attempt or the session that there is show that it lives. */
  private check: (() => void) | undefined
  /** What of earlier sessions is not closed yet. */
  private readonly closing = new Set<Fiber.Fiber<void>>()

  constructor(parts: Parts<S, C>, options: Options<C> = {}) {
    this.parts = parts
    this.options = options
  }

  get state(): Effect.Effect<State<C>> {
    return Effect.sync(() => this.watched.value)
  }

  /** The state as it is, and each one after it. Ends behind `Stopped`. Who is more than 16 behind misses the oldest. */
  get states(): Stream.Stream<State<C>> {
    return this.watched.changes
  }

  /** Makes the next attempt at once, if one is being waited for: somebody asks. */
  get retry(): Effect.Effect<void> {
    return Effect.sync(() => this.wake?.())
  }

  /**
   * Begins to connect, and goes on as long as the scope. With it a session ends in order, an attempt is given up, and
   * all that belongs to earlier ones is waited for.
   */
  get start(): Effect.Effect<void, never, Scope.Scope> {
    const { surroundings } = this.options
    const running = Effect.acquireRelease(
      Effect.forkDetach(this.run, { startImmediately: true, uninterruptible: false }),
      (fiber) => this.close(fiber)
    )
    if (surroundings === undefined) return Effect.asVoid(running)
    const heeding = Stream.runForEach(surroundings, (happening) => Effect.sync(() => this.heed(happening)))
    const heeded = Effect.onExit(heeding, (exit) =>
      Exit.isFailure(exit) && Cause.hasDies(exit.cause) ? this.died(exit.cause) : Effect.void
    )
    return Effect.andThen(running, Effect.asVoid(Effect.forkScoped(heeded, { startImmediately: true })))
  }

  /** Stops for good, also from within. */
  stop(cause: C | Died | undefined, mistake?: Cause.Cause<never>): void {
    if (this.isStopped) return
    this.isStopped = true
    const tell = this.parts.stopped(cause, mistake)
    this.watched.set({ _tag: "Stopped", cause })
    tell()
    this.wake?.()
    this.giveUp?.()
  }

  /**
   * Does what is to be done about what has happened. In this very turn, as a page that is put away may not get another:
   * behind `Leave` a session has been told to close.
   */
  heed(happening: Happening): void {
    if (this.isStopped) return
    if (happening === "Leave") {
      if (this.isAway) return
      this.isAway = true
      this.prosper()
      this.watched.set({ _tag: "Away" })
      return this.giveUp?.()
    }
    if (happening === "Return") this.isAway = false
    if (this.isAway) return
    const { value } = this.watched
    // What belongs to the attempt before may still have to be closed.
    if (value._tag === "Away") this.connecting()
    // A server that has asked for time gets it, whatever happens here.
    if (value._tag === "Waiting" && value.lost.asked > 0) return
    if (this.wake !== undefined) {
      // What was true before need not be any more, such as that nobody can be reached.
      this.nextDelay = undefined
      this.wake()
    } else if (happening !== "Retry") this.check?.()
  }

  // One session after the other.

  private readonly run: Effect.Effect<void> = Effect.suspend(() =>
    Effect.onExit(
      Effect.whileLoop({
        while: () => !this.isStopped,
        body: () => (this.isAway ? this.pause(Infinity) : this.once),
        step: () => undefined
      }),
      (exit) => (Exit.isFailure(exit) && !this.isStopped ? this.died(exit.cause) : Effect.void)
    )
  )

  private connecting(): void {
    const { failures, watched } = this
    if (watched.value._tag !== "Connecting" || watched.value.failures !== failures) {
      watched.set({ _tag: "Connecting", failures })
    }
  }

  private readonly once: Effect.Effect<void> = Effect.suspend(() => {
    this.connecting()
    // Whoever has seen it may have had enough of it.
    if (this.isStopped || this.isAway) return Effect.void
    const scope = Scope.makeUnsafe()
    let ending: Ending = "Failed"
    const attempt = Effect.matchEffect(this.opened, {
      onFailure: (error) => Effect.succeed(this.parts.failed(error)),
      onSuccess: (session) => {
        ending = "Ended"
        return this.live(session)
      }
    })
    const givenUp = Effect.callback<undefined>((resume) => {
      this.giveUp = () => {
        ending = this.isStopped ? "Stopped" : "Left"
        resume(Effect.undefined)
      }
      // So may have who opens it.
      if (this.isStopped || this.isAway) this.giveUp()
    })
    const cause = Effect.onExit(Effect.raceFirst(Scope.provide(attempt, scope), givenUp), (exit) => {
      this.giveUp = this.check = undefined
      return this.leave(Scope.close(scope, exit), ending)
    })
    return Effect.flatMap(cause, (cause) =>
      cause === undefined || this.isStopped || this.isAway ? Effect.void : this.lose(cause)
    )
  })

  /** A session, in time: after a `Check` there is less of it. */
  private readonly opened: Effect.Effect<S, unknown, Scope.Scope> = Effect.suspend(() => {
    const { openTimeout = defaultOpenTimeout, surroundings } = this.options
    const timeout = Duration.toMillis(openTimeout)
    const { open } = this.parts
    const inTime =
      timeout === Infinity ? open : Effect.timeoutOrElse(open, { duration: timeout, orElse: () => late(timeout) })
    if (surroundings === undefined) return inTime
    return Effect.raceFirst(
      inTime,
      Effect.andThen(this.wanted, () => Effect.andThen(Effect.sleep(checkTimeout), late(checkTimeout)))
    )
  })

  private live(session: S): Effect.Effect<C> {
    return Effect.gen({ self: this }, function* () {
      const began = yield* Clock.currentTimeMillis
      this.watched.set({ _tag: "Open", session: this.parts.nameOf(session) })
      const { heartbeat, surroundings } = this.options
      const live = this.parts.live(session)
      const cause = yield* heartbeat === undefined && surroundings === undefined
        ? live
        : Effect.raceFirst(live, this.watch(session))
      if ((yield* Clock.currentTimeMillis) - began >= worthwhile) this.prosper()
      return cause
    })
  }

  /** Ends when the peer gives no sign of life. */
  private watch(session: S): Effect.Effect<C> {
    const { heartbeat = Infinity } = this.options
    const { heard } = this.parts
    return Effect.gen({ self: this }, function* () {
      while (true) {
        const before = heard(session)
        const wanted = Option.isSome(yield* Effect.timeoutOption(this.wanted, heartbeat))
        if (!wanted && heard(session) !== before) continue
        const silence = yield* this.verify(session, wanted ? checkTimeout : heartbeatTimeout)
        if (silence !== undefined) return this.parts.silent(session, silence)
      }
    })
  }

  /**
   * Asks for a sign of life: `undefined`, or how many milliseconds were waited in vain. Where time was lost meanwhile, as
   * by a machine that slept or a page whose timers are held back, that was not the peer's: it is asked once more.
   */
  private verify(session: S, timeout: number): Effect.Effect<number | undefined> {
    const { check, heard } = this.parts
    const before = heard(session)
    const once = Effect.gen(function* () {
      const asked = yield* Clock.currentTimeMillis
      const checked = yield* Effect.timeoutOption(Effect.exit(check(session)), timeout)
      if (heard(session) !== before || (Option.isSome(checked) && Exit.isSuccess(checked.value))) return undefined
      return (yield* Clock.currentTimeMillis) - asked
    })
    return Effect.flatMap(once, (waited) =>
      waited === undefined || waited < timeout + lateness ? Effect.succeed(waited) : once
    )
  }

  /** Until somebody wants to see that there is life. */
  private readonly wanted = Effect.callback<void>((resume) => {
    this.check = () => resume(Effect.void)
    return Effect.sync(() => {
      this.check = undefined
    })
  })

  private leave(close: Effect.Effect<void>, ending: Ending): Effect.Effect<void> {
    const left = this.parts.leave?.(close, ending) ?? close
    if (ending === "Failed" || ending === "Stopped") return left
    return Effect.map(Effect.forkDetach(left, { startImmediately: true }), (fiber) => {
      this.closing.add(fiber)
      fiber.addObserver(() => this.closing.delete(fiber))
    })
  }

  /** The next failure will be the first of a row. */
  private prosper(): void {
    this.failures = 0
    this.nextDelay = undefined
  }

  /** Decides whether and when to come back, and waits. */
  private lose(cause: C): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      if (this.parts.again(cause) === "Stop") return this.stop(cause)
      const now = yield* Clock.currentTimeMillis
      const lost: Lost<C> = { cause, failures: ++this.failures, asked: askedBy(cause, now) }
      this.nextDelay ??= yield* Schedule.toStep(this.options.reconnect ?? Reconnect.fullJitter())
      const next = yield* Pull.catchDone(this.nextDelay(now, lost), () => Effect.undefined)
      if (this.isStopped || this.isAway) return
      if (next === undefined) return this.stop(cause)
      const delay = lost.asked + Duration.toMillis(next[1])
      yield* this.pause(delay, { _tag: "Waiting", lost, delay })
    })
  }

  /** Waits, unless it is woken; `state` is what is to be seen of it. */
  private pause(delay: number, state?: State<C>): Effect.Effect<void> {
    const woken = Effect.callback<void>((resume) => {
      // First, as who sees the state may want the next attempt at once.
      this.wake = () => {
        this.wake = undefined
        resume(Effect.void)
      }
      if (state !== undefined) this.watched.set(state)
      return Effect.sync(() => {
        this.wake = undefined
      })
    })
    return delay === Infinity ? woken : Effect.asVoid(Effect.timeoutOption(woken, delay))
  }

  /** A mistake of the program must reach whoever waits. */
  private died(mistake: Cause.Cause<never>): Effect.Effect<void> {
    this.stop({ _tag: "Died", defect: Cause.squash(mistake) }, mistake)
    return Effect.logError("A client has failed", mistake)
  }

  /** The finalizer. */
  private close(running: Fiber.Fiber<void>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.stop(undefined)
      return Effect.andThen(
        Fiber.await(running),
        Effect.suspend(() => Effect.asVoid(Fiber.awaitAll([...this.closing])))
      )
    })
  }
}

const late = (timeout: number) => Effect.fail(new OpenError({ reason: new HandshakeTimeout({ timeout }) }))

/** A timer that is late by so many milliseconds tells that time was lost, and not that a peer is silent. */
const lateness = 1_000

/** What a server asks for that is not there, or too busy. In milliseconds. */
const askedBy = ({ error }: { readonly error: unknown }, now: number): number =>
  error instanceof OpenError && error.reason._tag === "Refused"
    ? Math.min(error.reason.retryAfter(now) ?? 0, maxRetryAfter)
    : 0
