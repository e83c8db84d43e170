/**
 * One end of a conversation between two tabs, or a tab and a worker, as a link: text and bytes as they are, and what the
 * ends have to say about it as small objects.
 *
 * A port takes whatever it is given, also for a tab that is frozen. So the one who receives says how much of it was read,
 * and what is not said to be read counts as `buffered`: who sends has to wait.
 */
// oxlint-disable unicorn/require-post-message-target-origin -- it is windows that have one
import type { CloseStatus } from "@millrace/core/codec/CloseCode"
import type { Link, Owner } from "@millrace/core/connection/Link"

/** What a `MessagePort` and a `BroadcastChannel` have in common. */
export interface Port {
  readonly postMessage: (data: unknown) => void
  readonly close: () => void
  /** A `MessagePort` hands over nothing before. */
  readonly start?: () => void
  readonly addEventListener: (
    type: "message",
    listener: (event: MessageEvent) => void,
    options: { readonly signal: AbortSignal }
  ) => void
}

/**
 * What the ends say of the conversation. Anything else that is no text and no bytes is passed over: whoever is of the same
 * origin can say something on a `BroadcastChannel`.
 */
export type Signal =
  /** The end that was asked is there; `life` is the lock that it holds as long as it lives: see `TabLock`. */
  | { readonly _tag: "Opened"; readonly life: string | undefined }
  /** So much more was read, as `costOf` counts it. */
  | { readonly _tag: "Read"; readonly cost: number }
  | { readonly _tag: "Close"; readonly code: number; readonly reason: string }
  /** Something beside the conversation. */
  | { readonly _tag: "Aside"; readonly said: unknown }

export interface Options {
  /** Of the one who was asked: said to the other. Absent for the one who asks, and waits to be told. */
  readonly life?: { readonly name: string | undefined } | undefined
  /** Told of the other's, when it has opened. */
  readonly onOpened?: ((life: string | undefined) => void) | undefined
  /** Told what is said beside the conversation. */
  readonly onAside?: ((said: unknown) => void) | undefined
}

/** Messages cost memory besides their bytes. */
const overhead = 64

const costOf = (data: string | Uint8Array): number => data.length + overhead

/** What was read is said when it is so much. Less than any sensible bound of who sends. */
const readEvery = 16_384

export class PortLink implements Link {
  readonly subprotocol = ""
  readonly extensions = ""
  readonly tellsDrained = true
  readonly canPause = true
  isOpen: boolean
  buffered = 0
  private readonly port: Port
  private readonly options: Options
  private readonly listening = new AbortController()
  private owner: Owner | undefined
  private paused = false
  /** What was received, and not yet said to be read. */
  private unsaid = 0
  private closing = false

  constructor(port: Port, owner: Owner, options: Options = {}) {
    const { life } = options
    this.port = port
    this.owner = owner
    this.options = options
    this.isOpen = life !== undefined
    port.addEventListener("message", ({ data }) => this.received(data), { signal: this.listening.signal })
    port.start?.()
    if (life !== undefined) this.signal({ _tag: "Opened", life: life.name })
  }

  private signal(signal: Signal): void {
    this.port.postMessage(signal)
  }

  private received(data: string | Uint8Array | Signal): void {
    if (typeof data === "string" || data instanceof Uint8Array) {
      if (!this.isOpen && !this.closing) return
      this.unsaid += costOf(data)
      this.owner?.message(data)
      return this.sayRead()
    }
    switch (data?._tag) {
      case "Opened": {
        const { life } = data
        if (this.isOpen || this.closing || (life !== undefined && typeof life !== "string")) return
        this.isOpen = true
        this.options.onOpened?.(life)
        this.owner?.opened()
        return
      }
      case "Read":
        if (!(data.cost > 0 && data.cost <= this.buffered)) return
        this.buffered -= data.cost
        this.owner?.drained()
        return
      case "Close": {
        const { code, reason } = data
        if (!Number.isInteger(code) || typeof reason !== "string") return
        if (!this.closing) this.signal(data)
        return this.end({ code, reason })
      }
      case "Aside":
        this.options.onAside?.(data.said)
    }
  }

  private sayRead(): void {
    if (this.paused || this.unsaid < readEvery || this.owner === undefined) return
    this.signal({ _tag: "Read", cost: this.unsaid })
    this.unsaid = 0
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
    this.sayRead()
  }

  /** Bytes are copied: who sends may use its buffer again. */
  send(data: string | Uint8Array): void {
    this.buffered += costOf(data)
    this.port.postMessage(data)
  }

  /** Says something beside the conversation. It is in order with what else is said. */
  aside(said: unknown): void {
    if (this.isOpen) this.signal({ _tag: "Aside", said })
  }

  close({ code, reason }: CloseStatus): void {
    this.isOpen = false
    this.closing = true
    this.signal({ _tag: "Close", code, reason })
  }

  /** Says that this end goes, and waits for no answer: it would come to a page that is put away, and end its being kept. */
  leave(): void {
    if (this.owner === undefined) return
    if (!this.closing) this.signal({ _tag: "Close", code: 1001, reason: "" })
    this.end(undefined)
  }

  /** The other end lives no more, so that nothing else will come. */
  died(): void {
    this.end(undefined)
  }

  private end(status: CloseStatus | undefined): void {
    const { owner } = this
    this.letGo()
    owner?.ended(status)
  }

  private letGo(): void {
    this.owner = undefined
    this.isOpen = false
    this.buffered = 0
    this.listening.abort()
    this.port.close()
  }

  abandon(): void {
    if (this.owner === undefined) return
    if (!this.closing) this.signal({ _tag: "Close", code: 1001, reason: "" })
    this.letGo()
  }
}
