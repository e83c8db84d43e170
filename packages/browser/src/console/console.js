/**
 * The page of the hub, for people: pick a name, join topics, talk. It speaks docs/protocol.md and nothing else, with
 * what a browser has and nothing else, so its source can be read as an example of a client; of two, as it receives by
 * a WebSocket or by an event stream, whichever is chosen. This file is the connection and what people do; what is shown of
 * messages, members, rates and nodes is beside it.
 *
 * What peers send goes into the document as text, never as markup, and is bounded.
 */
import { element, make } from "./elements.js"
import * as Members from "./members.js"
import * as Messages from "./messages.js"
import { faultOfName, faultOfTopic, inventName } from "./names.js"
import * as Nodes from "./nodes.js"
import * as Rates from "./rates.js"
import * as Survey from "./survey.js"

/**
 * What the hub may say. A client ignores types it does not know.
 *
 * @typedef {{ type: "welcome", client: string, protocol: number, node?: string, nodes?: ReadonlyArray<string> }
 *   | { type: "subscribed" | "position", topic: string, position?: string, id?: string | number }
 *   | { type: "unsubscribed", topic: string, reason?: string, message?: string, id?: string | number }
 *   | { type: "published", topic: string, id: string | number, receivers: number }
 *   | { type: "message", topic: string, data: unknown, from: string, time: number, position?: string }
 *   | { type: "gap", topics: ReadonlyArray<string>, from?: string, to?: string }
 *   | { type: "moved", from: string, to: string, position?: string }
 *   | Members.Told
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

/** Full jitter: wait a random time below a bound that doubles from the first to the second. In milliseconds. */
const reconnect = { base: 500, cap: 20_000 }
/** A connection that lived this long was a good one: after it the bound starts again. */
const settled = 5_000
/** How long before the hub is asked again for a topic that it could not have. */
const again = 5_000
/** How long the hub may take to let this page in. */
const patience = 10_000
/** A page cannot send Ping frames, so it asks in words after this long a silence, and gives up after as long again. */
const quiet = 20_000

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
  latest: element("latest", HTMLButtonElement),
  compose: element("compose", HTMLFormElement),
  to: element("to", HTMLSelectElement),
  asJson: element("as-json", HTMLInputElement),
  receipt: element("receipt", HTMLElement),
  body: element("body", HTMLTextAreaElement),
  send: element("send", HTMLButtonElement)
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
/**
 * Where this page is in each topic by WebSocket, as far as the hub has said: there the next connection goes on.
 *
 * @type {Map<string, string>}
 */
const positions = new Map()
/** How many connections each topic has on all nodes, as the hub said last. @type {ReadonlyMap<string, number>} */
let counted = new Map()
/** Which node the last connection was to. */
let hungOn = ""

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
 * @type {Map<number, { readonly type: "subscribe" | "publish", readonly topic: string, readonly isShy?: boolean }>}
 */
const asked = new Map()

/* ── the connection ───────────────────────────────────────────────────────────────────────────────────────────────── */

/** The topics as an event stream. */
const addressOfEvents = () => {
  const address = new URL("events", Nodes.address())
  address.search = new URLSearchParams([...topics.keys()].map((topic) => ["topic", topic])).toString()
  return address
}

const addressOfHub = () => {
  const address = new URL("ws", Nodes.address())
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:"
  address.search = name === "" ? "" : `?name=${encodeURIComponent(name)}`
  return address
}

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

/**
 * Asks for a topic from where this page is in it, and for who is there.
 *
 * @param {string} topic
 * @param {boolean} [isShy] The hub does not tell who is where: it is not asked.
 */
const subscribe = (topic, isShy = false) => {
  retune()
  if (state._tag !== "connected" || via === "sse") return
  const id = ++lastId
  asked.set(id, { type: "subscribe", topic, isShy })
  say({ type: "subscribe", topic, position: positions.get(topic), presence: isShy ? undefined : true, id })
}

/**
 * Remembers where this page is.
 *
 * @param {string} topic
 * @param {string | undefined} position
 */
const reach = (topic, position) => {
  if (position !== undefined && topics.has(topic)) positions.set(topic, position)
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
    timer = setTimeout(() => ended("The hub has fallen silent.", false, true), quiet)
  }, quiet)
}

/** Ends the present connection, if there is one, of which nothing more is heard. */
const leave = () => {
  clearTimeout(timer)
  Survey.stop()
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
  timer = setTimeout(() => ended("The hub does not answer.", false), patience)
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
    if (link !== opening) return
    const isOpen = openedAt > 0
    ended(explain(event.code, event.reason, isOpen), isFinal(event.code), !isOpen || isLeaving(event.code))
  })
}

/**
 * The browser comes back by itself with the ID of the last event. A new `EventSource` cannot be told one, so it goes into
 * the address.
 */
