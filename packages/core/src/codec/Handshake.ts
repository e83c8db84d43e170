/**
 * The opening handshake over HTTP/1.1: RFC 6455 sections 1.3 and 4, for both ends, as functions between plain values.
 *
 * A client: `request`, then `verify` what comes back. A server: `readRequest`, then `Negotiation.checkOrigin` and
 * `Negotiation.chooseSubprotocol`, then `response`, or `refuse`. A `Request` comes from `HttpHead.requestReader`, or from any HTTP server: a method, a
 * target and the fields as a list are all that is needed.
 *
 * Not here: bytes (`HttpHead`), the same over HTTP/2 (`ExtendedConnect`), the meaning of an extension's parameters
 * (`PerMessageDeflate`), sockets and randomness (the 16 bytes of the key are an argument).
 */
import * as Result from "effect/Result"
import * as Base64 from "./Base64.ts"
import { Declined, HandshakeViolation, InvalidHead, Refusal } from "./HandshakeError.ts"
import type { MalformedHead } from "./HandshakeError.ts"
import * as HttpHead from "./HttpHead.ts"
import type { Request, Response } from "./HttpHead.ts"
import * as HttpHeaders from "./HttpHeaders.ts"
import type { Headers } from "./HttpHeaders.ts"
import * as Negotiation from "./Negotiation.ts"
import type { Agreed, Chosen, ClientFields, Offered, Wanted } from "./Negotiation.ts"
import * as Origin from "./Origin.ts"
import * as Sha1 from "./Sha1.ts"

/** Any number that no other protocol would come up with. RFC 6455 section 1.3. */
const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/** The value of `Sec-WebSocket-Accept` for a value of `Sec-WebSocket-Key`. RFC 6455 section 4.2.2, step 5.4. */
export const acceptKey = (key: string): string => Base64.encode(Sha1.digest(new TextEncoder().encode(key + guid)))

/** What a client's handshake is made of. */
export interface RequestOptions extends ClientFields {
  /** The host, with the port when it is not the default one. */
  readonly host: string
  /** The resource name, such as `/chat?room=1`. RFC 6455 section 3. */
  readonly target: string
  /** 16 bytes, random for each connection. */
  readonly key: Uint8Array
}

const invalid = (part: InvalidHead["part"], clause: string, detail: string) =>
  Result.fail(new InvalidHead({ part, clause, detail }))

/**
 * The request that opens a connection. Fails with `InvalidHead`, the caller's fault, when an option cannot be sent as it
 * is, so the request can be given to an HTTP client that does not look.
 */
export const request = (options: RequestOptions): Result.Result<Request, InvalidHead> =>
  Result.gen(function* () {
    const { host, key, target } = options
    if (Origin.parseAuthority(host) === undefined) return yield* invalid("host", "RFC 6455 4.1", "not a host and port")
    if (!target.startsWith("/") || !HttpHead.isTarget(target) || target.includes("#")) {
      return yield* invalid("target", "RFC 6455 3", "not a path, with a query or not, of visible ASCII")
    }
    if (key.length !== 16) return yield* invalid("key", "RFC 6455 4.1", "not 16 bytes")
    const fields = yield* Negotiation.clientFields(options)
    return {
      method: "GET",
      target,
      version: { major: 1, minor: 1 },
      headers: [
        ["Host", host],
        ["Upgrade", "websocket"],
        ["Connection", "Upgrade"],
        ["Sec-WebSocket-Key", Base64.encode(key)],
        ...fields
      ]
    }
  })

const violates = (field: HandshakeViolation["field"], detail: string) =>
  Result.fail(new HandshakeViolation({ field, clause: "RFC 6455 4.1", detail }))

