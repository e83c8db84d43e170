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
  socket.addEventListener("close", ({ code, reason }) => {
    if (!isLeft) ended(Causes.ofClose(code, reason, wasOpen))
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
