/**
 * One client connection of a load generator: a bare socket that reads into one buffer shared by all of them, so that
 * the generator costs less than what it measures.
 */
import { connect } from "node:net"
import * as Deferred from "../Deferred.ts"
import * as frames from "./frames.ts"

export interface Reply {
  readonly payload: Buffer
  /** Whether it is marked as compressed. */
  readonly compressed: boolean
}

export interface Connection {
  readonly write: (bytes: Buffer) => void
  /** The next message, for looking at what a server really sends. */
  readonly next: () => Promise<Reply>
  readonly end: () => void
}

export interface Handlers {
  readonly message: (length: number, compressed: boolean) => void
  /** Gets every piece of a message's payload before that, for as long as it runs. */
  readonly content?: (piece: Buffer) => void
  /** The connection ended although nobody asked for it: a sentence. */
  readonly lost: (why: string) => void
  /** Gets the first message, for a server that speaks first. */
  readonly greeting?: Deferred.Deferred<Reply>
}

// Callbacks run before the next read, so one buffer serves every socket.
const shared = Buffer.alloc(256 * 1024)

/** What Chromium offers. */
const offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"

// The key and its answer are those that RFC 6455 prints in section 1.3.
const request = (port: number, extensions: string, target: string) =>
  [
    `GET ${target} HTTP/1.1`,
    `Host: 127.0.0.1:${port}`,
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ...(extensions === "" ? [] : [offer]),
    "\r\n"
  ].join("\r\n")
const accepted = /^HTTP\/1\.1 101 [^]*\r\nsec-websocket-accept: ?s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/i

const extensionsIn = (head: string): string => /^sec-websocket-extensions: *(.*?) *$/im.exec(head)?.[1] ?? ""

/**
 * Comes back when the server has accepted the WebSocket, with these very extensions: `""` offers none, and anything else
 * permessage-deflate.
 */
export const open = (port: number, extensions: string, handlers: Handlers, target = "/"): Promise<Connection> => {
  const { promise, resolve, reject } = Deferred.make<Connection>()
  let state: "opening" | "open" | "ended" = "opening"
  let head = Buffer.alloc(0)
  let looking: { readonly pieces: Array<Buffer>; readonly found: Deferred.Deferred<Reply> } | undefined =
    handlers.greeting === undefined ? undefined : { pieces: [], found: handlers.greeting }

  const lose = (why: string) => {
    if (state === "ended") return
    const before = state
    state = "ended"
    socket.destroy()
    looking?.found.reject(new Error(why))
    if (before === "opening") reject(new Error(why))
    else handlers.lost(why)
  }

  const count = frames.counter({
    message: (length, compressed) => {
      if (looking === undefined) return handlers.message(length, compressed)
      const { found, pieces } = looking
      looking = undefined
      found.resolve({ payload: Buffer.concat(pieces), compressed })
    },
    ping: (body) => socket.write(frames.encode("pong", body)),
    close: (code) => lose(`the server closed a connection with code ${code}`)
  })
  const content = (piece: Buffer) => {
    if (looking === undefined) handlers.content?.(piece)
    else looking.pieces.push(Buffer.from(piece))
  }

  const received = (bytes: Buffer) => {
    if (state === "open") return count(bytes, content)
    head = Buffer.concat([head, bytes])
    const end = head.indexOf("\r\n\r\n")
    if (end < 0) return
    const response = head.toString("latin1", 0, end + 2)
    if (!accepted.test(response)) {
      return lose(`the server refused a connection: ${response.slice(0, Math.max(0, response.indexOf("\r\n")))}`)
    }
    const agreed = extensionsIn(response)
    if (agreed !== extensions) return lose(`the server agreed to "${agreed}" and was to agree to "${extensions}"`)
    state = "open"
    resolve(connection)
    const rest = head.subarray(end + 4)
    head = Buffer.alloc(0)
    if (rest.length > 0) count(rest, content)
  }

  const socket = connect({
    port,
    host: "127.0.0.1",
    noDelay: true,
    onread: {
      buffer: shared,
      callback: (length) => {
        received(shared.subarray(0, length))
        return true
      }
    }
  })
  socket.on("error", (error) => lose(`a connection failed: ${error.message}`))
  socket.on("close", () => lose("the server ended a connection"))
  socket.write(request(port, extensions, target))

  const connection: Connection = {
    write: (bytes) => {
      socket.write(bytes)
    },
    next: () => {
      const found = Deferred.make<Reply>()
      looking = { pieces: [], found }
      return found.promise
    },
    end: () => {
      state = "ended"
      socket.destroy()
    }
  }
  return promise
}

/** Does `make` so many times, 64 at a time: a server's queue of connections that wait to be accepted is not endless. */
export const many = async <A>(count: number, make: () => Promise<A>): Promise<ReadonlyArray<A>> => {
  const all: Array<A> = []
  while (all.length < count) {
    all.push(...(await Promise.all(Array.from({ length: Math.min(64, count - all.length) }, make))))
  }
  return all
}
