/**
 * The servers of `ws` that ours are measured against: `echo` or `broadcast`. `WS_NO_BUFFER_UTIL=1` leaves its addon out;
 * with `beside` behind it, our modules and Effect's are loaded too and never used.
 */
import type { AddressInfo } from "node:net"
import { WebSocketServer } from "ws"

if (process.argv[3] === "beside") await import("@millrace/node/NodeWebSocketServer")

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false }, () => {
  console.log(JSON.stringify({ port: (server.address() as AddressInfo).port }))
})

if (process.argv[2] === "broadcast") {
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
