/**
 * One connection by Server-Sent Events: `GET /events`, read by `fetch`. An `EventSource` would do, and keeps to itself why
 * the hub has refused, and where it is before there is an event.
 */
import * as Causes from "./causes.js"

/** Characters of one line or one event. The hub's own bound is 1 MiB for a message. */
const most = 16_777_216

/**
 * `heard` gets the data of an event, `reached` the last event ID whenever it is said, and `lives` is called for every byte.
 *
 * @typedef {{ readonly address: URL, readonly opened: () => void, readonly heard: (text: string, id: string) => void
 *   , readonly reached: (id: string) => void, readonly lives: () => void, readonly retry: (milliseconds: number) => void
 *   , readonly ended: (end: Causes.End) => void }} Options
 */

/** @param {Options} options */
export const open = (options) => {
  const abort = new AbortController()
  let isLeft = false
  void run(options, abort.signal).then((end) => {
    if (!isLeft) options.ended(end)
  })
  return {
    /** It goes one way. */
    send: () => false,
    close: () => {
      isLeft = true
      abort.abort()
    }
  }
}

/**
 * @param {Options} options
 * @param {AbortSignal} signal
 * @returns {Promise<Causes.End>}
 */
const run = async (options, signal) => {
  let wasOpen = false
  try {
    const headers = { accept: "text/event-stream" }
    const response = await fetch(options.address, { headers, signal, cache: "no-store" })
    if (response.status !== 200) return Causes.ofStatus(response.status, await messageOf(response))
    const isStream = response.headers.get("content-type")?.startsWith("text/event-stream") === true
    if (!isStream || response.body === null) return Causes.unreadable("What answered is not an event stream.")
    wasOpen = true
    options.opened()
    const take = reader(options)
    const decoder = new TextDecoder()
    const body = response.body.getReader()
    for (;;) {
      const { done, value } = await body.read()
      if (signal.aborted) break
      if (done) return Causes.ofStreamEnd
      options.lives()
      if (!take(decoder.decode(value, { stream: true }))) {
        await body.cancel()
        return Causes.unreadable("The hub sent more than this page takes in one event.")
      }
    }
  } catch {
    return Causes.ofNoConnection(wasOpen)
  }
  return Causes.ofNoConnection(wasOpen)
}

/**
 * What the hub says of a refusal.
 *
 * @param {Response} response
 */
const messageOf = async (response) => {
  try {
    return String((await response.json()).error.message)
  } catch {
    return ""
  }
}

/**
 * Reads an event stream, wherever it was cut: WHATWG HTML 9.2.6. `false` when there is more of one event than may be.
 *
 * @param {Options} options
 */
const reader = ({ heard, reached, retry }) => {
  let rest = ""
  let data = ""
  let hasData = false
  let id = ""
  /** @param {string} line */
  const take = (line) => {
    if (line === "") {
      reached(id)
      if (hasData) heard(data, id)
      data = ""
      hasData = false
      return
    }
    const colon = line.indexOf(":")
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "")
    if (field === "data") {
      data = hasData ? `${data}\n${value}` : value
      hasData = true
    } else if (field === "id" && !value.includes("\0")) id = value
    else if (field === "retry" && /^\d+$/.test(value)) retry(Number(value))
  }
  return (/** @type {string} */ text) => {
    rest += text
    // A CR at the very end may be half of a CRLF.
    const lines = rest.split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop() ?? ""
    for (const line of lines) take(line)
    return rest.length + data.length <= most
  }
}