/**
 * What the server agreed to, by the six checks of RFC 6455 section 4.1. The options that made the request will do as the
 * second argument.
 *
 * Fails with `Declined`, nobody's fault, when the status is not 101; a status of 100 or 103 is an interim response, to
 * be skipped. Fails with `HandshakeViolation`, the server's fault, when the status is 101 and the rest does not fit;
 * the connection must then be failed. Extension parameters remain to be checked: see `PerMessageDeflate.verify`.
 */
export const verify = (
  response: Response,
  asked: Wanted & Pick<RequestOptions, "key">
): Result.Result<Agreed, Declined | HandshakeViolation> => {
  const { headers, status } = response
  if (status !== 101) return Result.fail(new Declined({ status, headers, clause: "RFC 6455 4.1" }))
  if (!HttpHeaders.equalsIgnoringCase(HttpHeaders.combined(headers, "Upgrade") ?? "", "websocket")) {
    return violates("Upgrade", "Upgrade is not websocket")
  }
  if (!HttpHeaders.hasToken(headers, "Connection", "upgrade"))
    return violates("Connection", "Connection is not Upgrade")
  const accept = HttpHeaders.combined(headers, "Sec-WebSocket-Accept")
  if (accept === undefined) return violates("Sec-WebSocket-Accept", "Sec-WebSocket-Accept is missing")
  if (accept !== acceptKey(Base64.encode(asked.key))) {
    return violates("Sec-WebSocket-Accept", "Sec-WebSocket-Accept does not fit the key")
  }
  return Negotiation.verifyServerFields(headers, asked)
}

/** A client's handshake that may be accepted. */
export interface ClientHandshake extends Offered {
  /** As it was sent, which is what `acceptKey` wants. */
  readonly key: string
}

const refusal = (detail: string, clause = "RFC 6455 4.2.1", status = 400, headers: Headers = []) =>
  Result.fail(new Refusal({ status, headers, clause, detail }))

/**
 * The authority and the resource name. A target that is a whole URI carries both, and then `Host` does not count: RFC
 * 9112 section 3.2.2.
 */
const readTarget = (target: string, host: string): Result.Result<Pick<Offered, "host" | "target">, Refusal> => {
  if (!HttpHead.isTarget(target) || target.includes("#")) return refusal("request target is not a resource name")
  if (target.startsWith("/")) return Result.succeed({ host, target })
  const schemeEnd = target.indexOf("://")
  const scheme = target.slice(0, Math.max(schemeEnd, 0))
  if (!HttpHeaders.equalsIgnoringCase(scheme, "http") && !HttpHeaders.equalsIgnoringCase(scheme, "https")) {
    return refusal("request target is not a resource name")
  }
  const rest = target.slice(schemeEnd + 3)
  const ends = [rest.indexOf("/"), rest.indexOf("?"), rest.length].filter((at) => at !== -1)
  const end = Math.min(...ends)
  const authority = rest.slice(0, end)
  if (Origin.parseAuthority(authority) === undefined) return refusal("request target names no host")
  return Result.succeed({ host: authority, target: rest[end] === "/" ? rest.slice(end) : `/${rest.slice(end)}` })
}

const readHost = (headers: Headers): Result.Result<string, Refusal> => {
  const [host, ...more] = HttpHeaders.values(headers, "Host")
  if (host === undefined) return refusal("Host is missing")
  if (more.length > 0) return refusal("more than one Host", "RFC 9112 3.2")
  return Origin.parseAuthority(host) === undefined
    ? refusal("Host is not a host and port", "RFC 9112 3.2")
    : Result.succeed(host)
}

const readKey = (headers: Headers): Result.Result<string, Refusal> => {
  const [key, ...more] = HttpHeaders.values(headers, "Sec-WebSocket-Key")
  if (key === undefined) return refusal("Sec-WebSocket-Key is missing")
  if (more.length > 0) return refusal("more than one Sec-WebSocket-Key")
  return key.length === 24 && Base64.decode(key)?.length === 16
    ? Result.succeed(key)
    : refusal("Sec-WebSocket-Key is not 16 bytes in base64")
}

