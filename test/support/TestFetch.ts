/**
 * A network whose far end is the test: requests arrive here, and are answered, cut or left waiting when the test says so.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import { NetworkError } from "@millrace/core/connection/EventSourceError"
import type { Fetch, Request, Response } from "@millrace/core/connection/Fetch"
import { utf8 } from "./wire.ts"

/** An answer in parts: its head, then its body. */
export type Head = Partial<Omit<Response, "body">>

const eventStream: Response["headers"] = [["Content-Type", "text/event-stream"]]

/** One request, and its response as it is read. */
export class Asked {
  readonly request: Request
  /** Whether whoever asked has let go of it. */
  closed = false
  /** How many chunks of the body were taken. */
  taken = 0
  private readonly chunks: Array<Uint8Array> = []
  private last: Exit.Exit<never, Cause.Done | NetworkError> | undefined
  private answer: ((response: Effect.Effect<Response, NetworkError>) => void) | undefined
  private answered: Effect.Effect<Response, NetworkError> | undefined
  private wake: (() => void) | undefined

  constructor(request: Request) {
    this.request = request
  }

  header(name: string): string | undefined {
    return this.request.headers.find(([known]) => known.toLowerCase() === name.toLowerCase())?.[1]
  }

  // The far end.

  /** Sends the head of a response: 200 and an event stream unless it says otherwise. */
  respond(head: Head = {}): this {
    const { headers = eventStream, status = 200, url = this.request.url } = head
    const body = Stream.fromPull(Effect.succeed(this.pull))
    return this.say(Effect.succeed({ ...head, status, headers, url, body }))
  }

  /** Opens an event stream, and sends that. */
  open(text = ""): this {
    this.respond()
    return text === "" ? this : this.send(text)
  }

  /** The network fails, before the head or in the body. */
  fail(cause: unknown = new Error("reset")): this {
    this.last = Exit.fail(new NetworkError({ cause }))
    this.wake?.()
    return this.answered === undefined ? this.say(this.last as Exit.Exit<never, NetworkError>) : this
  }

  send(...chunks: ReadonlyArray<string | Uint8Array>): this {
    this.chunks.push(...chunks.map((chunk) => (typeof chunk === "string" ? utf8(chunk) : chunk)))
    this.wake?.()
    return this
  }

  /** Ends the body. */
  end(): this {
    this.last ??= Exit.fail(Cause.Done())
    this.wake?.()
    return this
  }

  // The near end.

  readonly head: Effect.Effect<Response, NetworkError> = Effect.callback((resume) => {
    if (this.answered !== undefined) return resume(this.answered)
    this.answer = resume
  })

  private say(response: Effect.Effect<Response, NetworkError>): this {
    this.answered = response
    this.answer?.(response)
    return this
  }

  private take(): Effect.Effect<readonly [Uint8Array], Cause.Done | NetworkError> | undefined {
    const chunk = this.chunks.shift()
    if (chunk === undefined) return this.last
    this.taken++
    return Effect.succeed([chunk])
  }

  private readonly pull: Effect.Effect<readonly [Uint8Array], Cause.Done | NetworkError> = Effect.suspend(
    () =>
      this.take() ??
      Effect.callback((resume) => {
        this.wake = () => {
          const taken = this.take()
          if (taken === undefined) return
          this.wake = undefined
          resume(taken)
        }
        return Effect.sync(() => {
          this.wake = undefined
        })
      })
  )
}

export class TestFetch {
  /** All requests so far. */
  readonly asked: Array<Asked> = []
  private next = 0
  private arrived: (() => void) | undefined
  /** Answers requests by itself, where it is there. */
  answer: ((asked: Asked) => void) | undefined

  readonly fetch: Fetch = (request) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const asked = new Asked(request)
        this.asked.push(asked)
        this.answer?.(asked)
        this.arrived?.()
        return asked
      }),
      (asked) =>
        Effect.sync(() => {
          asked.closed = true
          asked.end()
        })
    ).pipe(Effect.flatMap((asked) => asked.head))

  /** The next request that was not taken yet; waits for it. */
  readonly take: Effect.Effect<Asked> = Effect.callback((resume) => {
    const check = () => {
      const asked = this.asked[this.next]
      if (asked === undefined) return
      this.next++
      this.arrived = undefined
      resume(Effect.succeed(asked))
    }
    this.arrived = check
    check()
  })

  /** How many exchanges were not let go of. */
  get open(): number {
    return this.asked.filter(({ closed }) => !closed).length
  }
}
