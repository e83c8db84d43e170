/** The far end of a real socket: it sends bytes as they are written and waits for bytes, over loopback, on port 0. */
import { createHash } from "node:crypto"
import * as net from "node:net"
import type { Duplex } from "node:stream"
import * as tls from "node:tls"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import { hex } from "../../support/wire.ts"
import { accepting, asking, type Lines, replacing, toBytes, valuesOf } from "./handshake.ts"

export class Peer {
  readonly socket: Duplex
  /** Everything that came, one character a byte. */
  received = ""
  ended = false
  private waiting: Array<() => void> = []

  constructor(socket: Duplex) {
    this.socket = socket
    const wake = () => {
      for (const waiter of this.waiting.splice(0)) waiter()
    }
    socket.on("data", (chunk: Buffer) => {
      this.received += chunk.toString("latin1")
      wake()
    })
    for (const event of ["end", "close"]) {
      socket.on(event, () => {
        this.ended = true
        wake()
      })
    }
    // A test that expects the end sees it; one that does not fails for want of bytes.
    socket.on("error", () => {})
  }

  /** Sends frames in hex, or the lines of a head. */
  readonly send = (what: string | Lines): Effect.Effect<void> =>
    Effect.sync(() => {
      this.socket.write(typeof what === "string" ? hex(what) : toBytes(what))
    })

  /** Waits until what came matches, and gives the match; fails the test when the other end closes first. */
  readonly match = (pattern: RegExp): Effect.Effect<RegExpExecArray> =>
    Effect.callback<RegExpExecArray>((resume) => {
      const look = () => {
        const found = pattern.exec(this.received)
        if (found !== null) resume(Effect.succeed(found))
        else if (this.ended) resume(Effect.die(new Error(`closed after ${JSON.stringify(this.received)}`)))
        else this.waiting.push(look)
      }
      look()
    })

  /** The lines of the head that came. */
  readonly head: Effect.Effect<Lines> = Effect.map(this.match(/^([^]*?)\r\n\r\n/), (found) => found[1]!.split("\r\n"))

  /** What came behind the head, in hex. */
  get behind(): string {
    return Array.from(this.received.split("\r\n\r\n").slice(1).join("\r\n\r\n"), (character) =>
      character.charCodeAt(0).toString(16).padStart(2, "0")
    ).join(" ")
  }

  /** Waits for that many bytes behind the head and gives all that came, in hex. */
  readonly frames = (length: number): Effect.Effect<string> =>
    Effect.map(this.match(new RegExp(`\\r\\n\\r\\n[^]{${length}}`)), () => this.behind)

  /** Waits until the other end has closed. */
  readonly closed: Effect.Effect<void> = Effect.callback<void>((resume) => {
    const look = () => {
      if (this.ended) resume(Effect.void)
      else this.waiting.push(look)
    }
    look()
  })
}

/** Connects to a server on this machine. */
export const dial = (port: number, secure?: tls.ConnectionOptions) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const address = { port, host: "127.0.0.1" }
      return new Peer(secure === undefined ? net.connect(address) : tls.connect({ ...address, ...secure }))
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

/** Connects, sends `asking`, and gives the peer with what it was answered. */
export const handshake = (port: number, lines: Lines = asking, secure?: tls.ConnectionOptions) =>
  Effect.gen(function* () {
    const peer = yield* dial(port, secure)
    yield* peer.send(lines)
    return { peer, head: yield* peer.head }
  })

/** A server that does nothing by itself. */
export interface Server {
  readonly port: number
  /** The connections so far. */
  readonly peers: ReadonlyArray<Peer>
  /** Waits for the next connection that nobody took yet; over TLS, for the end of the TLS handshake. */
  readonly accept: Effect.Effect<Peer>
}

/** Listens on a free port of this machine. */
export const listen = (secure?: tls.TlsOptions) =>
  Effect.acquireRelease(
    Effect.callback<Server & { readonly close: () => void }>((resume) => {
      const peers: Array<Peer> = []
      const waiting: Array<(peer: Peer) => void> = []
      let taken = 0
      const onConnection = (socket: net.Socket) => {
        const peer = new Peer(socket)
        peers.push(peer)
        const waiter = waiting.shift()
        if (waiter === undefined) return
        taken++
        waiter(peer)
      }
      const server = secure === undefined ? net.createServer(onConnection) : tls.createServer(secure, onConnection)
      const accept = Effect.callback<Peer>((resume) => {
        const next = peers[taken]
        if (next === undefined) return void waiting.push((peer) => resume(Effect.succeed(peer)))
        taken++
        resume(Effect.succeed(next))
      })
      server.on("tlsClientError", () => {})
      server.listen(0, "127.0.0.1", () => {
        const { port } = server.address() as net.AddressInfo
        const close = () => {
          for (const { socket } of peers) socket.destroy()
          server.close()
        }
        resume(Effect.succeed({ port, peers, accept, close }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

/** The response that accepts the request in `head`: its key, hashed by Node.js. */
export const acceptanceOf = (head: Lines): Lines => {
  const [key = ""] = valuesOf(head, "Sec-WebSocket-Key")
  const hash = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64")
  return replacing(accepting, `Sec-WebSocket-Accept: ${hash}`)
}

/** Takes the next connection, reads its request and accepts it. */
export const welcome = ({ accept }: Server) =>
  Effect.gen(function* () {
    const peer = yield* accept
    const head = yield* peer.head
    yield* peer.send(acceptanceOf(head))
    return { peer, head }
  })

/** Opens a connection of ours to the server, which accepts it. */
export const connect = (server: Server, url = `ws://127.0.0.1:${server.port}/`, options: NodeWebSocket.Options = {}) =>
  Effect.gen(function* () {
    const opening = yield* Effect.forkScoped(NodeWebSocket.open(url, options))
    const { peer, head } = yield* welcome(server)
    const connection = yield* Fiber.join(opening)
    // The far end goes before the scope closes the connection, which would wait for the answer to its Close.
    yield* Effect.addFinalizer(() => Effect.sync(() => peer.socket.destroy()))
    return { peer, head, connection }
  })
