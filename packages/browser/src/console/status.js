/** The state of the connection, as it is shown at the top. */
import { element } from "./elements.js"

/** @typedef {import("./connection.js").State} State */

const page = {
  state: element("state", HTMLElement),
  text: element("state-text", HTMLElement),
  lost: element("lost-text", HTMLElement),
  reason: element("reason", HTMLElement),
  countdown: element("countdown", HTMLElement),
  retry: element("retry", HTMLButtonElement)
}

/** @type {State} */
let state = { _tag: "connecting" }

/** @param {() => void} retry */
export const begin = (retry) => {
  page.retry.addEventListener("click", retry)
  setInterval(count, 500)
}

/** @param {State} next */
export const show = (next) => {
  state = next
  page.state.dataset["state"] = next._tag
  page.text.textContent = {
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
}

const count = () => {
  if (state._tag === "waiting") {
    const seconds = Math.ceil(Math.max(0, state.until - Date.now()) / 1000)
    page.countdown.textContent = `Trying again in ${seconds} s.`
  } else page.countdown.textContent = state._tag === "connecting" ? "Trying again." : ""
}
