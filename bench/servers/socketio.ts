/** `socket.io`: the same order by way of `emitWithAck`. It checks nothing, as it knows no schema. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { Server } from "socket.io"

const http = createServer()
// A load generator answers no Pings; none are due within a run.
const server = new Server(http, { transports: ["websocket"], pingInterval: 3_600_000, serveClient: false })

server.on("connection", (socket) => {
  socket.on("echo", (order: unknown, answer: (order: unknown) => void) => answer(order))
})

http.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: (http.address() as AddressInfo).port })))
