/**
 * The page of the hub, for people: pick a name, join topics, talk. It speaks docs/protocol.md and nothing else, with
 * what a browser has and nothing else, so its source can be read as an example of a client; of two, as it receives by
 * a WebSocket or by an event stream, whichever is chosen. This file is what the hub says and what people do, and what
 * follows from it; each thing that is shown is beside it.
 *
 * What peers send goes into the document as text, never as markup, and is bounded.
 */
import * as Compose from "./compose.js"
import * as Connection from "./connection.js"
import { element } from "./elements.js"
import * as Elsewhere from "./elsewhere.js"
import * as Frames from "./frames.js"
import * as Latency from "./latency.js"
import * as Members from "./members.js"
import { keep, recall } from "./memory.js"
import * as Messages from "./messages.js"
import { faultOfName, faultOfTopic, inventName } from "./names.js"
import * as Nodes from "./nodes.js"
import * as Places from "./places.js"
import * as Questions from "./questions.js"
import * as Rates from "./rates.js"
import * as Status from "./status.js"
import * as Survey from "./survey.js"
import * as Topics from "./topics.js"
import "./views.js"

/** How long before the hub is asked again for a topic that it could not have. */
const again = 5_000

const page = {
  nameForm: element("name-form", HTMLFormElement),
  name: element("name", HTMLInputElement),
  nameHint: element("name-hint", HTMLElement),
  byWebSocket: element("by-websocket", HTMLInputElement),
  bySse: element("by-sse", HTMLInputElement),
  position: element("position", HTMLElement),
  joinForm: element("join-form", HTMLFormElement),
  join: element("join", HTMLInputElement),
  latest: element("latest", HTMLButtonElement)
}

const given = new URLSearchParams(location.search)
const nameInAddress = given.get("name")

/** The name asked for. `welcome` says which one the hub gave. */
let name =
  [nameInAddress, recall("sessionStorage", "name"), inventName()].find(
    (candidate) => candidate !== null && candidate !== "" && faultOfName(candidate) === ""
  ) ?? ""

/** Which node the last connection was to. */
let hungOn = ""
/** Whether a connection was lost and none has come since. */
let missing = false

/* ── what the hub says ────────────────────────────────────────────────────────────────────────────────────────────── */

/**
 * Asks for a topic from where this page is in it, and for who is there.
 *
 * @param {string} topic
 * @param {boolean} [isShy] The hub does not tell who is where: it is not asked.
 */
const subscribe = (topic, isShy = false) => {
  Connection.retune()
  if (Connection.current()._tag !== "connected" || Connection.wire() === "sse") return
  const id = Questions.ask({ type: "subscribe", topic, isShy })
  const presence = isShy ? undefined : true
  Connection.send(JSON.stringify({ type: "subscribe", topic, position: Places.of(topic), presence, id }))
}

/**
 * There is a connection.
 *
 * @param {string | undefined} client
 * @param {ReadonlyArray<string>} lacking The topics of which it does not go on where the last one ended.
 */
const arrive = (client, lacking) => {
  Compose.tell("")
  const node = Nodes.address()
  if (missing) {
    const where = node === hungOn ? "Connected again" : `Connected again, to the node at ${Nodes.host()}`
    const what =
      lacking.length === 0
        ? "What was said in between follows."
        : lacking.length === Topics.names().length
          ? "What was said in between did not reach this page."
          : `What was said in between follows, but not of ${lacking.join(", ")}.`
    Messages.note(`${where}. ${what}`)
  }
  hungOn = node
  missing = false
  Connection.arrive(client)
  Survey.now()
}

/**
 * @param {string} topic
 * @param {string | undefined} position
 */
const reach = (topic, position) => {
  if (Topics.has(topic)) Places.reach(topic, position)
}

