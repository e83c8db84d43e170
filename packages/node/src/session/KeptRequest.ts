/**
 * What a request has asked, for as long as its connection lasts: in a few hundred bytes, where the request itself, with
 * all that Node.js has of it, would take several thousand.
 */
import type * as HttpHeaders from "@millrace/core/codec/HttpHeaders"
import * as Upgrade from "../Upgrade.ts"
import type { Asking } from "./Asking.ts"

export class KeptRequest implements Asking {
  readonly path: string
  /** As it was when it was asked: it can still be told when the connection has ended. */
  readonly remoteAddress: string | undefined
  private readonly search: string
  /** A field a line, as no name has a colon in it, and no value the end of a line. */
  private readonly fields: string

  constructor({ headers, path, query, remoteAddress }: Asking) {
    this.path = path
    this.remoteAddress = remoteAddress
    this.search = query.toString()
    this.fields = headers.map(([name, value]) => `${name}:${value}\n`).join("")
  }

  /** A copy, read anew each time. */
  get query(): URLSearchParams {
    return new URLSearchParams(this.search)
  }

  /** The same. */
  get headers(): HttpHeaders.Headers {
    const lines = this.fields.split("\n").slice(0, -1)
    return lines.map((line) => {
      const colon = line.indexOf(":")
      return [line.slice(0, colon), line.slice(colon + 1)] as const
    })
  }

  header(name: string): string | undefined {
    return Upgrade.valueOf(this.headers, name)
  }
}
