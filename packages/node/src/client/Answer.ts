/**
 * A server's answer to a request for a WebSocket, whichever version of HTTP carried it.
 */
import type { Http2Stream } from "node:http2"
import type { Readable } from "node:stream"
import type { Declined, HandshakeViolation } from "@millrace/core/codec/HandshakeError"
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import type { Agreed, Wanted } from "@millrace/core/codec/Negotiation"
import { Refused } from "@millrace/core/connection/Refused"
import type { Transport } from "@millrace/core/connection/Transport"
import { TransportError } from "@millrace/core/connection/WebSocketError"
import * as Effect from "effect/Effect"
import type * as Result from "effect/Result"
import type { Session } from "./Http2.ts"

/** What is asked for on every hop of the way. */
export interface Asked extends Wanted {
  readonly origin: string | undefined
}

export interface Answer {
  readonly httpVersion: "1.1" | "2"
  readonly status: number
  /** Without pseudo-header fields. */
  readonly headers: Headers
  /** What it agrees to, by the rules of its carrier. */
  readonly agreed: Result.Result<Agreed, Declined | HandshakeViolation>
  /** There when the answer has left us with a duplex of bytes. */
  readonly transport: Transport | undefined
  readonly body: Readable
  /** Whose stream it came on. */
  readonly session?: Session | undefined
}

/** What is held on the way to a connection: one thing at a time, which who gives up has to let go of. */
export class Held {
  private letGo: (() => void) | undefined

  hold(letGo: () => void): void {
    this.letGo = letGo
  }

  /** Leaves no socket and no stream behind. Idempotent. */
  release(): void {
    this.letGo?.()
    this.letGo = undefined
  }
}

const maxBody = 65_536

/** A refusal, whose body may still be coming. */
export class Refusing {
  private readonly answer: Answer
  private readonly url: string
  private readonly detail: string | undefined
  private readonly chunks: Array<Uint8Array> = []
  private room = maxBody

  /** `url` is where the answer came from. */
  constructor(answer: Answer, url: string, detail: string | undefined) {
    this.answer = answer
    this.url = url
    this.detail = detail
  }

  /** Says whether there is room for all of it. */
  private take(chunk: Uint8Array): boolean {
    const taken = chunk.subarray(0, this.room)
    this.chunks.push(taken)
    this.room -= taken.length
    return taken.length === chunk.length
  }

  end(truncated: boolean): Refused {
    const { answer, detail, url } = this
    const { status, headers } = answer
    return new Refused({ status, headers, url, body: Buffer.concat(this.chunks), truncated, detail })
  }

  /** Reads the body, as far as there is room for it and as it comes. */
  get read(): Effect.Effect<never, Refused> {
    return Effect.callback((resume) => {
      const { body } = this.answer
      const end = (truncated: boolean) => resume(Effect.fail(this.end(truncated)))
      body.on("error", () => end(true))
      body.on("close", () => end(true))
      // A stream of HTTP/2 ends when it is reset, too.
      body.on("end", () => end(((body as Partial<Http2Stream>).rstCode ?? 0) !== 0))
      body.on("data", (chunk: Buffer) => {
        if (!this.take(chunk)) end(true)
      })
    })
  }
}

/** A name with several addresses fails with the failures of all of them, and with no message of its own. */
export const networkFailure = (error: Error): TransportError =>
  new TransportError({ cause: error instanceof AggregateError ? (error.errors[0] ?? error) : error })
