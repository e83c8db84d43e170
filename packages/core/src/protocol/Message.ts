/**
 * A message as the application sees it: RFC 6455 section 5.6.
 */

/**
 * Text, known to be UTF-8. The bytes are kept as they came, and the string is made when it is first asked for: what
 * only passes a message on never pays for it.
 */
export class Text {
  readonly _tag = "Text"
  /** The UTF-8 bytes. They belong to whoever holds the message; a view of what the socket read. */
  readonly bytes: Uint8Array
  private decoded: string | undefined

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  get text(): string {
    return (this.decoded ??= decoder.decode(this.bytes))
  }
}

/** Bytes without a meaning to the protocol. */
export class Binary {
  readonly _tag = "Binary"
  readonly bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
}

/** Either, told apart by `_tag`. */
export type Message = Text | Binary

/** What can be sent: a message, or the plain value of one. A string is a text message, bytes are a binary one. */
export type Sendable = Message | string | Uint8Array

/** A byte order mark is a character like any other in a message: RFC 3629 section 6. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
const encoder = new TextEncoder()

/** A text message. Lone surrogates become U+FFFD, as everywhere on the web. */
export const text = (value: string): Text => new Text(encoder.encode(value))

/** A binary message. The bytes are not copied. */
export const binary = (bytes: Uint8Array): Binary => new Binary(bytes)