/** @param {import("./message.js").ServerMessage} message */
const receive = (message) => {
  switch (message.type) {
    case "welcome": {
      Nodes.learn(message.nodes ?? [])
      Frames.follow(message.frames)
      const lacking = Topics.names().filter((topic) => Places.of(topic) === undefined)
      arrive(message.client, lacking)
      if (message.node !== undefined) Survey.showName(message.node)
      for (const topic of Topics.names()) subscribe(topic)
      Latency.soon()
      break
    }
    case "subscribed": {
      Questions.answered(message.id)
      Topics.settle(message.topic)
      reach(message.topic, message.position)
      break
    }
    case "position": {
      reach(message.topic, message.position)
      break
    }
    case "unsubscribed": {
      if (message.reason === undefined || !Topics.has(message.topic)) break
      Messages.note(`You were taken out of ${message.topic}: ${message.message ?? message.reason}`, true)
      forget(message.topic)
      Connection.retune()
      break
    }
    case "moved": {
      move(message)
      break
    }
    case "gap": {
      const { from, to, topics } = message
      const where = [
        from === undefined ? "" : to === undefined ? `, behind ${from}` : `, between ${from} and ${to}`,
        from === undefined && to !== undefined ? `, before ${to}` : ""
      ]
      Messages.note(`A gap: the hub does not have all that was said in ${topics.join(", ")}${where.join("")}.`, true)
      for (const topic of message.topics) reach(topic, message.to)
      break
    }
    case "present":
    case "joined":
    case "updated":
    case "left": {
      if (!Topics.has(message.topic)) break
      Members.tell(message)
      Topics.enumerate()
      break
    }
    case "pong": {
      if (message.id === pinged.id) Latency.add(performance.now() - pinged.at)
      break
    }
    case "published": {
      Questions.answered(message.id)
      Compose.acknowledge(message.receivers)
      break
    }
    case "message": {
      reach(message.topic, message.position)
      if (!Places.isNew(message.topic, message.position)) break
      if (Topics.has(message.topic)) Rates.add(message.topic)
      Messages.add(message, Topics.hueOf(message.topic), message.from === Connection.client())
      break
    }
    case "error": {
      const refused = Questions.answered(message.id)
      if (message.code === "no-presence") {
        // Some hubs take the subscription all the same, and some do not.
        if (refused?.type === "subscribe" && !refused.isShy) subscribe(refused.topic, true)
        break
      }
      if (refused?.type === "subscribe" && message.code === "unavailable") {
        Messages.note(`${refused.topic} cannot be had now: ${message.message}`, true)
        setTimeout(() => {
          if (Topics.isAsking(refused.topic)) subscribe(refused.topic)
        }, again)
        break
      }
      if (refused?.type === "subscribe") forget(refused.topic)
      Messages.note(`The hub refused${refused === undefined ? "" : ` to ${refused.type}`}: ${message.message}`, true)
      break
    }
    default:
  }
}

/** The ping that is under way. */
let pinged = { id: "", at: 0 }

/** Asks the hub for a sign of life, to see how long it takes. */
const ping = () => {
  if (Connection.current()._tag !== "connected") return
  const at = performance.now()
  if (Connection.wire() === "sse") {
    const its = hungOn
    fetch(new URL("health", hungOn), { cache: "no-store", signal: AbortSignal.timeout(5_000) }).then(
      (response) => {
        if (response.ok && its === hungOn && Connection.wire() === "sse") Latency.add(performance.now() - at)
      },
      () => {}
    )
  } else {
    pinged = { id: `latency-${at}`, at }
    Connection.send(JSON.stringify({ type: "ping", id: pinged.id }))
  }
}

/* ── topics ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

/**
 * @param {string} topic
 * @param {string} [position] Where this page is in it already.
 */
const join = (topic, position) => {
  if (!Topics.has(topic)) {
    Topics.add(topic)
    reach(topic, position)
    subscribe(topic)
  }
  Topics.choose(topic)
}

/** @param {string} topic */
const forget = (topic) => {
  Places.forget(topic)
  Topics.remove(topic)
}

/**
 * What comes of a topic comes of another now.
 *
 * @param {Extract<import("./message.js").ServerMessage, { type: "moved" }>} moved
 */
const move = ({ from, position, to }) => {
  if (!Topics.has(from)) return
  const other = Topics.chosen()
  Messages.note(`You were moved from ${from} to ${to}.`)
  forget(from)
  join(to, position)
  Topics.choose(other === from ? to : other)
}

Topics.begin({
  chosen: (topic) => {
    Members.show(topic, Connection.client())
    if (Connection.wire() === "sse" && Connection.current()._tag === "connected") Survey.now()
    remember()
    Compose.allow()
  },
  picked: Compose.focus,
  left: (topic) => {
    forget(topic)
    Connection.send(JSON.stringify({ type: "unsubscribe", topic }))
    Connection.retune()
    page.join.focus()
  }
})

