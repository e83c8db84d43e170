/**
 * The servers of `ws` that ours are measured against: `echo` or `broadcast`. `WS_NO_BUFFER_UTIL=1` leaves its addon out;
 * with `beside` behind it, our modules and Effect's are loaded too and never used; with `deflate` behind that, they are
 * ready for permessage-deflate, and with `fresh` in between they refer to no earlier message.
 */
import type { AddressInfo } from "node:net"
import { WebSocketServer } from "ws"

const [, , mode, style, extension] = process.argv
if (style === "beside") await import("@millrace/node/NodeWebSocketServer")

// The threshold is the default of `ws`, which keeps to it only where there is no context takeover.
const perMessageDeflate = extension === "deflate" && {
  threshold: 1024,
  ...(style === "fresh" && { serverNoContextTakeover: true })
}

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate }, () => {
  console.log(JSON.stringify({ port: (server.address() as AddressInfo).port }))
})

if (mode === "broadcast") {
  server.on("connection", (socket) => {
    socket.on("message", (data, isBinary) => {
      for (const client of server.clients) if (client !== socket) client.send(data, { binary: isBinary })
    })
  })
} else {
  server.on("connection", (socket) => {
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }))
  })
}
