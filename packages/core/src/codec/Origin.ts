/**
 * Web origins and the decision whether a page of one origin may open a WebSocket here: RFC 6454, RFC 6455 section 10.2.
 *
 * A browser lets any page open a WebSocket to any server and sends its cookies along, so the server has to look at
 * `Origin`. Origins are parsed and compared part by part, never by prefix, suffix or pattern of text:
 * `https://example.com.evil` has nothing to do with `https://example.com`.
 *
 * A program that is no browser can send any `Origin` it likes, or none. This check protects people who use a browser,
 * it is not authentication.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import * as HttpHeaders from "./HttpHeaders.ts"

/** A host and its port. `undefined` is the port that the scheme implies. */
export interface Authority {
  /** In lower case, as it was written otherwise: a trailing dot is kept, an IPv6 address has its brackets. */
  readonly host: string
  /** 0 to 65535. */
  readonly port: number | undefined
}

/** Scheme, host and port; the port of `http`, `https`, `ws` and `wss` is always known. */
export interface Origin extends Authority {
  /** In lower case. */
  readonly scheme: string
}

/** An allow-list or its entry is not what it should be. The caller's fault. */
export class InvalidOrigin extends Data.TaggedError("InvalidOrigin")<{
  readonly origin: string
  readonly detail: string
}> {
  override get message(): string {
    return `${JSON.stringify(this.origin)} cannot be in a list of allowed origins: ${this.detail}`
  }
}

const defaultPorts: ReadonlyMap<string, number> = new Map([
  ["http", 80],
  ["ws", 80],
  ["https", 443],
  ["wss", 443]
])

const isLetter = (character: string) => character >= "a" && character <= "z"
const isDigit = (character: string) => character >= "0" && character <= "9"

const every = (text: string, holds: (character: string) => boolean): boolean => {
  for (let i = 0; i < text.length; i++) if (!holds(text[i]!)) return false
  return true
}

/** ASCII letters in lower case. Characters that are no ASCII are left alone, and no host has them. */
const lowerCase = (text: string): string => (every(text, (c) => c <= "\u007f") ? text.toLowerCase() : text)

const isInLabel = (c: string) => isLetter(c) || isDigit(c) || c === "-" || c === "_"

/** Labels of letters, digits, `-` and `_`, none empty; one dot may follow. International names come in punycode. */
const isName = (host: string): boolean => {
  const labels = (host.endsWith(".") ? host.slice(0, -1) : host).split(".")
  return host.length <= 254 && labels.every((label) => label !== "" && every(label, isInLabel))
}

const isIpv6 = (host: string): boolean =>
  host.length <= 47 &&
  host.startsWith("[") &&
  host.endsWith("]") &&
  host.includes(":") &&
  every(host.slice(1, -1), (c) => isDigit(c) || (c >= "a" && c <= "f") || c === ":" || c === ".")

/** A number to 65535 without leading zeros. */
const parsePort = (digits: string): number | undefined => {
  if (digits.length > 5 || !HttpHeaders.isDigits(digits)) return undefined
  if (digits.length > 1 && digits.startsWith("0")) return undefined
  return Number(digits) <= 65535 ? Number(digits) : undefined
}

/**
 * A host with an optional port, as in the field `Host` (RFC 9110 section 7.2), or `undefined` when `text` is none:
 * user information, white space, a path, an empty host or characters that are not ASCII.
 */
export const parseAuthority = (text: string): Authority | undefined => {
  const colon = text.lastIndexOf(":")
  const hasPort = colon !== -1 && !text.endsWith("]")
  const host = lowerCase(hasPort ? text.slice(0, colon) : text)
  if (!isName(host) && !isIpv6(host)) return undefined
  // "example.com:" is allowed by the grammar, and means the default port.
  if (!hasPort || colon === text.length - 1) return { host, port: undefined }
  const port = parsePort(text.slice(colon + 1))
  return port === undefined ? undefined : { host, port }
}

/** Whether `host` is a domain that names of others can end in: two labels at least, and not the end of an address. */
const isParent = (host: string): boolean => {
  const labels = (host.endsWith(".") ? host.slice(0, -1) : host).split(".")
  return labels.length > 1 && isLetter(labels.at(-1)![0]!) && !host.startsWith("[")
}

const isScheme = (scheme: string): boolean =>
  scheme !== "" && isLetter(scheme[0]!) && every(scheme, (c) => isLetter(c) || isDigit(c) || "+-.".includes(c))

