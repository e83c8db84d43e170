/**
 * How a packet becomes a message and back. A subprotocol says which codec is spoken; a codec of one's own is an object
 * of this type with a name of its own.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import type { Message, Sendable } from "../protocol/Message.ts"
import * as Packet from "./Packet.ts"

/** The peer's fault: a message that the codec cannot read. */
export class MalformedMessage extends Data.TaggedError("MalformedMessage")<{ readonly detail: string }> {
  override get message(): string {
    return `malformed: ${this.detail}`
  }
}

/** A codec without state: each message stands for itself. */
export interface MessageCodec {
  /** The WebSocket subprotocol that stands for it: RFC 6455 section 1.9. */
  readonly subprotocol: string
  /**
   * A value of JSON, in which a `Uint8Array` may stand, as one message. The value has been checked by its schema; what
   * cannot be represented is its schema's fault, and may throw.
   */
  readonly encode: (wire: unknown) => Sendable
  /** The value that a message stands for. Total, whatever the message. */
  readonly decode: (message: Message) => Result.Result<unknown, MalformedMessage>
}

/** The packet that a message is. Total. */
export const read = (
  codec: MessageCodec,
  message: Message
): Result.Result<Packet.Packet, MalformedMessage | Packet.InvalidPacket> => {
  const wire = codec.decode(message)
  return Result.isSuccess(wire) ? Packet.parse(wire.success) : Result.fail(wire.failure)
}

/** The message of a packet. Throws what `encode` throws. */
export const write = (codec: MessageCodec, packet: Packet.Packet): Sendable => codec.encode(Packet.print(packet))
