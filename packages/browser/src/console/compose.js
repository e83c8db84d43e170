/** The form to publish with. What is written stays there until it is sent. */
import { element, make } from "./elements.js"

/**
 * Takes a topic, the JSON of what is published, and the text that it was made of. Whether it went out, or why it did not.
 *
 * @typedef {(topic: string, dataJson: string, text: string) => boolean} Publish
 */

const page = {
  compose: element("compose", HTMLFormElement),
  to: element("to", HTMLSelectElement),
  asJson: element("as-json", HTMLInputElement),
  receipt: element("receipt", HTMLElement),
  body: element("body", HTMLTextAreaElement),
  send: element("send", HTMLButtonElement)
}

export const focus = () => page.body.focus()

let isConnected = false

/**
 * What can be done now. The text can always be written; it is kept until it can be sent.
 *
 * @param {boolean} [connected]
 */
export const allow = (connected = isConnected) => {
  isConnected = connected
  const hasTopics = page.to.options.length > 0
  page.send.disabled = !connected || !hasTopics
  page.to.disabled = !hasTopics
  page.body.placeholder = !hasTopics
    ? "Join a topic first"
    : page.asJson.checked
      ? '{ "hello": "world" }'
      : `Message to ${page.to.value}`
}

/**
 * A line under the message being written.
 *
 * @param {string} text
 * @param {boolean} [wrong]
 */
export const tell = (text, wrong = false) => {
  page.receipt.textContent = text
  page.receipt.classList.toggle("wrong", wrong)
}

/** @param {number} receivers */
export const acknowledge = (receivers) => {
  tell(receivers === 0 ? "Nobody is subscribed" : `Sent to ${receivers.toLocaleString()}`)
  if (receivers > 0) page.receipt.append(make("span", "wide", receivers === 1 ? " connection" : " connections"))
}

/**
 * It could not be sent after all.
 *
 * @param {string} text
 */
export const giveBack = (text) => {
  if (page.body.value === "") page.body.value = text
  tell("The hub cannot be reached. Your text is kept.", true)
}

/**
 * The JSON text of what was written. JSON goes out as it was typed: parsing it is only to see whether one may.
 *
 * @param {string} text
 */
const dataOf = (text) => {
  if (!page.asJson.checked) return JSON.stringify(text)
  JSON.parse(text)
  return text
}

/** @param {Publish} publish */
export const begin = (publish) => {
  page.compose.addEventListener("submit", (event) => {
    event.preventDefault()
    const text = page.body.value
    if (text.trim() === "" || page.to.options.length === 0) return
    if (!isConnected) {
      tell("Not connected. Your text is kept.", true)
      return
    }
    try {
      if (!publish(page.to.value, dataOf(text), text)) return
      page.body.value = ""
      tell("")
    } catch (error) {
      tell(error instanceof Error ? `Not JSON: ${error.message}` : "Not JSON", true)
    }
  })
}

page.body.addEventListener("keydown", (event) => {
  // Enter also ends a composition, in languages that are written with one.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return
  event.preventDefault()
  page.compose.requestSubmit()
})

for (const kind of document.querySelectorAll("[name=kind]")) {
  kind.addEventListener("change", () => {
    page.body.classList.toggle("json", page.asJson.checked)
    page.body.spellcheck = !page.asJson.checked
    tell("")
    allow()
  })
}
