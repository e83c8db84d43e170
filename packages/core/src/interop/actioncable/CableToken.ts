/**
 * The token that a client of AnyCable brings where it can send no header: as `jid` in the query, or as a subprotocol
 * `anycable-token.TOKEN`, which is for reading only: no server names it in its answer. Pure.
 */

export const parameter = "jid"
export const subprotocolPrefix = "anycable-token."

/** Longest, in characters. */
export const maxLength = 8_192

/** `undefined` where there is none, or one that is too long. Nothing of it is checked. */
export const of = (
  query: { readonly get: (name: string) => string | null },
  header: (name: string) => string | undefined
): string | undefined => {
  const offered = header("sec-websocket-protocol")?.split(",") ?? []
  const given = offered.map((name) => name.trim()).find((name) => name.startsWith(subprotocolPrefix))
  const token = given?.slice(subprotocolPrefix.length) ?? query.get(parameter) ?? ""
  return token === "" || token.length > maxLength ? undefined : token
}
