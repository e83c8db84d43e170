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
  latest: element("latest", HTMLButtonElement)
}

/**
 * Entries wait for the next frame, so that a flood costs one layout. No frame comes while the page is hidden; the
 * oldest are then let go, as they would have been from the list.
 *
 * @type {Array<HTMLElement>}
 */
let waiting = []

/** @param {HTMLElement} entry */
const enqueue = (entry) => {
  if (waiting.length === 0) requestAnimationFrame(show)
  waiting.push(entry)
  if (waiting.length > 2 * maxShown) waiting = waiting.slice(-maxShown)
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
  page.messages.append(...waiting.slice(-maxShown))
  waiting = []
  for (let extra = page.messages.childElementCount - maxShown; extra > 0; extra--) page.messages.firstChild?.remove()
  page.empty.hidden = true
  if (following) toEnd()
  else page.latest.hidden = false
}

/**
 * A word from the page itself, among the messages.
 *
 * @param {string} text
 * @param {boolean} [wrong]
 */
export const note = (text, wrong = false) => {
  const entry = make("li", wrong ? "note wrong" : "note")
  entry.append(make("span", "", text))
  enqueue(entry)
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" })

/**
 * Shows a message, in the hue of its topic.
 *
 * @param {{ readonly topic: string, readonly data: unknown, readonly from: string, readonly time: number }} message
 * @param {string | undefined} hue
 * @param {boolean} own
 */
export const add = (message, hue, own) => {
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
  head.append(make("bdi", "from", message.from), topic, time)
  entry.append(avatar, head, bodyOf(message.data))
  enqueue(entry)
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
