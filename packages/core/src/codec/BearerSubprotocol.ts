/**
 * A token carried as a subprotocol, for clients that cannot send an `Authorization`: a page can set no header of its
 * handshake but `Sec-WebSocket-Protocol`, and what stands in a URL ends up in logs.
 *
 * RFC 6455 knows nothing of this. The client offers `bearer.TOKEN` beside the subprotocols that it speaks; the server
 * reads it and agrees to one of the others, so that the token is never said back.
 */

const prefix = "bearer."

/** Not allowed in a subprotocol, which is a token of RFC 9110 section 5.6.2, but left alone by `encodeURIComponent`. */
const parentheses = /[()]/g

/**
 * The subprotocol to offer. A JSON Web Token, and whatever is made of letters, digits and `-._~`, stands in it as it is;
 * all else is written `%XX`, as in a URL.
 */
export const encode = (token: string): string =>
  prefix +
  encodeURIComponent(token.toWellFormed()).replace(parentheses, (character) => (character === "(" ? "%28" : "%29"))

/** The token among the subprotocols that a client offers; `undefined` when there is none, or one that is not written so. */
export const find = (subprotocols: ReadonlyArray<string>): string | undefined => {
  const offered = subprotocols.find((subprotocol) => subprotocol.startsWith(prefix))
  if (offered === undefined) return undefined
  try {
    return decodeURIComponent(offered.slice(prefix.length))
  } catch {
    return undefined
  }
}
