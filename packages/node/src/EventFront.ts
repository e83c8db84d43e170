/**
 * Event streams that need nothing of `node:http`: where a connection of HTTP/1.1 begins with a plain request for one, its
 * socket is all that is kept, and no parser, request and response, which are most of what an idle stream takes.
 * Measured.
 *
 * Everything else is handed to `node:http` with all its bytes, as it came: another path or method, a head that is not
 * there in one piece or has anything behind it, a body, an upgrade, and whatever is to have another answer.
 */
import type * as http from "node:http"
import type { Socket } from "node:net"
import * as HttpHead from "@millrace/core/codec/HttpHead"
import * as Result from "effect/Result"

/** What of a request is needed to answer it with an event stream. */
export interface Request {
  readonly method: "GET"
  readonly url: string
  readonly headers: Readonly<Partial<Record<"accept" | "host" | "last-event-id" | "origin", string>>>
}

/** Fields that make a request another one than it seems. */
const others = new Set(["connection", "content-length", "expect", "te", "trailer", "transfer-encoding", "upgrade"])

/** What a client may say of its connection: anything else is a matter of `node:http`. */
const isPlain = (name: string, value: string): boolean =>
  !others.has(name) || (name === "connection" && /^(keep-alive|close)$/i.test(value))

/** A request for an event stream that is all of what came; `undefined` for anything else. */
export const requestOf = (bytes: Uint8Array, isServed: (path: string) => boolean): Request | undefined => {
  const read = HttpHead.requestReader().push(bytes)
  if (Result.isFailure(read) || read.success === undefined || read.success.consumed !== bytes.length) return undefined
  const { headers, method, target, version } = read.success.head
  if (method !== "GET" || version.major !== 1 || version.minor !== 1) return undefined
  if (!isServed(target.split("?", 1)[0]!)) return undefined
  const fields = new Map<string, string>()
  for (const [given, value] of headers) {
    const name = given.toLowerCase()
    // Of what comes twice somebody else may take the other.
    if (fields.has(name) || !isPlain(name, value)) return undefined
    fields.set(name, value)
  }
  const [accept, host, lastEventId, origin] = ["accept", "host", "last-event-id", "origin"].map((name) =>
    fields.get(name)
  )
  if (host === undefined || host === "") return undefined
  return {
    method,
    url: target,
    headers: {
      host,
      ...(accept !== undefined && { accept }),
      ...(origin !== undefined && { origin }),
      ...(lastEventId !== undefined && { "last-event-id": lastEventId })
    }
  }
}

export interface Options {
  /** Whether there are event streams at that path, which has no query. */
  readonly isServed: (path: string) => boolean
  /**
   * Answers a request on its socket, or calls `hand` before it has written anything, and `node:http` answers.
   */
  readonly serve: (request: Request, socket: Socket, hand: () => void) => void
  /** How many milliseconds a client may be silent before it is cut. */
  readonly patience: number
}

/** Puts itself before what `server` has listening to its connections now. */
export const divert = (server: http.Server, { isServed, patience, serve }: Options): void => {
  const own = server.listeners("connection")
  server.removeAllListeners("connection")
  server.on("connection", (socket: Socket) => {
    const cut = () => socket.destroy()
    const timer = setTimeout(cut, patience)
    const stop = () => {
      clearTimeout(timer)
      socket.off("data", read).off("end", cut).off("error", cut).off("close", stop)
    }
    const read = (bytes: Buffer) => {
      stop()
      socket.pause()
      const hand = () => {
        socket.unshift(bytes)
        for (const listener of own) listener.call(server, socket)
        // `node:http` has put its listeners on a socket that was paused for it.
        socket.resume()
      }
      const request = requestOf(bytes, isServed)
      if (request === undefined) hand()
      else serve(request, socket, hand)
    }
    socket.on("data", read).on("end", cut).on("error", cut).on("close", stop)
  })
}
