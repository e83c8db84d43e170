/** The topics wanted, whether or not there is a connection: a list to choose from and to leave, and where to publish. */
import { element, make } from "./elements.js"
import * as Members from "./members.js"
import * as Rates from "./rates.js"

/**
 * Who is told what people do with the list.
 *
 * @typedef {{ readonly chosen: (topic: string) => void, readonly left: (topic: string) => void
 *   , readonly picked: () => void }} Listener
 */

const page = {
  list: element("topics", HTMLElement),
  to: element("to", HTMLSelectElement)
}

/** @type {Map<string, HTMLElement>} */
const entries = new Map()
/** How many connections each has on all nodes, as the hub said last. @type {ReadonlyMap<string, number>} */
let connections = new Map()
/** @type {Listener} */
let listener = { chosen: () => {}, left: () => {}, picked: () => {} }

/** @param {Listener} by */
export const begin = (by) => {
  listener = by
  page.to.addEventListener("change", () => choose(chosen()))
  setInterval(drawRates, 1_000)
}

export const names = () => [...entries.keys()]

/** @param {string} topic */
export const has = (topic) => entries.has(topic)

/** The topic that is published to, or "" where there is none. */
export const chosen = () => page.to.value

/** @param {string} topic */
export const hueOf = (topic) => entries.get(topic)?.dataset["hue"]

/** @param {string} topic */
export const isAsking = (topic) => entries.get(topic)?.classList.contains("asking") === true

/** The hub has yet to say that this page is in them. */
export const askAll = () => {
  for (const entry of entries.values()) entry.classList.add("asking")
}

/**
 * This page is in it.
 *
 * @param {string} topic
 */
export const settle = (topic) => entries.get(topic)?.classList.remove("asking")

/** @param {string} topic */
export const choose = (topic) => {
  page.to.value = topic
  for (const [other, entry] of entries) {
    entry.classList.toggle("chosen", other === topic)
    entry.querySelector(".choose")?.setAttribute("aria-pressed", String(other === topic))
  }
  listener.chosen(topic)
}

/**
 * How many connections each topic has on all nodes.
 *
 * @param {ReadonlyMap<string, number>} counted
 */
export const count = (counted) => {
  connections = counted
  enumerate()
}

/** Shows how many are in each topic: people, where the hub tells who is there, else connections. */
export const enumerate = () => {
  for (const [topic, entry] of entries) {
    const present = Members.count(topic)
    const all = connections.get(topic)
    const shown = entry.querySelector(".count")
    if (!(shown instanceof HTMLElement)) continue
    const text = (present ?? all)?.toLocaleString() ?? ""
    if (shown.textContent !== text) shown.textContent = text
    shown.title = [
      present === undefined ? "" : `${present} here`,
      all === undefined ? "" : `${all} ${all === 1 ? "connection" : "connections"}`
    ]
      .filter((part) => part !== "")
      .join(", ")
  }
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
  for (const [topic, entry] of entries) {
    const number = entry.querySelector(".rate")
    const line = entry.querySelector("polyline")
    if (number instanceof HTMLElement && line !== null) Rates.draw(topic, number, line)
  }
}

/** The first hue that no topic has, so that a few topics never look alike. */
const hueOfNext = () => {
  const taken = new Set([...entries.values()].map((entry) => entry.dataset["hue"]))
  return ["0", "1", "2", "3", "4", "5", "6", "7"].find((hue) => !taken.has(hue)) ?? String(entries.size & 7)
}

/** @param {string} topic */
export const add = (topic) => {
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
    listener.picked()
  })
  const leaving = make("button", "leave", "×")
  leaving.setAttribute("type", "button")
  leaving.ariaLabel = `Leave ${topic}`
  leaving.addEventListener("click", () => listener.left(topic))
  entry.append(pick, leaving)
  page.list.append(entry)
  page.to.append(new Option(topic, topic))
  entries.set(topic, entry)
  enumerate()
}

/** @param {string} topic */
export const remove = (topic) => {
  entries.get(topic)?.remove()
  entries.delete(topic)
  Members.forget(topic)
  Rates.forget(topic)
  for (const option of page.to.options) if (option.value === topic) option.remove()
  choose(chosen())
}
