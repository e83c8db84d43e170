/**
 * A message on its way to the members of a topic: encoded once for each encoding that one of them wants, whatever the
 * number of members.
 */
import type { Prepared } from "../connection/Prepared.ts"
import * as Position from "./Position.ts"

/** A way to encode publications, known by its identity: made once, and shared by all members that want it. */
export interface Encoding<out A = Uint8Array> {
  /** What is written; `undefined` for a message that has no form in this encoding. */
  readonly encode: (publication: Publication) => A | undefined
}

/** A message, its topic, and what has been made of it. */
export class Publication {
  readonly topic: string
  readonly message: Prepared
  /** Where it is in the log; `undefined` for what is not in it: what was said while the broker was away, or to a target. */
  readonly at: Position.Position | undefined
  /** By which it is known when it gets its place after all. Only what was said while the broker was away has one. */
  readonly key: string | undefined
  private printed: string | undefined
  private encoded: Map<Encoding<unknown>, unknown> | undefined

  constructor(topic: string, message: Prepared, at?: Position.Position, key?: string) {
    this.topic = topic
    this.message = message
    this.at = at
    this.key = key
  }

  /** The position behind it, as clients are told it. */
  get position(): string | undefined {
    if (this.at !== undefined) this.printed ??= Position.print(this.at)
    return this.printed
  }

  /** Calls the encoding the first time. Nobody may change what it gives. */
  encodedBy<A>(encoding: Encoding<A>): A | undefined {
    const known = this.encoded?.get(encoding)
    if (known !== undefined || this.encoded?.has(encoding) === true) return known as A
    const made = encoding.encode(this)
    this.encoded ??= new Map()
    this.encoded.set(encoding, made)
    return made
  }
}
