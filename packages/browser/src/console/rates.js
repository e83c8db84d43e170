/** How many messages a second come in each topic, as this page sees them: a number, and the last half minute as a line. */

/** Seconds. */
const shown = 30
const averaged = 5

/**
 * The messages of each second, the newest last, and which second that is.
 *
 * @typedef {{ counts: Array<number>, second: number }} Counted
 * @type {Map<string, Counted>}
 */
const topics = new Map()

const now = () => Math.floor(performance.now() / 1000)

/**
 * Lets seconds go in which nothing came. A page in the background is not woken every second.
 *
 * @param {Counted} counted
 */
const advance = (counted) => {
  const second = now()
  for (let i = Math.min(second - counted.second, shown + 1); i > 0; i--) {
    counted.counts.shift()
    counted.counts.push(0)
  }
  counted.second = second
}

/** @param {string} topic */
export const add = (topic) => {
  let counted = topics.get(topic)
  if (counted === undefined) {
    counted = { counts: Array.from({ length: shown + 1 }, () => 0), second: now() }
    topics.set(topic, counted)
  }
  advance(counted)
  counted.counts[shown] = (counted.counts[shown] ?? 0) + 1
}

/** @param {string} topic */
export const forget = (topic) => topics.delete(topic)

/** @param {number} rate */
const print = (rate) => (rate === 0 ? "" : `${rate < 10 ? rate.toFixed(1) : Math.round(rate).toLocaleString()}/s`)

/**
 * Draws the rate of a topic: its number, and its line where there is something to see in it. The present second is not
 * over, and not counted.
 *
 * @param {string} topic
 * @param {HTMLElement} number
 * @param {Element} line A `polyline` in a view of 30 by 10.
 */
export const draw = (topic, number, line) => {
  const counted = topics.get(topic)
  if (counted !== undefined) advance(counted)
  const counts = counted?.counts.slice(0, shown) ?? []
  const text = print(counts.slice(-averaged).reduce((sum, count) => sum + count, 0) / averaged)
  if (number.textContent !== text) number.textContent = text
  const most = Math.max(1, ...counts)
  const isFlat = counts.every((count) => count === 0)
  // What came in the present second is yet to be shown.
  if (isFlat && counted?.counts[shown] === 0) topics.delete(topic)
  const points = isFlat ? "" : counts.map((count, i) => `${i},${(9.5 - (9 * count) / most).toFixed(1)}`).join(" ")
  if (line.getAttribute("points") !== points) line.setAttribute("points", points)
}
