/**
 * What an event source asks: its request, made of what the caller said, and checked before anything is sent.
 */
import * as Result from "effect/Result"
import * as HttpHeaders from "../codec/HttpHeaders.ts"
import { InvalidRequest } from "./EventSourceError.ts"
import type { Request } from "./Fetch.ts"

/** What is asked for. */
export interface Options {
  /** Default GET, or POST where there is a body. */
  readonly method?: string | undefined
  /** Authorization and the like. `Accept: text/event-stream` is sent unless there is another. */
  readonly headers?: HttpHeaders.Headers | Readonly<Record<string, string>> | undefined
  /** Sent with each request. Its type is among the headers. */
  readonly body?: string | Uint8Array<ArrayBuffer> | undefined
}

const encoder = new TextEncoder()

const invalid = (part: InvalidRequest["part"], detail: string) => Result.fail(new InvalidRequest({ part, detail }))

/** The request, without what the protocol adds, or what is wrong with it. */
export const make = (url: string, options: Options): Result.Result<Request, InvalidRequest> => {
  if (!URL.canParse(url)) return invalid("URL", "it is no absolute URL")
  const parsed = new URL(url)
  if (parsed.protocol !== "http:" && parsed.protocol !== "https:")
    return invalid("URL", "it is neither http: nor https:")
  if (parsed.username !== "" || parsed.password !== "") {
    return invalid("URL", "it has a user; credentials go into a header")
  }
  parsed.hash = ""
  const { body, headers: given = [], method = body === undefined ? "GET" : "POST" } = options
  if (!HttpHeaders.isToken(method)) return invalid("method", "not a token (RFC 9110 9.1)")
  if (body !== undefined && (method === "GET" || method === "HEAD")) return invalid("body", `${method} has none`)
  const headers = Symbol.iterator in given ? (given as HttpHeaders.Headers) : Object.entries(given)
  if (has(headers, "Last-Event-ID")) return invalid("header", "the last event ID is an option of its own")
  return HttpHeaders.validate(headers).pipe(
    Result.mapError(({ clause, detail }) => new InvalidRequest({ part: "header", detail: `${detail} (${clause})` })),
    Result.map(() => ({
      method,
      url: parsed.href,
      headers,
      body: typeof body === "string" ? encoder.encode(body) : body,
      credentials: true
    }))
  )
}

const has = (headers: HttpHeaders.Headers, name: string) => HttpHeaders.values(headers, name).length > 0

/** The same request with the fields of the protocol, of which those that the caller has set stay as they are. */
export const withFields = (self: Request, fields: HttpHeaders.Headers): Request => ({
  ...self,
  headers: [...fields.filter(([name]) => !has(self.headers, name)), ...self.headers]
})

/** Whether it asks and does nothing: RFC 9110 section 9.2.1. Only such a request is made again without being told to. */
export const isSafe = ({ method }: Request): boolean => ["GET", "HEAD", "OPTIONS", "QUERY"].includes(method)
