/**
 * What the page asks of its node every five seconds, as long as somebody looks at it: how the node is, which topics there
 * are on all nodes, over which wires the connections of the chosen one come, and, where the hub does not tell it by itself,
 * who is in it.
 */
import { element, make } from "./elements.js"
import * as Members from "./members.js"
import * as Nodes from "./nodes.js"

const period = 5_000
const patience = 4_000
const maxTopics = 100
const maxShown = 30

/**
 * @typedef {{ readonly status: string, readonly node: string, readonly nodes?: ReadonlyArray<string>,
 *     readonly broker: { readonly name: string, readonly status: string, readonly attempts?: number } }} Health
 * @typedef {{ readonly topics: ReadonlyArray<{ readonly topic: string, readonly members: number }>,
 *     readonly next?: string, readonly silent: ReadonlyArray<string> }} Topics
 */

/**
 * What the page wants to know, and what it does with it.
 *
 * @typedef {{ readonly isConnected: () => boolean
 *   , readonly chosen: () => string
 *   , readonly isTold: () => boolean
 *   , readonly isJoined: (topic: string) => boolean
 *   , readonly join: (topic: string) => void
 *   , readonly counted: (members: ReadonlyMap<string, number>) => void }} Asker
 */

const page = {
  node: element("node", HTMLElement),
  nodeName: element("node-name", HTMLElement),
  nodePlace: element("node-place", HTMLElement),
  broker: element("broker", HTMLElement),
  degraded: element("degraded", HTMLElement),
  others: element("others", HTMLElement),
  list: element("others-list", HTMLElement),
  told: element("others-told", HTMLElement)
}

/** @type {Asker | undefined} */
let asker
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer
/** Answers to what was asked before this are of another time, or of another node. */
let round = 0

/**
 * The answer, or nothing where there is none in time.
 *
 * @param {string} path
 * @returns {Promise<any>}
 */
const ask = async (path) => {
  try {
    const response = await fetch(new URL(path, Nodes.address()), { signal: AbortSignal.timeout(patience) })
    return response.ok ? await response.json() : undefined
  } catch {
    return undefined
  }
}

/** @param {Asker} by */
export const begin = (by) => {
  asker = by
  document.addEventListener("visibilitychange", now)
}

/** Asks now, and from now on. What is on its way is not waited for. */
export const now = () => {
  clearTimeout(timer)
  const its = ++round
  if (asker === undefined || document.visibilityState === "hidden" || !asker.isConnected()) return
  void answer(asker, its).finally(() => {
    if (its === round) timer = setTimeout(now, period)
  })
}

/** There is no node any more that could be asked. */
export const stop = () => {
  clearTimeout(timer)
  round++
  page.node.hidden = true
  page.degraded.hidden = true
}

/**
 * @param {Asker} by
 * @param {number} its
 */
const answer = async (by, its) => {
  /** @type {Health | undefined} */
  const health = await ask("health")
  if (its !== round || health === undefined) return
  showNode(health)
  // Other nodes cannot be asked, so there is nothing to be had.
  if (health.status !== "ok") return
  const topic = by.chosen()
  const isTold = by.isTold()
  /** @type {[Topics | undefined, Extract<Members.Told, { readonly type: "present" }> | undefined]} */
  const [topics, present] = await Promise.all([
    ask(`topics?limit=${maxTopics}`),
    topic === "" ? undefined : ask(`topics/${encodeURIComponent(topic)}/presence${isTold ? "?limit=1" : ""}`)
  ])
  if (its !== round) return
  if (present !== undefined && topic === by.chosen()) {
    // What the hub has told by itself may be newer.
    if (!isTold && !by.isTold()) Members.tell(present)
    Members.tellWires(topic, present.wires ?? {})
  }
  if (topics === undefined) return
  by.counted(new Map(topics.topics.map(({ members, topic }) => [topic, members])))
  showOthers(topics, by)
}

/**
 * Which node the page hangs on, and where that is when it is not where the page came from.
 *
 * @param {string} node
 */
export const showName = (node) => {
  page.node.hidden = false
  // It has no meaning, so its beginning will do to tell it from others.
  page.nodeName.textContent = node.length > 12 ? `${node.slice(0, 8)}…` : node
  page.node.title = node
  page.nodePlace.textContent = Nodes.address() === Nodes.home ? "" : `at ${Nodes.host()}`
}

/** @param {Health} health */
const showNode = ({ broker, node, nodes, status }) => {
  if (nodes !== undefined) Nodes.learn(nodes)
  showName(node)
  page.broker.textContent = broker.name === "memory" ? "" : `on ${broker.name}`
  const isAlone = status !== "ok"
  if (isAlone) {
    const tried = broker.attempts === undefined ? "" : `, tried ${broker.attempts} times`
    const away = broker.status === "connecting" ? "has not been reached yet" : `cannot be reached${tried}`
    page.degraded.textContent = `This node is alone: ${broker.name} ${away}. Nobody on other nodes hears what is said here.`
  }
  page.degraded.hidden = !isAlone
}

/**
 * @param {Topics} topics
 * @param {Asker} by
 */
const showOthers = ({ next, silent, topics }, by) => {
  const others = topics.filter(({ topic }) => !by.isJoined(topic))
  // What has the focus is not taken away under a finger.
  const focused = document.activeElement?.closest("#others-list li")?.getAttribute("data-topic")
  page.list.replaceChildren(
    ...others.slice(0, maxShown).map(({ members, topic }) => {
      const entry = make("li", "")
      entry.dataset["topic"] = topic
      const button = make("button", "")
      button.setAttribute("type", "button")
      button.title = `Join ${topic}: ${members} ${members === 1 ? "connection" : "connections"}`
      button.append(make("bdi", "", topic), make("span", "count", members.toLocaleString()))
      button.addEventListener("click", () => {
        entry.remove()
        by.join(topic)
      })
      entry.append(button)
      return entry
    })
  )
  for (const entry of page.list.children) {
    if (focused !== undefined && entry.getAttribute("data-topic") === focused) entry.querySelector("button")?.focus()
  }
  const isMore = next !== undefined || others.length > maxShown
  const told = [
    isMore ? "There are more." : "",
    silent.length === 0 ? "" : `Not answered: ${silent.slice(0, 5).join(", ")}${silent.length > 5 ? ", …" : ""}.`
  ].filter((text) => text !== "")
  page.told.textContent = told.join(" ")
  page.told.hidden = told.length === 0
  page.others.hidden = others.length === 0 && told.length === 0
}
