/**
 * The page of the hub, for people: pick a name, join topics, talk. It speaks docs/protocol.md and nothing else, with
 * what a browser has and nothing else, so its source can be read as an example of a client; of two, as it receives by
 * a WebSocket or by an event stream, whichever is chosen.
 *
 * What peers send goes into the document as text, never as markup, and is bounded: 500 messages, 2,000 characters of each.
 */

/**
 * What the hub may say. A client ignores types it does not know.
 *
 * @typedef {{ type: "welcome", client: string, protocol: number }
 *   | { type: "subscribed" | "unsubscribed", topic: string, id?: string | number }
 *   | { type: "published", topic: string, id: string | number, receivers: number }
 *   | { type: "message", topic: string, data: unknown, from: string, time: number }
 *   | { type: "pong", id?: string | number }
 *   | { type: "error", code: string, message: string, id?: string | number }} ServerMessage
 */

/**
 * A `client` is the name that the hub has given; an event stream has none. Where there is no `until`, it is the
 * browser that comes back. It rests where there is nothing to ask for.
 *
 * @typedef {{ _tag: "connecting" }
 *   | { _tag: "connected", client: string | undefined }
 *   | { _tag: "waiting", why: string, until: number | undefined }
 *   | { _tag: "resting" }
 *   | { _tag: "stopped", why: string }} State
 */

const maxShown = 500
const maxCharacters = 2_000