const openSource = () => {
  if (topics.size === 0) {
    clearTimeout(timer)
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
    clearTimeout(timer)
    for (const entry of topics.values()) entry.classList.remove("asking")
    arrive(undefined, knowsPosition ? [] : [...topics.keys()])
    knowsPosition = true // the hub says it before there is an event
  })
  for (const type of ["message", "gap", "unsubscribed", "moved"]) {
    opening.addEventListener(type, (event) => {
      if (link !== opening || !(event instanceof MessageEvent)) return
      at(event.lastEventId)
      receive(event.data)
    })
  }
  opening.addEventListener("error", () => {
    if (link !== opening) return
    const why = openedAt > 0 ? "The connection was lost." : "The hub cannot be reached."
    // A refusal is final to a browser; it keeps to itself what it was.
    if (opening.readyState === EventSource.CLOSED) {
      ended(openedAt > 0 ? why : "The hub cannot be reached, or has refused.", false)
      return
    }
    // The browser tries again where it was, for ever: once is enough where there are other nodes.
    if (openedAt === 0 && Nodes.count() > 1) {
      ended(why, false)
      return
    }
    clearTimeout(timer)
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
 * @param {ReadonlyArray<string>} lacking The topics of which it does not go on where the last one ended.
 */
const arrive = (client, lacking) => {
  openedAt = Date.now()
  tell("")
  const node = Nodes.address()
  if (missing) {
    const where = node === hungOn ? "Connected again" : `Connected again, to the node at ${Nodes.host()}`
    const what =
      lacking.length === 0
        ? "What was said in between follows."
        : lacking.length === topics.size
          ? "What was said in between did not reach this page."
          : `What was said in between follows, but not of ${lacking.join(", ")}.`
    Messages.note(`${where}. ${what}`)
  }
  hungOn = node
  missing = false
  become({ _tag: "connected", client })
  Survey.now()
}

/**
 * There is none any more.
 *
 * @param {string} why
 */
const lose = (why) => {
  for (const entry of topics.values()) entry.classList.add("asking")
  Members.forgetAll()
  Survey.stop()
  if (openedAt === 0) return
  Messages.note(why, true)
  missing = true
  if (Date.now() - openedAt >= settled) failures = 0
  openedAt = 0
}

/**
 * @param {string} why
 * @param {boolean} final
 * @param {boolean} [moves] Whether the next attempt is at another node, if there is one.
 */
const ended = (why, final, moves = openedAt === 0) => {
  lose(why)
  leave()
  if (final) {
    become({ _tag: "stopped", why })
    return
  }
  if (moves) Nodes.next()
  // The bound is for each node: with several there is an attempt at each before it grows.
  const doublings = Math.floor(failures / Nodes.count())
  const delay = Math.random() * Math.min(reconnect.cap, reconnect.base * 2 ** doublings)
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
      Nodes.learn(message.nodes ?? [])
      const lacking = [...topics.keys()].filter((topic) => !positions.has(topic))
      arrive(message.client, lacking)
      if (message.node !== undefined) Survey.showName(message.node)
      for (const topic of topics.keys()) subscribe(topic)
      break
    }
    case "subscribed": {
      asked.delete(Number(message.id))
      topics.get(message.topic)?.classList.remove("asking")
      reach(message.topic, message.position)
      break
    }
    case "position": {
      reach(message.topic, message.position)
      break
    }
    case "unsubscribed": {
      if (message.reason === undefined || !topics.has(message.topic)) break
      Messages.note(`You were taken out of ${message.topic}: ${message.message ?? message.reason}`, true)
      forget(message.topic)
      retune()
      break
    }
    case "moved": {
      move(message)
      break
    }
    case "gap": {
      Messages.note(`A gap: the hub does not have all that was said in ${message.topics.join(", ")}.`, true)
      for (const topic of message.topics) reach(topic, message.to)
      break
    }
    case "present":
    case "joined":
    case "updated":
    case "left": {
      if (!topics.has(message.topic)) break
      Members.tell(message)
      enumerate()
      break
    }
    case "published": {
      asked.delete(Number(message.id))
      acknowledge(message.receivers)
      break
    }
    case "message": {
      reach(message.topic, message.position)
      if (topics.has(message.topic)) Rates.add(message.topic)
      const hue = topics.get(message.topic)?.dataset["hue"]
      Messages.add(message, hue, state._tag === "connected" && message.from === state.client)
      break
    }
    case "error": {
      const refused = asked.get(Number(message.id))
      asked.delete(Number(message.id))
      if (message.code === "no-presence") {
        // Some hubs take the subscription all the same, and some do not.
        if (refused?.type === "subscribe" && !refused.isShy) subscribe(refused.topic, true)
        break
      }
      if (refused?.type === "subscribe" && message.code === "unavailable") {
        Messages.note(`${refused.topic} cannot be had now: ${message.message}`, true)
        setTimeout(() => {
          if (topics.get(refused.topic)?.classList.contains("asking")) subscribe(refused.topic)
        }, again)
        break
      }
      if (refused?.type === "subscribe") forget(refused.topic)
      Messages.note(`The hub refused${refused === undefined ? "" : ` to ${refused.type}`}: ${message.message}`, true)
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
  if (next._tag === "connected") Members.show(page.to.value, next.client ?? "")
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

/* ── topics ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

/** @param {string} topic */
const choose = (topic) => {
  page.to.value = topic
  for (const [other, entry] of topics) {
    entry.classList.toggle("chosen", other === topic)
    entry.querySelector(".choose")?.setAttribute("aria-pressed", String(other === topic))
  }
  Members.show(topic, state._tag === "connected" ? (state.client ?? "") : "")
  if (via === "sse" && state._tag === "connected") Survey.now()
  remember()
  allow()
}

/** How many are in each topic: people, where the hub tells who is there, else connections. */
const enumerate = () => {
  for (const [topic, entry] of topics) {
    const present = Members.count(topic)
    const connections = counted.get(topic)
    const shown = entry.querySelector(".count")
    if (!(shown instanceof HTMLElement)) continue
    const text = (present ?? connections)?.toLocaleString() ?? ""
    if (shown.textContent !== text) shown.textContent = text
    shown.title = [
      present === undefined ? "" : `${present} here`,
      connections === undefined ? "" : `${connections} ${connections === 1 ? "connection" : "connections"}`
    ]
      .filter((part) => part !== "")
      .join(", ")
  }
}

/**
 * What comes of a topic comes of another now.
 *
 * @param {Extract<ServerMessage, { type: "moved" }>} moved
 */
const move = ({ from, position, to }) => {
  if (!topics.has(from)) return
  const wasChosen = page.to.value === from
  const other = page.to.value
  Messages.note(`You were moved from ${from} to ${to}.`)
  forget(from)
  join(to, position)
  choose(wasChosen ? to : other)
}

const svg = "http://www.w3.org/2000/svg"

/** The line of a rate. */
const makeLine = () => {
  const view = document.createElementNS(svg, "svg")
  view.setAttribute("class", "line")
  view.setAttribute("viewBox", "0 0 30 10")
  view.setAttribute("preserveAspectRatio", "none")
  view.append(document.createElementNS(svg, "polyline"))
  return view
}

const drawRates = () => {
  if (document.visibilityState === "hidden") return
  for (const [topic, entry] of topics) {
    const number = entry.querySelector(".rate")
    const line = entry.querySelector("polyline")
    if (number instanceof HTMLElement && line !== null) Rates.draw(topic, number, line)
  }
}
setInterval(drawRates, 1_000)

/** The first hue that no topic has, so that a few topics never look alike. */
const hueOfNext = () => {
  const taken = new Set([...topics.values()].map((entry) => entry.dataset["hue"]))
  return ["0", "1", "2", "3", "4", "5", "6", "7"].find((hue) => !taken.has(hue)) ?? String(topics.size & 7)
}

/**
 * @param {string} topic
 * @param {string} [position] Where this page is in it already.
 */
const join = (topic, position) => {
  if (!topics.has(topic)) {
    const entry = make("li", "asking")
    entry.dataset["hue"] = hueOfNext()
    const pick = make("button", "choose")
    const rate = make("span", "rate")
    rate.title = "Messages a second, as this page sees them"
    pick.append(make("span", "called", topic), makeLine(), rate, make("span", "count"))
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
    reach(topic, position)
    subscribe(topic)
    enumerate()
  }
  choose(topic)
}

/** @param {string} topic */
const forget = (topic) => {
  topics.get(topic)?.remove()
  topics.delete(topic)
  positions.delete(topic)
  Members.forget(topic)
  Rates.forget(topic)
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
  page.curl.textContent = `curl ${new URL("publish", Nodes.address()).href} \\\n--json ${quoted(example)}`
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
  // The next connection is of another kind, and begins anew.
  at("")
  positions.clear()
  Members.forgetAll()
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
  Messages.toEnd()
  page.body.focus()
})
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
    const response = await fetch(new URL("publish", Nodes.address()), { method: "POST", headers, body })
    const { error, receivers } = await response.json()
    if (response.ok) acknowledge(receivers)
    else Messages.note(`The hub refused to publish: ${error.message}`, true)
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
    Messages.toEnd()
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

Survey.begin({
  isConnected: () => state._tag === "connected",
  asksForMembersOf: () => (via === "sse" && page.to.value !== "" ? page.to.value : undefined),
  isJoined: (topic) => topics.has(topic),
  join: (topic) => {
    join(topic)
    page.body.focus()
  },
  counted: (members) => {
    counted = members
    enumerate()
  }
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
