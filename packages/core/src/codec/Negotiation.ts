/**
 * What an opening handshake agrees on, apart from how it is carried: the version, the subprotocol, the extensions, and
 * whether the origin may connect. RFC 6455 sections 4.1 to 4.4, fields `Sec-WebSocket-*` and `Origin`.
 *
 * Shared by the two carriers, `Handshake` (an HTTP/1.1 Upgrade) and `ExtendedConnect` (RFC 8441). Names of fields are
 * written as RFC 6455 has them.
 */
import * as Result from "effect/Result"
import * as Extensions from "./Extensions.ts"
import type { Extension } from "./Extensions.ts"
import { HandshakeViolation, InvalidHead, Refusal } from "./HandshakeError.ts"
import type { MalformedHead } from "./HandshakeError.ts"
import * as HttpHeaders from "./HttpHeaders.ts"
import type { Headers } from "./HttpHeaders.ts"
import * as Origin from "./Origin.ts"

/** The one version of the protocol: RFC 6455 section 4.1. */
export const version = "13"

/** What a client asks for beside the connection itself. */
export interface Wanted {
  /** The one it likes best first. Tokens, none twice. */
  readonly subprotocols?: ReadonlyArray<string> | undefined
  /** The one it likes best first. */
  readonly extensions?: ReadonlyArray<Extension> | undefined
}

/** What a client sends with a handshake of its own making. */
export interface ClientFields extends Wanted {
  /** The serialization of an origin (RFC 6454 section 6.2), where a client acts for a page. */
  readonly origin?: string | undefined
  /** Cookies, authorization and the like. Those that the handshake is made of cannot be among them. */
  readonly headers?: Headers | undefined
}

/** What a server read out of a client's handshake, whichever way it came. */
export interface Offered {
  /** The resource name: a path and maybe a query, as it was sent. RFC 6455 section 3. */
  readonly target: string
  /** The authority the request is addressed to: a host with an optional port. */
  readonly host: string
  /** `undefined` when the client is no browser. As it was sent, and not yet judged: see `checkOrigin`. */
  readonly origin: string | undefined
  /** In the order of the client's preference, none twice. */
  readonly subprotocols: ReadonlyArray<string>
  /** In the order of the client's preference. */
  readonly extensions: ReadonlyArray<Extension>
}

/** What a server chooses from what it was offered. */
export interface Chosen {
  readonly subprotocol?: string | undefined
  readonly extensions?: ReadonlyArray<Extension> | undefined
  /** Cookies and the like. Those that the handshake is made of cannot be among them. */
  readonly headers?: Headers | undefined
}

/** What holds for the connection, as the client learns it. */
export interface Agreed {
  readonly subprotocol: string | undefined
  readonly extensions: ReadonlyArray<Extension>
}

/** Fields that say how the connection is carried or what was agreed; a second one beside ours would contradict it. */
const ownFields: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "host",
  "http2-settings",
  "keep-alive",
  "origin",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade"
])

const invalid = (part: InvalidHead["part"], clause: string, detail: string) =>
  Result.fail(new InvalidHead({ part, clause, detail }))

/** The fields of an application, when the handshake can take them. A refusal may name versions: section 4.4. */
const extraFields = (headers: Headers = [], refusing = false): Result.Result<Headers, InvalidHead> => {
  for (const [name] of headers) {
    const lowerCase = name.toLowerCase()
    if (ownFields.has(lowerCase) || (!refusing && lowerCase.startsWith("sec-websocket-"))) {
      return invalid("field name", "RFC 6455 4.3", "a field that the handshake itself sends")
    }
  }
  return HttpHeaders.validate(headers)
}

const extensionsField = (extensions: ReadonlyArray<Extension> = []): Result.Result<Headers, InvalidHead> =>
  Result.map(Extensions.print(extensions), (value) => (value === "" ? [] : [["Sec-WebSocket-Extensions", value]]))

/**
 * The fields of a client's handshake that do not depend on its carrier. Fails with `InvalidHead`, the caller's fault:
 * a subprotocol that is no token or comes twice, an extension not made of tokens, a field that cannot be sent.
 */
