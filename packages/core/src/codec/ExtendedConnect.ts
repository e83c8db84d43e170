/**
 * The opening handshake over HTTP/2: the extended CONNECT of RFC 8441, for both ends, over lists of fields in which the
 * pseudo-header fields come first. RFC 9220 has the same for HTTP/3.
 *
 * There is no key, no `Upgrade` and no `Connection`; the stream takes the place of the connection. Everything else is as
 * in RFC 6455, and shared with `Handshake`.
 */
import * as Result from "effect/Result"
import { Declined, HandshakeViolation, InvalidHead, Refusal } from "./HandshakeError.ts"
import * as HttpHead from "./HttpHead.ts"
import * as HttpHeaders from "./HttpHeaders.ts"
import type { Headers } from "./HttpHeaders.ts"
import * as Negotiation from "./Negotiation.ts"
import type { Agreed, Chosen, ClientFields, Offered, Wanted } from "./Negotiation.ts"
import * as Origin from "./Origin.ts"

/** What a client's handshake is made of. */
export interface RequestOptions extends ClientFields {
  /** `https` for `wss`, `http` for `ws`. RFC 8441 section 5. */
  readonly scheme: "http" | "https"
  /** The host, with the port when it is not the default one. */
  readonly host: string
  /** The resource name, such as `/chat?room=1`. RFC 6455 section 3. */
  readonly target: string
}

const invalid = (part: InvalidHead["part"], clause: string, detail: string) =>
  Result.fail(new InvalidHead({ part, clause, detail }))

/** RFC 9113 section 8.2.1: names are sent in lower case. They are tokens, so in ASCII. */
const lowerCase = (headers: Headers): Headers => headers.map(([name, value]) => [name.toLowerCase(), value])

const isResource = (target: string) => target.startsWith("/") && HttpHead.isTarget(target) && !target.includes("#")

/**
 * The fields of the request that opens a connection. Fails with `InvalidHead`, the caller's fault, when an option cannot
 * be sent as it is.
 */
export const request = (options: RequestOptions): Result.Result<Headers, InvalidHead> => {
  const { host, scheme, target } = options
  if (Origin.parseAuthority(host) === undefined) return invalid("host", "RFC 6455 4.1", "not a host and port")
  if (!isResource(target)) return invalid("target", "RFC 6455 3", "not a path, with a query or not, of visible ASCII")
  return Result.map(Negotiation.clientFields(options), (fields) => [
    [":method", "CONNECT"],
    [":protocol", "websocket"],
    [":scheme", scheme],
    [":path", target],
    [":authority", host],
    ...lowerCase(fields)
  ])
}

/**
 * What the server agreed to. Any 2xx accepts a CONNECT: RFC 9110 section 9.3.6. Fails with `Declined`, nobody's fault, for
 * any other status, and with `HandshakeViolation`, the server's fault, as `Handshake.verify` does and for a response
 * without a status.
 */
export const verify = (headers: Headers, asked: Wanted): Result.Result<Agreed, Declined | HandshakeViolation> => {
  const status = HttpHeaders.combined(headers, ":status") ?? ""
  if (status.length !== 3 || !HttpHeaders.isDigits(status)) {
    return Result.fail(
      new HandshakeViolation({ field: ":status", clause: "RFC 9113 8.3.2", detail: ":status is not one status" })
    )
  }
  return status.startsWith("2")
    ? Negotiation.verifyServerFields(headers, asked)
    : Result.fail(new Declined({ status: Number(status), headers, clause: "RFC 8441 5" }))
}

/** A client's handshake that may be accepted. */
export interface ClientHandshake extends Offered {
  readonly scheme: "http" | "https"
}

const refusal = (detail: string, clause: string, status = 400, headers: Headers = []) =>
  Result.fail(new Refusal({ status, headers, clause, detail }))

/** The pseudo-header fields of an extended CONNECT, all of them required. RFC 8441 section 4. */
const pseudoFields = [":method", ":protocol", ":scheme", ":path", ":authority"] as const

