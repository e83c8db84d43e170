/** One connection by WebSocket. It ends once, and then nothing more is heard of it. */
import * as Causes from "./causes.js"

/**
 * @typedef {{ readonly address: URL, readonly opened: () => void, readonly heard: (text: string) => void
 *   , readonly ended: (end: Causes.End) => void }} Options
 */

/** @param {Options} options */
export const open = ({ address, ended, heard, opened }) => {
  const socket = new WebSocket(address, "millrace.v1.json")
  let wasOpen = false
  let isLeft = false
  socket.addEventListener("open", () => {
    wasOpen = true
    if (isLeft) socket.close(1000)
    else opened()
  })
  socket.addEventListener("message", ({ data }) => {
    if (!isLeft) heard(data)
  })
  socket.addEventListener("close", async ({ code, reason }) => {
    // A browser does not say whether it was refused or nobody was there.
    const isRefused = !wasOpen && !isLeft && (await isThere(address))
    if (!isLeft) ended(isRefused ? Causes.ofRefusal : Causes.ofClose(code, reason, wasOpen))
  })
  return {
    /** @param {string} text */
    send: (text) => {
      if (socket.readyState !== WebSocket.OPEN) return false
      socket.send(text)
      return true
    },
    /** @param {number} [code] A page may say 1000 and 3000 to 4999. */
    close: (code = 1000) => {
      isLeft = true
      // A browser complains of one that is closed before it was open.
      if (socket.readyState !== WebSocket.CONNECTING) socket.close(code)
    }
  }
}

/** How long the hub may take to say that it is there. */
const patience = 2_000

/**
 * Whether the hub answers at all.
 *
 * @param {URL} address
 */
const isThere = async (address) => {
  const health = new URL("health", address)
  health.protocol = address.protocol.replace("ws", "http")
  try {
    return (await fetch(health, { cache: "no-store", signal: AbortSignal.timeout(patience) })).ok
  } catch {
    return false
  }
}
