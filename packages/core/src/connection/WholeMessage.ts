/**
 * A message that is given out as a stream though it has come whole, as a link gives no other.
 */
import type { StreamedMessage } from "./StreamedMessage.ts"
import type * as Message from "../protocol/Message.ts"
import type { Kind } from "../protocol/WebSocketProtocol.ts"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

export class WholeMessage implements StreamedMessage {
  readonly kind: Kind
  isRead = false
  private readonly message: Message.Message

  constructor(message: Message.Message) {
    this.kind = message._tag === "Text" ? "text" : "binary"
    this.message = message
  }

  get bytes(): Stream.Stream<Uint8Array> {
    return this.once(() => this.message.bytes)
  }

  get text(): Stream.Stream<string> {
    return this.once(() =>
      this.message._tag === "Text"
        ? this.message.text
        : new TextDecoder("utf-8", { ignoreBOM: true }).decode(this.message.bytes)
    )
  }

  readonly skip: Effect.Effect<void> = Effect.sync(() => {
    this.isRead = true
  })

  private once<A extends { readonly length: number }>(content: () => A): Stream.Stream<A> {
    return Stream.suspend(() => {
      const piece = this.isRead ? undefined : content()
      this.isRead = true
      return piece === undefined || piece.length === 0 ? Stream.empty : Stream.succeed(piece)
    })
  }
}
