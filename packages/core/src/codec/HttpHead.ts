/**
 * The head of an HTTP/1.1 message, RFC 9112 sections 2 to 5: what stands before the body, as values and as bytes.
 *
 * Strict where leniency has been an attack: lines end with CR LF and nothing else, a field is on one line, a name is a
 * token that the colon follows. Bytes are taken as ISO 8859-1, so nothing is lost or invented.
 *
 * Not here: bodies, and what a head means for WebSocket (`Handshake`).
 */
import * as Result from "effect/Result"
import { InvalidHead, MalformedHead } from "./HandshakeError.ts"
import * as HttpHeaders from "./HttpHeaders.ts"
import type { Headers } from "./HttpHeaders.ts"

/** RFC 9112 section 2.3. */
export interface HttpVersion {
  /** 0 to 9. */
  readonly major: number
  /** 0 to 9. */
  readonly minor: number
}

/** The head of a request: its line and its fields. */
export interface Request {
  readonly method: string
  /** As it stands in the request line. RFC 9112 section 3.2. */
  readonly target: string
  readonly version: HttpVersion
  readonly headers: Headers
}

/** The version of a response is not kept: it changes nothing for a WebSocket. */
export interface Response {
  /** 100 to 999. */
  readonly status: number
  /** The reason phrase, often empty. It means nothing to a program. */
  readonly reason: string
  readonly headers: Headers
}

/** How much head a peer may send. Checked byte by byte and line by line, before anything is kept. */
export interface Limits {
  /** The whole head, in bytes, with the empty line that ends it. */
  readonly maxBytes: number
  /** Header fields. The start line is not counted. */
  readonly maxLines: number
}

/** 8 KiB, 128 fields. */
export const defaultLimits: Limits = { maxBytes: 8192, maxLines: 128 }

/** A whole head, and how many bytes of the last chunk belong to it: the rest is what the peer said next. */
export interface Read<A> {
  readonly head: A
  readonly consumed: number
}

/**
 * Reads one head from chunks cut anywhere, in linear time.
 *
 * `push` gives `undefined` while the head is not complete, then the head; fails with `MalformedHead`, the peer's fault,
 * as soon as a byte shows it: status 431 over a limit, 505 for another major version, otherwise 400. The outcome is
 * final, later pushes repeat it and consume nothing.
 */
export interface Reader<A> {
  readonly push: (chunk: Uint8Array) => Result.Result<Read<A> | undefined, MalformedHead>
}

const malformed = (clause: string, detail: string, status: 400 | 431 | 505 = 400) =>
  Result.fail(new MalformedHead({ status, clause, detail }))

const incomplete = Result.succeed(undefined)

const latin1 = (bytes: Uint8Array): string => {
  let text = ""
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096))
  return text
}

/** RFC 9112 section 5: a name, a colon, a value on the same line. */
const parseField = (line: string): Result.Result<readonly [string, string], MalformedHead> => {
  if (line.startsWith(" ") || line.startsWith("\t")) return malformed("RFC 9112 5.2", "folded header field")
  const colon = line.indexOf(":")
  if (colon === -1) return malformed("RFC 9112 5", "header line without a colon")
  const name = line.slice(0, colon)
  if (!HttpHeaders.isToken(name)) return malformed("RFC 9112 5.1", "header field name is not a token")
  return Result.succeed([name, HttpHeaders.trim(line.slice(colon + 1))])
}

const makeReader = <Start, A>(
  limits: Limits,
  parseStart: (line: string) => Result.Result<Start, MalformedHead>,
  complete: (start: Start, headers: Headers) => A
): Reader<A> => {
  let outcome: Result.Result<A, MalformedHead> | undefined
  let length = 0
  /** The part of the current line that earlier chunks brought. */
  let line = ""
  let afterReturn = false
  let start: Start | undefined
  const headers: Array<readonly [string, string]> = []

  /** Takes a whole line; gives the head when the line is the empty one. */
  const take = (text: string): Result.Result<A | undefined, MalformedHead> => {
    if (start === undefined) {
      const parsed = parseStart(text)
      if (Result.isFailure(parsed)) return Result.fail(parsed.failure)
      start = parsed.success
      return incomplete
    }
    if (text === "") return Result.succeed(complete(start, headers))
    if (headers.length === limits.maxLines) return malformed("RFC 6585 5", "too many header fields", 431)
    const field = parseField(text)
    if (Result.isFailure(field)) return Result.fail(field.failure)
    headers.push(field.success)
    return incomplete
  }

  const scan = (chunk: Uint8Array): Result.Result<Read<A> | undefined, MalformedHead> => {
    let from = 0
    for (let i = 0; i < chunk.length; i++) {
      if (++length > limits.maxBytes) return malformed("RFC 6585 5", "header too long", 431)
      const byte = chunk[i]!
      if (afterReturn) {
        if (byte !== 0x0a) return malformed("RFC 9112 2.2", "carriage return without line feed")
        const taken = take(line)
        if (Result.isFailure(taken)) return Result.fail(taken.failure)
        if (taken.success !== undefined) return Result.succeed({ head: taken.success, consumed: i + 1 })
        afterReturn = false
        line = ""
        from = i + 1
      } else if (byte === 0x0d) {
        afterReturn = true
        line += latin1(chunk.subarray(from, i))
      } else if (byte === 0x0a) {
        return malformed("RFC 9112 2.2", "line feed without carriage return")
      } else if ((byte < 0x20 && byte !== 0x09) || byte === 0x7f) {
        return malformed("RFC 9110 5.5", "control character")
      }
    }
    if (!afterReturn) line += latin1(chunk.subarray(from))
    return incomplete
  }

  const push: Reader<A>["push"] = (chunk) => {
    if (outcome !== undefined) return Result.map(outcome, (head) => ({ head, consumed: 0 }))
    const read = scan(chunk)
    if (Result.isFailure(read)) outcome = Result.fail(read.failure)
    else if (read.success !== undefined) outcome = Result.succeed(read.success.head)
    return read
  }

  return { push }
}

