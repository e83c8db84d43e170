/**
 * A message as the application sees it: RFC 6455 section 5.6.
 */
import type { Chunks } from "../codec/Chunks.ts"

const nothing = new Uint8Array(0)

/** What a message is made of: its bytes in one piece, or in the pieces in which they came. */
export type Content = Uint8Array | Chunks

abstract class Whole {
  /** As the message is held: `undefined` for text of which only the string is there. */
  protected held: Content | undefined
  /** Whether it is to be compressed where both ends can; `undefined` leaves that to the connection. */
  readonly compress: boolean | undefined

  constructor(content: Content, compress?: boolean) {
    this.held = content
    this.compress = compress
  }

  /** For who passes the message on: joining the pieces of a long one is work that a relay need not do. */
  abstract readonly content: Content

  /** How many bytes it has. */
  get length(): number {
    return this.content.length
  }

  /** The bytes, joined when they are first asked for. They belong to whoever holds the message. */
  get bytes(): Uint8Array {
    const { content } = this
    return content instanceof Uint8Array ? content : (this.held = content.join())
  }
}

/**
 * Text, known to be UTF-8. What it was made of is kept, bytes or a string, and the other is made when it is first asked
 * for: what only passes a message on never pays for it.
 */
export class Text extends Whole {
  readonly _tag = "Text"
  private decoded: string | undefined

  /** Of bytes that are UTF-8, or of a string that is well-formed: see `text`. */
  constructor(content: Content | string, compress?: boolean) {
    super(typeof content === "string" ? nothing : content, compress)
    if (typeof content !== "string") return
    this.held = undefined
    this.decoded = content
  }

  /** What there is of it, whichever that is. */
  get source(): Content | string {
    return this.held ?? this.decoded!
  }

  get content(): Content {
    if (this.held === undefined) {
      this.held = encoder.encode(this.decoded)
      // Of what goes to many, or is kept, the bytes are what is used: nothing is held twice.
      this.decoded = undefined
    }
    return this.held
  }

  override get length(): number {
    // Who only counts bytes, as a session does, is not to have a string encoded for it, and decoded again.
    return this.held === undefined && this.decoded!.length <= short ? byteLength(this.decoded!) : super.length
  }

  get text(): string {
    return (this.decoded ??= decoder.decode(this.bytes))
  }
}

/** In UTF-16 units. Up to here bytes are counted faster than encoded. */
const short = 1_024

/** How many bytes of UTF-8 a string has that is well-formed. */
const byteLength = (text: string): number => {
  let length = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    // One of the two units of a character that takes four bytes has two of them.
    if (unit >= 0x80) length += unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 1 : 2
  }
  return length
}

/** Bytes without a meaning to the protocol. */
export class Binary extends Whole {
  readonly _tag = "Binary"

  get content(): Content {
    return this.held!
  }
}

export type Message = Text | Binary

/** What can be sent: a message, or the plain value of one. A string is a text message, bytes are a binary one. */
export type Sendable = Message | string | Uint8Array

/** A byte order mark is a character like any other in a message: RFC 3629 section 6. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
const encoder = new TextEncoder()

/** A text message, encoded when its bytes are asked for. Lone surrogates become U+FFFD, as everywhere on the web. */
export const text = (value: string): Text => new Text(value.toWellFormed())

/** A binary message. The bytes are not copied. */
export const binary = (bytes: Uint8Array): Binary => new Binary(bytes)

/** The message that a plain value stands for. */
export const from = (value: Sendable): Message =>
  typeof value === "string" ? text(value) : value instanceof Uint8Array ? binary(value) : value

const withCompress = (value: Sendable, compress: boolean): Message => {
  if (typeof value === "string") return new Text(value.toWellFormed(), compress)
  if (value instanceof Uint8Array) return new Binary(value, compress)
  return value._tag === "Text" ? new Text(value.source, compress) : new Binary(value.content, compress)
}

/** The same message, to be compressed where both ends can, however short it is. */
export const compressed = (value: Sendable): Message => withCompress(value, true)

/**
 * The same message, to be sent as it is: for what does not shrink, and for a secret beside which stands what an attacker
 * chooses, as the length of the two together would tell of it.
 */
export const uncompressed = (value: Sendable): Message => withCompress(value, false)
