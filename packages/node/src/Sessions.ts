/**
 * The HTTP/2 sessions of a server of ours: what they may take, and how they end, also those on which nothing happens.
 *
 * A session belongs to a TCP connection and carries streams, each a WebSocket. It does not end with them: it stays for
 * the next one, which may never come.
 */
import type { Http2SecureServer, Http2Server, ServerHttp2Session, ServerHttp2Stream, ServerOptions } from "node:http2"
import type * as net from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Upgrade from "./Upgrade.ts"

/** What the sessions of a server may take. Nothing of it is required. */
export interface Options {
  /**
   * Streams of a session at once, so WebSockets of a browser, or of a proxy for each of its connections. Beyond it a
   * client waits, or opens another session. Default 100.
   */
  readonly maxStreams?: number | undefined
  /**
   * Bytes that a client may send on a stream ahead of its handler, beside the inbox. More of them let a distant client
   * send faster, and let each stream whose handler does not read take as much memory. Default 65,535.
   */
  readonly streamWindowBytes?: number | undefined
  /**
   * Bytes that a client may have on the way on all streams of a session together. A stream whose handler does not read
   * holds none of them, so that the others go on. Default 1 MiB.
   */
  readonly sessionWindowBytes?: number | undefined
}

export const defaults = { maxStreams: 100, streamWindowBytes: 65_535, sessionWindowBytes: 1_048_576 } as const

/**
 * Beyond these a client loses its session, as otherwise it could keep a server busy with requests that it takes back
 * (CVE-2023-44487).
 */
export const floods = {
  /** Streams that a client may reset at once. Firefox resets that of every WebSocket which has closed. */
  streamResetBurst: 1_000,
  /** And so many a second. */
  streamResetRate: 33,
  /**
   * Streams that may be refused in the life of a session because there was no room for them. Node.js has 100, but it
   * refuses also a client that makes no mistake, when one opens a stream as another ends: that is to harm nobody else.
   */
  maxSessionRejectedStreams: 10_000
} as const

const inRange = (name: keyof Options, value: number, least: number): number => {
  if (Number.isInteger(value) && value >= least && value < 2 ** 31) return value
  throw new RangeError(`${name} is a whole number from ${least} to ${2 ** 31 - 1}`)
}

/**
 * What Node.js has to be told of it, when it makes the server, and of what a client may ask with. Throws a `RangeError`,
 * the programmer's fault, for numbers that no session can have: RFC 9113 sections 6.5.2 and 6.9.1.
 */
export const serverOptions = (options: Options, { maxHandshakeBytes, maxHandshakeFields }: Upgrade.Limits) => {
  inRange("sessionWindowBytes", options.sessionWindowBytes ?? defaults.sessionWindowBytes, 65_535)
  return {
    settings: {
      enableConnectProtocol: true,
      maxConcurrentStreams: inRange("maxStreams", options.maxStreams ?? defaults.maxStreams, 1),
      initialWindowSize: inRange("streamWindowBytes", options.streamWindowBytes ?? defaults.streamWindowBytes, 1),
      // A field counts 32 bytes beside its own here. Twice what is accepted, so that the 431 can be sent; who goes
      // beyond that gets a reset.
      maxHeaderListSize: Math.min(2 * (maxHandshakeBytes + 32 * maxHandshakeFields), 0xffff_ffff)
    },
    maxHeaderListPairs: Math.min(2 * maxHandshakeFields, 0xffff_ffff),
    ...floods
  } satisfies ServerOptions
}

/** How many milliseconds what a session still has to say may take when its time is up. */
const lastWords = 1_000

/** A session, and how many streams it has. */
class Kept {
  readonly session: ServerHttp2Session
  readonly socket: net.Socket
  private readonly patience: number
  private streams = 0
  private timer: NodeJS.Timeout | undefined

  constructor(session: ServerHttp2Session, socket: net.Socket, patience: number) {
    this.session = session
    this.socket = socket
    this.patience = patience
    session.on("stream", this.joined)
    this.wait()
  }

  private readonly joined = (stream: ServerHttp2Stream): void => {
    this.streams++
    clearTimeout(this.timer)
    stream.on("close", this.left)
  }

  private readonly left = (): void => {
    if (--this.streams === 0 && !this.session.closed) this.wait()
  }

  /** For a stream; not for bytes, which somebody may send one by one. */
  private wait(): void {
    if (this.patience !== Infinity) this.timer = setTimeout(() => this.end(), this.patience)
  }

  /** Says that it will take no more streams, and ends with those that it has. */
  close(): void {
    if (!this.session.destroyed) this.session.close()
  }

  private end(): void {
    this.close()
    // The socket: a session whose peer does not read never gets to its end.
    this.timer = setTimeout(() => this.socket.destroy(), lastWords)
  }

  ended(): void {
    clearTimeout(this.timer)
  }
}

/** Made by `make`, which also waits for their end. */
export class Sessions {
  private readonly kept = new Set<Kept>()
  private readonly patience: number
  private readonly windowBytes: number
  private closing = false
  private onEmpty: (() => void) | undefined

  constructor(patience: number, windowBytes: number) {
    this.patience = patience
    this.windowBytes = windowBytes
  }

  get size(): number {
    return this.kept.size
  }

  add(session: ServerHttp2Session): void {
    session.setLocalWindowSize(this.windowBytes)
    // What a session calls its socket is not; but this gives the socket itself back.
    const socket = session.socket.once("close", () => {
      this.kept.delete(kept)
      kept.ended()
      if (this.kept.size === 0) this.onEmpty?.()
    })
    const kept = new Kept(session, socket, this.patience)
    this.kept.add(kept)
    if (this.closing) kept.close()
  }

  /** GOAWAY: no more streams, and an end with the last of those that there are. RFC 9113 section 6.8. */
  close(): void {
    this.closing = true
    for (const kept of this.kept) kept.close()
  }

  /** Waits for the sessions to end, no longer than a second. What is left is cut with the server: see `Listen`. */
  readonly end: Effect.Effect<unknown> = Effect.suspend(() => {
    this.close()
    const empty = Effect.callback<void>((resume) => {
      this.onEmpty = () => resume(Effect.void)
      if (this.kept.size === 0) this.onEmpty()
    })
    return Effect.timeoutOption(empty, lastWords)
  })
}

/**
 * Looks after the sessions of a server as long as the scope is open. One that has no stream is ended after `patience`
 * milliseconds, and so is one that has had none yet.
 */
export const make = (
  server: Http2Server | Http2SecureServer,
  options: Options,
  patience: number
): Effect.Effect<Sessions, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const sessions = new Sessions(patience, options.sessionWindowBytes ?? defaults.sessionWindowBytes)
      const emitter: net.Server = server
      emitter.on("session", (session: ServerHttp2Session) => sessions.add(session))
      return sessions
    }),
    (sessions) => sessions.end
  )