const digit = (character: string | undefined): number | undefined =>
  character !== undefined && character >= "0" && character <= "9" ? Number(character) : undefined

/** `HTTP/` DIGIT `.` DIGIT. RFC 9112 section 2.3. */
const parseVersion = (text: string): HttpVersion | undefined => {
  const [major, minor] = [digit(text[5]), digit(text[7])]
  if (text.length !== 8 || !text.startsWith("HTTP/") || text[6] !== ".") return undefined
  return major === undefined || minor === undefined ? undefined : { major, minor }
}

/** Visible ASCII, nothing else, and not nothing: what may stand in a request line as its target. RFC 9112 section 3.2. */
export const isTarget = (text: string): boolean => {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code <= 0x20 || code >= 0x7f) return false
  }
  return text !== ""
}

const parseRequestLine = (line: string): Result.Result<Omit<Request, "headers">, MalformedHead> => {
  const [method, target, protocol, more] = line.split(" ", 4)
  const version = parseVersion(protocol ?? "")
  if (!HttpHeaders.isToken(method ?? "")) return malformed("RFC 9112 3.1", "method is not a token")
  if (!isTarget(target ?? "")) return malformed("RFC 9112 3.2", "request target is not visible ASCII")
  if (version === undefined || more !== undefined)
    return malformed("RFC 9112 3", "request line without an HTTP version")
  if (version.major !== 1) return malformed("RFC 9110 15.6.6", "not HTTP/1", 505)
  return Result.succeed({ method: method!, target: target!, version })
}

const parseStatusLine = (line: string): Result.Result<Omit<Response, "headers">, MalformedHead> => {
  const version = parseVersion(line.slice(0, 8))
  const digits = [digit(line[9]), digit(line[10]), digit(line[11])]
  const status = digits.reduce<number>((sum, next) => sum * 10 + (next ?? Number.NaN), 0)
  if (version === undefined || version.major !== 1) return malformed("RFC 9112 4", "status line without HTTP/1")
  // The space after the status is required even where no reason follows it; enough servers leave it out.
  if (line[8] !== " " || !(status >= 100) || (line.length > 12 && line[12] !== " ")) {
    return malformed("RFC 9112 4", "status is not three digits")
  }
  return Result.succeed({ status, reason: line.slice(13) })
}

/** A server's reader of the request that opens a connection. */
export const requestReader = (limits: Limits = defaultLimits): Reader<Request> =>
  makeReader(limits, parseRequestLine, (start, headers): Request => ({ ...start, headers }))

/** A client's reader of the response. */
export const responseReader = (limits: Limits = defaultLimits): Reader<Response> =>
  makeReader(limits, parseStatusLine, (start, headers): Response => ({ ...start, headers }))

/** Only for text that was found printable: each character is one byte. */
const bytesOf = (startLine: string, headers: Headers): Uint8Array => {
  const text = `${startLine}\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`
  return Uint8Array.from(text, (character) => character.charCodeAt(0))
}

const isDigit = (n: number) => Number.isInteger(n) && n >= 0 && n <= 9

/**
 * The bytes of a request, which `requestReader` reads back as the same value.
 *
 * Fails with `InvalidHead`, the caller's fault, when any part would break out of its place or would not come back as it
 * is: a control character anywhere, a space in the target, a name that is no token.
 */
export const printRequest = (request: Request): Result.Result<Uint8Array, InvalidHead> => {
  const { headers, method, target, version } = request
  if (!HttpHeaders.isToken(method)) {
    return Result.fail(new InvalidHead({ part: "method", clause: "RFC 9110 9.1", detail: "not a token" }))
  }
  if (!isTarget(target)) {
    return Result.fail(new InvalidHead({ part: "target", clause: "RFC 9112 3.2", detail: "not visible ASCII" }))
  }
  if (version.major !== 1 || !isDigit(version.minor)) {
    return Result.fail(new InvalidHead({ part: "version", clause: "RFC 9112 2.3", detail: "not a version of HTTP/1" }))
  }
  return Result.map(HttpHeaders.validate(headers), () =>
    bytesOf(`${method} ${target} HTTP/1.${version.minor}`, headers)
  )
}

/** The bytes of a response, which `responseReader` reads back as the same value. Fails as `printRequest` does. */
export const printResponse = (response: Response): Result.Result<Uint8Array, InvalidHead> => {
  const { headers, reason, status } = response
  if (!Number.isInteger(status) || status < 100 || status > 999) {
    return Result.fail(new InvalidHead({ part: "status", clause: "RFC 9112 4", detail: "not three digits" }))
  }
  if (!HttpHeaders.isPrintable(reason)) {
    return Result.fail(new InvalidHead({ part: "reason", clause: "RFC 9112 4", detail: "has a control character" }))
  }
  return Result.map(HttpHeaders.validate(headers), () => bytesOf(`HTTP/1.1 ${status} ${reason}`, headers))
}
