/**
 * What went over the wire of this page's own connection, as the hub tells it at `/frames`: a page does not get to see its
 * frames. The hub is asked only while this view is open. By an event stream there are no frames, and its events are shown.
 *
 * Bounded: 500 rows, and as many that wait while it is paused.
 */
import { element, make } from "./elements.js"
import * as Nodes from "./nodes.js"

/**
 * docs/protocol.md, "Frames".
 *
 * @typedef {{ readonly from: "client" | "server", readonly t: number, readonly length: number, readonly text?: string
 *   , readonly hex?: string, readonly code?: number, readonly reason?: string, readonly cut?: number }} Shown
 * @typedef {Shown & { readonly type: "frame", readonly op: string, readonly fin: boolean, readonly rsv: number
 *   , readonly masked: boolean, readonly compressed?: true, readonly inflated?: number, readonly whole?: number
 *   , readonly torn?: number }} Frame
 * @typedef {Frame
 *   | { readonly type: "opened", readonly start: number, readonly subprotocol?: string, readonly extensions?: string }
 *   | Shown & { readonly type: "raw", readonly violation?: string }
 *   | { readonly type: "ended", readonly from: "client" | "server", readonly t: number, readonly ended: string }
 *   | { readonly type: "end", readonly t: number, readonly error?: string }
 *   | { readonly type: "lost", readonly count: number }} Told
 */

const maxShown = 500
/** What is longer is folded, characters. */
const folded = 160
/** Of an event, characters; the hub cuts frames. */
const maxText = 2_048
/** Events that are kept while the view is not open. */
const maxUnseen = 100
/** The hub lets go of what nobody looks at, after 10 s. In milliseconds. */
const kept = 8_000
/** Where several processes answer at one address, the next may be the one that has the connection. */
const attempts = 24

const page = {
  view: element("view-frames", HTMLElement),
  told: element("frames-told", HTMLElement),
  scroller: element("frames-scroller", HTMLElement),
  list: element("frames-list", HTMLElement),
  kind: element("frames-kind", HTMLSelectElement),
  pause: element("frames-pause", HTMLButtonElement),
  clear: element("frames-clear", HTMLButtonElement)
}

/** What opens another connection, which can be looked at from its first frame. @type {(why: string) => void} */
let reopen = () => {}
/** With what the hub shows the frames of the present connection. @type {string | undefined} */
let token
/** @type {EventSource | undefined} */
let source
/** Whether the present connection is a WebSocket that was there before anybody looked. */
let isBlind = false
/** @type {ReturnType<typeof setTimeout> | undefined} */
let forgetting
/** Of the connection that is shown, to know it again. */
let start = 0
/** When the event stream began, of the page's own clock. */
let streamed = 0

let isPaused = false
/** Rows that wait for the next frame of the screen, or for the end of the pause. @type {Array<HTMLTableRowElement>} */
let waiting = []
let hasRequested = false

/** Whether the next connection is to be one that can be looked at. */
export const isWanted = () => !page.view.hidden

/** @param {string} text */
const tell = (text) => {
  page.told.textContent = text
}

/* ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────── */

/** @param {HTMLTableRowElement} row */
const filter = (row) => {
  const { kind = "" } = row.dataset
  row.hidden = kind !== "" && page.kind.value !== "" && kind !== page.kind.value
}

const show = () => {
  hasRequested = false
  if (isPaused) return
  const isAtEnd = page.scroller.scrollHeight - page.scroller.scrollTop - page.scroller.clientHeight < 40
  const rows = waiting.slice(-maxShown)
  waiting = []
  for (const row of rows) filter(row)
  page.list.append(...rows)
  for (let extra = page.list.childElementCount - maxShown; extra > 0; extra--) page.list.firstChild?.remove()
  if (isAtEnd) page.scroller.scrollTop = page.scroller.scrollHeight
}

const request = () => {
  if (hasRequested || isPaused) return
  hasRequested = true
  requestAnimationFrame(show)
}

/** @param {HTMLTableRowElement} row */
const add = (row) => {
  waiting.push(row)
  if (waiting.length > 2 * maxShown) waiting = waiting.slice(-maxShown)
  if (isPaused) page.pause.textContent = `Go on (${Math.min(waiting.length, maxShown)})`
  request()
}

/**
 * @param {string} className
 * @param {string | Node} content
 */
