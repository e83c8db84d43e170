/**
 * Who is in the topics, as the hub tells it: by `present`, `joined`, `updated` and `left`, or when it is asked. What is
 * kept is bounded, 1,000 users of a topic; what is shown as well, 100 of the chosen one.
 */
import { element, hueOf, make } from "./elements.js"

const maxKept = 1_000
const maxShown = 100

/**
 * @typedef {{ readonly user: string, readonly connections: number }} User
 * @typedef {{ readonly type: "present", readonly topic: string, readonly users: ReadonlyArray<User>,
 *     readonly count: { readonly users: number, readonly connections: number }, readonly members?: number,
 *     readonly wires?: Readonly<Record<string, number>> }
 *   | { readonly type: "joined" | "updated" | "left", readonly topic: string, readonly user: string,
 *     readonly connections: number }} Told
 */

/**
 * How many users there are, how many connections that do not say whose they are, where that is known, and whom we know by
 * name: how many connections each has.
 *
 * @type {Map<string, { count: number, unnamed: number, readonly users: Map<string, number> }>}
 */
const topics = new Map()

const page = {
  members: element("members", HTMLElement),
  title: element("members-title", HTMLElement),
  list: element("members-list", HTMLElement),
  more: element("members-more", HTMLElement),
  wires: element("members-wires", HTMLElement)
}

/** What people call the wires that connections use. */
const wires = new Map([
  ["native", "native"],
  ["sse", "event stream"],
  ["cable", "Action Cable"],
  ["socketio", "Socket.IO"]
])

/** The topic that is shown, over which wires its connections come, and the user that this page is. */
let chosen = ""
let over = ""
let own = ""

/** @param {Told} told */
export const tell = (told) => {
  const { topic } = told
  if (told.type === "present") {
    const users = new Map(told.users.slice(0, maxKept).map(({ user, connections }) => [user, connections]))
    const unnamed = Math.max(0, (told.members ?? 0) - told.count.connections)
    topics.set(topic, { count: told.count.users, unnamed, users })
  } else {
    const known = topics.get(topic)
    if (known === undefined) return
    const wasKnown = known.users.has(told.user)
    if (told.type === "left") {
      known.users.delete(told.user)
      known.count = Math.max(known.users.size, known.count - 1)
    } else {
      if (wasKnown || known.users.size < maxKept) known.users.set(told.user, told.connections)
      if (told.type === "joined" && !wasKnown) known.count++
    }
  }
  if (topic === chosen) draw()
}

/**
 * Over which wires the connections of a topic come, and how many over each.
 *
 * @param {string} topic
 * @param {Readonly<Record<string, number>>} counts
 */
export const tellWires = (topic, counts) => {
  if (topic !== chosen) return
  over = Object.entries(counts)
    .slice(0, 8)
    .map(([wire, count]) => `${count.toLocaleString()} ${wires.get(wire) ?? wire}`)
    .join(", ")
  draw()
}

/** @param {string} topic */
export const forget = (topic) => topics.delete(topic)

/** Nothing is known any more: of old news nobody says that it is old. */
export const forgetAll = () => {
  topics.clear()
  over = ""
  draw()
}

/**
 * How many users are in a topic, where that is known.
 *
 * @param {string} topic
 */
export const count = (topic) => topics.get(topic)?.count

/**
 * Shows who is in a topic; "" for none.
 *
 * @param {string} topic
 * @param {string} user What this page is called there.
 */
export const show = (topic, user) => {
  if (topic !== chosen) over = ""
  chosen = topic
  own = user
  draw()
}

let isDue = false

/** With the next frame, so that a crowd costs one layout. */
const draw = () => {
  if (isDue) return
  isDue = true
  requestAnimationFrame(() => {
    isDue = false
    const known = topics.get(chosen)
    page.members.hidden = known === undefined && over === ""
    page.wires.hidden = over === ""
    page.wires.textContent = over
    if (known === undefined) {
      page.title.textContent = ""
      page.list.replaceChildren()
      page.more.hidden = true
      return
    }
    page.title.textContent = known.count === 0 ? "Nobody by name" : `${known.count.toLocaleString()} here`
    const entries = []
    const ownConnections = known.users.get(own)
    if (ownConnections !== undefined) entries.push(entryOf(own, ownConnections))
    for (const [user, connections] of known.users) {
      if (entries.length === maxShown) break
      if (user !== own) entries.push(entryOf(user, connections))
    }
    page.list.replaceChildren(...entries)
    const others = known.count - entries.length
    const more = [
      others > 0 ? `${others.toLocaleString()} more` : "",
      known.unnamed > 0 ? `${known.unnamed.toLocaleString()} unnamed` : ""
    ].filter((text) => text !== "")
    page.more.hidden = more.length === 0
    page.more.textContent = `and ${more.join(", ")}`
  })
}

/**
 * @param {string} user
 * @param {number} connections
 */
const entryOf = (user, connections) => {
  const entry = make("li", user === own ? "own" : "")
  entry.dataset["hue"] = hueOf(user)
  entry.title = `${user}: ${connections} ${connections === 1 ? "connection" : "connections"}`
  entry.append(make("bdi", "", user))
  if (connections > 1) entry.append(make("span", "times", `×${connections}`))
  return entry
}
