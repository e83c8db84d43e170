/**
 * The connection: opens one by either wire, notices when it has ended or fallen silent, waits, and opens another, at
 * another node if there is one. What is said on it is for others.
 */
import * as CatchUp from "./catchup.js"
import * as Causes from "./causes.js"
import * as EventStream from "./eventstream.js"
import * as Frames from "./frames.js"
import * as History from "./history.js"
import { keep, recall } from "./memory.js"
import { parse } from "./message.js"
import * as Nodes from "./nodes.js"
import * as Places from "./places.js"
import * as WebSockets from "./websocket.js"

/**
 * A `client` is the name that the hub has given; an event stream has none. It rests where there is nothing to ask for.
 *
 * @typedef {{ _tag: "connecting" }
 *   | { _tag: "connected", client: string | undefined }
 *   | { _tag: "waiting", why: string, until: number }
 *   | { _tag: "resting" }
 *   | { _tag: "stopped", why: string }} State
 * @typedef {"websocket" | "sse"} Wire
 * @typedef {{ readonly send: (text: string) => boolean, readonly close: (code?: number) => void }} Link
 */

/**
 * Who has it. `begins` is told of an attempt, `opened` of an event stream that is there, with the topics of which it does
 * not go on where the last connection ended; of a WebSocket `received` is told by `welcome`, and calls `arrive`. `lost` is
 * told of an end, and whether there was a connection. `missed` is told of topics whose history could not be had.
 *
 * @typedef {{ readonly name: () => string, readonly topics: () => ReadonlyArray<string>
 *   , readonly changed: (state: State) => void, readonly begins: () => void
 *   , readonly opened: (lacking: ReadonlyArray<string>) => void
 *   , readonly received: (message: import("./message.js").ServerMessage) => void
 *   , readonly missed: (topic: string) => void
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
/** How long a connection may take to show that it lives, when there is a reason to ask. */
const checked = 5_000
/** How many events are held back while histories are read. */
const maxHeld = 10_000

/** @type {Owner | undefined} */
let owner
/** @type {State} */
let state = { _tag: "connecting" }

const asked = new URLSearchParams(location.search).get("via") ?? recall("localStorage", "via")
/** What messages come by. @type {Wire} */
let via = asked === "sse" ? "sse" : "websocket"

/** @type {Link | undefined} */
let link
/** Whether the page was put aside, and may come back. */
let isAway = false
let failures = 0
/** What the hub has asked for by `retry`. */
let base = reconnect.base
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
export const send = (text) => state._tag === "connected" && link?.send(text) === true

/** The topics of an event stream are those of its address: with others it is another one, which goes on where it was. */
export const retune = () => {
  if (via === "sse" && (link !== undefined || state._tag === "resting")) open("The topics are others.")
}

/** Restarts the wait for a sign of life. */
const listen = () => {
  clearTimeout(timer)
  timer = setTimeout(() => {
    send('{"type":"ping"}')
    timer = setTimeout(() => ended(Causes.silent("The hub has fallen silent.")), quiet)
  }, quiet)
}

/** The page was asleep, or the network was away: the connection is to show that it lives. */
const check = () => {
  if (state._tag !== "connected") return
  if (!send('{"type":"ping"}')) return
  clearTimeout(timer)
  timer = setTimeout(() => ended(Causes.silent("The hub did not answer after the page was away.")), checked)
}

/**
 * Ends the present connection, if there is one, of which nothing more is heard.
 *
 * @param {Causes.End} end
 * @param {number} [code]
 */
const leave = (end, code) => {
  clearTimeout(timer)
  owner?.left()
  const old = link
  link = undefined
  openedAt = 0
  if (old === undefined) return
  History.ended(end)
  old.close(code)
}

/** @param {string} [why] Why the present connection is left. */
const open = (why = "You asked for another connection.") => {
  leave(Causes.own(why))
  if (isAway) return
  owner?.begins()
  const topics = owner?.topics() ?? []
  if (via === "sse" && topics.length === 0) {
    become({ _tag: "resting" })
    return
  }
  become({ _tag: "connecting" })
  timer = setTimeout(() => ended(Causes.silent("The hub does not answer.")), patience)
  History.begins(via, Nodes.host())
  if (via === "sse") openStream(topics)
  else openSocket()
}

/**
 * @param {import("./message.js").ServerMessage | undefined} message
 */
const deliver = (message) => {
  if (message === undefined) ended(Causes.unreadable("The hub sent what this page cannot read."), 4007)
  else owner?.received(message)
}

