/**
 * Effect's `HttpServerResponse` as the answer of a `http.ServerResponse`. `NodeHttpServer` of `@effect/platform-node`
 * writes them too, but cannot be imported without `ws`.
 *
 * The head of a stream leaves before its first chunk is there. A body that fails when its head has left cuts the
 * connection, as its client must not take it for a whole one.
 */
import type * as http from "node:http"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Cookies from "effect/http/Cookies"
import { causeResponse, HttpServerError, ResponseError } from "effect/http/HttpServerError"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Stream from "effect/Stream"
import * as Upgrade from "../Upgrade.ts"
import type { Request } from "./Request.ts"

type Response = HttpServerResponse.HttpServerResponse

type Fields = Record<string, string | ReadonlyArray<string>>

/** For `HttpEffect.toHandled`: writes the answer, and tells which when the connection was upgraded instead. */
export const respond = (
  request: HttpServerRequest.HttpServerRequest,
  response: Response
): Effect.Effect<unknown, HttpServerError> => {
  const { response: out, switched } = (request as Request).exchange
  if (switched !== undefined) return Effect.succeed(switched)
  if (out.writableEnded) return Effect.void
  // The client has gone.
  if (out.destroyed) return cancel(response)
  return Effect.catchDefect(
    Effect.suspend(() => write(request, response, out)),
    (defect) => failed(out, Cause.die(defect))
  )
}

const fieldsOf = ({ cookies, headers, status }: Response): Fields => {
  const fields: Fields = { ...headers }
  if (status === 204 || status === 205) delete fields["content-length"]
  if (Cookies.isEmpty(cookies)) return fields
  const own = fields["set-cookie"]
  fields["set-cookie"] = [...Cookies.toSetCookieHeaders(cookies), ...(own === undefined ? [] : [own].flat())]
  return fields
}

/** Throws what Node.js throws for a status or a field that it does not send. */
const writeHead = (out: http.ServerResponse, { status, statusText }: Response, fields: Fields): void => {
  if (!(status >= 200 && status <= 599)) throw new RangeError(`${status} is not the status of an answer`)
  out.writeHead(status, statusText, fields as http.OutgoingHttpHeaders)
}

const write = (
  request: HttpServerRequest.HttpServerRequest,
  response: Response,
  out: http.ServerResponse
): Effect.Effect<unknown, HttpServerError> => {
  const { body } = response
  const fields = fieldsOf(response)
  if (HttpServerResponse.omitsBody(response, request.method === "HEAD")) {
    writeHead(out, response, fields)
    return Effect.andThen(cancel(response), end(out))
  }
  const ending = (cause: Cause.Cause<unknown>) => failed(out, cause)
  switch (body._tag) {
    case "Empty":
      writeHead(out, response, fields)
      return end(out)
    case "Uint8Array":
      writeHead(out, response, fields)
      return end(out, body.body)
    case "Raw": {
      writeHead(out, response, fields)
      const content = body.body
      if (!(content instanceof Readable)) return end(out, content as string | Uint8Array | undefined)
      return Effect.catchCause(Effect.interruptible(pipe(request, response, content, out)), ending)
    }
    case "FormData": {
      const { body: content, headers } = new globalThis.Response(body.formData)
      writeHead(out, response, { ...fields, ...Object.fromEntries(headers) })
      const readable = Readable.fromWeb(content as Parameters<typeof Readable.fromWeb>[0])
      return Effect.catchCause(Effect.interruptible(pipe(request, response, readable, out)), ending)
    }
    case "Stream":
      writeHead(out, response, fields)
      out.flushHeaders()
      return Stream.runForEachArray(body.stream, (chunks) => writeAll(out, chunks)).pipe(
        Effect.interruptible,
        Effect.matchCauseEffect({ onFailure: ending, onSuccess: () => end(out) })
      )
  }
}

const writeAll = (out: http.ServerResponse, chunks: ReadonlyArray<Uint8Array>): Effect.Effect<void> =>
  Effect.suspend(() => {
    out.cork()
    for (const chunk of chunks) out.write(chunk)
    // Not what `write` has said: Node.js 24 emits "drain" in here, where the socket has taken all of it.
    out.uncork()
    return out.writableNeedDrain ? drained(out) : Effect.void
  })

const drained = (out: http.ServerResponse): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const done = () => resume(Effect.void)
    // The fiber may have yielded since it was looked.
    if (!out.writableNeedDrain) return done()
    out.once("drain", done)
    return Effect.sync(() => out.off("drain", done))
  })

const pipe = (
  request: HttpServerRequest.HttpServerRequest,
  response: Response,
  content: Readable,
  out: http.ServerResponse
): Effect.Effect<void, HttpServerError> =>
  Effect.tryPromise({
    try: (signal) => pipeline(content, out, { signal }),
    catch: (cause) => new HttpServerError({ reason: new ResponseError({ request, response, cause }) })
  })

/** A body up to this long may wait for its client without the request. */
const short = 65_536

/** Waits until a long answer is with the operating system, or the client has gone. */
const end = (out: http.ServerResponse, content?: string | Uint8Array): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (out.destroyed) return resume(Effect.void)
    if (content === undefined || content.length <= short) {
      out.end(content)
      return resume(Effect.void)
    }
    const done = () => {
      out.off("close", done)
      resume(Effect.void)
    }
    out.once("close", done)
    out.end(content, done)
    return undefined
  })

/** What was to be sent is not needed. */
const cancel = ({ body }: Response): Effect.Effect<void> =>
  Effect.sync(() => {
    if (body._tag === "Raw" && body.body instanceof Readable) body.body.destroy()
  })

/** Fails with the cause, when the client has been told of it. */
const failed = (out: http.ServerResponse, cause: Cause.Cause<unknown>): Effect.Effect<never, HttpServerError> =>
  Effect.flatMap(causeResponse(cause), ([{ status }, told]) => {
    // A head that could not be sent has left its words there.
    out.statusMessage = ""
    if (out.headersSent) out.destroy()
    else out.writeHead(status >= 200 && status <= 599 ? status : 500).end()
    return Effect.failCause(told as Cause.Cause<HttpServerError>)
  })

/** Bytes of a body that nobody wanted which are read all the same, so that the connection can be used again. */
const maxUnread = 262_144

/** Behind the answer: reads what is left of a body, or ends the connection where that would be long. */
export const leaveBody = (incoming: http.IncomingMessage): void => {
  if (incoming.complete || incoming.destroyed) return
  const { socket } = incoming
  let unread = 0
  incoming.on("data", (chunk: Uint8Array) => {
    unread += chunk.length
    if (unread <= maxUnread || incoming.isPaused()) return
    incoming.pause()
    socket.end()
    Upgrade.cutLate(socket, () => socket.destroy())
  })
  incoming.resume()
}
