/**
 * A WebSocket that has come to another node, as the node has it whose session it is for.
 */
import type { CloseStatus } from "@millrace/core/codec/CloseCode"
import type { Link, Owner } from "@millrace/core/connection/Link"
import * as Effect from "effect/Effect"
import type { End, Flow, Taker } from "./EngineFlow.ts"

export class FlowLink implements Link, Taker {
  readonly subprotocol = ""
  readonly extensions = ""
  readonly canPause = true
  readonly tellsDrained = true
  isOpen = true
  private readonly owner: Owner
  private readonly flow: Flow
  private paused = false
  private waiting: Array<() => void> = []

  constructor(owner: Owner, flow: Flow) {
    this.owner = owner
    this.flow = flow
  }

  get buffered(): number {
    return this.flow.buffered
  }

  // Down.

  send(data: string | Uint8Array): void {
    this.flow.send(data)
  }

  close({ code, reason }: CloseStatus): void {
    this.isOpen = false
    this.flow.finish(code, reason)
  }

  abandon(): void {
    this.isOpen = false
    this.flow.lose()
  }

  drained(): void {
    this.owner.drained()
  }

  // Up.

  message(data: string | Uint8Array): void {
    this.owner.message(data)
  }

  ended(_by: "lost" | "them" | "us", end: End | undefined): void {
    this.isOpen = false
    this.resume()
    this.owner.ended(end === undefined ? undefined : { code: end.code, reason: end.text })
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
    const { waiting } = this
    this.waiting = []
    for (const go of waiting) go()
  }

  readonly room: Effect.Effect<void> = Effect.callback<void>((resume) => {
    if (!this.paused) return resume(Effect.void)
    const go = () => resume(Effect.void)
    this.waiting.push(go)
    return Effect.sync(() => {
      this.waiting = this.waiting.filter((other) => other !== go)
    })
  })
}
