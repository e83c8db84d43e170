/**
 * A Node.js `Duplex` (a TCP, TLS or unix socket) as the transport of a connection.
 */
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import type { Receiver, Transport } from "@millrace/core/connection/Transport"
import { TransportError } from "@millrace/core/connection/WebSocketError"
import * as Effect from "effect/Effect"

/** Where a socket keeps its transport, so that all sockets share the same five listeners. */
const transport = Symbol("millrace/NodeTransport")

interface Owned extends Duplex {
  [transport]: NodeTransport
}

class NodeTransport implements Transport {
  readonly socket: Owned
  readonly lingerTimeout: number
  receiver: Receiver | undefined
  error: TransportError | undefined

  constructor(socket: Duplex, lingerTimeout: number) {
    this.socket = socket as Owned
    this.socket[transport] = this
    this.lingerTimeout = lingerTimeout
    // From here on somebody listens, so an aborted upgrade cannot end the process.
    this.socket.on("error", onError)
    this.socket.on("close", onClose)
  }

  open(receiver: Receiver): void {
    this.receiver = receiver
    if (this.socket.destroyed) return onClose.call(this.socket)
    this.socket.on("data", onData)
    this.socket.on("drain", onDrain)
    this.socket.on("end", onEnd)
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
    if (this.socket.writable) this.socket.write(bytes)
  }

  writeAll(chunks: ReadonlyArray<Uint8Array>): void {
    this.socket.cork()
    for (const chunk of chunks) this.write(chunk)
    this.socket.uncork()
  }

  end(): void {
    this.socket.end()
  }

  destroy(): void {
    this.socket.destroy()
  }
}

function onData(this: Duplex, chunk: Buffer): void {
  ;(this as Owned)[transport].receiver?.data(chunk)
}

function onDrain(this: Duplex): void {
  ;(this as Owned)[transport].receiver?.drained()
}

/** The peer will send no more, and a WebSocket has no half-open state: we end too, and do not wait for ever. */
function onEnd(this: Duplex): void {
  const { lingerTimeout } = (this as Owned)[transport]
  if (this.writableLength > 0) {
    ;(this as unknown as Socket).setTimeout?.(lingerTimeout, () => this.destroy())
  }
  this.end()
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
 * `lingerTimeout` milliseconds.
 */
export const make = (socket: Duplex, head: Uint8Array, lingerTimeout: number): Transport => {
  const tcp = socket as unknown as Partial<Socket>
  tcp.setTimeout?.(0)
  tcp.setNoDelay?.(true)
  if (head.length > 0) socket.unshift(head)
  return new NodeTransport(socket, lingerTimeout)
}

/** Succeeds when the socket has closed. */
export const closed = (socket: Duplex): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (socket.destroyed) return resume(Effect.void)
    const listener = () => resume(Effect.void)
    socket.once("close", listener)
    return Effect.sync(() => socket.off("close", listener))
  })
