/** Why a connection ended, in plain words, and whether to come back: the table of close codes of docs/protocol.md. */

/**
 * Close codes of a node that goes away: there is no use in trying it again at once.
 *
 * @param {number} code
 */
export const isLeaving = (code) => code === 1001 || code === 1012

/**
 * Close codes that say: do not come back as you are.
 *
 * @param {number} code
 */
export const isFinal = (code) =>
  [1002, 1003, 1007, 1009, 1010].includes(code) || (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000)

/** @type {ReadonlyMap<number, string>} */
const meanings = new Map([
  [1000, "The hub closed the connection."],
  [1001, "The hub is shutting down."],
  [1002, "The hub closed the connection: a frame broke the WebSocket protocol."],
  [1005, "The hub closed the connection without a reason."],
  [1007, "The hub closed the connection: a message was not valid text."],
  [1008, "The hub closed the connection: its policy was broken."],
  [1009, "The hub closed the connection: the message was too large."],
  [1011, "The hub closed the connection: it met an error of its own."],
  [1012, "The hub is restarting."],
  [1013, "The hub closed the connection: this page read too slowly."]
])

/**
 * @param {number} code
 * @param {string} reason
 * @param {boolean} wasOpen
 */
export const explain = (code, reason, wasOpen) => {
  if (code === 1006) return wasOpen ? "The connection was lost without a word (1006)." : "The hub cannot be reached."
  const meaning = meanings.get(code) ?? "The hub closed the connection."
  return `${meaning.slice(0, -1)} (${code}${reason === "" ? "" : `, “${reason}”`}).`
}
