/**
 * Where this page is: in each topic, as a WebSocket tells it, or in all of them, as an event stream does. A position is a
 * text without a meaning, and the next connection goes on there, by whichever wire.
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

/** How many messages are known by where they stand. Twice comes only what is new. */
const maxKnown = 10_000
/** @type {Set<string>} */
const known = new Set()

/**
 * Notes that a message was seen, and tells whether it was not before. A history has what an event stream is about to say,
 * and whoever goes on by another wire in between is told it once more.
 *
 * @param {string} topic
 * @param {string | undefined} position Without one it is told only once.
 */
export const isNew = (topic, position) => {
  if (position === undefined) return true
  const key = `${position} ${topic}`
  if (known.has(key)) return false
  known.add(key)
  if (known.size > maxKnown) for (const oldest of known) return known.delete(oldest)
  return true
}

/** The ID of the last event, or "". */
export const event = () => last

/** @param {string} lastEventId */
export const reachEvent = (lastEventId) => {
  if (lastEventId === last) return
  last = lastEventId
  shown.textContent = lastEventId === "" ? "none yet" : lastEventId
}

/**
 * The next connection is a WebSocket: where an event stream was, it was in each of its topics.
 *
 * @param {ReadonlyArray<string>} topics
 */
export const spread = (topics) => {
  if (last !== "") for (const topic of topics) positions.set(topic, last)
  reachEvent("")
}

/** An event stream is there in all topics, so that its own position is all there is to know. @param {string} lastEventId */
export const gather = (lastEventId) => {
  positions.clear()
  reachEvent(lastEventId)
}