/** Keeps the address true, so that a reload comes back to the same topics, and the examples beside it. */
const remember = () => {
  keep("sessionStorage", "name", name)
  Elsewhere.show({
    topics: Topics.names(),
    chosen: Topics.chosen(),
    via: Connection.wire(),
    name,
    isNameInAddress: nameInAddress !== null,
    hub: Connection.addressOfHub(),
    events: Connection.addressOfEvents(Topics.names())
  })
}

/* ── what people do ───────────────────────────────────────────────────────────────────────────────────────────────── */

/**
 * @param {HTMLInputElement} input
 * @param {string} fault
 */
const accept = (input, fault) => {
  input.setCustomValidity(fault)
  return input.reportValidity()
}

const rename = () => {
  if (page.name.value === name || !accept(page.name, faultOfName(page.name.value))) return
  name = page.name.value
  remember()
  Connection.reopen("You chose another name.")
}

page.nameForm.addEventListener("submit", (event) => {
  event.preventDefault()
  rename()
  Compose.focus()
})
page.name.addEventListener("change", rename)
page.name.addEventListener("input", () => page.name.setCustomValidity(""))

page.joinForm.addEventListener("submit", (event) => {
  event.preventDefault()
  if (!accept(page.join, faultOfTopic(page.join.value))) return
  join(page.join.value)
  page.join.value = ""
  Compose.focus()
})
page.join.addEventListener("input", () => page.join.setCustomValidity(""))

const tune = () => {
  const isSse = Connection.wire() === "sse"
  page.byWebSocket.checked = !isSse
  page.bySse.checked = isSse
  page.position.hidden = !isSse
  page.nameHint.hidden = !isSse
  page.name.disabled = isSse
}

for (const choice of document.querySelectorAll("[name=via]")) {
  choice.addEventListener("change", () => {
    Members.forgetAll()
    Connection.choose(page.bySse.checked ? "sse" : "websocket")
    tune()
    remember()
  })
}

page.latest.addEventListener("click", () => {
  Messages.toEnd()
  Compose.focus()
})
/**
 * An event stream goes one way. What cannot be sent is given back.
 *
 * @param {string} body
 * @param {string} text
 */
const post = async (body, text) => {
  const headers = { "content-type": "application/json" }
  const begun = performance.now()
  try {
    const response = await fetch(new URL("publish", Nodes.address()), { method: "POST", headers, body })
    const { error, receivers } = await response.json()
    Latency.add(performance.now() - begun)
    if (response.ok) Compose.acknowledge(receivers)
    else Messages.note(`The hub refused to publish: ${error.message}`, true)
  } catch {
    Compose.giveBack(text)
  }
}

Compose.begin((topic, dataJson, text) => {
  const publication = `"topic":${JSON.stringify(topic)},"data":${dataJson}`
  if (Connection.wire() === "sse") void post(`{${publication}}`, text)
  else {
    const id = Questions.ask({ type: "publish", topic })
    if (!Connection.send(`{"type":"publish",${publication},"id":${id}}`)) return false
  }
  Messages.toEnd()
  return true
})

Status.begin(() => Connection.reopen())
Latency.begin(ping)
Frames.begin(Connection.reopen)

Survey.begin({
  isConnected: () => Connection.current()._tag === "connected",
  chosen: Topics.chosen,
  isTold: () => Connection.wire() !== "sse",
  isJoined: Topics.has,
  join: (topic) => {
    join(topic)
    Compose.focus()
  },
  counted: Topics.count
})

/* ── begin ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

page.name.value = name
tune()
const wanted = given.getAll("topic").filter((topic) => faultOfTopic(topic) === "")
for (const topic of wanted.length === 0 ? ["lobby"] : wanted) join(topic)
const [first] = Topics.names()
if (first !== undefined) Topics.choose(first)
Connection.begin({
  name: () => name,
  topics: Topics.names,
  begins: Questions.forgetAll,
  changed: (state) => {
    Status.show(state)
    if (state._tag === "connected") Members.show(Topics.chosen(), Connection.client())
    Compose.allow(state._tag === "connected")
  },
  opened: (lacking) => {
    for (const topic of Topics.names()) Topics.settle(topic)
    arrive(undefined, lacking)
    Latency.soon()
  },
  received: receive,
  missed: (topic) => Messages.note(`What was said in ${topic} before this connection could not be had.`, true),
  lost: (why, wasOpen) => {
    Topics.askAll()
    Members.forgetAll()
    Survey.stop()
    if (!wasOpen) return
    Messages.note(why, true)
    missing = true
  },
  left: () => {
    Survey.stop()
    Latency.forget()
    Frames.left()
  }
})
Compose.focus()