const cell = (className, content) => {
  const made = document.createElement("td")
  made.className = className
  made.append(content)
  return made
}

/**
 * A row that is no frame, over the whole width.
 *
 * @param {string} text
 * @param {string} [className]
 */
const note = (text, className = "note") => {
  const row = document.createElement("tr")
  row.className = className
  const only = cell("said", text)
  only.colSpan = 6
  row.append(only)
  add(row)
}

/** @param {number} t In milliseconds. */
const seconds = (t) => (t / 1_000).toFixed(3)

/** @param {number} length */
const bytes = (length) => `${length.toLocaleString()} B`

/** @param {string} hex */
const spaced = (hex) => hex.replaceAll(/../g, "$& ").trimEnd()

/**
 * Sixteen bytes a line, and what they are as text.
 *
 * @param {string} hex
 */
const dump = (hex) =>
  (hex.match(/.{1,32}/g) ?? [])
    .map((line, i) => {
      const values = (line.match(/../g) ?? []).map((digits) => Number.parseInt(digits, 16))
      const text = values.map((value) => (value > 31 && value < 127 ? String.fromCharCode(value) : "·")).join("")
      return `${(16 * i).toString(16).padStart(4, "0")}  ${spaced(line).padEnd(47)}  ${text}`
    })
    .join("\n")

/**
 * A line of it, and all of it where that is longer: folded, as a keyboard can open it.
 *
 * @param {string} line
 * @param {string} all
 * @param {number} cut
 */
const fold = (line, all, cut) => {
  if (line.length <= folded && cut === 0) return make("code", "", line)
  const whole = document.createElement("details")
  const summary = document.createElement("summary")
  summary.append(make("code", "", line.length > folded ? `${line.slice(0, folded)}…` : line))
  whole.append(summary, make("pre", "", all))
  if (cut > 0) whole.append(make("p", "cut", `and ${bytes(cut)} more`))
  return whole
}

/** @param {Shown} shown */
const contentOf = ({ code, cut = 0, hex, reason = "", text }) => {
  if (code !== undefined) return make("code", "", code === 1005 ? "no code (1005)" : `${code} ${reason}`.trimEnd())
  if (hex !== undefined) return fold(spaced(hex), dump(hex), cut)
  return fold(text ?? "", text ?? "", cut)
}

const words = { client: "sent", server: "received" }

/**
 * @param {Shown} shown
 * @param {string} name
 * @param {string} kind As in the choice of what is shown.
 * @param {string} flags
 * @param {string} compressed
 */
const entry = (shown, name, kind, flags, compressed) => {
  const { from, length, t } = shown
  const row = document.createElement("tr")
  row.className = from
  row.dataset["kind"] = kind
  const arrow = make("span", "arrow", from === "client" ? "↑" : "↓")
  arrow.ariaHidden = "true"
  const direction = cell("from", arrow)
  direction.append(make("span", "hidden", words[from]))
  const named = cell("op", make("span", "", name))
  if (flags !== "") named.append(make("small", "", flags))
  row.append(
    cell("t", seconds(t)),
    direction,
    named,
    cell("length", bytes(length)),
    cell("coded", compressed),
    cell("said", contentOf(shown))
  )
  add(row)
}

/** @param {Frame} frame */
const showFrame = (frame) => {
  const { compressed, fin, inflated, op, rsv, torn, whole } = frame
  const isControl = op === "ping" || op === "pong"
  const kind = op === "continuation" ? "" : isControl ? "control" : op
  const flags = [
    fin ? "" : "more",
    (rsv & 4) === 0 ? "" : "rsv1",
    (rsv & 2) === 0 ? "" : "rsv2",
    (rsv & 1) === 0 ? "" : "rsv3",
    torn === undefined ? "" : `${bytes(torn)} never came`
  ]
  const from = whole === undefined ? "" : `${bytes(whole)} `
  const coded = inflated === undefined ? (compressed ? "compressed" : "") : `${from}→ ${bytes(inflated)}`
  entry(frame, op, kind, flags.filter((flag) => flag !== "").join(" "), coded)
}