const openSocket = () => {
  const address = addressOfHub(owner?.name())
  if (Frames.isWanted()) address.searchParams.set("frames", "1")
  const opening = WebSockets.open({
    address,
    opened: () => {},
    heard: (text) => {
      if (link !== opening) return
      listen()
      deliver(parse(text))
    },
    ended: (end) => {
      if (link === opening) ended(end)
    }
  })
  link = opening
}

/**
 * An event.
 *
 * @param {string} text
 * @param {string} id
 */
const take = (text, id) => {
  const message = parse(text)
  if (message?.type === "message") message.position = id
  deliver(message)
}

/** @param {ReadonlyArray<string>} topics */
const openStream = (topics) => {
  const from = Places.event()
  const address = addressOfEvents(topics)
  if (from !== "") address.searchParams.set("lastEventId", from)
  const behind = from === "" ? topics.filter((topic) => Places.of(topic) !== undefined) : []
  /** What waits until the histories are read. @type {Array<readonly [text: string, id: string]> | undefined} */
  let held = behind.length === 0 ? undefined : []
  let reached = ""
  const isThis = () => link === opening
  const catchUp = async () => {
    for (const topic of behind) {
      const gap = (/** @type {string} */ to) => owner?.received({ type: "gap", topics: [topic], to })
      const entry = (/** @type {any} */ message) => {
        Places.reach(topic, message.position)
        if (message.type === "message") owner?.received(message)
      }
      const isHad = await CatchUp.read(topic, Places.of(topic) ?? "", entry, gap, isThis)
      if (!isThis()) return
      if (!isHad) owner?.missed(topic)
    }
    const all = held ?? []
    held = undefined
    Places.gather(reached)
    for (const [text, id] of all) if (isThis()) take(text, id)
  }
  const opening = EventStream.open({
    address,
    opened: () => {
      if (!isThis()) return
      listen()
      owner?.opened(from !== "" ? [] : topics.filter((topic) => !behind.includes(topic)))
      if (held !== undefined) void catchUp()
    },
    lives: () => {
      if (isThis()) listen()
    },
    reached: (id) => {
      if (!isThis()) return
      reached = id
      if (held === undefined) Places.reachEvent(id)
    },
    heard: (text, id) => {
      if (!isThis()) return
      Frames.came(text, id)
      if (held === undefined) take(text, id)
      else if (held.push([text, id]) > maxHeld)
        ended(Causes.silent("More came than this page can keep while it catches up."))
    },
    retry: (milliseconds) => {
      base = Math.min(milliseconds, reconnect.cap)
    },
    ended: (end) => {
      if (isThis()) ended(end)
    }
  })
  link = opening
}

/**
 * Leaves the present connection, if any, and opens another.
 *
 * @param {string} [why]
 */
export const reopen = (why) => {
  failures = 0
  open(why)
}

/**
 * Goes on by this wire, where the other was.
 *
 * @param {Wire} next
 */
export const choose = (next) => {
  if (next === via) return
  via = next
  base = reconnect.base
  keep("localStorage", "via", next)
  if (next === "websocket") Places.spread(owner?.topics() ?? [])
  reopen(`You chose ${next === "sse" ? "Server-Sent Events" : "WebSocket"}.`)
}

/**
 * There is a connection.
 *
 * @param {string | undefined} name
 */
export const arrive = (name) => {
  openedAt = Date.now()
  History.opened()
  become({ _tag: "connected", client: name })
}

/**
 * There is no connection any more, or there is to be none.
 *
 * @param {Causes.End} end
 * @param {number} [code] What to close it with.
 */
const ended = (end, code) => {
  const wasOpen = openedAt > 0
  if (wasOpen && Date.now() - openedAt >= settled) failures = 0
  leave(end, code)
  owner?.lost(end.why, wasOpen)
  if (end.isFinal) {
    become({ _tag: "stopped", why: end.why })
    return
  }
  if (end.moves || !wasOpen) Nodes.next()
  // The bound is for each node: with several there is an attempt at each before it grows.
  const doublings = Math.floor(failures / Nodes.count())
  const delay = Math.random() * Math.min(reconnect.cap, base * 2 ** doublings)
  failures++
  timer = setTimeout(open, delay)
  become({ _tag: "waiting", why: end.why, until: Date.now() + delay })
}

// The wait was for a hub that could not be reached; coming back to the page or to the network is a reason to try now.
const hasten = () => {
  if (state._tag === "waiting") open()
  else check()
}
addEventListener("online", hasten)
addEventListener("offline", check)
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") hasten()
})

// A page with an open connection cannot be kept for the way back to it.
addEventListener("pagehide", () => {
  isAway = true
  leave(Causes.own("The page was put aside."))
})
addEventListener("pageshow", () => {
  if (!isAway) return
  isAway = false
  reopen()
})
