/** One client of an event stream: a bare socket, and no more of HTTP and event streams than it takes to count events. */
import { connect } from "node:net"
import * as Deferred from "../Deferred.ts"
import type { Connection, Handlers, Reply } from "./Connection.ts"

// Callbacks run before the next read, so one buffer serves every socket.
const shared = Buffer.alloc(256 * 1024)

const request = (port: number, path: string) =>
  [`GET ${path} HTTP/1.1`, `Host: 127.0.0.1:${port}`, "Accept: text/event-stream", "\r\n"].join("\r\n")

const accepted = /^HTTP\/1\.1 200 [^]*\r\ncontent-type: ?text\/event-stream\r\n/i

const field = "\ndata: "

/**
 * Comes back when the head and the first chunk of the body have come. Events have ASCII in one line of data; comments,
 * names and IDs, and the heads of chunks, are passed over.
 */
export const open = (port: number, path: string, handlers: Handlers): Promise<Connection> => {
  const { promise, resolve, reject } = Deferred.make<Connection>()
  let state: "opening" | "open" | "ended" = "opening"
  /** What has come, from the end of the last event on. */
  let text = ""
  let looking: Deferred.Deferred<Reply> | undefined

  const lose = (why: string) => {
    if (state === "ended") return
    const before = state
    state = "ended"
    socket.destroy()
    looking?.reject(new Error(why))
    if (before === "opening") reject(new Error(why))
    else handlers.lost(why)
  }

  const count = () => {
    let at = 0
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n", at)) {
      const from = text.lastIndexOf(field, end - 1)
      const data = from < at ? undefined : text.slice(from + field.length, end)
      at = end + 2
      if (data === undefined) continue
      if (looking === undefined) handlers.message(data.length, false)
      else {
        const found = looking
        looking = undefined
        found.resolve({ payload: Buffer.from(data), compressed: false })
      }
    }
    if (at > 0) text = text.slice(at)
  }

  const received = (bytes: string) => {
    text += bytes
    if (state === "opening") {
      const end = text.indexOf("\r\n\r\n")
      // The first chunk is a comment or an ID, and its end.
      if (end < 0 || !text.endsWith("\n\n\r\n")) return
      if (!accepted.test(text.slice(0, end + 2))) return lose(`the server refused a stream: ${text.slice(0, 60)}`)
      text = text.slice(end + 4)
      state = "open"
      resolve(connection)
    }
    count()
  }

  const socket = connect({
    port,
    host: "127.0.0.1",
    noDelay: true,
    onread: {
      buffer: shared,
      callback: (length) => {
        received(shared.toString("latin1", 0, length))
        return true
      }
    }
  })
  socket.on("error", (error) => lose(`an event stream failed: ${error.message}`))
  socket.on("close", () => lose("the server ended an event stream"))
  socket.write(request(port, path))

  const connection: Connection = {
    write: (bytes) => {
      socket.write(bytes)
    },
    next: () => {
      looking = Deferred.make<Reply>()
      return looking.promise
    },
    end: () => {
      state = "ended"
      socket.destroy()
    }
  }
  return promise
}
