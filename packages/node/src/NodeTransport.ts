/**
 * A Node.js `Duplex` (a TCP, TLS or unix socket, or a stream of HTTP/2) as the transport of a connection.
 */
import type { Http2Stream, ServerHttp2Stream } from "node:http2"
import type { Socket } from "node:net"
import { Duplex } from "node:stream"
import * as Chunks from "@millrace/core/codec/Chunks"
import type { Receiver, Transport } from "@millrace/core/connection/Transport"
import type * as WebSocket from "@millrace/core/connection/WebSocket"
import { TransportError } from "@millrace/core/connection/WebSocketError"
import * as Effect from "effect/Effect"

/** Where a socket keeps its transport, so that all sockets share the same five listeners. */
const transport = Symbol("millrace/NodeTransport")

/** What of the settings of its connection a transport has to know. */
export type Settings = Pick<WebSocket.Settings, "closeTimeout" | "outboxBytes">

const noBytes = new Uint8Array(0)

/** CANCEL, which is to a stream what a reset is to a TCP connection: RFC 8441 section 5. */
const cancel = 8

const noError = 0

interface Owned extends Duplex {
  [transport]: NodeTransport
}

class NodeTransport implements Transport {
  readonly socket: Owned
  readonly settings: Settings
  receiver: Receiver | undefined
  error: TransportError | undefined

  constructor(socket: Duplex, settings: Settings) {
    this.socket = socket as Owned
    this.socket[transport] = this
    this.settings = settings
    // From here on somebody listens, so an aborted upgrade cannot end the process.
    this.socket.on("error", onError)
    this.socket.on("close", onClose)
    this.socket.on("end", onEnd)
  }

  open(receiver: Receiver): void {
    this.receiver = receiver
    if (this.socket.destroyed) return onClose.call(this.socket)
    this.socket.on("data", onData)
    this.socket.on("drain", onDrain)
    // What answered the opening handshake may wait there still, and fill a small outbox.
    if (this.socket.writable) this.expectDrain()
  }

  get writableLength(): number {
    return this.socket.writableLength
  }

  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }

  write(bytes: Uint8Array): void {
    if (!this.socket.writable) return
    this.socket.write(bytes)
    this.expectDrain()
  }

  writeAll(chunks: ReadonlyArray<Uint8Array>): void {
    if (!this.socket.writable) return
    this.socket.cork()
    for (const chunk of chunks) this.socket.write(chunk)
    this.socket.uncork()
    this.expectDrain()
  }

  /** Node.js tells only who let more wait than its own mark, 64 KiB; a smaller outbox is full before that. */
  private expectDrain(): void {
    const { settings, socket } = this
    if (socket.writableLength < settings.outboxBytes || socket.writableNeedDrain) return
    socket.write(noBytes, (error) => {
      if (!(error instanceof Error)) onDrain.call(socket)
    })
  }

  /**
   * One write for what several reads, of this socket and others, have had sent. Measured with 16 publishers to a thousand
   * subscribers: a sixth of the CPU time for each delivery.
   */
  get atEndOfTurn(): Transport["atEndOfTurn"] {
    return afterReading
  }

  end(): void {
    this.socket.end()
  }

  destroy(): void {
    destroy(this.socket)
  }
}

const isStream = (socket: Duplex): socket is Http2Stream => (socket as Partial<Http2Stream>).rstCode !== undefined

/** Ends both directions at once: a socket is closed, a stream of HTTP/2 is reset with CANCEL. */
export const destroy = (socket: Duplex): void => {
  // Before it is destroyed, which alone would reset it with NO_ERROR, or with INTERNAL_ERROR.
  if (isStream(socket)) socket.close(cancel)
  socket.destroy()
}

/**
 * A stream of HTTP/2 is brought what comes on its session also while nobody reads it, as far as its window goes. Node.js
 * would keep each piece in a buffer of its own, which takes three hundred times its length when a peer sends bytes one
 * by one. Measured.
 */
