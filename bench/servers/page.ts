/**
 * What pages receive: messages of 100 bytes of JSON, as many as are asked for, over a WebSocket at `/text`, a session at
 * `/session` and socket.io. Frames are encoded once. `GET /` is an empty page.
 */
import { createServer } from "node:http"
import type { AddressInfo, Socket } from "node:net"
import { Server } from "socket.io"
import { WebSocketServer } from "ws"

const said = { from: "ada", text: "x".repeat(100 - '{"from":"ada","text":""}'.length) }
const packet = JSON.stringify(["emit", "said", said])
const welcome = JSON.stringify(["welcome", { contract: "page", version: "1", hash: "", session: "s" }])

/** A text frame, shorter than 126 bytes. */
const frame = (text: string) => Buffer.concat([Buffer.of(0x81, text.length), Buffer.from(text)])

const frames = (text: string, count: number) => Buffer.concat(Array.from({ length: count }, () => frame(text)))

/** Frames that go in one write. */
const batch = 500

const blocks = { text: frames(JSON.stringify(said), batch), packet: frames(packet, batch) }

/** `count` is a multiple of `batch`. */
const send = (socket: Socket, block: Buffer, count: number): void => {
  for (let left = count; left > 0; left -= batch) {
    if (!socket.write(block)) return void socket.once("drain", () => send(socket, block, left - batch))
  }
}

const webSockets = new WebSocketServer({ noServer: true, handleProtocols: ([first]) => first ?? false })

const http = createServer((_, response) => {
  response.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html><title>page</title>")
})
const io = new Server(http, {
  transports: ["websocket"],
  pingInterval: 3_600_000,
  serveClient: false,
  destroyUpgrade: false
})

io.on("connection", (socket) => {
  socket.on("go", (count: number) => {
    for (let number = 0; number < count; number++) socket.emit("said", said)
  })
})

http.on("upgrade", (request, socket: Socket, head) => {
  const { url } = request
  if (url !== "/text" && url !== "/session") return
  webSockets.handleUpgrade(request, socket, head, (webSocket) => {
    webSocket.on("message", (data) => {
      const message: unknown = JSON.parse(String(data))
      if (typeof message === "number") send(socket, blocks.text, message)
      else if (Array.isArray(message) && message[0] === "hello") webSocket.send(welcome)
      else if (Array.isArray(message)) send(socket, blocks.packet, message[2])
    })
  })
})

http.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: (http.address() as AddressInfo).port })))
