/**
 * A link to a server, in use: whoever asks something of it gets an answer in bounded time, or the link is taken for dead
 * and everybody is told.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import { BrokerError, Unavailable } from "./BrokerError.ts"
import type { Link } from "./Engine.ts"

/** The network's, of something that was not published. */
export const unavailable = (cause: unknown): BrokerError =>
  new BrokerError({ reason: new Unavailable({ outcome: "NotPublished", cause }) })

export class EngineLink {
  readonly link: Link
  /** In milliseconds. */
  readonly callTimeout: number
  /** Something was heard since somebody looked last: nobody has to ask whether the server is there. */
  news = false
  private readonly onLost: (error: BrokerError) => void
  private readonly lost = Deferred.makeUnsafe<never, BrokerError>()

  /** `onLost` is called at once when the link is to be used no more, and once. */
  constructor(link: Link, callTimeout: number, onLost: (error: BrokerError) => void) {
    this.link = link
    this.callTimeout = callTimeout
    this.onLost = onLost
  }

  get isLost(): boolean {
    return Deferred.isDoneUnsafe(this.lost)
  }

  /** Fails when the link is to be used no more, with why. */
  get broken(): Effect.Effect<never, BrokerError> {
    return Deferred.await(this.lost)
  }

  /** Only the first reason counts. */
  lose(error: BrokerError): void {
    if (this.isLost) return
    // Nobody may hear of it before everything is put in order.
    this.onLost(error)
    Deferred.doneUnsafe(this.lost, Exit.fail(error))
  }

  /** A call that takes too long, or for which the server is not there, is the end of the link. */
  call<A>(effect: Effect.Effect<A, BrokerError>): Effect.Effect<A, BrokerError> {
    const answered = Effect.timeoutOrElse(effect, {
      duration: Duration.millis(this.callTimeout),
      orElse: () => Effect.fail(silent(this.callTimeout))
    })
    return Effect.onExit(Effect.raceFirst(answered, this.broken), (exit) =>
      Effect.sync(() => {
        if (Exit.isSuccess(exit)) this.news = true
        else if (!Exit.hasInterrupts(exit)) this.blame(exit)
      })
    )
  }

  /** What ended a call may be the end of the link. */
  blame(exit: Exit.Exit<unknown, BrokerError>): void {
    if (Exit.isSuccess(exit)) return
    const error = errorOf(exit)
    if (error.reason._tag === "Unavailable") this.lose(error)
  }
}

/** The server has not answered. */
export const silent = (millis: number): BrokerError => unavailable(new Error(`it has not answered within ${millis} ms`))

/** Why it failed; a defect of the engine is as good as a server that is not there. */
export const errorOf = (exit: Exit.Exit<unknown, BrokerError>): BrokerError => {
  if (Exit.isSuccess(exit)) return unavailable(new Error("it has ended"))
  const error = Cause.findError(exit.cause)
  return Result.isSuccess(error) ? error.success : unavailable(Cause.squash(exit.cause))
}
