/**
 * What the two ends agree on when they negotiate `permessage-deflate`: RFC 7692 section 7.1.
 *
 * Only the parameters. Compressing is not here, nor is the bit RSV1. Windows are given in bits, 8 to 15, as the base-2
 * logarithm of their size in bytes.
 */
import * as Result from "effect/Result"
import type { Extension, Param } from "./Extensions.ts"
import { HandshakeViolation } from "./HandshakeError.ts"

/** The registered name. RFC 7692 section 7. */
export const name = "permessage-deflate"

/** The size of a window, 256 bytes to 32 KiB, as its base-2 logarithm. RFC 7692 section 7.1.2. */
export type WindowBits = 8 | 9 | 10 | 11 | 12 | 13 | 14 | 15

/** What holds for a connection, on both ends. */
export interface DeflateParameters {
  /** The server starts every message with an empty window. */
  readonly serverNoContextTakeover: boolean
  /** The client starts every message with an empty window. */
  readonly clientNoContextTakeover: boolean
  /** The largest window the server compresses with. */
  readonly serverMaxWindowBits: WindowBits
  /** The largest window the client compresses with. */
  readonly clientMaxWindowBits: WindowBits
}

/** What a client asks for. A client may make several offers, the one it likes best first. */
export interface Offer {
  /** The server must not use context takeover. RFC 7692 section 7.1.1.1. */
  readonly serverNoContextTakeover: boolean
  /** The client will not use it, whatever the server says. Section 7.1.1.2. */
  readonly clientNoContextTakeover: boolean
  /** The server must not use a larger window; `undefined` asks for nothing. Section 7.1.2.1. */
  readonly serverMaxWindowBits: WindowBits | undefined
  /**
   * `undefined`, the server cannot limit the client's window; `"any"`, it can; a number, it can, and the client will
   * never use a larger one. Section 7.1.2.2.
   */
  readonly clientMaxWindowBits: WindowBits | "any" | undefined
}

/** What this end is ready for, on a server. */
export interface ServerOptions extends DeflateParameters {
  /**
   * The smallest window the server's compressor can keep to. An offer that asks for less is declined. 9 with zlib, whose
   * raw streams cannot be limited to 256 bytes.
   */
  readonly smallestWindowBits: WindowBits
  /**
   * What becomes of a client that does not let its window be limited, where `clientMaxWindowBits` is below 15: it is
   * declined, or it has to start every message with an empty window, which each client can (section 7.1.1.2). Either way
   * no larger window is kept for it from one message to the next. Default: it is declined.
   */
  readonly unlimitedClients?: "Decline" | "NoContextTakeover" | undefined
}

/** Context takeover and full windows in both directions. */
export const defaultServerOptions: ServerOptions = {
  serverNoContextTakeover: false,
  clientNoContextTakeover: false,
  serverMaxWindowBits: 15,
  clientMaxWindowBits: 15,
  smallestWindowBits: 9
}

/** Lets the server limit the client's window and asks for nothing: what browsers send. */
export const defaultOffer: Offer = {
  serverNoContextTakeover: false,
  clientNoContextTakeover: false,
  serverMaxWindowBits: undefined,
  clientMaxWindowBits: "any"
}

const violates = (clause: string, detail: string) =>
  Result.fail(new HandshakeViolation({ field: "Sec-WebSocket-Extensions", clause, detail }))

const windowBits: ReadonlyMap<string, WindowBits> = new Map([
  ["8", 8],
  ["9", 9],
  ["10", 10],
  ["11", 11],
  ["12", 12],
  ["13", 13],
  ["14", 14],
  ["15", 15]
])

/**
 * The four parameters, read the same way on both ends but for `client_max_window_bits`, which may lack a value in an
 * offer only. Fails for a parameter that is unknown, repeated, or has a value that it must not have.
 */