export const clientFields = (options: ClientFields): Result.Result<Headers, InvalidHead> =>
  Result.gen(function* () {
    const { origin, subprotocols = [] } = options
    if (!subprotocols.every(HttpHeaders.isToken) || new Set(subprotocols).size !== subprotocols.length) {
      return yield* invalid("subprotocol", "RFC 6455 4.1", "subprotocols are tokens, and each is there once")
    }
    const fields: Array<readonly [string, string]> = [["Sec-WebSocket-Version", version]]
    if (subprotocols.length > 0) fields.push(["Sec-WebSocket-Protocol", subprotocols.join(", ")])
    fields.push(...(yield* extensionsField(options.extensions)))
    if (origin !== undefined) fields.push(["Origin", origin])
    yield* HttpHeaders.validate(fields)
    return [...fields, ...(yield* extraFields(options.headers))]
  })

const refuse = (detail: string, clause = "RFC 6455 4.2.1", status = 400, headers: Headers = []) =>
  Result.fail(new Refusal({ status, headers, clause, detail }))

/** RFC 6455 section 4.3: 0 to 255, without leading zeros. */
const isVersion = (text: string): boolean => {
  if (text.length > 3 || (text.length > 1 && text.startsWith("0"))) return false
  return HttpHeaders.isDigits(text) && Number(text) <= 255
}

/** Section 4.4: a server that does not speak a version says which it speaks. */
const checkVersion = (headers: Headers): Result.Result<void, Refusal> => {
  const asked = HttpHeaders.combined(headers, "Sec-WebSocket-Version")
  if (asked === version) return Result.succeed(undefined)
  const spoken: Headers = [["Sec-WebSocket-Version", version]]
  if (asked === undefined) return refuse("Sec-WebSocket-Version is missing", "RFC 6455 4.2.1", 400, spoken)
  if (!isVersion(asked)) return refuse("Sec-WebSocket-Version is not one version", "RFC 6455 4.3", 400, spoken)
  return refuse("this version of the protocol is not supported", "RFC 6455 4.4", 426, spoken)
}

const readSubprotocols = (headers: Headers): Result.Result<ReadonlyArray<string>, Refusal> => {
  const list = HttpHeaders.combined(headers, "Sec-WebSocket-Protocol")
  if (list === undefined) return Result.succeed([])
  const subprotocols = HttpHeaders.elements(list)
  if (subprotocols.length === 0 || !subprotocols.every(HttpHeaders.isToken)) {
    return refuse("Sec-WebSocket-Protocol is not a list of tokens", "RFC 6455 4.3")
  }
  if (new Set(subprotocols).size !== subprotocols.length) {
    return refuse("Sec-WebSocket-Protocol names a subprotocol twice", "RFC 6455 4.1")
  }
  return Result.succeed(subprotocols)
}

/** The extensions of a head; none when the field is missing. Fails with what is wrong in the peer's list. */
const readExtensions = (headers: Headers) => {
  const list = HttpHeaders.combined(headers, "Sec-WebSocket-Extensions")
  return list === undefined ? Result.succeed([]) : Extensions.parse(list)
}

/**
 * The part of a client's handshake that does not depend on its carrier. Fails with `Refusal`, the client's fault: 426
 * with `Sec-WebSocket-Version: 13` for another version (RFC 6455 section 4.4), otherwise 400.
 */
export const readClientFields = (headers: Headers): Result.Result<Omit<Offered, "host" | "target">, Refusal> =>
  Result.gen(function* () {
    yield* checkVersion(headers)
    const [origin, ...more] = HttpHeaders.values(headers, "Origin")
    if (more.length > 0) return yield* refuse("more than one Origin", "RFC 6454 7.3")
    const subprotocols = yield* readSubprotocols(headers)
    const extensions = yield* Result.mapError(
      readExtensions(headers),
      ({ clause, detail, status }) => new Refusal({ status, headers: [], clause, detail })
    )
    return { origin, subprotocols, extensions }
  })

/** The first of `supported`, the server's order of preference, that the client offered; `undefined` when none was. */
export const chooseSubprotocol = (
  offered: Pick<Offered, "subprotocols">,
  supported: ReadonlyArray<string>
): string | undefined => {
  const names = new Set(offered.subprotocols)
  return supported.find((subprotocol) => names.has(subprotocol))
}

