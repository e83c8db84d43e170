/**
 * A message that goes to many: encoded once, whatever the number of receivers.
 */
import * as Frame from "../codec/Frame.ts"
import * as Message from "../protocol/Message.ts"
import type { Outgoing, Shared } from "./Extension.ts"

const encode = (message: Message.Message, payload: Uint8Array, rsv: number): Uint8Array =>
  Frame.encode({
    fin: true,
    rsv,
    opcode: message._tag === "Text" ? Frame.Opcode.text : Frame.Opcode.binary,
    payload
  })

/** A message as an extension has coded it, for all connections on which that comes out the same. */
export class SharedCode {
  readonly payload: Uint8Array
  readonly rsv: number
  private readonly message: Message.Message
  private frame: Uint8Array | undefined

  constructor(message: Message.Message, payload: Uint8Array, rsv: number) {
    this.message = message
    this.payload = payload
    this.rsv = rsv
  }

  /** The frame as a server sends it. */
  get serverFrame(): Uint8Array {
    return (this.frame ??= encode(this.message, this.payload, this.rsv))
  }
}

/** A message, and its frame once somebody has asked for it. Made by `make`. */
export class Prepared {
  readonly message: Message.Message
  private encoded: Uint8Array | undefined
  private sending: Outgoing<Uint8Array> | undefined
  private codes: Map<string, SharedCode | undefined> | undefined

  constructor(message: Message.Message) {
    this.message = message
  }

  /** How many bytes it has, uncompressed. */
  get length(): number {
    return this.message.length
  }

  /** The frame as a server sends it. A client masks each frame with a new key, so it has nothing to share. */
  get serverFrame(): Uint8Array {
    return (this.encoded ??= encode(this.message, this.message.bytes, 0))
  }

  /** As an extension sees it. */
  get outgoing(): Outgoing<Uint8Array> {
    return (this.sending ??= {
      kind: this.message._tag === "Text" ? "text" : "binary",
      payload: this.message.bytes,
      compress: this.message.compress
    })
  }

  /** How that extension codes it; `undefined` when it leaves it as it is. Coded once for each key. */
  codedBy({ encode, key }: Shared): SharedCode | undefined {
    const codes = (this.codes ??= new Map())
    const known = codes.get(key)
    if (known !== undefined || codes.has(key)) return known
    const coded = encode(this.outgoing)
    const code = coded === undefined ? undefined : new SharedCode(this.message, coded.payload, coded.rsv)
    codes.set(key, code)
    return code
  }
}

/** Prepares a message. The bytes must not change any more. */
export const make = (message: Message.Sendable): Prepared => new Prepared(Message.from(message))
