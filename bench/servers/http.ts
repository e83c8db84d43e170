/**
 * What Node.js itself takes for event streams: a response of `node:http` that is left open and written to. With
 * `broadcast`, what a WebSocket of `ws` sends is written to all of them, as text that is made once.
 */
import { createServer, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { WebSocketServer } from "ws"

const responses = new Set<ServerResponse>()

const server = createServer((_, response) => {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" })
  response.write(": \n\n")
  responses.add(response)
  response.on("close", () => responses.delete(response))
})

new WebSocketServer({ server }).on("connection", (socket) => {
  socket.on("message", (data: Buffer) => {
    const event = Buffer.from(`data: ${data.toString()}\n\n`)
    for (const response of responses) response.write(event)
  })
})

server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: (server.address() as AddressInfo).port })))
