/**
 * Answers of the hub by HTTP, and what it takes from a request.
 */
import type * as http from "node:http"
import type { Refusal } from "@millrace/core/codec/HandshakeError"
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import * as Effect from "effect/Effect"

/** Answers; the body is left out for HEAD. */
export const send = (
  response: http.ServerResponse,
  status: number,
  type: string,
  body: string | Buffer,
  headers: http.OutgoingHttpHeaders = {}
): void => {
  response.writeHead(status, {
    "Content-Type": type,
    "Content-Length": Buffer.byteLength(body),
    "X-Content-Type-Options": "nosniff",
    ...headers
  })
  response.end(response.req.method === "HEAD" ? undefined : body)
}

/** JSON as one line, which nobody keeps. */
export const jsonText = (
  response: http.ServerResponse,
  status: number,
  text: string,
  headers: http.OutgoingHttpHeaders = {}
): void => send(response, status, "application/json", `${text}\n`, { "Cache-Control": "no-store", ...headers })

export const json = (
  response: http.ServerResponse,
  status: number,
  value: unknown,
  headers: http.OutgoingHttpHeaders = {}
): void => jsonText(response, status, JSON.stringify(value), headers)

/** A code for programs and a sentence for people. */
export const problem = (
  response: http.ServerResponse,
  status: number,
  code: string,
  message: string,
  headers: http.OutgoingHttpHeaders = {}
): void => json(response, status, { error: { code, message } }, headers)

/** The body as text; `undefined`, and the answer is given, when it is longer than allowed or not UTF-8. */
export const readBody = (
  request: http.IncomingMessage,
  response: http.ServerResponse,
  limit: number
): Effect.Effect<string | undefined> =>
  Effect.callback((resume) => {
    const chunks: Array<Buffer> = []
    let length = 0
    const tooLarge = () => {
      request.removeAllListeners("data")
      // The rest of it is not read; the connection cannot be used for another request.
      problem(response, 413, "too-large", `a publication has at most ${limit} bytes`, { Connection: "close" })
      request.resume()
      resume(Effect.succeed(undefined))
    }
    if (Number(request.headers["content-length"] ?? 0) > limit) return tooLarge()
    request.on("data", (chunk: Buffer) => {
      length += chunk.length
      if (length > limit) tooLarge()
      else chunks.push(chunk)
    })
    request.on("end", () => {
      // The one too many may have been the last: then the answer is given.
      if (length > limit) return
      try {
        resume(Effect.succeed(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks))))
      } catch {
        problem(response, 400, "bad-json", "the body is not UTF-8")
        resume(Effect.succeed(undefined))
      }
    })
    request.on("close", () => resume(Effect.succeed(undefined)))
  })

/** Whether the body is JSON as it is: of that type, in no other character set than UTF-8, and not compressed. */
export const isPlainJson = ({ headers }: http.IncomingMessage): boolean => {
  const [type = "", ...parameters] = (headers["content-type"] ?? "").toLowerCase().split(";")
  const charset = parameters.map((parameter) => parameter.trim()).find((parameter) => parameter.startsWith("charset="))
  const inUtf8 = charset === undefined || charset === "charset=utf-8" || charset === 'charset="utf-8"'
  return type.trim() === "application/json" && inUtf8 && (headers["content-encoding"] ?? "identity") === "identity"
}

/** What a program has refused with. */
export const refusal = (
  response: http.ServerResponse,
  { body, detail, headers, status }: Refusal,
  more: Headers = []
): void => {
  const fields = Object.fromEntries([["Content-Type", "text/plain; charset=utf-8"], ...more, ...headers])
  const { "Content-Type": type, ...rest } = fields as Record<string, string>
  send(response, status, type!, body ?? detail, { "Cache-Control": "no-store", ...rest })
}
