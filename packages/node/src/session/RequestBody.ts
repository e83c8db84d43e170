/**
 * The body of a request, as far as there is room for it and as long as there is patience.
 */
import type { IncomingMessage } from "node:http"
import type { Http2ServerRequest } from "node:http2"
import { InvalidExchange } from "@millrace/core/codec/EventStreamMessages"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/** The network's or the client's fault: the body did not come to its end, and nobody is there to be told. */
export class BodyCut extends Data.TaggedError("BodyCut")<{}> {}

/** The client's fault: it took too long. */
export class BodyLate extends Data.TaggedError("BodyLate")<{}> {}

/** All of it, in bytes, at most `limit`. What is beyond that is not read. */
export const read = (
  request: IncomingMessage | Http2ServerRequest,
  limit: number,
  timeout: Duration.Input
): Effect.Effect<Uint8Array, BodyCut | BodyLate | InvalidExchange> =>
  Effect.timeoutOrElse(collect(request, limit), { duration: timeout, orElse: () => Effect.fail(new BodyLate()) })

/** RFC 9110 section 8.4: what is refused for its coding is answered with 415. */
const coded = new InvalidExchange({ status: 415, detail: "send it as it is, without Content-Encoding" })

const isCoded = ({ headers }: IncomingMessage | Http2ServerRequest): boolean =>
  ![undefined, "", "identity"].includes(headers["content-encoding"]?.toLowerCase())

const collect = (
  request: IncomingMessage | Http2ServerRequest,
  limit: number
): Effect.Effect<Uint8Array, BodyCut | InvalidExchange> =>
  Effect.callback((resume) => {
    const tooLarge = Effect.fail(new InvalidExchange({ status: 413, detail: `more than ${limit} bytes` }))
    const chunks: Array<Buffer> = []
    let length = 0
    const stop = () => {
      request.off("data", onData).off("end", onEnd).off("close", onClose)
    }
    const settle = (result: Effect.Effect<Uint8Array, BodyCut | InvalidExchange>) => {
      stop()
      resume(result)
    }
    const onData = (chunk: Buffer) => {
      length += chunk.length
      if (length > limit) settle(tooLarge)
      else chunks.push(chunk)
    }
    const onEnd = () => settle(Effect.succeed(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
    const onClose = () => settle(Effect.fail(new BodyCut()))
    if (isCoded(request)) return resume(Effect.fail(coded))
    if (Number(request.headers["content-length"] ?? 0) > limit) return resume(tooLarge)
    request.on("data", onData).on("end", onEnd).on("close", onClose)
    return Effect.sync(stop)
  })
