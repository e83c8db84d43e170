/**
 * The far end of a real socket that speaks bytes: it sends what no library would send, at the moment at which none
 * would, and sees what comes back as it came.
 */
import * as net from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { encode, frame, read, type Seen } from "./frames.ts"

export interface Head {
  /** The request line or the status line. */
  readonly start: string
  /** 0 in a request. */
  readonly status: number
  readonly headers: ReadonlyArray<readonly [string, string]>
  /** The value of a field; of several, the first. */
  readonly header: (name: string) => string | undefined
}

const parseHead = (text: string): Head => {
  const [start = "", ...lines] = text.split("\r\n")
  const headers = lines.map((line) => {
    const colon = line.indexOf(":")
    return [line.slice(0, colon), line.slice(colon + 1).trim()] as const
  })
  return {
    start,
    status: start.startsWith("HTTP/1.1 ") ? Number(start.slice(9, 12)) : 0,
    headers,
    header: (name) => headers.find(([candidate]) => candidate.toLowerCase() === name.toLowerCase())?.[1]
  }
}

/** How many bytes the frame at the start of `bytes` takes, or `undefined` when its header is not there yet. */
export const frameLength = (bytes: Buffer): number | undefined => {
  if (bytes.length < 2) return undefined
  const short = bytes[1]! & 127
  const extra = short === 126 ? 2 : short === 127 ? 8 : 0
  if (bytes.length < 2 + extra) return undefined
  const length = extra === 2 ? bytes.readUInt16BE(2) : extra === 8 ? Number(bytes.readBigUInt64BE(2)) : short
  return 2 + extra + (bytes[1]! > 127 ? 4 : 0) + length
}

export class RawPeer {
  readonly socket: net.Socket
  private received = Buffer.alloc(0)
  private finished = false
  private readonly waiting = new Set<() => void>()

  constructor(socket: net.Socket) {
    this.socket = socket
    const wake = () => {
      for (const check of this.waiting) check()
    }
    socket.on("data", (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk])
      wake()
    })
    socket.on("end", () => {
      this.finished = true
      wake()
    })
    socket.on("close", () => {
      this.finished = true
      wake()
    })
    // A reset is what many of these tests are about.
    socket.on("error", () => {})
  }

  send(data: string | Uint8Array): void {
    this.socket.write(data)
  }

  /** Sends a masked frame. */
  sendFrame(opcode: Parameters<typeof frame>[0], payload: Uint8Array | string): void {
    this.send(encode(frame(opcode, typeof payload === "string" ? Buffer.from(payload) : payload), 0x01020304))
  }

  /** Vanishes: the other end sees a reset. */
  reset(): void {
    this.socket.resetAndDestroy()
  }

  private take<A>(attempt: () => A | undefined): Effect.Effect<A> {
    return Effect.callback<A>((resume) => {
      const check = () => {
        const taken = attempt()
        if (taken === undefined) {
          if (this.finished) {
            this.waiting.delete(check)
            resume(Effect.die(new Error(`the other end finished after ${JSON.stringify(this.received.toString())}`)))
          }
          return
        }
        this.waiting.delete(check)
        resume(Effect.succeed(taken))
      }
      this.waiting.add(check)
      check()
      return Effect.sync(() => this.waiting.delete(check))
    })
  }

  /** The head of the next request or response. */
  readonly head: Effect.Effect<Head> = Effect.suspend(() =>
    this.take(() => {
      const end = this.received.indexOf("\r\n\r\n")
      if (end === -1) return undefined
      const head = parseHead(this.received.subarray(0, end).toString("latin1"))
      this.received = this.received.subarray(end + 4)
      return head
    })
  )

  /** The next `count` bytes. */
  bytes(count: number): Effect.Effect<Buffer> {
    return this.take(() => {
      if (this.received.length < count) return undefined
      const bytes = this.received.subarray(0, count)
      this.received = this.received.subarray(count)
      return bytes
    })
  }

  /** The next frame. */
  readonly frame: Effect.Effect<Seen> = Effect.suspend(() =>
    this.take(() => {
      const length = frameLength(this.received)
      if (length === undefined || this.received.length < length) return undefined
      const [seen] = read(this.received.subarray(0, length))
      this.received = this.received.subarray(length)
      return seen
    })
  )

  /** The next frame, which is to be a Close: its code, or 1005. */
  readonly closeCode: Effect.Effect<number> = Effect.map(this.frame, ({ opcode, payload }) => {
    if (opcode !== 8) throw new Error(`a frame with opcode ${opcode} in place of a Close`)
    return payload.length === 0 ? 1005 : payload[0]! * 256 + payload[1]!
  })

  /** What comes until the other end finishes. */
  readonly rest: Effect.Effect<Buffer> = Effect.callback((resume) => {
    const check = () => {
      if (!this.finished) return
      this.waiting.delete(check)
      resume(Effect.succeed(this.received))
    }
    this.waiting.add(check)
    check()
    return Effect.sync(() => this.waiting.delete(check))
  })
}

