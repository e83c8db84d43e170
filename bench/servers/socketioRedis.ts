/** A node of `socket.io` with its adapter for Redis: an event goes to everybody, on all nodes. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { createAdapter } from "@socket.io/redis-adapter"
import { Redis } from "ioredis"
import { Server } from "socket.io"

const [, , , url = ""] = process.argv
const publishing = new Redis(url)
const subscribing = publishing.duplicate()

const http = createServer()
// A load generator answers no Pings; none are due within a run.
const server = new Server(http, {
  transports: ["websocket"],
  pingInterval: 3_600_000,
  serveClient: false,
  adapter: createAdapter(publishing, subscribing)
})

server.on("connection", (socket) => {
  socket.on("all", (text: unknown) => server.emit("all", text))
})

// Answered behind the adapter's own SUBSCRIBE, so by then it hears.
await subscribing.ping()
http.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: (http.address() as AddressInfo).port })))
