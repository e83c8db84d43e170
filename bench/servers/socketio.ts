/**
 * `socket.io`: it answers an order with that order, by its acknowledgement, and has what a client says to all go to a room
 * that everyone is in. It checks nothing, as it knows no schema. With `lean` behind it, it lets go of the request that
 * each session began with, as its documentation advises where memory counts.
 */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { Server } from "socket.io"

const [, , , style] = process.argv

const http = createServer()
// A load generator answers no Pings; none are due within a run.
const server = new Server(http, { transports: ["websocket"], pingInterval: 3_600_000, serveClient: false })

if (style === "lean") {
  server.engine.on("connection", (session: { request: unknown }) => {
    session.request = null
  })
}

server.on("connection", (socket) => {
  void socket.join("all")
  socket.on("echo", (order: unknown, answer: (order: unknown) => void) => answer(order))
  socket.on("all", (text: unknown) => server.to("all").emit("all", text))
})

http.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: (http.address() as AddressInfo).port })))