/** @param {Told} told */
const take = (told) => {
  switch (told.type) {
    case "opened": {
      // The same again is the whole of it again.
      if (told.start === start) clear()
      start = told.start
      const agreed = [told.subprotocol, told.extensions].filter((one) => one !== undefined)
      note(
        `A WebSocket, ${agreed.length === 0 ? "nothing agreed on" : agreed.join("; ")}. ` +
          "Seconds are since it was open, bytes those of the payload on the wire.",
        "opened"
      )
      tell("")
      break
    }
    case "frame": {
      showFrame(told)
      break
    }
    case "raw": {
      entry(told, "no frame", "", told.violation ?? "no whole frame", "")
      break
    }
    case "ended": {
      const who = told.from === "client" ? "This page" : "The hub"
      note(told.ended === "orderly" ? `${who} sends no more.` : `${who} has cut the connection.`)
      break
    }
    case "end": {
      note(told.error === undefined ? "The connection is over." : `The connection was lost: ${told.error}`)
      unfollow()
      break
    }
    case "lost": {
      note(`${told.count.toLocaleString()} before the next are not shown: they were too many, or came before.`, "lost")
      break
    }
    default:
  }
}

/* ── where it comes from ──────────────────────────────────────────────────────────────────────────────────────────── */

/** Asks the hub no more. */
const unfollow = () => {
  source?.close()
  source = undefined
}

/** @param {number} left Attempts. */
const look = (left = attempts) => {
  unfollow()
  if (token === undefined || page.view.hidden) return
  const address = new URL("frames", Nodes.address())
  address.searchParams.set("connection", token)
  const looking = new EventSource(address)
  source = looking
  looking.addEventListener("message", ({ data }) => {
    if (source !== looking) return
    left = attempts
    take(JSON.parse(data))
  })
  looking.addEventListener("error", () => {
    if (source !== looking || looking.readyState !== EventSource.CLOSED) return
    if (left > 1) setTimeout(() => source === looking && look(left - 1), 100)
    else tell("The hub does not show the frames of this connection, or not any more.")
  })
}

/**
 * There is a WebSocket.
 *
 * @param {string | undefined} frames What `welcome` has said of them.
 */
export const follow = (frames) => {
  token = frames
  isBlind = frames === undefined && !isWanted()
  if (!isWanted()) return
  if (token === undefined) tell("This hub does not show frames, or to so many others already.")
  look()
}

/** The connection is left. What was on its way is still told by the hub. */
export const left = () => {
  token = undefined
  isBlind = false
  streamed = 0
  unseen = []
}

/** Events that came while the view was not open. @type {Array<readonly [data: string, id: string, t: number]>} */
let unseen = []

/**
 * An event of an event stream.
 *
 * @param {string} data
 * @param {string} id
 */
export const came = (data, id) => {
  if (streamed === 0) {
    streamed = performance.now()
    start = 0
    unfollow()
    tell("")
    note("An event stream: it has no frames, and these are its events. Bytes are those of their data.", "opened")
  }
  unseen.push([data, id, performance.now() - streamed])
  if (isWanted()) showEvents()
  else if (unseen.length > maxUnseen) unseen.shift()
}

const encoder = new TextEncoder()

const showEvents = () => {
  for (const [data, id, t] of unseen) {
    const { length } = encoder.encode(data)
    const text = data.slice(0, maxText)
    const cut = data.length > maxText ? length - encoder.encode(text).length : 0
    entry({ from: "server", t, length, text, cut }, "event", "text", "", id)
  }
  unseen = []
}

const clear = () => {
  page.list.replaceChildren()
  waiting = []
  if (isPaused) page.pause.textContent = "Go on"
}

const opened = () => {
  clearTimeout(forgetting)
  showEvents()
  if (token !== undefined) look()
  else if (isBlind) reopen("It was opened anew, to be seen from its first frame.")
}

const closed = () => {
  unfollow()
  forgetting = setTimeout(() => {
    isBlind = token !== undefined
    token = undefined
  }, kept)
}

/**
 * `anew` opens another connection.
 *
 * @param {(why: string) => void} anew
 */
export const begin = (anew) => {
  reopen = anew
  new MutationObserver(() => (page.view.hidden ? closed() : opened())).observe(page.view, {
    attributeFilter: ["hidden"]
  })
}

page.pause.addEventListener("click", () => {
  isPaused = !isPaused
  page.pause.ariaPressed = String(isPaused)
  page.pause.textContent = isPaused ? "Go on" : "Pause"
  request()
})
page.clear.addEventListener("click", clear)
page.kind.addEventListener("change", () => {
  for (const row of page.list.children) if (row instanceof HTMLTableRowElement) filter(row)
})
