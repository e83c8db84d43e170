/** What the hub may say: docs/protocol.md. A client ignores types that it does not know. */

/**
 * @typedef {{ type: "welcome", client: string, protocol: number, node?: string, nodes?: ReadonlyArray<string>
 *     , frames?: string }
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
 * JSON, with its numbers as they were written. Throws where it is none.
 *
 * @param {string} text
 */
export const json = (text) => JSON.parse(text, asWritten)

/** The fields without which a message means nothing, and what they are. @type {ReadonlyMap<string, Record<string, string>>} */
const fields = new Map([
  ["welcome", { client: "string" }],
  ["subscribed", { topic: "string" }],
  ["position", { topic: "string" }],
  ["unsubscribed", { topic: "string" }],
  ["published", { receivers: "number" }],
  ["message", { topic: "string", from: "string", time: "number" }],
  ["gap", { topics: "object" }],
  ["moved", { from: "string", to: "string" }],
  ["present", { topic: "string", users: "object", count: "object" }],
  ["joined", { topic: "string", user: "string" }],
  ["updated", { topic: "string", user: "string" }],
  ["left", { topic: "string", user: "string" }],
  ["error", { message: "string" }]
])

/**
 * A message of the hub; `undefined` for what is none.
 *
 * @param {string} text
 * @returns {ServerMessage | undefined}
 */
export const parse = (text) => {
  if (typeof text !== "string") return undefined
  try {
    const value = json(text)
    if (typeof value !== "object" || value === null || typeof value.type !== "string") return undefined
    for (const [name, type] of Object.entries(fields.get(value.type) ?? {})) {
      if (typeof value[name] !== type || value[name] === null) return undefined
    }
    if (value.type === "message" && !("data" in value)) return undefined
    const lists = [value.type === "gap" ? value.topics : [], value.type === "present" ? value.users : []]
    return lists.every(Array.isArray) ? value : undefined
  } catch {
    return undefined
  }
}
