/** How others take part from elsewhere, as commands to copy, and this page's own address, which a reload comes back to. */
import { element } from "./elements.js"
import * as Nodes from "./nodes.js"

const page = {
  how: element("how", HTMLElement),
  wscat: element("wscat", HTMLElement),
  curl: element("curl", HTMLElement),
  second: element("second", HTMLAnchorElement)
}

/** @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`

/**
 * Keeps the address true, and the examples.
 *
 * @param {{ readonly topics: ReadonlyArray<string>, readonly chosen: string, readonly via: "websocket" | "sse",
 *     readonly name: string, readonly isNameInAddress: boolean, readonly hub: URL, readonly events: URL }} now
 */
export const show = ({ chosen, events, hub, isNameInAddress, name, topics, via }) => {
  const search = new URLSearchParams(topics.map((topic) => ["topic", topic]))
  const link = new URL(location.pathname, location.href)
  link.search = search.toString()
  page.second.href = link.href
  if (isNameInAddress && name !== "") search.set("name", name)
  if (via === "sse") search.set("via", "sse")
  history.replaceState(null, "", `${location.pathname}${search.size === 0 ? "" : `?${search}`}`)

  hub.search = ""
  page.how.textContent = via === "sse" ? "Whatever reads HTTP can listen" : "Any WebSocket client takes part"
  page.wscat.textContent = via === "sse" ? `curl -N ${quoted(events.href)}` : `npx wscat -c ${hub.href}`
  const example = JSON.stringify({ topic: chosen || "lobby", data: "hello" })
  page.curl.textContent = `curl ${new URL("publish", Nodes.address()).href} \\\n--json ${quoted(example)}`
  document.title = topics.length === 0 ? "Millrace" : `${chosen} · Millrace`
}

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!(button instanceof HTMLButtonElement)) continue
  // Only pages from https: or localhost may write to the clipboard.
  button.hidden = navigator.clipboard === undefined
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset["copy"] ?? "")?.textContent ?? ""
    await navigator.clipboard.writeText(text).then(
      () => (button.textContent = "Copied"),
      () => (button.textContent = "Failed")
    )
    setTimeout(() => (button.textContent = "Copy"), 1500)
  })
}