class StreamTransport extends NodeTransport {
  /** What comes while the stream is not opened yet, or paused. */
  private held: Chunks.Chunks | undefined = new Chunks.Chunks()

  constructor(stream: Http2Stream, settings: Settings) {
    super(stream, settings)
    stream.push = push
  }

  override open(receiver: Receiver): void {
    this.release()
    super.open(receiver)
  }

  override pause(): void {
    this.held ??= new Chunks.Chunks()
    super.pause()
  }

  override resume(): void {
    this.release()
    super.resume()
  }

  override end(): void {
    if (!this.socket.writableEnded && "respond" in this.socket) this.socket.once("finish", finish)
    super.end()
  }

  /** Takes a piece, or says that it is for Node.js to take. */
  hold(piece: Uint8Array | null): boolean {
    if (piece === null) this.release()
    else this.held?.push(piece)
    return this.held !== undefined
  }

  private release(): void {
    const { held, socket } = this
    this.held = undefined
    if (socket.destroyed) return
    for (const piece of held?.pieces ?? []) Duplex.prototype.push.call(socket, piece)
  }
}

/**
 * Who ends a stream as its server has nothing to wait for: RFC 9113 section 8.1 has NO_ERROR for that. Chromium leaves
 * its half open when both Close frames are there.
 */
function finish(this: Duplex): void {
  // Not while a frame of the client's is being read, which may be its own end: Node.js 22.19 would free memory twice.
  setImmediate(() => (this as ServerHttp2Stream).close(noError))
}

function push(this: Duplex, chunk: Uint8Array | null): boolean {
  const owner = (this as Owned)[transport] as StreamTransport
  return !owner.hold(chunk) && Duplex.prototype.push.call(this, chunk)
}

/** Node.js runs it when all sockets that have something have been read. */
const afterReading = (callback: () => void): void => void setImmediate(callback)

function onData(this: Duplex, chunk: Buffer): void {
  ;(this as Owned)[transport].receiver?.data(chunk)
}

function onDrain(this: Duplex): void {
  ;(this as Owned)[transport].receiver?.drained()
}

/** The peer will send no more. Whoever speaks to it ends our direction; what they still say is not waited for for ever. */
function onEnd(this: Duplex): void {
  const { receiver, settings } = (this as Owned)[transport]
  // Nobody has answered yet on a stream that nobody has opened, and without an answer it has no other end.
  if (receiver === undefined && isStream(this)) return destroy(this)
  if (receiver?.peerEnded === undefined) this.end()
  else receiver.peerEnded()
  if (this.writableLength > 0) {
    const timer = setTimeout(() => destroy(this), settings.closeTimeout)
    this.once("close", () => clearTimeout(timer))
  }
}

function onError(this: Duplex, cause: Error): void {
  ;(this as Owned)[transport].error = new TransportError({ cause })
}

function onClose(this: Duplex): void {
  const { receiver, error } = (this as Owned)[transport]
  receiver?.ended(error)
}

/**
 * Takes the socket over. `head` holds the bytes that were read behind the opening handshake; they come first.
 *
 * Nothing is read before `open`. A peer that has ended while we still have something to write is cut after
 * `closeTimeout`.
 */
export const make = (socket: Duplex, head: Uint8Array, settings: Settings): Transport => {
  const tcp = socket as unknown as Partial<Socket>
  tcp.setTimeout?.(0)
  tcp.setNoDelay?.(true)
  if (head.length > 0) socket.unshift(head)
  return isStream(socket) ? new StreamTransport(socket, settings) : new NodeTransport(socket, settings)
}

/** Succeeds when the socket has closed. */
export const closed = (socket: Duplex): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (socket.destroyed) return resume(Effect.void)
    const listener = () => resume(Effect.void)
    socket.once("close", listener)
    return Effect.sync(() => socket.off("close", listener))
  })
