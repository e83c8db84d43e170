/**
 * A message that goes to many: encoded once, whatever the number of receivers.
 */
import * as Frame from "../codec/Frame.ts"
import * as Message from "../protocol/Message.ts"

/** A message, and its frame once somebody has asked for it. Made by `make`. */
export class Prepared {
  readonly message: Message.Message
  private encoded: Uint8Array | undefined

  constructor(message: Message.Message) {
    this.message = message
  }

  /** The frame as a server sends it. A client masks each frame with a new key, so it has nothing to share. */
  get serverFrame(): Uint8Array {
    return (this.encoded ??= Frame.encode({
      fin: true,
      rsv: 0,
      opcode: this.message._tag === "Text" ? Frame.Opcode.text : Frame.Opcode.binary,
      payload: this.message.bytes
    }))
  }
}

/** Prepares a message. The bytes must not change any more. */
export const make = (message: Message.Sendable): Prepared =>
  new Prepared(
    typeof message === "string"
      ? Message.text(message)
      : message instanceof Uint8Array
        ? Message.binary(message)
        : message
  )
