/**
 * What a client of the hub publishes, from when it is kept until it is answered: said in order, over as many connections
 * as it takes, and known by keys, so that it is heard once.
 *
 * Pure but for what it holds: time is an argument, in milliseconds since 1970. Not in here: where it is kept (`HubStore`).
 */
import * as Result from "effect/Result"
import { type HubClientError, Refused, Uncertain } from "./HubClientError.ts"
import type { Receipt } from "./HubHeard.ts"
import type { Unanswered } from "./HubStore.ts"

type Failure = HubClientError["reason"]

/** One of them. */
export class Publication {
  readonly unanswered: Unanswered
  /** When it was said first, maybe by an earlier life. */
  saidAt: number | undefined
  /** `Kept` is not said before the store knows that it is. */
  state: "Keeping" | "Kept" | "Marking" | "Ready"
  /** By which it was said over this connection, until it is answered. */
  id: number | undefined
  result: Result.Result<Receipt, Failure> | undefined
  /** Called when there is a result. */
  waiter: (() => void) | undefined

  constructor(unanswered: Unanswered, state: "Keeping" | "Kept") {
    this.unanswered = unanswered
    this.state = state
  }
}

export interface Bounds {
  /** How many may be on their way at a time. */
  readonly maxUnanswered: number
  /** How long after it was said first something may be said again, in milliseconds. */
  readonly patience: number
}

/** What the owner does. */
export interface Options extends Bounds {
  readonly say: (text: string) => void
  readonly nextId: () => number
  /** The store has to know that it is about to be said: `marked` follows. */
  readonly mark: (publication: Publication, now: number) => void
  readonly settle: (publication: Publication) => void
  /** `retry` is to be called after a while. */
  readonly putOff: () => void
}

/** The hub knows the last 1,000 keys of a producer. */
export const maxTogether = 1_000

export const print = ({ dataJson, echo, key, topic }: Unanswered, id: number): string =>
  `{"type":"publish","topic":${JSON.stringify(topic)},"data":${dataJson},"key":${JSON.stringify(key)}` +
  `${echo ? "" : ',"echo":false'},"id":${id}}`

export class HubPublications {
  private readonly options: Options
  /** In the order in which they are said. */
  private readonly waiting = new Set<Publication>()
  private readonly said = new Map<number, Publication>()
  private isOpen = false
  /** The hub could not take one: nothing is said for a while, as those behind would go ahead of it. */
  private isPutOff = false

  constructor(options: Options) {
    this.options = options
  }

  /** How many are not answered. */
  get size(): number {
    return this.waiting.size
  }

  /** Whether something was said over this connection that is not answered. */
  get isWaiting(): boolean {
    return this.said.size > 0
  }

  /** Whether what is kept now is said as soon as it is. */
  get isReady(): boolean {
    return this.isOpen && !this.isPutOff
  }

  /** Whether something that was said may become too old to be said again. */
  get mayExpire(): boolean {
    for (const { id, saidAt } of this.waiting) if (id === undefined && saidAt !== undefined) return true
    return false
  }

  /** The next one. It is said when it is `kept`. */
  add(unanswered: Unanswered): Publication {
    const publication = new Publication(unanswered, "Keeping")
    this.waiting.add(publication)
    return publication
  }

  /** What the store had. */
  load(unanswered: Unanswered, now: number): Publication {
    const publication = new Publication(unanswered, "Kept")
    publication.saidAt = unanswered.saidAt
    if (unanswered.saidAt !== undefined) publication.state = "Ready"
    this.waiting.add(publication)
    this.flush(now)
    return publication
  }

  /** The store has it. */
  kept(publication: Publication, now: number): void {
    publication.state = publication.unanswered.saidAt === undefined ? "Kept" : "Ready"
    this.flush(now)
  }

  /** The store knows that it is about to be said. */
  marked(publication: Publication, now: number): void {
    publication.state = "Ready"
    this.flush(now)
  }

  /** Nobody wants it any more. */
  giveUp(publication: Publication, now: number): void {
    this.forget(publication)
    this.flush(now)
  }

  /** The store cannot have it. */
  fail(publication: Publication, reason: Failure, now: number): void {
    this.settle(publication, Result.fail(reason), now)
  }

  opened(now: number): void {
    this.isOpen = true
    this.flush(now)
  }

  lost(): void {
    this.isOpen = this.isPutOff = false
    this.said.clear()
    for (const publication of this.waiting) publication.id = undefined
  }

  /** What was put off is said again. */
  retry(now: number): void {
    this.isPutOff = false
    this.flush(now)
  }

  /** Nobody can tell of those what has become of them. */
  expire(now: number): void {
    for (const publication of this.waiting) if (publication.id === undefined) this.isExpired(publication, now)
  }

  /** `false` when it is the answer to something else. */
  published(id: number, receipt: Receipt, now: number): boolean {
    const publication = this.said.get(id)
    if (publication === undefined) return false
    this.settle(publication, Result.succeed(receipt), now)
    return true
  }

  /** `false` when something else was refused. */
  refused(id: number, code: string, detail: string, now: number): boolean {
    const publication = this.said.get(id)
    if (publication === undefined) return false
    const { topic } = publication.unanswered
    if (code === "unavailable") {
      this.said.delete(id)
      publication.id = undefined
      this.isPutOff = true
      this.options.putOff()
    } else {
      const reason = code === "stale-key" ? new Uncertain({ topic }) : new Refused({ code, detail, topic })
      this.settle(publication, Result.fail(reason), now)
    }
    return true
  }

  private flush(now: number): void {
    if (!this.isOpen || this.isPutOff) return
    let isBlocked = false
    for (const publication of this.waiting) {
      if (publication.id !== undefined) continue
      if (this.said.size >= this.options.maxUnanswered) return
      if (publication.state === "Kept") {
        publication.state = "Marking"
        this.options.mark(publication, now)
      }
      isBlocked ||= publication.state !== "Ready"
      if (isBlocked || this.isExpired(publication, now)) continue
      publication.saidAt ??= now
      publication.id = this.options.nextId()
      this.said.set(publication.id, publication)
      this.options.say(print(publication.unanswered, publication.id))
    }
  }

  private isExpired(publication: Publication, now: number): boolean {
    const { saidAt, unanswered } = publication
    if (saidAt === undefined) return false
    const age = now - saidAt
    // Younger than nothing: the clock was set back between two lives, and does not tell how long ago it was.
    if (age >= 0 && age <= this.options.patience) return false
    this.forget(publication)
    publication.result = Result.fail(new Uncertain({ topic: unanswered.topic }))
    this.options.settle(publication)
    return true
  }

  private settle(publication: Publication, result: Result.Result<Receipt, Failure>, now: number): void {
    this.forget(publication)
    publication.result = result
    this.options.settle(publication)
    this.flush(now)
  }

  private forget(publication: Publication): void {
    this.waiting.delete(publication)
    if (publication.id !== undefined) this.said.delete(publication.id)
  }
}
