/**
 * The client's end of a connection over an event stream and POST: messages come as events, and go in the bodies of POSTs,
 * one POST at a time, each with all that waits.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CloseStatus } from "../codec/CloseCode.ts"
import type * as EventStream from "../codec/EventStream.ts"
import * as Messages from "../codec/EventStreamMessages.ts"
import type { Headers } from "../codec/HttpHeaders.ts"
import * as RetryAfter from "../codec/RetryAfter.ts"
import type { InvalidRequest, NetworkError } from "./EventSourceError.ts"
import type { Fetch, Response } from "./Fetch.ts"
import type { Link, Owner } from "./Link.ts"
import { Refused } from "./Refused.ts"
import { TransportError, Unresponsive } from "./WebSocketError.ts"

/** A response that has begun, and whose first event has come. */
export interface Begun {
  readonly opening: Messages.Opening
  readonly url: string
  /** What came with the first event. */
  readonly early: ReadonlyArray<EventStream.Event>
  readonly parser: EventStream.Parser
  readonly pull: Pull.Pull<ReadonlyArray<Uint8Array>, NetworkError>
}

export interface Options {
  readonly begun: Begun
  readonly fetch: Fetch
  /** Sent with each request. */
  readonly headers: Headers
  /** Ends the response, and what we do with it. */
  readonly scope: Scope.Closeable
  readonly run: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
}

/** What one POST has at most, unless one message alone has more. In bytes; every server takes as much. */
export const batchBytes = 65_536

/** How long a server that has no room is left alone when it does not say, in milliseconds; and at most. */
const leftAlone = 1_000
const leftAloneAtMost = 10_000

const lengthOf = (data: Messages.Data): number => data.length

/** What a POST came to. */
type Posted =
  | "Taken"
  | "Again"
  | { readonly status?: CloseStatus | undefined; readonly failure?: TransportError | undefined }

export class PostLink implements Link {
  readonly canPause = true
  readonly tellsDrained = true
  readonly extensions = ""
  readonly subprotocol: string
  isOpen = true
  buffered = 0
  private readonly owner: Owner
  private readonly options: Options
  private queue: Array<Messages.Data> = []
  private posting: Fiber.Fiber<void> | undefined
  private sequence = 1
  /** Said when the queue is empty. */
  private closing: CloseStatus | undefined
  private over = false
  private paused = false
  private goOn: (() => void) | undefined
  /** When something came, or was last asked for. In milliseconds. */
  private lastSeen = 0

  constructor(owner: Owner, options: Options) {
    this.owner = owner
    this.options = options
    this.subprotocol = options.begun.opening.protocol
  }

  // Down.