/**
 * What a client asks for, when its request is an opening handshake by RFC 6455 section 4.2.1. Whether it may have it is
 * still open: the origin, the resource, who the client is.
 *
 * Fails with `Refusal`, the client's fault: 405 for another method than GET, 426 for a request that is no upgrade or
 * asks for another version, otherwise 400. A request with a body is refused too: its body would be read as frames.
 */
export const readRequest = (request: Request): Result.Result<ClientHandshake, Refusal> =>
  Result.gen(function* () {
    const { headers, method, version } = request
    if (method !== "GET") return yield* refusal("method is not GET", "RFC 6455 4.2.1", 405, [["Allow", "GET"]])
    if (version.major < 1 || (version.major === 1 && version.minor < 1)) {
      return yield* refusal("HTTP is older than 1.1")
    }
    const addressed = yield* readTarget(request.target, yield* readHost(headers))
    if (!HttpHeaders.hasToken(headers, "Upgrade", "websocket")) {
      return yield* refusal("this is a WebSocket endpoint: Upgrade is not websocket", "RFC 6455 4.2.1", 426)
    }
    if (!HttpHeaders.hasToken(headers, "Connection", "upgrade")) return yield* refusal("Connection is not Upgrade")
    const bodyLength = HttpHeaders.combined(headers, "Content-Length") ?? "0"
    if (bodyLength !== "0" || HttpHeaders.combined(headers, "Transfer-Encoding") !== undefined) {
      return yield* refusal("an opening handshake has no body", "RFC 9110 7.8")
    }
    const fields = yield* Negotiation.readClientFields(headers)
    return { ...addressed, ...fields, key: yield* readKey(headers) }
  })

/**
 * The response that accepts a handshake: RFC 6455 section 4.2.2, step 5. Fails with `InvalidHead`, the caller's fault,
 * when it chooses what the client did not offer or adds a field that cannot be sent.
 */
export const response = (handshake: ClientHandshake, chosen: Chosen = {}): Result.Result<Response, InvalidHead> =>
  Result.map(Negotiation.serverFields(handshake, chosen), (fields) => ({
    status: 101,
    reason: "Switching Protocols",
    headers: [
      ["Upgrade", "websocket"],
      ["Connection", "Upgrade"],
      ["Sec-WebSocket-Accept", acceptKey(handshake.key)],
      ...fields
    ]
  }))

/** Those that a WebSocket server has reason to send. Other statuses go without a reason phrase. */
const reasons: ReadonlyMap<number, string> = new Map([
  [400, "Bad Request"],
  [401, "Unauthorized"],
  [403, "Forbidden"],
  [404, "Not Found"],
  [405, "Method Not Allowed"],
  [421, "Misdirected Request"],
  [426, "Upgrade Required"],
  [429, "Too Many Requests"],
  [431, "Request Header Fields Too Large"],
  [500, "Internal Server Error"],
  [501, "Not Implemented"],
  [503, "Service Unavailable"],
  [505, "HTTP Version Not Supported"]
])

/** A whole response. Its body goes out after its head. */
export interface WithBody {
  readonly response: Response
  readonly body: Uint8Array
}

/**
 * The response that refuses a handshake; the connection is to be closed after it. With 426 it says what to upgrade to
 * (RFC 9110 section 15.5.22).
 *
 * Fails with `InvalidHead`, the caller's fault, for a status that is not 300 to 599 or a field that cannot be sent.
 */
export const refuse = (error: Refusal | MalformedHead): Result.Result<WithBody, InvalidHead> =>
  Result.map(Negotiation.refusalFields(error), ({ body, fields }) => {
    const { status } = error
    const connection: Headers =
      status === 426
        ? [
            ["Upgrade", "websocket"],
            ["Connection", "Upgrade, close"]
          ]
        : [["Connection", "close"]]
    return { response: { status, reason: reasons.get(status) ?? "", headers: [...connection, ...fields] }, body }
  })
