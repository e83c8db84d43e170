/**
 * Clear-text HTTP/2 with prior knowledge on the port of a server of HTTP/1.1: RFC 9113 section 3.3. A client that
 * speaks HTTP/2 says so in its first bytes, before anybody else has to say anything.
 */
import type * as http from "node:http"
import type { Http2Server } from "node:http2"
import type { Socket } from "node:net"

/** The connection preface of a client: RFC 9113 section 3.4. No request of HTTP/1.1 can begin like this. */
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

/**
 * Has sockets that begin with the preface of HTTP/2 served by `http2`, which does not listen itself, and all others by
 * `server` as before. One that has not said which it is after `patience` milliseconds is cut.
 */
export const divert = (server: http.Server, http2: Http2Server, patience: number): void => {
  const own = server.listeners("connection")
  server.removeAllListeners("connection")
  server.on("connection", (socket: Socket) => {
    const hand = (isHttp2: boolean) => {
      if (isHttp2) {
        // As a server of `node:http2` makes its sockets: a session has no half that could stay open.
        socket.allowHalfOpen = false
        return http2.emit("connection", socket)
      }
      for (const listener of own) listener.call(server, socket)
      // `node:http` has put its listeners on a socket that was paused for it.
      return socket.resume()
    }
    sniff(socket, patience, hand)
  })
}

/** Reads until it is clear which it is, puts back what was read, and hands the socket on, paused. */
const sniff = (socket: Socket, patience: number, hand: (isHttp2: boolean) => void): void => {
  let seen: Buffer = Buffer.alloc(0)
  const cut = () => socket.destroy()
  const timer = patience === Infinity ? undefined : setTimeout(cut, patience)
  const stop = () => {
    clearTimeout(timer)
    socket.off("data", read).off("end", cut).off("error", cut).off("close", stop)
  }
  const read = (chunk: Buffer) => {
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk])
    const length = Math.min(seen.length, preface.length)
    const fits = seen.subarray(0, length).equals(preface.subarray(0, length))
    if (fits && length < preface.length) return
    stop()
    socket.pause()
    socket.unshift(seen)
    hand(fits)
  }
  socket.on("data", read).on("end", cut).on("error", cut).on("close", stop)
}