/**
 * The origin that `text` is the serialization of (RFC 6454 section 6.2), or `undefined` when it is none: `null`, a
 * list, a URL with a path, a query, user information, a name outside ASCII.
 */
export const parse = (text: string): Origin | undefined => {
  const colon = text.indexOf("://")
  if (colon === -1 || text.endsWith(":")) return undefined
  const scheme = lowerCase(text.slice(0, colon))
  const authority = parseAuthority(text.slice(colon + 3))
  if (!isScheme(scheme) || authority === undefined) return undefined
  return { scheme, host: authority.host, port: authority.port ?? defaultPorts.get(scheme) }
}

/** One entry of an allow-list: an origin, or with `subdomains` every origin whose host ends in "." and `host`. */
export interface Allowed extends Origin {
  readonly subdomains: boolean
}

/** Which pages may connect. Made with `sameOrigin`, `sameOriginOr`, `any` and `allow`. */
export type Policy =
  | { readonly _tag: "SameOrigin"; readonly others?: (() => ReadonlyArray<Origin>) | undefined }
  | { readonly _tag: "Any" }
  | { readonly _tag: "AllowList"; readonly allowed: ReadonlyArray<Allowed> }

/** Pages that were served from the host and port which the request is addressed to. The default. */
export const sameOrigin: Policy = { _tag: "SameOrigin" }

/** `sameOrigin`, and pages of origins that may change: asked for with each request of a page that is not our own. */
export const sameOriginOr = (others: () => ReadonlyArray<Origin>): Policy => ({ _tag: "SameOrigin", others })

/** Every page on the web, with the cookies of whoever looks at it. */
export const any: Policy = { _tag: "Any" }

/**
 * Pages of these origins and no others, the server's own not excepted.
 *
 * An entry is an origin, `https://example.com` or `http://localhost:5173`, which is matched exactly but for the case of
 * the host and for a port that the scheme implies; or `https://*.example.com`, which stands for every host below
 * `example.com`, at any depth, and not for `example.com`. What follows `*.` has at least two labels.
 *
 * Fails with `InvalidOrigin`, the caller's fault, for anything else: `null` (which every sandboxed frame can send),
 * `*`, a path, a name that is not in punycode.
 */
export const allow = (origins: ReadonlyArray<string>): Result.Result<Policy, InvalidOrigin> => {
  const allowed: Array<Allowed> = []
  for (const origin of origins) {
    const subdomains = origin.includes("://*.")
    const parsed = parse(subdomains ? origin.replace("://*.", "://") : origin)
    if (parsed === undefined) {
      return Result.fail(new InvalidOrigin({ origin, detail: "not an origin such as https://example.com" }))
    }
    if (subdomains && !isParent(parsed.host)) {
      return Result.fail(new InvalidOrigin({ origin, detail: "*. must be followed by a domain of two labels or more" }))
    }
    allowed.push({ ...parsed, subdomains })
  }
  return Result.succeed({ _tag: "AllowList", allowed })
}

/** What a request was addressed to. */
export interface Addressed {
  /** The value of `Host` or of `:authority`. */
  readonly host: string
  /**
   * How the page's browser reached us, if that is known for certain. Behind a proxy that ends TLS it often is not; then
   * the port that a missing one stands for is taken from the origin, and `http` and `https` pages of a host are alike.
   */
  readonly scheme?: "http" | "https" | undefined
}

const isSame = (origin: Origin, addressed: Addressed): boolean => {
  const own = parseAuthority(addressed.host)
  if (own === undefined || (origin.scheme !== "http" && origin.scheme !== "https")) return false
  if (addressed.scheme !== undefined && addressed.scheme !== origin.scheme) return false
  return own.host === origin.host && (own.port ?? defaultPorts.get(origin.scheme)) === origin.port
}

const isIn = (origin: Origin, entry: Origin & Partial<Allowed>): boolean =>
  origin.scheme === entry.scheme &&
  origin.port === entry.port &&
  (entry.subdomains ? origin.host.endsWith(`.${entry.host}`) : origin.host === entry.host)

/**
 * Whether a request with this `Origin` may connect. A request without one is not a browser's (RFC 6455 section 4.2.1)
 * and may, under every policy.
 */
export const permits = (policy: Policy, origin: string | undefined, addressed: Addressed): boolean => {
  if (origin === undefined || policy._tag === "Any") return true
  const parsed = parse(origin)
  if (parsed === undefined) return false
  if (policy._tag === "AllowList") return policy.allowed.some((entry) => isIn(parsed, entry))
  return isSame(parsed, addressed) || (policy.others?.().some((other) => isIn(parsed, other)) ?? false)
}