/** Fields that mean a connection and cannot be in HTTP/2. RFC 9113 section 8.2.2. */
const connectionFields = ["connection", "upgrade", "keep-alive", "proxy-connection", "transfer-encoding"] as const

/** The values of the five, in their order, when each is there once, and before the other fields. */
const readPseudoFields = (headers: Headers): Result.Result<ReadonlyMap<string, string>, Refusal> => {
  const found = new Map<string, string>()
  let regular = false
  for (const [name, value] of headers) {
    if (!name.startsWith(":")) {
      regular = true
      continue
    }
    if (regular) return refusal("pseudo-header field after a header field", "RFC 9113 8.3")
    if (found.has(name)) return refusal("repeated pseudo-header field", "RFC 9113 8.3")
    if (!(pseudoFields as ReadonlyArray<string>).includes(name)) {
      return refusal("unknown pseudo-header field", "RFC 9113 8.3")
    }
    found.set(name, value)
  }
  return Result.succeed(found)
}

/**
 * What a client asks for, when its request is an opening handshake by RFC 8441 section 5.
 *
 * Fails with `Refusal`, the client's fault: 405 for another method than CONNECT, 501 for another protocol than
 * `websocket`, otherwise 400, for another version with `sec-websocket-version: 13`. `Sec-WebSocket-Key` is ignored,
 * as the section says, and some clients send one.
 */
export const readRequest = (headers: Headers): Result.Result<ClientHandshake, Refusal> =>
  Result.gen(function* () {
    const pseudo = yield* readPseudoFields(headers)
    const [method, protocol, scheme, target, host] = pseudoFields.map((name) => pseudo.get(name))
    if (method !== "CONNECT") {
      return yield* refusal(":method is not CONNECT", "RFC 8441 4", 405, [["allow", "CONNECT"]])
    }
    if (protocol === undefined) return yield* refusal(":protocol is missing", "RFC 8441 4")
    if (protocol !== "websocket") return yield* refusal(":protocol is not websocket", "RFC 9220 3", 501)
    if (scheme !== "http" && scheme !== "https") return yield* refusal(":scheme is not http or https", "RFC 8441 5")
    if (target === undefined || !isResource(target)) return yield* refusal(":path is not a resource name", "RFC 8441 5")
    if (host === undefined || Origin.parseAuthority(host) === undefined) {
      return yield* refusal(":authority is not a host and port", "RFC 8441 5")
    }
    if (connectionFields.some((name) => HttpHeaders.combined(headers, name) !== undefined)) {
      return yield* refusal("a field that means a connection", "RFC 9113 8.2.2")
    }
    if (HttpHeaders.values(headers, "host").some((value) => !HttpHeaders.equalsIgnoringCase(value, host))) {
      return yield* refusal("Host is not :authority", "RFC 9113 8.3.1")
    }
    const fields = yield* Negotiation.readClientFields(headers)
    return { ...fields, scheme, host, target }
  })

/** The fields of the response that accepts a handshake. Fails with `InvalidHead` as `Handshake.response` does. */
export const response = (handshake: ClientHandshake, chosen: Chosen = {}): Result.Result<Headers, InvalidHead> =>
  Result.map(Negotiation.serverFields(handshake, chosen), (fields) => [[":status", "200"], ...lowerCase(fields)])

/** A whole response. Its body goes out after its fields. */
export interface WithBody {
  readonly headers: Headers
  readonly body: Uint8Array
}

/**
 * The response that refuses a handshake; the stream is to be ended after it. 426 becomes 400, because HTTP/2 has nothing
 * to upgrade to. Fails with `InvalidHead` as `Handshake.refuse` does.
 */
export const refuse = (refused: Refusal): Result.Result<WithBody, InvalidHead> =>
  Result.map(Negotiation.refusalFields(refused), ({ body, fields }) => {
    const status = refused.status === 426 ? 400 : refused.status
    return { headers: [[":status", `${status}`], ...lowerCase(fields)], body }
  })
