/** Members of a hub whose room is the test's, and a broker that can be taken away. */
import * as Effect from "effect/Effect"
import { Broker, type Status } from "@millrace/core/cluster/Broker"
import { BrokerError, Unavailable } from "@millrace/core/cluster/BrokerError"
import type { Member, Notice } from "@millrace/core/cluster/Member"
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"
import type { Position } from "@millrace/core/cluster/Position"
import type { Publication } from "@millrace/core/cluster/Publication"
import type { Prepared } from "@millrace/core/connection/Prepared"
import { Watched } from "@millrace/core/connection/Watched"
import type { Written } from "@millrace/core/connection/WebSocket"
import type { Text } from "@millrace/core/protocol/Message"

/** What a member was told, in order. */
export type Heard =
  | { readonly _tag: "Message"; readonly topic: string; readonly text: string; readonly at: Position | undefined }
  | Notice

/** Has room for so many messages and notices; `read` makes room again. */
export class Listener implements Member {
  readonly heard: Array<Heard> = []
  readonly closed: Array<readonly [number, string]> = []
  readonly id: string | undefined
  readonly user: string | undefined
  /** Called in the middle of a delivery, when it is written. */
  onWrite: ((publication: Publication) => void) | undefined
  isOpen = true
  private left: number
  private waiting: Array<() => void> = []

  constructor(left = Number.POSITIVE_INFINITY, who: { readonly id?: string; readonly user?: string } = {}) {
    this.left = left
    this.id = who.id
    this.user = who.user
  }

  get texts(): ReadonlyArray<string> {
    return this.heard.flatMap((one) => (one._tag === "Message" ? [one.text] : []))
  }

  get tags(): ReadonlyArray<string> {
    return this.heard.map((one) => (one._tag === "Message" ? one.text : one._tag))
  }

  get waiters(): number {
    return this.waiting.length
  }

  read(count: number): void {
    this.left += count
    for (const resume of this.waiting.splice(0)) resume()
  }

  /** Takes nothing more, as a connection that has ended. */
  end(): void {
    this.isOpen = false
    for (const resume of this.waiting.splice(0)) resume()
  }

  private take(): Written {
    if (!this.isOpen) return "NotOpen"
    if (this.left <= 0) return "Full"
    this.left--
    return "Written"
  }

  tryWriteUnsafe(message: Prepared, publication: Publication): Written {
    const written = this.take()
    if (written !== "Written") return written
    const { at, topic } = publication
    this.heard.push({ _tag: "Message", topic, text: (message.message as Text).text, at })
    this.onWrite?.(publication)
    return written
  }

  tellUnsafe(notice: Notice): Written {
    const written = this.take()
    if (written === "Written") this.heard.push(notice)
    return written
  }

  get room(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      if (this.left > 0 || !this.isOpen) return resume(Effect.void)
      const go = () => resume(Effect.void)
      this.waiting.push(go)
      return Effect.sync(() => {
        this.waiting = this.waiting.filter((other) => other !== go)
      })
    })
  }

  close(code: number, reason: string): Effect.Effect<void> {
    return Effect.sync(() => {
      this.closed.push([code, reason])
      this.end()
    })
  }
}

/** A member without `room`, and without words for notices. */
export const mute = (listener: Listener): Member => ({
  id: listener.id,
  tryWriteUnsafe: (message, publication) => listener.tryWriteUnsafe(message, publication),
  close: (code, reason) => listener.close(code, reason)
})

/** As one with servers in between: it can be away, and what it delivers can be late. */
export const remote = (inner: Broker["Service"]) => {
  const status = new Watched<Status>({ _tag: "Up", since: 0 }, () => false)
  const error = new BrokerError({ reason: new Unavailable({ outcome: "NotPublished", cause: new Error("away") }) })
  let isAway = false
  /** Publications that are taken, and acknowledged to nobody. */
  let isDeaf = false
  let held: Array<() => void> | undefined
  const unlessAway = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.suspend((): Effect.Effect<A, E | BrokerError, R> => (isAway ? Effect.fail(error) : effect))
  const late = (deliver: () => void) => (held === undefined ? deliver() : void held.push(deliver))
  const broker = Broker.of({
    ...inner,
    name: "remote",
    isLocal: false,
    attach: ({ deliver, lost }) =>
      Effect.map(
        inner.attach({ deliver: (delivery) => late(() => deliver(delivery)), lost: (gap) => late(() => lost(gap)) }),
        (attachment) => ({
          ...attachment,
          subscribe: (topic) => Effect.map(attachment.subscribe(topic), (at) => (isAway ? undefined : at))
        })
      ),
    publish: (topic, parcel) =>
      unlessAway(
        Effect.flatMap(inner.publish(topic, parcel), (receipt) =>
          isDeaf ? Effect.fail(error) : Effect.succeed(receipt)
        )
      ),
    since: (topics, position) => unlessAway(inner.since(topics, position)),
    cast: (channel, bytes) => unlessAway(inner.cast(channel, bytes)),
    status: () => status.value,
    statuses: status.changes
  })
  return {
    broker,
    goAway: () => {
      isAway = true
      status.set({ _tag: "Down", since: 0, error, attempts: 0 })
    },
    comeBack: () => {
      isAway = false
      status.set({ _tag: "Up", since: 0 })
    },
    /** Says that it is there, and takes nothing. */
    pretend: () => status.set({ _tag: "Up", since: 0 }),
    loseAcknowledgements: () => {
      isDeaf = true
    },
    /** What is published from now on is in the log, and not delivered. */
    hold: () => {
      held = []
    },
    release: () => {
      const all = held ?? []
      held = undefined
      for (const deliver of all) deliver()
    }
  }
}

export const remoteBroker = (options?: MemoryBroker.Options) => Effect.map(MemoryBroker.make(options), remote)
