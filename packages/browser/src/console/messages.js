/**
 * What was said, the newest last, and what the page itself has to say among it. Bounded: 500 entries, 2,000 characters of each.
 */
import { element, hueOf, make } from "./elements.js"

const maxShown = 500
const maxCharacters = 2_000

const page = {
  scroller: element("scroller", HTMLElement),
  empty: element("empty", HTMLElement),
  messages: element("messages", HTMLElement),
  latest: element("latest", HTMLButtonElement),
  earlier: element("earlier", HTMLElement),
  pause: element("pause", HTMLButtonElement),
  pauseText: element("pause-text", HTMLElement)
}

/**
 * Entries wait for the next frame, and are made then, so that a flood costs one layout and the text of what is seen. No
 * frame comes while the page is hidden, and none is shown while it is paused; the oldest are then let go, as they would
 * have been from the list.
 *
 * @type {Array<() => HTMLElement>}
 */
let waiting = []
let isDue = false
/** How many were let go without having been shown since the last frame, and how many in all are not here any more. */
let skipped = 0
let gone = 0
let isPaused = false
/** How many came since the pause. */
let since = 0

/** @param {() => HTMLElement} entry */
const enqueue = (entry) => {
  waiting.push(entry)
  if (waiting.length > 2 * maxShown) {
    skipped += waiting.length - maxShown
    waiting = waiting.slice(-maxShown)
  }
  if (isPaused) since++
  if (isDue) return
  isDue = true
  requestAnimationFrame(show)
}

/** Whether the newest message is in sight, and is to stay so. */
let following = true

const isAtEnd = () => page.scroller.scrollHeight - page.scroller.scrollTop - page.scroller.clientHeight < 60

/** Shows the newest, and goes on doing so. */
export const toEnd = () => {
  following = true
  page.scroller.scrollTop = page.scroller.scrollHeight
  page.latest.hidden = true
}

const show = () => {
  isDue = false
  page.pauseText.textContent = isPaused ? `Resume${since === 0 ? "" : ` (${since.toLocaleString()} new)`}` : "Pause"
  if (isPaused) return
  if (skipped > 0) {
    const count = skipped
    waiting.unshift(() => noteOf(`${print(count)} skipped: more came than can be shown.`, false))
    gone += skipped
    skipped = 0
  }
  const shown = waiting.slice(-maxShown)
  gone += waiting.length - shown.length
  waiting = []
  page.messages.append(...shown.map((entry) => entry()))
  for (let extra = page.messages.childElementCount - maxShown; extra > 0; extra--) {
    page.messages.firstChild?.remove()
    gone++
  }
  page.earlier.hidden = gone === 0
  page.earlier.textContent = `The newest ${maxShown} are kept here; ${print(gone)} went before.`
  page.empty.hidden = page.messages.childElementCount > 0
  if (following) toEnd()
  else if (shown.length > 0) page.latest.hidden = false
}

/** @param {number} count */
const print = (count) => `${count.toLocaleString()} ${count === 1 ? "message" : "messages"}`

page.pause.addEventListener("click", () => {
  isPaused = !isPaused
  since = 0
  page.pause.ariaPressed = String(isPaused)
  show()
})

/**
 * @param {string} text
 * @param {boolean} wrong
 */
const noteOf = (text, wrong) => {
  const entry = make("li", wrong ? "note wrong" : "note")
  entry.append(make("span", "", text))
  return entry
}

/**
 * A word from the page itself, among the messages.
 *
 * @param {string} text
 * @param {boolean} [wrong]
 */
export const note = (text, wrong = false) => enqueue(() => noteOf(text, wrong))

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" })

/**
 * @typedef {{ readonly topic: string, readonly data: unknown, readonly from: string, readonly time: number
 *   , readonly position?: string }} Message
 */

/**
 * Shows a message, in the hue of its topic, with its position where it has one.
 *
 * @param {Message} message
 * @param {string | undefined} hue
 * @param {boolean} own
 */
export const add = (message, hue, own) => enqueue(() => entryOf(message, hue, own))

/**
 * @param {Message} message
 * @param {string | undefined} hue
 * @param {boolean} own
 */
const entryOf = (message, hue, own) => {
  const entry = make("li", own ? "message own" : "message")
  const avatar = make("span", "avatar", [...message.from.replace(/^@/, "")][0]?.toLocaleUpperCase() ?? "")
  avatar.dataset["hue"] = hueOf(message.from)
  avatar.ariaHidden = "true"
  const head = make("div", "head")
  const topic = make("bdi", "topic", message.topic)
  topic.dataset["hue"] = hue ?? hueOf(message.topic)
  const time = document.createElement("time")
  const at = new Date(message.time)
  if (!Number.isNaN(at.getTime())) {
    time.dateTime = at.toISOString()
    time.title = at.toLocaleString()
    time.textContent = clock.format(at)
  }
  const position = make("code", "position")
  if (message.position !== undefined) {
    // Where there is little room its end will do: that is what differs from one to the next.
    const end = message.position.lastIndexOf(":") + 1
    position.append(make("span", "wide", message.position.slice(0, end)), message.position.slice(end))
    position.title = `Position ${message.position}`
  }
  head.append(make("bdi", "from", message.from), topic, position, time)
  entry.append(avatar, head, bodyOf(message.data))
  return entry
}

/**
 * Text as text, anything else as JSON.
 *
 * @param {unknown} data
 */
const bodyOf = (data) => {
  const text = typeof data === "string" ? data : JSON.stringify(data, undefined, 2)
  const shown = text.slice(0, maxCharacters)
  const body = make(typeof data === "string" ? "p" : "pre", typeof data === "string" ? "text" : "json")
  if (typeof data === "string") {
    body.dir = "auto"
    body.textContent = shown
  } else colour(body, shown)
  if (shown.length < text.length) {
    body.append(make("span", "cut", `and ${(text.length - shown.length).toLocaleString()} characters more`))
  }
  return body
}

const token = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d[\d.eE+-]*)|(true|false|null)/g

/**
 * @param {HTMLElement} body
 * @param {string} json
 */
const colour = (body, json) => {
  let end = 0
  for (const match of json.matchAll(token)) {
    const [whole, string, colon, number] = match
    body.append(json.slice(end, match.index))
    const kind = string === undefined ? (number === undefined ? "word" : "number") : colon ? "name" : "string"
    body.append(make("span", kind, string ?? whole), colon ?? "")
    end = match.index + whole.length
  }
  body.append(json.slice(end))
}

page.scroller.addEventListener("scroll", () => {
  following = isAtEnd()
  if (following) page.latest.hidden = true
})
new ResizeObserver(() => {
  if (following) toEnd()
}).observe(page.scroller)
