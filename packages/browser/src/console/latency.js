/**
 * How long the hub takes to answer, as a small plot and in numbers: a `ping` by WebSocket, a request by SSE. Asked every
 * five seconds while somebody looks. Bounded: the last 60.
 */
import { element } from "./elements.js"

const period = 5_000
const maxKept = 60
/** The view of the plot. */
const width = 300
const height = 60

/** @typedef {(answered: () => void) => void} Ask */

const page = {
  summary: element("latency-summary", HTMLElement),
  last: element("latency-last", HTMLElement),
  median: element("latency-median", HTMLElement),
  most: element("latency-max", HTMLElement),
  top: element("latency-top", HTMLElement)
}
const line = document.querySelector("#latency polyline")
const dot = document.querySelector("#latency .last")
const plot = document.querySelector("#latency svg")

/** Milliseconds, the newest last. @type {Array<number>} */
const times = []
/** @type {(() => void) | undefined} */
let ask
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer

/** @param {() => void} by Asks the hub, if there is a connection. */
export const begin = (by) => {
  ask = by
  document.addEventListener("visibilitychange", now)
}

/** A page that has just been let in has much to do, and would measure itself. */
const breath = 500

/** Asks soon, and from then on. */
export const soon = () => {
  clearTimeout(timer)
  timer = setTimeout(now, breath)
}

/** Asks now, and from now on. */
const now = () => {
  clearTimeout(timer)
  if (ask === undefined || document.visibilityState === "hidden") return
  ask()
  timer = setTimeout(now, period)
}

/** Of another connection nothing is known yet. */
export const forget = () => {
  clearTimeout(timer)
  times.length = 0
  draw()
}

/** @param {number} milliseconds */
export const add = (milliseconds) => {
  times.push(milliseconds)
  if (times.length > maxKept) times.shift()
  draw()
}

/** @param {number | undefined} milliseconds */
const print = (milliseconds) =>
  milliseconds === undefined ? "–" : `${milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`

const draw = () => {
  const last = times.at(-1)
  const sorted = times.toSorted((one, other) => one - other)
  const median = sorted[Math.floor((sorted.length - 1) / 2)]
  const most = sorted.at(-1)
  page.last.textContent = print(last)
  page.median.textContent = print(median)
  page.most.textContent = print(most)
  page.top.textContent = most === undefined ? "" : print(most)
  page.summary.textContent = last === undefined ? "" : print(last)
  const words =
    last === undefined
      ? "Nothing measured yet"
      : `Round trips: last ${print(last)}, median ${print(median)}, longest ${print(most)}, of ${times.length}`
  plot?.setAttribute("aria-label", words)
  const scale = Math.max(1, most ?? 0)
  const at = times.map((time, i) => [
    width - ((times.length - 1 - i) * width) / (maxKept - 1),
    height - 3 - ((height - 6) * time) / scale
  ])
  line?.setAttribute("points", at.map(([x = 0, y = 0]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" "))
  // A line of no length, with round ends: a circle would be stretched with the view.
  dot?.setAttribute("d", last === undefined ? "" : `M${at.at(-1)?.join(" ")}h0`)
}
