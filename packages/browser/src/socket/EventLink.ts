/**
 * The platform's `WebSocket` as a link: WHATWG WebSockets section 3. It can neither be paused nor say when it has sent
 * something.
 */
import { CloseCode, type CloseStatus } from "@millrace/core/codec/CloseCode"
import type { Link, Owner } from "@millrace/core/connection/Link"
import { afterwards } from "./Task.ts"

export class EventLink implements Link {
  readonly afterwards = afterwards
  readonly canPause = false
  readonly tellsDrained = false
  private readonly socket: WebSocket
  private readonly listening = new AbortController()

  constructor(url: string, subprotocols: ReadonlyArray<string>, owner: Owner) {
    this.socket = new WebSocket(url, [...subprotocols])
    this.socket.binaryType = "arraybuffer"
    const { signal } = this.listening
    this.socket.addEventListener("open", () => owner.opened(), { signal })
    const received = ({ data }: MessageEvent<string | ArrayBuffer>) =>
      owner.message(typeof data === "string" ? data : new Uint8Array(data))
    this.socket.addEventListener("message", received, { signal })
    // Behind an `error` always comes a `close`, which says as much.
    const closed = ({ code, reason }: CloseEvent) =>
      owner.ended(code === CloseCode.abnormal ? undefined : { code, reason })
    this.socket.addEventListener("close", closed, { signal })
  }

  get subprotocol(): string {
    return this.socket.protocol
  }

  get extensions(): string {
    return this.socket.extensions
  }

  get isOpen(): boolean {
    return this.socket.readyState === WebSocket.OPEN
  }

  get buffered(): number {
    return this.socket.bufferedAmount
  }

  pause(): void {}

  resume(): void {}

  send(data: string | Uint8Array): void {
    this.socket.send(data as string | Uint8Array<ArrayBuffer>)
  }

  close({ code, reason }: CloseStatus): void {
    if (code === CloseCode.noStatus) this.socket.close()
    else this.socket.close(code, reason)
  }

  abandon(): void {
    this.listening.abort()
    this.socket.close()
  }
}
