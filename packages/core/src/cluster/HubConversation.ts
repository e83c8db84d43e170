/**
 * What a client of the hub and the hub say to each other, over one connection after the other: from the welcome until the
 * connection is over. Not in here: what it means (`HubClientProtocol`), and when there is another one (`Comeback`).
 */
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import { WebSocketError } from "../connection/WebSocketError.ts"
import type * as Again from "../messaging/Again.ts"
import { Disconnected, Mismatch, SessionError } from "../messaging/SessionError.ts"
import type { Wire } from "../messaging/Wire.ts"
import type * as Message from "../protocol/Message.ts"
import { protocol as spoken } from "./HubMessage.ts"
import type { HubSeats, Seat } from "./HubSeats.ts"

/** What one connection is to the client. */
export interface Session {
  readonly wire: Wire
  /** How many messages have come. */
  heard: number
  /** The protocol of a hub that has another. */
  foreign: unknown
}

/** What the client does. */
export interface Options {
  /** How long whoever owes an answer may be silent until it is asked for a sign of life, in milliseconds. */
  readonly timeout: number
  readonly seats: HubSeats
  readonly connected: () => void
  readonly received: (text: string) => void
  /** The connection is over, or could not become one. */
  readonly lost: () => void
  /** Whether the hub has said welcome over this connection. */
  readonly isOpen: () => boolean
  /** Whether the hub owes an answer. */
  readonly isWaiting: () => boolean
  /** Asks for a sign of life. */
  readonly check: () => void
}

/** Why a connection ended: `undefined` where it was closed in order. */
export const ended = (cause: WebSocketError | undefined): Again.Cause => ({
  _tag: "Ended",
  error: cause && new SessionError({ reason: new Disconnected({ cause }) })
})

export class HubConversation {
  private readonly options: Options
  private session: Session | undefined
  /** Texts that are not handed to the connection yet. */
  private outgoing: Array<string> = []
  private readonly sender: Seat = { waiter: undefined }

  constructor(options: Options) {
    this.options = options
  }

  /** Says it over this connection, and over no other. */
  say(text: string): void {
    this.outgoing.push(text)
    this.sender.waiter?.()
  }

  /** The hub turned out to speak another protocol. */
  isForeign(protocol: unknown): void {
    if (this.session !== undefined) this.session.foreign = protocol
  }

  /** A connection over which the hub has said welcome. */
  meet(open: Effect.Effect<Wire, unknown, Scope.Scope>): Effect.Effect<Session, unknown, Scope.Scope> {
    return Effect.flatMap(
      Effect.flatMap(open, (wire) => this.begun(wire)),
      (session) => {
        const { wire } = session
        const welcomed: Effect.Effect<Session, unknown> = Effect.suspend(() => {
          if (session.foreign !== undefined) return Effect.fail(mismatch(session.foreign))
          if (this.options.isOpen()) return Effect.succeed(session)
          const received = Pull.catchDone(wire.receive, () => Effect.fail(closed))
          return Effect.flatMap(received, (message) => {
            this.hear(session, [message])
            return welcomed
          })
        })
        return Effect.mapError(welcomed, (error) =>
          error instanceof WebSocketError ? new SessionError({ reason: new Disconnected({ cause: error }) }) : error
        )
      }
    )
  }

  /** What a connection is, as long as the scope of its attempt: however that ends, and at whichever moment. */
  private begun(wire: Wire): Effect.Effect<Session, never, Scope.Scope> {
    const begin = Effect.sync(() => {
      const session: Session = { wire, heard: 0, foreign: undefined }
      this.session = session
      this.options.connected()
      return session
    })
    return Effect.acquireRelease(begin, () => this.over)
  }

  private readonly over: Effect.Effect<void> = Effect.sync(() => {
    this.session = undefined
    this.outgoing = []
    this.options.lost()
  })

  /** Hears and says what there is, until the connection is over: comes back with why. */
  converse(session: Session): Effect.Effect<Again.Cause> {
    const { wire } = session
    const reading = wire.pull.pipe(
      Effect.flatMap((messages) => {
        this.hear(session, messages)
        return session.foreign === undefined ? Effect.void : Effect.fail(mismatch(session.foreign))
      }),
      Effect.forever({ disableYield: true }),
      Pull.catchDone(() => Effect.succeed(ended(undefined))),
      Effect.catch((error) =>
        Effect.succeed(error instanceof WebSocketError ? ended(error) : ({ _tag: "Ended", error } as const))
      )
    )
    return Effect.raceFirst(reading, Effect.raceFirst(this.saying(wire), this.watch(session)))
  }

  private hear(session: Session, messages: ReadonlyArray<Message.Message>): void {
    session.heard += messages.length
    for (const message of messages) {
      if (message._tag === "Text") this.options.received(message.text)
    }
  }

  /** Says what there is to say. Where it cannot, the reader learns why. */
  private saying(wire: Wire): Effect.Effect<never> {
    const hasWork = () => this.outgoing.length > 0
    const once: Effect.Effect<void, WebSocketError> = Effect.suspend(() => {
      if (!hasWork()) return this.options.seats.wait(hasWork, this.sender)
      const texts = this.outgoing
      this.outgoing = []
      return Effect.forEach(texts, (text) => wire.send(text), { discard: true })
    })
    return Effect.catch(Effect.forever(once), () => Effect.never)
  }

  /** Whoever owes answers and says nothing at all is asked for a sign of life. */
  private watch(session: Session): Effect.Effect<never> {
    const { check, isWaiting, timeout } = this.options
    const once = Effect.suspend(() => {
      const { heard } = session
      const wasWaiting = isWaiting()
      return Effect.andThen(
        Effect.sleep(timeout),
        Effect.sync(() => {
          if (wasWaiting && isWaiting() && session.heard === heard) check()
        })
      )
    })
    return Effect.forever(once)
  }
}

const closed = new SessionError({ reason: new Disconnected({ cause: undefined }) })

const mismatch = (theirs: unknown): SessionError =>
  new SessionError({ reason: new Mismatch({ ours: `protocol ${spoken}`, theirs: `protocol ${String(theirs)}` }) })
