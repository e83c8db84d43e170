/**
 * Which channels a node hears on a server, counted over all who hear, and heard again when there is a link again. What is
 * said on a channel is heard by those who hear it then: nothing of it is kept, and nothing is made up for.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { BrokerError } from "./BrokerError.ts"
import type { EngineLink } from "./EngineLink.ts"

/** An object of its own each time: the same function may hear twice, and stop once. */
interface Hearing {
  readonly heard: (bytes: Uint8Array) => void
}

interface Channel {
  readonly name: string
  hearing: ReadonlyArray<Hearing>
  /** Whether the link that there is has been told. */
  listening: "No" | "Asked" | "Yes"
  /** Who waits in `hear`. */
  waiting: ReadonlyArray<(heard: Effect.Effect<void, BrokerError>) => void>
}

const nobody: ReadonlyArray<never> = []

export class EngineChannels {
  /** Whether who hears may wait for a link. */
  private readonly isDown: () => boolean
  /** Called when there is something to tell the link. */
  private readonly wake: () => void
  private readonly channels = new Map<string, Channel>()
  /** To be told to the link, in the next turn. */
  private toHear = new Set<Channel>()
  private readonly toUnhear = new Set<string>()
  private link: EngineLink | undefined

  constructor(isDown: () => boolean, wake: () => void) {
    this.isDown = isDown
    this.wake = wake
  }

  get hasWork(): boolean {
    return this.toHear.size + this.toUnhear.size > 0
  }

  /** As long as the scope; waits until the server has been told, and for no link where there is none. */
  hear(name: string, heard: (bytes: Uint8Array) => void): Effect.Effect<void, BrokerError, Scope.Scope> {
    const hearing = Effect.acquireRelease(
      Effect.sync(() => {
        const mine: Hearing = { heard }
        const channel = this.channelOf(name)
        channel.hearing = [...channel.hearing, mine]
        return { channel, mine }
      }),
      ({ channel, mine }) => Effect.sync(() => this.unhear(channel, mine))
    )
    return Effect.flatMap(hearing, ({ channel }) =>
      Effect.callback((resume) => {
        if (channel.listening === "Yes" || this.isDown()) return resume(Effect.void)
        channel.waiting = [...channel.waiting, resume]
        return Effect.sync(() => {
          channel.waiting = channel.waiting.filter((other) => other !== resume)
        })
      })
    )
  }

  private channelOf(name: string): Channel {
    let channel = this.channels.get(name)
    if (channel !== undefined) return channel
    channel = { name, hearing: [], listening: "No", waiting: nobody }
    this.channels.set(name, channel)
    this.toHear.add(channel)
    this.wake()
    return channel
  }

  private unhear(channel: Channel, mine: Hearing): void {
    channel.hearing = channel.hearing.filter((other) => other !== mine)
    // While it is being asked for, it is left to whoever asks.
    if (channel.hearing.length === 0 && channel.listening !== "Asked") this.forget(channel)
  }

  private forget(channel: Channel): void {
    // It was refused, and there may be another by now.
    if (this.channels.get(channel.name) !== channel) return
    this.channels.delete(channel.name)
    this.toHear.delete(channel)
    if (channel.listening === "No") return
    channel.listening = "No"
    this.toUnhear.add(channel.name)
    this.wake()
  }

  /** Something was said. */
  heard(name: string, bytes: Uint8Array): void {
    for (const { heard } of this.channels.get(name)?.hearing ?? []) heard(bytes)
  }

  // The link.

  /** There is one: all are heard again, in the order in which they came. */
  open(link: EngineLink): void {
    this.link = link
    this.toHear = new Set(this.channels.values())
  }

  /** It is gone. */
  broken(): void {
    this.link = undefined
    this.toUnhear.clear()
    for (const channel of this.channels.values()) {
      channel.listening = "No"
      if (channel.hearing.length === 0) this.channels.delete(channel.name)
    }
  }

  /** There is none, and nobody knows when there will be one: who waits does not wait any more. */
  giveUp(): void {
    for (const channel of this.channels.values()) this.go(channel, Effect.void)
  }

  /** What is not heard any more. */
  unhearAll(link: EngineLink): void {
    if (this.toUnhear.size === 0) return
    const names = [...this.toUnhear]
    this.toUnhear.clear()
    link.link.unhear(names)
  }

  /** Tells the link of those that are new to it now; the others have the next turn. */
  hearAll(link: EngineLink): Effect.Effect<void, BrokerError> {
    const channels = [...this.toHear]
    this.toHear.clear()
    return this.ask(link, channels)
  }

  /** What the broker refuses is refused to who asks for it, and to nobody else. */
  private ask(link: EngineLink, channels: ReadonlyArray<Channel>): Effect.Effect<void, BrokerError> {
    if (channels.length === 0) return Effect.void
    for (const channel of channels) channel.listening = "Asked"
    return Effect.matchEffect(link.call(link.link.hear(channels.map(({ name }) => name))), {
      onSuccess: () => Effect.sync(() => this.told(link, channels)),
      onFailure: (error) => {
        if (link.isLost || error.reason._tag === "Unavailable") return Effect.fail(error)
        if (channels.length > 1) {
          return Effect.forEach(channels, (channel) => this.ask(link, [channel]), { discard: true })
        }
        return this.refuse(channels[0]!, error)
      }
    })
  }

  private told(link: EngineLink, channels: ReadonlyArray<Channel>): void {
    if (link !== this.link) return
    for (const channel of channels) {
      channel.listening = "Yes"
      this.go(channel, Effect.void)
      if (channel.hearing.length === 0) this.forget(channel)
    }
  }

  private refuse(channel: Channel, error: BrokerError): Effect.Effect<void, BrokerError> {
    // Somebody was told that it is heard.
    if (channel.hearing.length > channel.waiting.length) return Effect.fail(error)
    return Effect.sync(() => {
      channel.listening = "No"
      this.channels.delete(channel.name)
      this.go(channel, Effect.fail(error))
    })
  }

  private go(channel: Channel, heard: Effect.Effect<void, BrokerError>): void {
    const { waiting } = channel
    channel.waiting = nobody
    for (const go of waiting) go(heard)
  }
}
