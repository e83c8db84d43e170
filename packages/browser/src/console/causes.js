/** Why a connection ended, in plain words, and whether to come back: the table of close codes of docs/protocol.md. */

/**
 * `code` is what the connection was closed with, or the status that it was refused with. `isFinal` says not to come back as
 * one is, `moves` to try another node if there is one.
 *
 * @typedef {{ readonly code: number | undefined, readonly reason: string, readonly why: string
 *   , readonly isFinal: boolean, readonly moves: boolean }} End
 */

/**
 * Close codes of a node that goes away: there is no use in trying it again at once.
 *
 * @param {number} code
 */
const isLeaving = (code) => code === 1001 || code === 1012

/**
 * Close codes that say: do not come back as you are.
 *
 * @param {number} code
 */
const isFinal = (code) =>
  [1002, 1003, 1007, 1009, 1010].includes(code) || (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000)

/** @type {ReadonlyMap<number, string>} */
const meanings = new Map([
  [1000, "The hub closed the connection."],
  [1001, "The hub is shutting down."],
  [1002, "The hub closed the connection: a frame broke the WebSocket protocol."],
  [1003, "The hub closed the connection: it does not take messages of this kind."],
  [1005, "The hub closed the connection without a reason."],
  [1007, "The hub closed the connection: a message was not valid text."],
  [1008, "The hub closed the connection: its policy was broken."],
  [1009, "The hub closed the connection: the message was too large."],
  [1010, "The hub closed the connection: an extension is missing."],
  [1011, "The hub closed the connection: it met an error of its own."],
  [1012, "The hub is restarting."],
  [1013, "The hub closed the connection: this page read too slowly."],
  [1014, "What stands before the hub could not reach it."]
])

/** What the browser knows of the network. */
const offline = () => (navigator.onLine ? "" : " This device is offline.")

/**
 * A WebSocket that has ended.
 *
 * @param {number} code
 * @param {string} reason
 * @param {boolean} wasOpen
 * @returns {End}
 */
export const ofClose = (code, reason, wasOpen) => {
  if (code === 1006) return ofNoConnection(wasOpen, 1006)
  const meaning = meanings.get(code) ?? "The hub closed the connection."
  const why = `${meaning.slice(0, -1)} (${code}${reason === "" ? "" : `, “${reason}”`}).`
  return { code, reason, why, isFinal: isFinal(code), moves: !wasOpen || isLeaving(code) }
}

/** A WebSocket that a hub did not want. It may be a matter of time. @type {End} */
export const ofRefusal = {
  code: undefined,
  reason: "",
  why: "The hub is there, and refused the WebSocket. Why, a browser does not say: perhaps the name, or who may come.",
  isFinal: false,
  moves: true
}

/**
 * The network, or the hub, went away, or was never there.
 *
 * @param {boolean} wasOpen
 * @param {number} [code]
 * @returns {End}
 */
export const ofNoConnection = (wasOpen, code) => {
  const why = wasOpen
    ? `The connection was lost without a word${code === undefined ? "" : ` (${code})`}.`
    : "The hub cannot be reached."
  return { code, reason: "", why: why + offline(), isFinal: false, moves: !wasOpen }
}

/** An event stream that has an end. @type {End} */
export const ofStreamEnd = {
  code: undefined,
  reason: "",
  why: "The hub ended the stream.",
  isFinal: false,
  moves: true
}

/**
 * A request that was refused. What was wrong with it is wrong the next time, too, except where the status says otherwise.
 *
 * @param {number} status
 * @param {string} reason
 * @returns {End}
 */
export const ofStatus = (status, reason) => ({
  code: status,
  reason,
  why: `The hub refused (${status}${reason === "" ? "" : `, “${reason}”`}).`,
  isFinal: status < 500 && status !== 408 && status !== 429,
  moves: true
})

/**
 * What the other side says is not what it should be.
 *
 * @param {string} why
 * @returns {End}
 */
export const unreadable = (why) => ({ code: undefined, reason: "", why, isFinal: true, moves: false })

/**
 * An end that this page made.
 *
 * @param {string} why
 * @returns {End}
 */
export const own = (why) => ({ code: undefined, reason: "", why, isFinal: false, moves: false })

/**
 * The hub does not say anything any more, or has said nothing at all.
 *
 * @param {string} why
 * @returns {End}
 */
export const silent = (why) => ({ code: undefined, reason: "", why, isFinal: false, moves: true })