const opened = (socket: net.Socket, event: "connect" | "secureConnect"): Effect.Effect<void, Error> =>
  Effect.callback((resume) => {
    socket.once(event, () => resume(Effect.void))
    socket.once("error", (error) => resume(Effect.fail(error)))
  })

/** Takes a socket over that is being connected, and destroys it with the scope. */
export const over = (
  socket: net.Socket,
  event: "connect" | "secureConnect" = "connect"
): Effect.Effect<RawPeer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => new RawPeer(socket)),
    () => Effect.sync(() => socket.destroy())
  ).pipe(Effect.tap(() => Effect.orDie(opened(socket, event))))

/** With `allowHalfOpen` it goes on when the other end has finished. */
export const connect = (
  port: number,
  options: { readonly allowHalfOpen?: boolean } = {}
): Effect.Effect<RawPeer, never, Scope.Scope> =>
  Effect.suspend(() => over(net.connect({ ...options, port, host: "127.0.0.1", noDelay: true })))

/** The value that `Sec-WebSocket-Accept` has for the key of `upgradeRequest`, as RFC 6455 section 1.3 prints it. */
export const sampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

/** A client's handshake. A field that is `undefined` is left out; the others come in place of the usual ones. */
export const upgradeRequest = (
  target = "/",
  fields: Readonly<Record<string, string | undefined>> = {},
  method = "GET"
): string => {
  const all = {
    Host: "localhost",
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
    ...fields
  }
  const lines = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}\r\n`]))
  return `${method} ${target} HTTP/1.1\r\n${lines.join("")}\r\n`
}

/** A connection that is open: the handshake is done, and its answer was 101. */
export const open = (port: number, target?: string, fields?: Readonly<Record<string, string | undefined>>) =>
  Effect.gen(function* () {
    const peer = yield* connect(port)
    peer.send(upgradeRequest(target, fields))
    const head = yield* peer.head
    if (head.status !== 101) return yield* Effect.die(new Error(`refused: ${head.start}`))
    return peer
  })

export interface RawServer {
  readonly port: number
  /** Whoever connected first and was not taken yet. */
  readonly accept: Effect.Effect<RawPeer>
  /** How many connections there are. */
  readonly size: () => number
}

/** A server that accepts and then does what the test says. */
export const listen: Effect.Effect<RawServer, never, Scope.Scope> = Effect.gen(function* () {
  const sockets = new Set<net.Socket>()
  const arrived: Array<RawPeer> = []
  let waiting: (() => void) | undefined
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
    arrived.push(new RawPeer(socket))
    waiting?.()
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        for (const socket of sockets) socket.destroy()
      })
  )
  const accept = Effect.callback<RawPeer>((resume) => {
    waiting = () => {
      const peer = arrived.shift()
      if (peer === undefined) return
      waiting = undefined
      resume(Effect.succeed(peer))
    }
    waiting()
  })
  return { port: (server.address() as net.AddressInfo).port, accept, size: () => sockets.size }
})
