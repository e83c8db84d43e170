/**
 * From a WebSocket to an event stream. An event stream goes on from one position, and a WebSocket is somewhere else in each
 * topic. So what is behind those is read from the history of each, while what the stream tells meanwhile is held back.
 */
import { json } from "./message.js"
import * as Nodes from "./nodes.js"

/** How long one answer may take. */
const patience = 5_000

/**
 * Reads what was said in a topic behind a position, the oldest first. `false` where that could not be had.
 *
 * @param {string} topic
 * @param {string} position
 * @param {(entry: any) => void} take
 * @param {(to: string) => void} gap
 * @param {() => boolean} isWanted
 */
export const read = async (topic, position, take, gap, isWanted) => {
  try {
    for (let after = position; ;) {
      const address = new URL(`topics/${encodeURIComponent(topic)}/history`, Nodes.address())
      address.search = new URLSearchParams({ after, limit: "500" }).toString()
      const response = await fetch(address, { signal: AbortSignal.timeout(patience) })
      if (!response.ok) return false
      const found = json(await response.text())
      if (!isWanted()) return true
      if (found.gap) gap(found.position)
      for (const entry of found.entries) take(entry)
      if (!found.more) return true
      after = found.position
    }
  } catch {
    return false
  }
}
