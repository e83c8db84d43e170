/**
 * A WebSocket server that does what the path says, so that a page can ask for what no good server would do. What its
 * clients did is told to who asks over HTTP.
 *
 *     /echo                 what comes, again; agrees to the first subprotocol
 *     /refuse/STATUS        no WebSocket but that status; a redirection leads to /echo
 *     /unanswered           takes the request and says nothing to it
 *     /silent               opens, reads, and says nothing, not even to a Ping
 *     /deaf                 opens, and reads nothing: it does not answer a Close either
 *     /say?text=A&text=B    these messages
 *     /send/COUNT/LENGTH    messages of text, each LENGTH characters long: its number, and dots
 *     /endless/LENGTH       such messages for as long as they are taken
 *     /close/CODE?reason=R  a Close with that code, whichever, or none for 1005
 *     /wire/HEX             these bytes behind the handshake, frames or not
 *     /cut                  the end of the socket without a Close; /reset the same in one go
 *
 * `?after=N` has it wait for N messages first. `?key=K` names the connection: `GET /seen/K` has what came over it.
 */
import * as http from "node:http"
import type { AddressInfo, Socket } from "node:net"
import { type RawData, type WebSocket, WebSocketServer } from "ws"

/** What came over one connection: each text message, how many of bytes, and how it ended for the server. */
export interface Seen {
  readonly texts: ReadonlyArray<string>
  readonly binaries: number
  /** `undefined` as long as it is open. 1006 where no Close came. */
  readonly closed: { readonly code: number; readonly reason: string } | undefined
}

interface Writing {
  texts: Array<string>
  binaries: number
  closed: { code: number; reason: string } | undefined
}

const numbered = (number: number, length: number) => `${number}`.padEnd(length, ".")

const close = (socket: Socket, webSocket: WebSocket, code: number, reason: string): void => {
  if (code === 1005) return webSocket.close()
  const isSendable = (code >= 1000 && code <= 1014 && ![1004, 1006].includes(code)) || (code >= 3000 && code < 5000)
  if (isSendable) return webSocket.close(code, reason)
  // `ws` sends none of these.
  const text = Buffer.from(reason)
  socket.write(Buffer.concat([Buffer.of(0x88, 2 + text.length, code >> 8, code & 255), text]))
}

/** As long as the other end takes them. */
const sendAll = (socket: Socket, webSocket: WebSocket, length: number) => {
  let number = 0
  const isTaken = () => webSocket.readyState === webSocket.OPEN && socket.writable && !socket.writableNeedDrain
  // Some at a time: a Close that comes meanwhile is to be read, too.
  const more = () => {
    for (let i = 0; i < 64 && isTaken(); i++) webSocket.send(numbered(number++, length))
    if (isTaken()) setImmediate(more)
  }
  socket.on("drain", more)
  more()
}

const act = (socket: Socket, webSocket: WebSocket, { pathname, searchParams }: URL): void => {
  const [, verb, first = "", second = ""] = pathname.split("/")
  switch (verb) {
    case "say":
      for (const text of searchParams.getAll("text")) webSocket.send(text)
      return
    case "send":
      for (let number = 0; number < Number(first); number++) webSocket.send(numbered(number, Number(second)))
      return
    case "endless":
      return sendAll(socket, webSocket, Number(first))
    case "close":
      return close(socket, webSocket, Number(first), searchParams.get("reason") ?? "")
    case "wire":
      return void socket.write(Buffer.from(first, "hex"))
    case "cut":
      return void socket.destroySoon()
    case "reset":
      return void socket.resetAndDestroy()
    default:
  }
}

const serveOne = (socket: Socket, webSocket: WebSocket, url: URL, seen: Writing): void => {
  const [, verb] = url.pathname.split("/")
  let left = Number(url.searchParams.get("after") ?? 0)
  webSocket.on("error", () => {})
  webSocket.on("close", (code, reason) => (seen.closed = { code, reason: reason.toString() }))
  webSocket.on("message", (data: RawData, isBinary: boolean) => {
    if (isBinary) seen.binaries++
    else seen.texts.push(data.toString())
    if (verb === "echo") webSocket.send(data, { binary: isBinary })
    if (--left === 0) act(socket, webSocket, url)
  })
  if (verb === "deaf") socket.pause()
  if (left === 0) act(socket, webSocket, url)
}

/** Where it listens, and how to end it, with all its connections. */
export interface Wilful {
  readonly port: number
  readonly close: () => Promise<void>
}

export const listen = async (): Promise<Wilful> => {
  const sockets = new Set<Socket>()
  const seen = new Map<string, Writing>()
  const webSockets = new WebSocketServer({
    noServer: true,
    autoPong: false,
    maxPayload: 64 << 20,
    handleProtocols: ([first]) => first ?? false
  })
  const server = http.createServer((request, response) => {
    const found = seen.get(request.url?.replace(/^\/seen\//, "") ?? "")
    response.writeHead(found === undefined ? 404 : 200, { "Access-Control-Allow-Origin": "*" })
    response.end(JSON.stringify(found ?? null))
  })
  server.on("connection", (socket) => {
    sockets.add(socket)
    socket.on("error", () => {}).on("close", () => sockets.delete(socket))
  })
  server.on("upgrade", (request, socket: Socket, head) => {
    const url = new URL(request.url ?? "", "ws://wilful")
    const [, verb, status] = url.pathname.split("/")
    if (verb === "unanswered") return
    if (verb === "refuse") {
      return void socket.end(`HTTP/1.1 ${status} ${http.STATUS_CODES[Number(status)]}\r\nLocation: /echo\r\n\r\n`)
    }
    const own: Writing = { texts: [], binaries: 0, closed: undefined }
    const key = url.searchParams.get("key")
    if (key !== null) seen.set(key, own)
    webSockets.handleUpgrade(request, socket, head, (webSocket) => serveOne(socket, webSocket, url, own))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      webSockets.close()
      await new Promise((resolve) => server.close(resolve))
    }
  }
}
