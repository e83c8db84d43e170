/**
 * The connections of this page, the newest first: when each was, by which wire and to which node, how long it was, and how
 * it ended. Bounded: 50. Attempts that fail alike are one entry, with how often.
 */
import { element, make } from "./elements.js"

const maxKept = 50

/**
 * @typedef {{ readonly wire: string, readonly host: string, readonly begun: number, openedAt: number | undefined
 *   , endedAt: number | undefined, end: import("./causes.js").End | undefined, times: number }} Entry
 * @type {Array<Entry>}
 */
const entries = []

const list = element("history-list", HTMLElement)
const told = element("history-told", HTMLElement)

/**
 * There is an attempt.
 *
 * @param {"websocket" | "sse"} wire
 * @param {string} host
 */
export const begins = (wire, host) => {
  entries.unshift({
    wire: wire === "sse" ? "SSE" : "WebSocket",
    host,
    begun: Date.now(),
    openedAt: undefined,
    endedAt: undefined,
    end: undefined,
    times: 1
  })
  if (entries.length > maxKept) entries.pop()
  draw()
}

/** It was let in. */
export const opened = () => {
  const [entry] = entries
  if (entry !== undefined) entry.openedAt = Date.now()
  draw()
}

/** @param {import("./causes.js").End} end */
export const ended = (end) => {
  const [entry, before] = entries
  if (entry === undefined || entry.end !== undefined) return
  entry.end = end
  entry.endedAt = Date.now()
  const isSame =
    before !== undefined &&
    entry.openedAt === undefined &&
    before.openedAt === undefined &&
    before.end?.why === end.why &&
    before.wire === entry.wire &&
    before.host === entry.host
  if (isSame) {
    before.times++
    before.endedAt = entry.endedAt
    entries.shift()
  }
  draw()
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" })

/** @param {number} milliseconds */
const lasted = (milliseconds) => {
  const seconds = Math.max(0, milliseconds) / 1000
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (seconds < 60) return `${Math.round(seconds)} s`
  const minutes = Math.floor(seconds / 60)
  return minutes < 60
    ? `${minutes} min ${Math.floor(seconds % 60)} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

/** @param {Entry} entry */
const spanOf = ({ endedAt, openedAt, times }) => {
  if (openedAt !== undefined) return endedAt === undefined ? "open" : lasted(endedAt - openedAt)
  return endedAt === undefined ? "opening" : times > 1 ? `not opened, ${times} times` : "not opened"
}

let isDue = false

const draw = () => {
  if (isDue) return
  isDue = true
  requestAnimationFrame(() => {
    isDue = false
    list.replaceChildren(...entries.map(rowOf))
    const ends = entries.filter(({ end }) => end !== undefined).length
    told.textContent = ends === 0 ? "This is the first." : `The last ${entries.length}, the newest first.`
  })
}

/** @param {Entry} entry */
const rowOf = (entry) => {
  const row = make("tr", entry.end === undefined ? "present" : "")
  const time = document.createElement("time")
  time.dateTime = new Date(entry.begun).toISOString()
  time.textContent = clock.format(entry.begun)
  const at = make("td", "at")
  at.append(time)
  const by = make("td", "by", entry.wire)
  by.title = entry.host
  const code = entry.end?.code
  const why = make(
    "td",
    "why",
    entry.end?.why ?? (entry.openedAt === undefined ? "Waiting for the hub" : "Connected now")
  )
  row.append(
    at,
    by,
    make("td", "span", spanOf(entry)),
    make("td", "code", code === undefined ? "–" : String(code)),
    why
  )
  return row
}
