/**
 * The connection: opens one by either wire, notices when it has ended or fallen silent, waits, and opens another, at
 * another node if there is one. What is said on it is for others.
 */
import { explain, isFinal, isLeaving } from "./causes.js"
import * as Nodes from "./nodes.js"
import * as Places from "./places.js"

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

/**
 * Who has it. `begins` is told of an attempt, `opened` of an event stream that is there, and whether it goes on where the
 * last one ended; of a WebSocket `received` is told by `welcome`, and calls `arrive`. `lost` is told of an end, and whether
 * there was a connection.
 *
 * @typedef {{ readonly name: () => string, readonly topics: () => ReadonlyArray<string>, readonly changed: (state: State) => void
 *   , readonly begins: () => void, readonly opened: (goesOn: boolean) => void, readonly received: (text: string) => void
 *   , readonly lost: (why: string, wasOpen: boolean) => void, readonly left: () => void }} Owner
 */

/** Full jitter: wait a random time below a bound that doubles from the first to the second. In milliseconds. */
const reconnect = { base: 500, cap: 20_000 }
/** A connection that lived this long was a good one: after it the bound starts again. */
const settled = 5_000
/** How long the hub may take to let this page in. */
const patience = 10_000
/** A page cannot send Ping frames, so it asks in words after this long a silence, and gives up after as long again. */
const quiet = 20_000

/** @type {Owner | undefined} */
let owner
/** @type {State} */
let state = { _tag: "connecting" }
/**
 * What messages come by.
 *
 * @type {"websocket" | "sse"}
 */
let via = new URLSearchParams(location.search).get("via") === "sse" ? "sse" : "websocket"

/** @type {WebSocket | EventSource | undefined} */
let link
let failures = 0
/** 0 while there is no connection. */
let openedAt = 0
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer

/** @param {Owner} by */
export const begin = (by) => {
  owner = by
  open()
}

export const current = () => state

export const wire = () => via

/** The name that the hub knows this page by, or "". */
export const client = () => (state._tag === "connected" ? (state.client ?? "") : "")

/** @param {State} next */
const become = (next) => {
  state = next
  owner?.changed(next)
}

/**
 * Topics as an event stream.
 *
 * @param {ReadonlyArray<string>} topics
 */
export const addressOfEvents = (topics) => {
  const address = new URL("events", Nodes.address())
  address.search = new URLSearchParams(topics.map((topic) => ["topic", topic])).toString()
  return address
}

/** @param {string} [name] */
export const addressOfHub = (name = "") => {
  const address = new URL("ws", Nodes.address())
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:"
  address.search = name === "" ? "" : `?name=${encodeURIComponent(name)}`
  return address
}

/**
 * Sends by the WebSocket that is there; `false` where there is none.
 *
 * @param {string} text
 */
export const send = (text) => {
  if (state._tag !== "connected" || !(link instanceof WebSocket)) return false
  link.send(text)
  return true
}

/** The topics of an event stream are those of its address: with others it is another one, which goes on where it was. */
export const retune = () => {
  if (via === "sse" && (link !== undefined || state._tag === "resting")) open()
}

/** Restarts the wait for a sign of life. */
const listen = () => {
  clearTimeout(timer)
  timer = setTimeout(() => {
    send('{"type":"ping"}')
    timer = setTimeout(() => ended("The hub has fallen silent.", false, true), quiet)
  }, quiet)
}

/** Ends the present connection, if there is one, of which nothing more is heard. */
const leave = () => {
  clearTimeout(timer)
  owner?.left()
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
  owner?.begins()
  become({ _tag: "connecting" })
  timer = setTimeout(() => ended("The hub does not answer.", false), patience)
  if (via === "sse") openSource()
  else openSocket()
}

const openSocket = () => {
  const opening = new WebSocket(addressOfHub(owner?.name()), "millrace.v1.json")
  link = opening
  opening.addEventListener("message", (event) => {
    if (link !== opening) return
    listen()
    owner?.received(event.data)
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
  const topics = owner?.topics() ?? []
  if (topics.length === 0) {
    clearTimeout(timer)
    become({ _tag: "resting" })
    return
  }
  const address = addressOfEvents(topics)
  if (Places.event() !== "") address.searchParams.set("lastEventId", Places.event())
  let goesOn = Places.event() !== ""
  const opening = new EventSource(address)
  link = opening
  opening.addEventListener("open", () => {
    if (link !== opening) return
    clearTimeout(timer)
    owner?.opened(goesOn)
    goesOn = true // the hub says its position before there is an event
  })
  for (const type of ["message", "gap", "unsubscribed", "moved"]) {
    opening.addEventListener(type, (event) => {
      if (link !== opening || !(event instanceof MessageEvent)) return
      Places.reachEvent(event.lastEventId)
      owner?.received(event.data)
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

/** Leaves the present connection, if any, and opens another. */
export const reopen = () => {
  failures = 0
  open()
}

/** @param {"websocket" | "sse"} next */
export const choose = (next) => {
  via = next
}

/**
 * There is a connection.
 *
 * @param {string | undefined} name
 */
export const arrive = (name) => {
  openedAt = Date.now()
  become({ _tag: "connected", client: name })
}

/**
 * There is none any more.
 *
 * @param {string} why
 */
const lose = (why) => {
  const wasOpen = openedAt > 0
  if (wasOpen && Date.now() - openedAt >= settled) failures = 0
  openedAt = 0
  owner?.lost(why, wasOpen)
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

// The wait was for a hub that could not be reached; coming back to the page or to the network is a reason to try now.
const hasten = () => {
  // Before the first event only the browser knows the position.
  if (state._tag === "waiting" && (state.until !== undefined || Places.event() !== "")) open()
}
addEventListener("online", hasten)
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") hasten()
})