  /** Reads until the end. To be run once. */
  readonly read: Effect.Effect<void> = Effect.suspend(() => {
    const { early, parser, pull } = this.options.begun
    const once = Effect.suspend(() =>
      Effect.flatMap(this.paused ? Effect.andThen(this.resumed, pull) : pull, (chunks) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          this.lastSeen = now
          for (const chunk of chunks) {
            const { events, violation } = parser.push(chunk)
            this.take(events)
            if (violation !== undefined) this.tooBig(violation.message)
          }
        })
      )
    )
    this.take(early)
    return Effect.matchCause(Effect.forever(once, { disableYield: true }), {
      onSuccess: () => undefined,
      onFailure: (cause) => {
        const error = cause.reasons.find((reason) => reason._tag === "Fail")?.error
        // To be interrupted is to be done with it.
        if (error === undefined) return
        this.end(undefined, Cause.isDone(error) ? undefined : new TransportError({ cause: error.cause }))
      }
    })
  })

  /** Ends a connection on which nothing comes for twice the heartbeat. To be run beside `read`. */
  readonly watch: Effect.Effect<void> = Effect.suspend(() => {
    const { heartbeat } = this.options.begun.opening
    if (heartbeat === undefined) return Effect.void
    const most = 2 * heartbeat
    const look: Effect.Effect<void> = Effect.flatMap(Clock.currentTimeMillis, (now) => {
      // What we do not read is no silence.
      if (this.paused) this.lastSeen = now
      const left = this.lastSeen + most - now
      if (left > 0) return Effect.andThen(Effect.sleep(Duration.millis(left)), look)
      return Effect.sync(() => this.end(undefined, new Unresponsive({ silence: most })))
    })
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      this.lastSeen = now
      return look
    })
  })

  private take(events: ReadonlyArray<EventStream.Event>): void {
    for (const event of events) {
      if (this.over) return
      const heard = Messages.read(event)
      if (heard === undefined) return this.end(undefined, new TransportError({ cause: new Error(malformed) }))
      if (heard._tag === "Message") this.owner.message(heard.data)
      else if (heard._tag === "Close") this.end(heard.status)
    }
  }

  private tooBig(detail: string): void {
    this.end(undefined, new TransportError({ cause: new Error(detail) }))
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
    const { goOn } = this
    // Before it goes on, as it may have to wait again at once.
    this.goOn = undefined
    goOn?.()
  }

  private readonly resumed: Effect.Effect<void> = Effect.callback<void>((resume) => {
    if (!this.paused) return resume(Effect.void)
    this.goOn = () => resume(Effect.void)
  })

  // Up.

  send(data: Messages.Data): void {
    this.queue.push(data)
    this.buffered += lengthOf(data)
    this.start()
  }

  close(status: CloseStatus): void {
    this.isOpen = false
    this.closing = status
    this.start()
  }

  private start(): void {
    if (this.posting !== undefined || this.over) return
    // What is said in the same turn goes together.
    this.posting = this.options.run(Effect.andThen(Effect.yieldNow, this.post))
  }

  /** Posts until there is nothing more to say. */
  private readonly post: Effect.Effect<void> = Effect.suspend(() => {
    if (this.over) return Effect.void
    const batch = this.nextBatch()
    if (batch.length > 0) return Effect.andThen(this.postBatch(batch), this.post)
    const { closing } = this
    if (closing === undefined) {
      this.posting = undefined
      return Effect.void
    }
    return Effect.flatMap(this.ask("DELETE", [[Messages.Field.close, Messages.printStatus(closing)]]), (posted) =>
      // The server's answer to a Close is the end of its stream.
      Effect.sync(() => {
        if (posted !== "Taken") this.end(undefined)
      })
    )
  })

  private nextBatch(): ReadonlyArray<Messages.Data> {
    let length = 0
    let count = 0
    for (const data of this.queue) {
      // Of text no unit is more than three bytes, and each message has a head where they are mixed.
      length += (typeof data === "string" ? data.length * 3 : data.length) + 5
      if (count > 0 && length > batchBytes) break
      count++
    }
    return this.queue.splice(0, count)
  }

  private postBatch(batch: ReadonlyArray<Messages.Data>): Effect.Effect<void> {
    const body = Messages.encode(batch)
    const headers: Headers = [
      ["Content-Type", body.type],
      [Messages.Field.sequence, `${this.sequence++}`]
    ]
    const again: Effect.Effect<void> = Effect.suspend(() =>
      Effect.flatMap(this.ask("POST", headers, body.bytes), (posted) => {
        if (this.over) return Effect.void
        if (posted === "Again") return again
        if (posted !== "Taken") {
          this.end(posted.status, posted.failure)
          return Effect.void
        }
        for (const data of batch) this.buffered -= lengthOf(data)
        this.owner.drained()
        return Effect.void
      })
    )
    return again
  }

  private ask(method: string, headers: Headers, body?: Uint8Array<ArrayBuffer>): Effect.Effect<Posted> {
    const { begun, fetch, headers: own } = this.options
    const session = [Messages.Field.session, begun.opening.session] as const
    const request = { method, url: begun.url, headers: [...own, session, ...headers], body, credentials: true }
    const asked = Effect.scoped(
      Effect.flatMap(fetch(request), (response) =>
        // To its end, so that the connection can be used again.
        Effect.as(Effect.ignore(Stream.runDrain(response.body)), response)
      )
    )
    return Effect.matchEffect(asked, {
      onFailure: (error: InvalidRequest | NetworkError) =>
        Effect.succeed<Posted>({ failure: new TransportError({ cause: error.cause ?? error }) }),
      onSuccess: outcomeOf
    })
  }

  // Ending.

  /** Tells the owner of the end, once, and lets go of everything. */
  private end(status: CloseStatus | undefined, failure?: TransportError | Unresponsive): void {
    if (this.over) return
    this.letGo()
    this.owner.ended(status, failure)
  }

  private letGo(): void {
    this.over = true
    this.isOpen = false
    this.queue = []
    this.buffered = 0
    this.posting?.interruptUnsafe()
    // In a fiber of its own, as it ends the one that reads, which may be where this is called.
    this.options.run(Scope.close(this.options.scope, Exit.void))
  }

  abandon(): void {
    if (!this.over) this.letGo()
  }
}

const malformed = "the server sent an event that is not what its name says"

const outcomeOf = (response: Response): Effect.Effect<Posted> => {
  const { headers, status, url } = response
  if (status >= 200 && status < 300) return Effect.succeed("Taken")
  switch (status) {
    // It has no room, or something in between has not reached it. It counts, so it would notice if it had had it already.
    case 429:
    case 503:
      return Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const asked = RetryAfter.read(headers, now) ?? leftAlone
        return Effect.as(Effect.sleep(Math.min(asked, leftAloneAtMost)), "Again" as const)
      })
    case 404:
      return Effect.succeed({})
    case 413:
      return Effect.succeed({ status: { code: 1009, reason: "message too big" } })
    default: {
      const body = new Uint8Array(0)
      const refused = new Refused({ status, headers, url, body, truncated: true, detail: "to what was posted" })
      return Effect.succeed({ failure: new TransportError({ cause: refused }) })
    }
  }
}