const readParams = (
  params: ReadonlyArray<Param>,
  where: "offer" | "response"
): Result.Result<Offer, HandshakeViolation> => {
  const found = new Map(params)
  if (found.size !== params.length) return violates("RFC 7692 7.1", "repeated parameter")
  let [serverNoContextTakeover, clientNoContextTakeover] = [false, false]
  let serverMaxWindowBits: Offer["serverMaxWindowBits"]
  let clientMaxWindowBits: Offer["clientMaxWindowBits"]
  for (const [param, value] of params) {
    const bits = value === undefined ? undefined : windowBits.get(value)
    switch (param) {
      case "server_no_context_takeover":
        if (value !== undefined) return violates("RFC 7692 7.1.1.1", "server_no_context_takeover has a value")
        serverNoContextTakeover = true
        break
      case "client_no_context_takeover":
        if (value !== undefined) return violates("RFC 7692 7.1.1.2", "client_no_context_takeover has a value")
        clientNoContextTakeover = true
        break
      case "server_max_window_bits":
        if (bits === undefined) return violates("RFC 7692 7.1.2.1", "server_max_window_bits is not 8 to 15")
        serverMaxWindowBits = bits
        break
      case "client_max_window_bits":
        if (bits === undefined && (value !== undefined || where === "response")) {
          return violates("RFC 7692 7.1.2.2", "client_max_window_bits is not 8 to 15")
        }
        clientMaxWindowBits = bits ?? "any"
        break
      default:
        return violates("RFC 7692 7.1", "unknown parameter")
    }
  }
  return Result.succeed({ serverNoContextTakeover, clientNoContextTakeover, serverMaxWindowBits, clientMaxWindowBits })
}

/** The parameters in the order of section 7.1, those that say nothing left out. */
const print = (offer: Offer): Extension => {
  const params: Array<Param> = []
  if (offer.serverNoContextTakeover) params.push(["server_no_context_takeover", undefined])
  if (offer.clientNoContextTakeover) params.push(["client_no_context_takeover", undefined])
  if (offer.serverMaxWindowBits !== undefined) params.push(["server_max_window_bits", `${offer.serverMaxWindowBits}`])
  if (offer.clientMaxWindowBits === "any") params.push(["client_max_window_bits", undefined])
  else if (offer.clientMaxWindowBits !== undefined) {
    params.push(["client_max_window_bits", `${offer.clientMaxWindowBits}`])
  }
  return { name, params }
}

/** A client's offer as an element of `Sec-WebSocket-Extensions`. */
export const printOffer: (offer: Offer) => Extension = print

/**
 * What an offer asks for. Fails with `HandshakeViolation`, the client's fault, for a parameter that is unknown, repeated
 * or has a wrong value (RFC 7692 section 7.1); a server must then decline this offer, not the connection.
 */
export const readOffer = (offer: Extension): Result.Result<Offer, HandshakeViolation> =>
  readParams(offer.params, "offer")

/** An offer that a server accepts: the element to answer with, and what it means. */
export interface Accepted {
  readonly response: Extension
  readonly parameters: DeflateParameters
}

const smaller = (a: WindowBits, b: WindowBits): WindowBits => (a < b ? a : b)

const acceptOffer = (offer: Offer, options: ServerOptions): Accepted | undefined => {
  const serverMaxWindowBits = smaller(offer.serverMaxWindowBits ?? 15, options.serverMaxWindowBits)
  if (serverMaxWindowBits < options.smallestWindowBits) return undefined
  // Section 7.1.2.2: a client that did not offer to be limited MUST NOT be, so a server that insists must decline.
  const isUnlimited = offer.clientMaxWindowBits === undefined && options.clientMaxWindowBits < 15
  if (isUnlimited && options.unlimitedClients !== "NoContextTakeover") return undefined
  const hint = typeof offer.clientMaxWindowBits === "number" ? offer.clientMaxWindowBits : 15
  const parameters: DeflateParameters = {
    serverNoContextTakeover: offer.serverNoContextTakeover || options.serverNoContextTakeover,
    clientNoContextTakeover: offer.clientNoContextTakeover || options.clientNoContextTakeover || isUnlimited,
    serverMaxWindowBits,
    clientMaxWindowBits: isUnlimited ? 15 : smaller(hint, options.clientMaxWindowBits)
  }
  const response = print({
    ...parameters,
    // An offered limit is accepted by answering it; otherwise a window of 15 bits goes without saying.
    serverMaxWindowBits:
      offer.serverMaxWindowBits === undefined && serverMaxWindowBits === 15 ? undefined : serverMaxWindowBits,
    clientMaxWindowBits: parameters.clientMaxWindowBits === 15 ? undefined : parameters.clientMaxWindowBits
  })
  return { response, parameters }
}

