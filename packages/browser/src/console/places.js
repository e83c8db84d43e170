/**
 * Where this page is: in each topic, as a WebSocket tells it, and in all of them, as an event stream does. A position is a
 * text without a meaning, and the next connection goes on there.
 */
import { element } from "./elements.js"

/** @type {Map<string, string>} */
const positions = new Map()
let last = ""

const shown = element("last-event", HTMLElement)

/** @param {string} topic */
export const of = (topic) => positions.get(topic)

/**
 * @param {string} topic
 * @param {string | undefined} position
 */
export const reach = (topic, position) => {
  if (position !== undefined) positions.set(topic, position)
}

/** @param {string} topic */
export const forget = (topic) => positions.delete(topic)

/** The ID of the last event, or "". */
export const event = () => last

/** @param {string} lastEventId */
export const reachEvent = (lastEventId) => {
  last = lastEventId
  shown.textContent = lastEventId === "" ? "none yet" : lastEventId
}

/** Begins anew. */
export const forgetAll = () => {
  reachEvent("")
  positions.clear()
}
