/** What the hub may say: docs/protocol.md. A client ignores types that it does not know. */

/**
 * @typedef {{ type: "welcome", client: string, protocol: number, node?: string, nodes?: ReadonlyArray<string> }
 *   | { type: "subscribed" | "position", topic: string, position?: string, id?: string | number }
 *   | { type: "unsubscribed", topic: string, reason?: string, message?: string, id?: string | number }
 *   | { type: "published", topic: string, id: string | number, receivers: number }
 *   | { type: "message", topic: string, data: unknown, from: string, time: number, position?: string }
 *   | { type: "gap", topics: ReadonlyArray<string>, from?: string, to?: string }
 *   | { type: "moved", from: string, to: string, position?: string }
 *   | import("./members.js").Told
 *   | { type: "pong", id?: string | number }
 *   | { type: "error", code: string, message: string, id?: string | number }} ServerMessage
 */

const { rawJSON } = /** @type {{ rawJSON?: unknown }} */ (JSON)

/**
 * Keeps a number as it was written, where the browser can: the hub carries 12345678901234567890 and 1.50 unchanged,
 * and this page is to show what arrived.
 *
 * @param {string} _
 * @param {unknown} value
 * @param {{ readonly source?: string }} [context]
 */
const asWritten = (_, value, context) =>
  typeof value === "number" && typeof rawJSON === "function" && context?.source !== String(value)
    ? rawJSON(context?.source ?? String(value))
    : value

/**
 * @param {string} text
 * @returns {ServerMessage}
 */
export const parse = (text) => JSON.parse(text, asWritten)
