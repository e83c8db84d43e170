/**
 * A message on its way to the members of a topic: encoded once for each encoding that one of them wants, whatever the
 * number of members.
 */
import type { Prepared } from "../connection/Prepared.ts"

/** A way to encode publications, known by its identity: made once, and shared by all members that want it. */
export interface Encoding {
  /** The bytes as they are written; `undefined` for a message that has no form in this encoding. */
  readonly encode: (publication: Publication) => Uint8Array | undefined
}

/** A message, its topic, and what has been made of it. */
export class Publication {
  readonly topic: string
  readonly message: Prepared
  /** Where it is in the hub's history, as clients are told; `undefined` where there is none. */
  readonly position: string | undefined
  private encoded: Map<Encoding, Uint8Array | undefined> | undefined

  constructor(topic: string, message: Prepared, position?: string) {
    this.topic = topic
    this.message = message
    this.position = position
  }

  /** Calls the encoding the first time. Nobody may change the bytes. */
  encodedBy(encoding: Encoding): Uint8Array | undefined {
    const known = this.encoded?.get(encoding)
    if (known !== undefined || this.encoded?.has(encoding) === true) return known
    const bytes = encoding.encode(this)
    this.encoded ??= new Map()
    this.encoded.set(encoding, bytes)
    return bytes
  }
}