/**
 * A server's answer to the extensions that a client offered: the first offer of `permessage-deflate` that is well formed
 * and that `options` can meet. `undefined` declines, and the connection goes on without compression.
 *
 * The agreed windows are never larger than those of `options`, but within a message where `unlimitedClients` says so, nor
 * is a limit ever less strict than what was asked for.
 */
export const negotiate = (
  offered: ReadonlyArray<Extension>,
  options: ServerOptions = defaultServerOptions
): Accepted | undefined => {
  for (const extension of offered) {
    if (extension.name !== name) continue
    const offer = readOffer(extension)
    const accepted = Result.isSuccess(offer) ? acceptOffer(offer.success, options) : undefined
    if (accepted !== undefined) return accepted
  }
  return undefined
}

/** What a response means as the answer to one offer, by sections 7.1.1 and 7.1.2. */
const matchOffer = (response: Offer, offer: Offer): Result.Result<DeflateParameters, HandshakeViolation> => {
  if (offer.serverNoContextTakeover && !response.serverNoContextTakeover) {
    return violates("RFC 7692 7.1.1.1", "server_no_context_takeover was asked for and not granted")
  }
  if (offer.serverMaxWindowBits !== undefined && response.serverMaxWindowBits === undefined) {
    return violates("RFC 7692 7.1.2.1", "server_max_window_bits was asked for and not granted")
  }
  if ((response.serverMaxWindowBits ?? 15) > (offer.serverMaxWindowBits ?? 15)) {
    return violates("RFC 7692 7.1.2.1", "server_max_window_bits is larger than what was asked for")
  }
  if (offer.clientMaxWindowBits === undefined && response.clientMaxWindowBits !== undefined) {
    return violates("RFC 7692 7.1.2.2", "client_max_window_bits was not offered")
  }
  const hint = typeof offer.clientMaxWindowBits === "number" ? offer.clientMaxWindowBits : 15
  const limit = typeof response.clientMaxWindowBits === "number" ? response.clientMaxWindowBits : 15
  return Result.succeed({
    serverNoContextTakeover: response.serverNoContextTakeover,
    clientNoContextTakeover: response.clientNoContextTakeover || offer.clientNoContextTakeover,
    serverMaxWindowBits: response.serverMaxWindowBits ?? 15,
    clientMaxWindowBits: smaller(hint, limit)
  })
}

/**
 * A client's check of the extensions that the server answered with, against its own offers.
 *
 * Succeeds with the parameters of the first offer that the response can be an answer to, or with `undefined` when the
 * server did not choose compression. Fails with `HandshakeViolation`, the server's fault, when the response is no answer
 * to any offer, is malformed, or comes twice; the connection must then be failed (RFC 7692 section 7.1).
 */
export const verify = (
  answered: ReadonlyArray<Extension>,
  offers: ReadonlyArray<Offer>
): Result.Result<DeflateParameters | undefined, HandshakeViolation> => {
  const [extension, ...more] = answered.filter((candidate) => candidate.name === name)
  if (extension === undefined) return Result.succeed(undefined)
  if (more.length > 0) return violates("RFC 7692 7.1", "permessage-deflate was accepted twice")
  const response = readParams(extension.params, "response")
  if (Result.isFailure(response)) return Result.fail(response.failure)
  let failure: ReturnType<typeof matchOffer> = violates("RFC 6455 4.1", "permessage-deflate was not offered")
  for (const offer of offers) {
    const matched = matchOffer(response.success, offer)
    if (Result.isSuccess(matched)) return matched
    failure = matched
  }
  return failure
}