/** Refuses with 403 a page that `policy` does not let in. `scheme` as in `Origin.Addressed`. RFC 6455 section 10.2. */
export const checkOrigin = (
  offered: Pick<Offered, "host" | "origin">,
  policy: Origin.Policy = Origin.sameOrigin,
  scheme?: "http" | "https"
): Result.Result<void, Refusal> =>
  Origin.permits(policy, offered.origin, { host: offered.host, scheme })
    ? Result.succeed(undefined)
    : refuse("pages of this origin may not connect", "RFC 6455 10.2", 403)

/**
 * The fields of a server's answer that do not depend on its carrier. Fails with `InvalidHead`, the caller's fault: a
 * subprotocol or an extension that the client did not offer, a field that cannot be sent.
 */
export const serverFields = (offered: Offered, chosen: Chosen): Result.Result<Headers, InvalidHead> =>
  Result.gen(function* () {
    const { extensions = [], subprotocol } = chosen
    if (subprotocol !== undefined && !offered.subprotocols.includes(subprotocol)) {
      return yield* invalid("subprotocol", "RFC 6455 4.2.2", "the client did not offer this subprotocol")
    }
    const names = new Set(offered.extensions.map((extension) => extension.name))
    if (!extensions.every((extension) => names.has(extension.name))) {
      return yield* invalid("extension", "RFC 6455 4.2.2", "the client did not offer this extension")
    }
    const protocol: Headers = subprotocol === undefined ? [] : [["Sec-WebSocket-Protocol", subprotocol]]
    yield* HttpHeaders.validate(protocol)
    return [...protocol, ...(yield* extensionsField(extensions)), ...(yield* extraFields(chosen.headers))]
  })

/** The fields and the body that a refusal has, whatever its carrier. */
export interface RefusalFields {
  readonly fields: Headers
  readonly body: Uint8Array
}

/**
 * The fields of a refusal that do not depend on its carrier, and its body in UTF-8. Fails with `InvalidHead`, the
 * caller's fault, for a status that is not 300 to 599 or a field that cannot be sent.
 */
export const refusalFields = (error: Refusal | MalformedHead): Result.Result<RefusalFields, InvalidHead> => {
  const [text, headers] = error._tag === "Refusal" ? [error.body, error.headers] : [undefined, []]
  if (!Number.isInteger(error.status) || error.status < 300 || error.status > 599) {
    return invalid("status", "RFC 6455 4.2.2", "not a status that refuses")
  }
  const body = new TextEncoder().encode(text ?? `${error.detail}\n`)
  const described = HttpHeaders.combined(headers, "Content-Type") !== undefined
  return Result.map(extraFields(headers, true), (extra) => ({
    fields: [
      ...(described ? [] : ([["Content-Type", "text/plain; charset=utf-8"]] as const)),
      ["Content-Length", `${body.length}`],
      ...extra
    ],
    body
  }))
}

const violates = (field: HandshakeViolation["field"], clause: string, detail: string) =>
  Result.fail(new HandshakeViolation({ field, clause, detail }))

/**
 * What a server's answer agrees to, held against what the client wanted. Fails with `HandshakeViolation`, the server's
 * fault: a subprotocol or an extension that was not asked for, two subprotocols, a list of extensions that is none.
 * The parameters of an extension are checked by the extension: see `PerMessageDeflate.verify`.
 */
export const verifyServerFields = (headers: Headers, wanted: Wanted): Result.Result<Agreed, HandshakeViolation> => {
  const subprotocols = HttpHeaders.values(headers, "Sec-WebSocket-Protocol")
  const [subprotocol] = subprotocols
  if (subprotocols.length > 1) return violates("Sec-WebSocket-Protocol", "RFC 6455 4.2.2", "more than one subprotocol")
  if (subprotocol !== undefined && !(wanted.subprotocols ?? []).includes(subprotocol)) {
    return violates("Sec-WebSocket-Protocol", "RFC 6455 4.1", "a subprotocol that was not asked for")
  }
  const extensions = readExtensions(headers)
  if (Result.isFailure(extensions)) {
    return violates("Sec-WebSocket-Extensions", extensions.failure.clause, extensions.failure.detail)
  }
  const names = new Set((wanted.extensions ?? []).map((extension) => extension.name))
  if (!extensions.success.every((extension) => names.has(extension.name))) {
    return violates("Sec-WebSocket-Extensions", "RFC 6455 4.1", "an extension that was not asked for")
  }
  return Result.succeed({ subprotocol, extensions: extensions.success })
}
