/**
 * The platform's `WebSocketStream` as a link: it reads a message when it is asked to, and says when it has sent one.
 * https://github.com/ricea/websocketstream-explainer; in Chromium since 124.
 */
import { CloseCode, type CloseStatus } from "@millrace/core/codec/CloseCode"
import type { Link, Owner } from "@millrace/core/connection/Link"
import { afterwards } from "./Task.ts"

/** What TypeScript's own library does not have yet. */
interface PlatformStream {
  readonly opened: Promise<{
    readonly readable: ReadableStream<string | Uint8Array | ArrayBuffer>
    readonly writable: WritableStream<string | Uint8Array>
    readonly extensions: string
    readonly protocol: string
  }>
  readonly closed: Promise<{ readonly closeCode?: number; readonly reason?: string }>
  readonly close: (info?: { readonly closeCode?: number; readonly reason?: string }) => void
}

type Constructor = new (
  url: string,
  options: { readonly protocols: ReadonlyArray<string>; readonly signal: AbortSignal }
) => PlatformStream

const constructor = (): Constructor | undefined => Reflect.get(globalThis, "WebSocketStream")

export class StreamLink implements Link {
  readonly afterwards = afterwards
  readonly canPause = true
  readonly tellsDrained = true
  subprotocol = ""
  extensions = ""
  isOpen = false
  buffered = 0
  private readonly platform: PlatformStream
  private readonly aborting = new AbortController()
  private owner: Owner | undefined
  private reader: ReadableStreamDefaultReader<string | Uint8Array | ArrayBuffer> | undefined
  private writer: WritableStreamDefaultWriter<string | Uint8Array> | undefined
  private lastWrite: Promise<void> = Promise.resolve()
  /** Whoever waits to read on. */
  private paused = false
  private goOn: (() => void) | undefined

  /** Whether the platform has it. */
  static isThere(): boolean {
    return constructor() !== undefined
  }

  constructor(url: string, subprotocols: ReadonlyArray<string>, owner: Owner) {
    const WebSocketStream = constructor()!
    this.owner = owner
    this.platform = new WebSocketStream(url, { protocols: subprotocols, signal: this.aborting.signal })
    void this.live()
  }

  private async live(): Promise<void> {
    const { closed, opened } = this.platform
    const received = closed.then(statusOf, statusOfLost)
    try {
      const { extensions, protocol, readable, writable } = await opened
      this.subprotocol = protocol
      this.extensions = extensions
      this.reader = readable.getReader()
      this.writer = writable.getWriter()
      // That it fails is told by `closed`.
      this.writer.closed.catch(() => {})
    } catch {
      return this.owner?.ended(undefined)
    }
    this.isOpen = true
    this.owner?.opened()
    const reading = this.read(this.reader)
    const status = await received
    this.isOpen = false
    this.resume()
    await reading
    this.owner?.ended(status)
  }

  private async read(reader: ReadableStreamDefaultReader<string | Uint8Array | ArrayBuffer>): Promise<void> {
    try {
      for (;;) {
        if (this.paused) await new Promise<void>((resolve) => (this.goOn = resolve))
        const { done, value } = await reader.read()
        if (done) return
        this.owner?.message(value instanceof ArrayBuffer ? new Uint8Array(value) : value)
      }
    } catch {
      // What is wrong is told by `closed`.
    }
  }

  pause(): void {
    if (this.isOpen) this.paused = true
  }

  resume(): void {
    this.paused = false
    this.goOn?.()
    this.goOn = undefined
  }

  /** A character counts as a byte, as it mostly is one. */
  send(data: string | Uint8Array): void {
    const { length } = data
    this.buffered += length
    const sent = () => {
      this.buffered -= length
      this.owner?.drained()
    }
    this.lastWrite = this.writer!.write(data).then(sent, sent)
  }

  /** The platform forgets what it has not begun to send when it is told to close. */
  close({ code, reason }: CloseStatus): void {
    this.isOpen = false
    this.resume()
    const info = code === CloseCode.noStatus ? {} : { closeCode: code, reason }
    void this.lastWrite.then(() => this.platform.close(info))
  }

  abandon(): void {
    this.owner = undefined
    this.isOpen = false
    this.resume()
    // Not both: Chromium 153 crashes when one that was aborted while it was opened is closed.
    if (this.writer === undefined) this.aborting.abort()
    else this.platform.close()
  }
}

/** `closed` is kept when both ends have said Close and all that they sent has come. */
const statusOf = ({ closeCode = CloseCode.noStatus, reason = "" }: Awaited<PlatformStream["closed"]>): CloseStatus => ({
  code: closeCode,
  reason
})

/** Otherwise it fails, also where a Close came while something was being sent: with its code then, else with 1006. */
const statusOfLost = (error: { readonly closeCode?: number; readonly reason?: string }): CloseStatus | undefined =>
  (error.closeCode ?? CloseCode.abnormal) === CloseCode.abnormal ? undefined : statusOf(error)