/** Full jitter: wait a random time below a bound that doubles from the first to the second. In milliseconds. */
const reconnect = { base: 500, cap: 20_000 }
/** A connection that lived this long was a good one: after it the bound starts again. */
const settled = 5_000
/** A page cannot send Ping frames, so it asks in words after this long a silence, and gives up after as long again. */
const quiet = 20_000

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
const element = (id, kind) => {
  const found = document.getElementById(id)
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`)
  return found
}

const page = {
  state: element("state", HTMLElement),
  stateText: element("state-text", HTMLElement),
  lost: element("lost-text", HTMLElement),
  reason: element("reason", HTMLElement),
  countdown: element("countdown", HTMLElement),
  retry: element("retry", HTMLButtonElement),
  nameForm: element("name-form", HTMLFormElement),
  name: element("name", HTMLInputElement),
  nameHint: element("name-hint", HTMLElement),
  byWebSocket: element("by-websocket", HTMLInputElement),
  bySse: element("by-sse", HTMLInputElement),
  position: element("position", HTMLElement),
  lastEvent: element("last-event", HTMLElement),
  topics: element("topics", HTMLElement),
  joinForm: element("join-form", HTMLFormElement),
  join: element("join", HTMLInputElement),
  how: element("how", HTMLElement),
  wscat: element("wscat", HTMLElement),
  curl: element("curl", HTMLElement),
  second: element("second", HTMLAnchorElement),
  scroller: element("scroller", HTMLElement),
  empty: element("empty", HTMLElement),
  messages: element("messages", HTMLElement),
  latest: element("latest", HTMLButtonElement),
  compose: element("compose", HTMLFormElement),
  to: element("to", HTMLSelectElement),
  asJson: element("as-json", HTMLInputElement),
  receipt: element("receipt", HTMLElement),
  body: element("body", HTMLTextAreaElement),
  send: element("send", HTMLButtonElement)
}

/**
 * @param {string} tag
 * @param {string} className
 * @param {string} [text]
 */
const make = (tag, className, text = "") => {
  const made = document.createElement(tag)
  made.className = className
  made.textContent = text
  return made
}

/**
 * One of the eight hues of the style sheet, the same for a name wherever it is seen.
 *
 * @param {string} name
 */
const hueOf = (name) => {
  let hash = 0x811c9dc5
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
  return String((hash >>> 16) & 7)
}

/** @param {ReadonlyArray<string>} words */
const anyOf = (words) => words[Math.floor(Math.random() * words.length)] ?? ""

const inventName = () =>
  `${anyOf(["amber", "early", "gentle", "mossy", "quiet", "silver", "swift", "upper"])}-` +
  anyOf(["dipper", "heron", "otter", "swallow", "trout", "vole", "willow", "wren"])

/**
 * What is wrong with a name, or nothing.
 *
 * @param {string} name
 */
const faultOfName = (name) => {
  if (name.startsWith("@")) return "Names that begin with @ are the hub's own."
  if (/\p{Cc}|\p{Cs}/u.test(name)) return "A name has no control characters."
  return [...name].length > 64 ? "A name has at most 64 characters." : ""
}

/**
 * What is wrong with a topic, or nothing.
 *
 * @param {string} topic
 */
const faultOfTopic = (topic) => {
  if (topic === "") return "A topic needs a name."
  if (topic.startsWith("$")) return "Topics that begin with $ are the hub's own."
  if (/\p{Cc}|\p{Cs}/u.test(topic)) return "A topic has no control characters."
  return new TextEncoder().encode(topic).length > 256 ? "A topic has at most 256 bytes." : ""
}

/* ── what this page knows ─────────────────────────────────────────────────────────────────────────────────────────── */

const given = new URLSearchParams(location.search)
const nameInAddress = given.get("name")

/** The name asked for. `welcome` says which one the hub gave. */
let name =
  [nameInAddress, sessionStorage.getItem("millrace.name"), inventName()].find(
    (candidate) => candidate !== null && candidate !== "" && faultOfName(candidate) === ""
  ) ?? ""

/**
 * The topics wanted, whether or not there is a connection, each with its entry in the list.
 *
 * @type {Map<string, HTMLElement>}
 */
const topics = new Map()

/** @type {State} */
let state = { _tag: "connecting" }

/**
 * What messages come by.
 *
 * @type {"websocket" | "sse"}
 */
let via = given.get("via") === "sse" ? "sse" : "websocket"
/** The ID of the last event of an event stream: where the next one goes on. */
let position = ""

/** @type {WebSocket | EventSource | undefined} */
let link
let failures = 0
/** 0 while there is no connection. */
let openedAt = 0
/** Whether a connection was lost and none has come since. */
let missing = false
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer

let lastId = 0
/**
 * What the hub has yet to answer on this connection.
 *
 * @type {Map<number, { readonly type: "subscribe" | "publish", readonly topic: string }>}
 */
const asked = new Map()

/* ── the connection ───────────────────────────────────────────────────────────────────────────────────────────────── */

/** The topics as an event stream. */
const addressOfEvents = () => {
  const address = new URL("events", location.href)
  address.search = new URLSearchParams([...topics.keys()].map((topic) => ["topic", topic])).toString()
  return address
}

const addressOfHub = () => {
  const address = new URL("ws", location.href)
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:"
  address.search = name === "" ? "" : `?name=${encodeURIComponent(name)}`
  return address
}

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
const explain = (code, reason, wasOpen) => {
  if (code === 1006) return wasOpen ? "The connection was lost without a word (1006)." : "The hub cannot be reached."
  const meaning = meanings.get(code) ?? "The hub closed the connection."
  return `${meaning.slice(0, -1)} (${code}${reason === "" ? "" : `, “${reason}”`}).`
}

/** @param {object} message */
const say = (message) => {
  if (state._tag === "connected" && link instanceof WebSocket) link.send(JSON.stringify(message))
}

/** The topics of an event stream are those of its address: with others it is another one, which goes on where it was. */
const retune = () => {
  if (via === "sse" && (link !== undefined || state._tag === "resting")) open()
}

/** @param {string} topic */
const subscribe = (topic) => {
  retune()
  if (state._tag !== "connected" || via === "sse") return
  const id = ++lastId
  asked.set(id, { type: "subscribe", topic })
  say({ type: "subscribe", topic, id })
}

/** @param {string} topic */
const unsubscribe = (topic) => {
  say({ type: "unsubscribe", topic })
  retune()
}

/** Restarts the wait for a sign of life. */
const listen = () => {
  clearTimeout(timer)
  timer = setTimeout(() => {
    say({ type: "ping" })
    timer = setTimeout(() => ended("The hub has fallen silent.", false), quiet)
  }, quiet)
}

/** Ends the present connection, if there is one, of which nothing more is heard. */
const leave = () => {
  clearTimeout(timer)
  const old = link
  link = undefined
  openedAt = 0
  if (!(old instanceof WebSocket)) old?.close()
  // A browser complains of one that is closed before it was open.
  else if (old.readyState === WebSocket.CONNECTING) old.addEventListener("open", () => old.close(1000))
  else old.close(1000)
}

const open = () => {
  leave()
  asked.clear()
  become({ _tag: "connecting" })
  if (via === "sse") openSource()
  else openSocket()
}

const openSocket = () => {
  const opening = new WebSocket(addressOfHub(), "millrace.v1.json")
  link = opening
  opening.addEventListener("message", (event) => {
    if (link !== opening) return
    listen()
    receive(event.data)
  })
  opening.addEventListener("close", (event) => {
    if (link === opening) ended(explain(event.code, event.reason, openedAt > 0), isFinal(event.code))
  })
}

/**
 * The browser comes back by itself with the ID of the last event. A new `EventSource` cannot be told one, so it goes into
 * the address.
 */
const openSource = () => {
  if (topics.size === 0) {
    become({ _tag: "resting" })
    return
  }
  const address = addressOfEvents()
  if (position !== "") address.searchParams.set("lastEventId", position)
  let knowsPosition = position !== ""
  const opening = new EventSource(address)
  link = opening
  opening.addEventListener("open", () => {
    if (link !== opening) return
    for (const entry of topics.values()) entry.classList.remove("asking")
    arrive(undefined, knowsPosition)
    knowsPosition = true // the hub says it before there is an event
  })
  opening.addEventListener("message", (event) => {
    if (link !== opening) return
    at(event.lastEventId)
    receive(event.data)
  })
  opening.addEventListener("gap", (event) => {
    if (link !== opening) return
    at(event.lastEventId)
    const { topics } = /** @type {{ topics: ReadonlyArray<string> }} */ (JSON.parse(event.data))
    note(`A gap: the hub does not have all that was said in ${topics.join(", ")}.`, true)
  })
  opening.addEventListener("error", () => {
    if (link !== opening) return
    const why = openedAt > 0 ? "The connection was lost." : "The hub cannot be reached."
    // A refusal is final to a browser; it keeps to itself what it was.
    if (opening.readyState === EventSource.CLOSED) {
      ended(openedAt > 0 ? why : "The hub cannot be reached, or has refused.", false)
      return
    }
    lose(why)
    become({ _tag: "waiting", why, until: undefined })
  })
}

/** @param {string} lastEventId */
const at = (lastEventId) => {
  position = lastEventId
  page.lastEvent.textContent = lastEventId === "" ? "none yet" : lastEventId
}

/** Leaves the present connection, if any, and opens another. */
const reopen = () => {
  failures = 0
  open()
}

/**
 * There is a connection.
 *
 * @param {string | undefined} client
 * @param {boolean} resumed Whether it goes on where the last one ended.
 */
const arrive = (client, resumed) => {
  openedAt = Date.now()
  tell("")
  if (missing) note(`Connected again. What was said in between ${resumed ? "follows" : "did not reach this page"}.`)
  missing = false
  become({ _tag: "connected", client })
}

/**
 * There is none any more.
 *
 * @param {string} why
 */
const lose = (why) => {
  for (const entry of topics.values()) entry.classList.add("asking")
  if (openedAt === 0) return
  note(why, true)
  missing = true
  if (Date.now() - openedAt >= settled) failures = 0
  openedAt = 0
}

/**
 * @param {string} why
 * @param {boolean} final
 */
const ended = (why, final) => {
  lose(why)
  leave()
  if (final) {
    become({ _tag: "stopped", why })
    return
  }
  const delay = Math.random() * Math.min(reconnect.cap, reconnect.base * 2 ** failures)
  failures++
  timer = setTimeout(open, delay)
  become({ _tag: "waiting", why, until: Date.now() + delay })
}

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

/** @param {string} text */
const receive = (text) => {
  const message = /** @type {ServerMessage} */ (JSON.parse(text, asWritten))
  switch (message.type) {
    case "welcome": {
      arrive(message.client, false)
      for (const topic of topics.keys()) subscribe(topic)
      break
    }
    case "subscribed": {
      asked.delete(Number(message.id))
      topics.get(message.topic)?.classList.remove("asking")
      break
    }
    case "published": {
      asked.delete(Number(message.id))
      acknowledge(message.receivers)
      break
    }
    case "message": {
      enqueue(entryOf(message, state._tag === "connected" && message.from === state.client))
      break
    }
    case "error": {
      const refused = asked.get(Number(message.id))
      asked.delete(Number(message.id))
      if (refused?.type === "subscribe") forget(refused.topic)
      note(`The hub refused${refused === undefined ? "" : ` to ${refused.type}`}: ${message.message}`, true)
      break
    }
    default:
  }
}

/* ── what is shown of it ──────────────────────────────────────────────────────────────────────────────────────────── */

/** @param {State} next */
const become = (next) => {
  state = next
  page.state.dataset["state"] = next._tag
  page.stateText.textContent = {
    connecting: "Connecting",
    connected:
      next._tag === "connected" && next.client !== undefined ? `Connected as ${next.client}` : "Receiving by SSE",
    waiting: "Reconnecting",
    resting: "Nothing to receive",
    stopped: "Disconnected"
  }[next._tag]
  // While an attempt is under way the reason stays, or the page would jump with every attempt.
  if (next._tag === "connected" || next._tag === "resting") page.lost.hidden = true
  if (next._tag === "waiting" || next._tag === "stopped") {
    page.lost.hidden = false
    page.reason.textContent = next.why
    page.retry.textContent = next._tag === "waiting" ? "Try now" : "Connect again"
  }
  count()
  allow()
}

const count = () => {
  if (state._tag === "waiting" && state.until === undefined) page.countdown.textContent = "The browser tries again."
  else if (state._tag === "waiting" && state.until !== undefined) {
    const seconds = Math.ceil(Math.max(0, state.until - Date.now()) / 1000)
    page.countdown.textContent = `Trying again in ${seconds} s.`
  } else page.countdown.textContent = state._tag === "connecting" ? "Trying again." : ""
}
setInterval(count, 500)

/** What can be done now. The text can always be written; it is kept until it can be sent. */
const allow = () => {
  page.send.disabled = state._tag !== "connected" || topics.size === 0
  page.to.disabled = topics.size === 0
  page.body.placeholder =
    topics.size === 0
      ? "Join a topic first"
      : page.asJson.checked
        ? '{ "hello": "world" }'
        : `Message to ${page.to.value}`
}

/**
 * A line under the message being written.
 *
 * @param {string} text
 * @param {boolean} [wrong]
 */
const tell = (text, wrong = false) => {
  page.receipt.textContent = text
  page.receipt.classList.toggle("wrong", wrong)
}

/** @param {number} receivers */
const acknowledge = (receivers) => {
  tell(receivers === 0 ? "Nobody is subscribed" : `Sent to ${receivers.toLocaleString()}`)
  if (receivers > 0) page.receipt.append(make("span", "wide", receivers === 1 ? " connection" : " connections"))
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

const toEnd = () => {
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
const note = (text, wrong = false) => {
  const entry = make("li", wrong ? "note wrong" : "note")
  entry.append(make("span", "", text))
  enqueue(entry)
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" })

/**
 * A message, as an entry of the list.
 *
 * @param {Extract<ServerMessage, { type: "message" }>} message
 * @param {boolean} own
 */
const entryOf = (message, own) => {
  const entry = make("li", own ? "message own" : "message")
  const avatar = make("span", "avatar", [...message.from.replace(/^@/, "")][0]?.toLocaleUpperCase() ?? "")
  avatar.dataset["hue"] = hueOf(message.from)
  avatar.ariaHidden = "true"
  const head = make("div", "head")
  const topic = make("bdi", "topic", message.topic)
  topic.dataset["hue"] = topics.get(message.topic)?.dataset["hue"] ?? hueOf(message.topic)
  const time = document.createElement("time")
  const at = new Date(message.time)
  if (!Number.isNaN(at.getTime())) {
    time.dateTime = at.toISOString()
    time.title = at.toLocaleString()
    time.textContent = clock.format(at)
  }
  head.append(make("bdi", "from", message.from), topic, time)
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

/* ── topics ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

/** @param {string} topic */
const choose = (topic) => {
  page.to.value = topic
  for (const [other, entry] of topics) {
    entry.classList.toggle("chosen", other === topic)
    entry.querySelector(".choose")?.setAttribute("aria-pressed", String(other === topic))
  }
  remember()
  allow()
}

/** The first hue that no topic has, so that a few topics never look alike. */
const hueOfNext = () => {
  const taken = new Set([...topics.values()].map((entry) => entry.dataset["hue"]))
  return ["0", "1", "2", "3", "4", "5", "6", "7"].find((hue) => !taken.has(hue)) ?? String(topics.size & 7)
}

/** @param {string} topic */
const join = (topic) => {
  if (!topics.has(topic)) {
    const entry = make("li", "asking")
    entry.dataset["hue"] = hueOfNext()
    const pick = make("button", "choose")
    pick.append(make("span", "", topic))
    pick.title = topic
    pick.setAttribute("type", "button")
    pick.addEventListener("click", () => {
      choose(topic)
      page.body.focus()
    })
    const leaving = make("button", "leave", "×")
    leaving.setAttribute("type", "button")
    leaving.ariaLabel = `Leave ${topic}`
    leaving.addEventListener("click", () => {
      forget(topic)
      unsubscribe(topic)
      page.join.focus()
    })
    entry.append(pick, leaving)
    page.topics.append(entry)
    page.to.append(new Option(topic, topic))
    topics.set(topic, entry)
    subscribe(topic)
  }
  choose(topic)
}

/** @param {string} topic */
const forget = (topic) => {
  topics.get(topic)?.remove()
  topics.delete(topic)
  for (const option of page.to.options) if (option.value === topic) option.remove()
  choose(page.to.value)
}

/** @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`

/** Keeps the address true, so that a reload comes back to the same topics, and the examples beside it. */
const remember = () => {
  const search = new URLSearchParams([...topics.keys()].map((topic) => ["topic", topic]))
  const link = new URL(location.pathname, location.href)
  link.search = search.toString()
  page.second.href = link.href
  if (nameInAddress !== null && name !== "") search.set("name", name)
  if (via === "sse") search.set("via", "sse")
  history.replaceState(null, "", `${location.pathname}${search.size === 0 ? "" : `?${search}`}`)
  sessionStorage.setItem("millrace.name", name)

  const hub = addressOfHub()
  hub.search = ""
  page.how.textContent = via === "sse" ? "Whatever reads HTTP can listen" : "Any WebSocket client takes part"
  page.wscat.textContent = via === "sse" ? `curl -N ${quoted(addressOfEvents().href)}` : `npx wscat -c ${hub.href}`
  const example = JSON.stringify({ topic: page.to.value || "lobby", data: "hello" })
  page.curl.textContent = `curl ${new URL("publish", link).href.replace(/\?.*/, "")} \\\n--json ${quoted(example)}`
  document.title = topics.size === 0 ? "Millrace" : `${page.to.value} · Millrace`
}

/* ── what people do ───────────────────────────────────────────────────────────────────────────────────────────────── */

/**
 * @param {HTMLInputElement} input
 * @param {string} fault
 */
const accept = (input, fault) => {
  input.setCustomValidity(fault)
  return input.reportValidity()
}

const rename = () => {
  if (page.name.value === name || !accept(page.name, faultOfName(page.name.value))) return
  name = page.name.value
  remember()
  reopen()
}

page.nameForm.addEventListener("submit", (event) => {
  event.preventDefault()
  rename()
  page.body.focus()
})
page.name.addEventListener("change", rename)
page.name.addEventListener("input", () => page.name.setCustomValidity(""))

page.joinForm.addEventListener("submit", (event) => {
  event.preventDefault()
  if (!accept(page.join, faultOfTopic(page.join.value))) return
  join(page.join.value)
  page.join.value = ""
  page.body.focus()
})
page.join.addEventListener("input", () => page.join.setCustomValidity(""))

const tune = () => {
  page.byWebSocket.checked = via === "websocket"
  page.bySse.checked = via === "sse"
  page.position.hidden = via !== "sse"
  page.nameHint.hidden = via !== "sse"
  page.name.disabled = via === "sse"
  at("")
}

for (const choice of document.querySelectorAll("[name=via]")) {
  choice.addEventListener("change", () => {
    via = page.bySse.checked ? "sse" : "websocket"
    tune()
    remember()
    reopen()
  })
}

page.to.addEventListener("change", () => choose(page.to.value))

page.retry.addEventListener("click", reopen)

page.latest.addEventListener("click", () => {
  toEnd()
  page.body.focus()
})
page.scroller.addEventListener("scroll", () => {
  following = isAtEnd()
  if (following) page.latest.hidden = true
})
new ResizeObserver(() => {
  if (following) toEnd()
}).observe(page.scroller)

for (const kind of document.querySelectorAll("[name=kind]")) {
  kind.addEventListener("change", () => {
    page.body.classList.toggle("json", page.asJson.checked)
    page.body.spellcheck = !page.asJson.checked
    tell("")
    allow()
  })
}

/**
 * The JSON text of what was written. JSON goes out as it was typed: parsing it is only to see whether one may.
 *
 * @param {string} text
 */
const dataOf = (text) => {
  if (!page.asJson.checked) return JSON.stringify(text)
  JSON.parse(text)
  return text
}

/**
 * An event stream goes one way. What cannot be sent is given back.
 *
 * @param {string} body
 * @param {string} text
 */
const post = async (body, text) => {
  const headers = { "content-type": "application/json" }
  try {
    const response = await fetch(new URL("publish", location.href), { method: "POST", headers, body })
    const { error, receivers } = await response.json()
    if (response.ok) acknowledge(receivers)
    else note(`The hub refused to publish: ${error.message}`, true)
  } catch {
    if (page.body.value === "") page.body.value = text
    tell("The hub cannot be reached. Your text is kept.", true)
  }
}

page.compose.addEventListener("submit", (event) => {
  event.preventDefault()
  const text = page.body.value
  if (text.trim() === "" || topics.size === 0) return
  if (state._tag !== "connected") {
    tell("Not connected. Your text is kept.", true)
    return
  }
  try {
    const publication = `"topic":${JSON.stringify(page.to.value)},"data":${dataOf(text)}`
    if (link instanceof WebSocket) {
      const id = ++lastId
      asked.set(id, { type: "publish", topic: page.to.value })
      link.send(`{"type":"publish",${publication},"id":${id}}`)
    } else void post(`{${publication}}`, text)
    page.body.value = ""
    tell("")
    toEnd()
  } catch (error) {
    tell(error instanceof Error ? `Not JSON: ${error.message}` : "Not JSON", true)
  }
})

page.body.addEventListener("keydown", (event) => {
  // Enter also ends a composition, in languages that are written with one.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return
  event.preventDefault()
  page.compose.requestSubmit()
})

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!(button instanceof HTMLButtonElement)) continue
  // Only pages from https: or localhost may write to the clipboard.
  button.hidden = navigator.clipboard === undefined
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset["copy"] ?? "")?.textContent ?? ""
    await navigator.clipboard.writeText(text).then(
      () => (button.textContent = "Copied"),
      () => (button.textContent = "Failed")
    )
    setTimeout(() => (button.textContent = "Copy"), 1500)
  })
}

// The wait was for a hub that could not be reached; coming back to the page or to the network is a reason to try now.
const hasten = () => {
  // Before the first event only the browser knows the position.
  if (state._tag === "waiting" && (state.until !== undefined || position !== "")) open()
}
addEventListener("online", hasten)
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") hasten()
})

/* ── begin ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

page.name.value = name
tune()
const wanted = given.getAll("topic").filter((topic) => faultOfTopic(topic) === "")
for (const topic of wanted.length === 0 ? ["lobby"] : wanted) join(topic)
const [first] = topics.keys()
if (first !== undefined) choose(first)
open()
page.body.focus({ preventScroll: true })
