/**
 * A response of Node.js whose body is an event stream, from its head to its end: over HTTP/1.1, where the chunks of the
 * transfer coding are ours, over a socket that carries nothing else, and over a stream of HTTP/2. Who gets one, and what it says, is for `NodeEventStream`.
 *
 * `node:http` frames each write anew for each response. Here a publication is framed once, and the same bytes go to the
 * sockets of all: RFC 9112 section 7.1.
 */
import type { ServerResponse } from "node:http"
import type { Http2ServerResponse, ServerHttp2Stream } from "node:http2"
import { Socket } from "node:net"
import type { Duplex, Writable } from "node:stream"
import type { Encoding, Publication } from "@millrace/core/cluster/Publication"
import * as EventStream from "@millrace/core/codec/EventStream"
import { Outbox, type Outlet, type Owner } from "@millrace/core/connection/Outbox"
import type { Prepared } from "@millrace/core/connection/Prepared"
import type { Timed, TimerWheel } from "@millrace/core/connection/TimerWheel"
import type { Written } from "@millrace/core/connection/WebSocket"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as NodeTransport from "./NodeTransport.ts"

/** How a publication becomes an event; made by `encoding`. */
export interface EventEncoding {
  readonly plain: Encoding
  /** As a chunk of HTTP/1.1. */
  readonly chunked: Encoding
}

const chunkHead = (length: number): string => `${length.toString(16)}\r\n`

/** Some bytes as one chunk: RFC 9112 section 7.1. */
const chunkOf = (bytes: Uint8Array): Uint8Array =>
  Buffer.concat([Buffer.from(chunkHead(bytes.length), "latin1"), bytes, Buffer.from("\r\n", "latin1")])

const textChunkOf = (text: string): Uint8Array => Buffer.from(`${chunkHead(Buffer.byteLength(text))}${text}\r\n`)

/**
 * Says what event a publication is, if it is one. To be made once for all responses: each publication is encoded once
 * for it. Throws `InvalidEvent` for an event that cannot be printed, where the publication is made.
 */
export const encoding = (toEvent: (publication: Publication) => EventStream.Printable | undefined): EventEncoding => {
  const plain: Encoding = {
    encode: (publication) => {
      const event = toEvent(publication)
      return event === undefined ? undefined : Result.getOrThrow(EventStream.encode(event))
    }
  }
  const chunked: Encoding = {
    encode: (publication) => {
      const bytes = publication.encodedBy(plain)
      return bytes === undefined ? undefined : chunkOf(bytes)
    }
  }
  return { plain, chunked }
}

/** A text message is the data of an event, with its position as `id`; a binary message is none. */
export const messages: EventEncoding = encoding(({ message: { message }, position }) =>
  message._tag === "Text" ? { data: message.text, id: position } : undefined
)

/** What Node.js hands over to answer with; a socket when nothing else is on it, and its head is written by us. */
export type Response = ServerResponse | Http2ServerResponse | ServerHttp2Stream | Socket

const isStream = (response: Response): response is ServerHttp2Stream => "rstCode" in response
const isHttp2 = (response: Response): response is Http2ServerResponse => "stream" in response
const isSocket = (response: Response): response is Socket => response instanceof Socket
const isHttp1 = (response: Response): response is ServerResponse =>
  !isStream(response) && !isHttp2(response) && !isSocket(response)

/** What the body is written to, and whether its chunks are ours to make. */
interface Target {
  readonly writable: Writable
  readonly chunked: boolean
}

/** Where the body goes, once the head is out. */
const targetOf = (response: Response): Target => {
  if (isStream(response)) return { writable: response, chunked: false }
  if (isSocket(response)) return { writable: response, chunked: true }
  if (isHttp2(response)) return { writable: response.stream, chunked: false }
  // There is no socket as long as an earlier request of a pipeline has no answer; a response whose `write` is somebody
  // else's has a body that is not what is written to it.
  const { chunkedEncoding, socket } = response
  if (socket === null || Object.hasOwn(response, "write")) return { writable: response, chunked: false }
  return { writable: socket, chunked: chunkedEncoding }
}

/** What all responses of a server have in common. */
export interface Settings {
  readonly wheel: TimerWheel
  /** In milliseconds. */
  readonly heartbeat: number
  /** How many milliseconds nothing of what was written may leave, while there is no room for more. */
  readonly stallTimeout: number
  /** A member with more bytes than this that are not on the network is too slow. */
  readonly outboxBytes: number
  readonly encoding: EventEncoding
  /** Milliseconds, of a clock that a test can turn. */
  readonly now: () => number
}

/** One write for what several publishers have had sent, as `NodeTransport` has it. */
const afterReading = (callback: () => void): void => void setImmediate(callback)

/** How long a client may take to read what was written before the end, in milliseconds. */
const closeTimeout = 5_000

/** How often it is looked whether a client reads, in the time that it may take to. */
export const looksInStall = 4

/** The end of a body: RFC 9112 section 7.1. */
const lastChunk = Buffer.from("0\r\n\r\n")

const chunkedHeartbeat = chunkOf(EventStream.heartbeat)

/** Where what Node.js tells of keeps its response, so that all of them share one listener. */
const opened = Symbol("millrace/EventStreamResponse")

interface Owned {
  [opened]?: EventStreamResponse | undefined
}

function onClose(this: Owned): void {
  this[opened]?.closedByNode()
}

/**
 * A response whose head is written: a member of a hub, and what a stream of events is written to. `gone` is called when
 * it has ended, once.
 */
export class EventStreamResponse implements Timed, Outlet, Owner {
  slot: Set<Timed> | undefined
  private readonly response: Response
  private readonly writable: Writable
  private readonly chunked: boolean
  private readonly settings: Settings
  private readonly outbox: Outbox
  private readonly gone: (response: EventStreamResponse) => void
  private state: "open" | "ending" | "ended" = "open"
  private lastWrite: number
  /** Who is told that nothing more can be said. */
  private waiting: ReadonlyArray<() => void> | undefined
  private whenEnded: (() => void) | undefined
  /** Bytes that the socket was given. */
  private given = 0
  /** While there is no room: how many of them had left when it was looked, and since when, in milliseconds. */
  private full: { readonly left: number; readonly since: number } | undefined

  constructor(response: Response, settings: Settings, opening: string, gone: (self: EventStreamResponse) => void) {
    const { chunked, writable } = targetOf(response)
    this.response = response
    this.writable = writable
    this.chunked = chunked
    this.settings = settings
    this.gone = gone
    this.lastWrite = settings.now()
    this.outbox = new Outbox(this, undefined, this)
    const told = this.told
    told[opened] = this
    told.on("close", onClose)
    this.say(opening)
    this.outbox.flush()
    this.wait(settings.heartbeat)
    if (writable.destroyed) this.leave("ended")
  }

  // What the outbox writes to.

  get atEndOfTurn(): Outlet["atEndOfTurn"] {
    return afterReading
  }

  get writableLength(): number {
    return this.writable.writableLength
  }

  write(bytes: Uint8Array): void {
    if (!this.writable.writable) return
    this.given += bytes.length
    this.writable.write(bytes)
  }

  writeAll(chunks: ReadonlyArray<Uint8Array>): void {
    if (!this.writable.writable) return
    this.writable.cork()
    for (const chunk of chunks) this.write(chunk)
    this.writable.uncork()
  }

  flushed(): void {
    if (this.full === undefined && this.writable.writableNeedDrain) this.watch()
  }

  broken(defect: unknown): void {
    this.writable.destroy(defect instanceof Error ? defect : undefined)
  }

  // What is said.

  private say(text: string): void {
    this.outbox.appendEncoded(this.chunked ? textChunkOf(text) : Buffer.from(text))
    this.lastWrite = this.settings.now()
  }

  /** Whether text can still be written. */
  get isOpen(): boolean {
    return this.state === "open"
  }

  /**
   * Writes some text of the stream, and waits until the socket has room for more. Succeeds also when the client has
   * gone, which `closed` tells, or was cut because it does not read.
   */
  send(text: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (text === "" || this.state !== "open") return Effect.void
      this.say(text)
      if (this.outbox.length < this.writable.writableHighWaterMark) return Effect.void
      this.outbox.flush()
      return this.writable.writableNeedDrain ? this.drained : Effect.void
    })
  }

  /** Writes some text of the stream now or not at all, and tells which. */
  trySayUnsafe(text: string): Written {
    if (this.state !== "open") return "NotOpen"
    if (this.outbox.length >= this.settings.outboxBytes) return "Full"
    this.say(text)
    return "Written"
  }

  private get drained(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      // The fiber may have yielded since it was looked, and the event is not told twice.
      if (!this.writable.writableNeedDrain) return resume(Effect.void)
      let unsubscribe: (() => void) | undefined
      const stop = () => {
        this.writable.off("drain", done)
        unsubscribe?.()
      }
      const done = () => {
        stop()
        resume(Effect.void)
      }
      this.writable.on("drain", done)
      unsubscribe = this.whenClosed(done)
      this.watch()
      return Effect.sync(stop)
    })
  }

  /** Waits until the socket has taken what was written, or the client has gone: then there is room for a publication. */
  get room(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.state !== "open" || this.outbox.length < this.settings.outboxBytes) return Effect.void
      this.outbox.flush()
      return this.writable.writableNeedDrain ? this.drained : Effect.void
    })
  }

  tryWriteUnsafe(_message: Prepared, publication: Publication): Written {
    if (this.state !== "open") return "NotOpen"
    const { encoding, now, outboxBytes } = this.settings
    if (this.outbox.length >= outboxBytes) return "Full"
    const bytes = publication.encodedBy(this.chunked ? encoding.chunked : encoding.plain)
    if (bytes === undefined) return "NotOpen"
    this.outbox.appendEncoded(bytes)
    this.lastWrite = now()
    return "Written"
  }

  // How long.

  private wait(delay: number): void {
    if (Number.isFinite(delay)) this.settings.wheel.schedule(this, delay)
    else this.settings.wheel.cancel(this)
  }

  /** Looks whether the client reads while there is no room, and keeps the stream alive when there is. */
  private watch(): void {
    if (this.state !== "open") return
    const { heartbeat, now, stallTimeout } = this.settings
    if (this.writable.writableNeedDrain && Number.isFinite(stallTimeout)) {
      const left = this.given - this.writable.writableLength
      if (this.full?.left !== left) this.full = { left, since: now() }
      if (now() - this.full.since >= stallTimeout) return this.cut()
      return this.wait(stallTimeout / looksInStall)
    }
    this.full = undefined
    this.wait(heartbeat)
  }

  expired(): void {
    // What was said is not read: not even its end.
    if (this.state === "ending") return this.cut()
    // The client has ended its side, so Node.js ours: it has as long as any other to read what is left.
    if (!this.writable.writable) return this.finish()
    if (this.full !== undefined) return this.watch()
    const { heartbeat, now } = this.settings
    const silence = now() - this.lastWrite
    if (silence < heartbeat) return this.wait(heartbeat - silence)
    // Who does not read what was said before would not notice.
    if (this.outbox.length === 0) this.outbox.appendEncoded(this.chunked ? chunkedHeartbeat : EventStream.heartbeat)
    this.lastWrite = now()
    this.wait(heartbeat)
  }

  // How it ends.

  /** For its listener: what it was written to is closed. */
  closedByNode(): void {
    this.leave("ended")
  }

  /** Writes the end, behind what was said; a client that does not read it in time is cut. Idempotent. */
  finish(): void {
    if (this.state !== "open") return
    this.outbox.flush()
    this.leave("ending")
    if (this.writable.destroyed) return
    this.settings.wheel.schedule(this, closeTimeout)
    // A stream of HTTP/2 has finished when its session has its end, which is not on the network yet: it says when it closes.
    if (isSocket(this.response)) {
      this.write(lastChunk)
      this.response.destroySoon()
    } else if (isHttp1(this.response)) this.response.end(() => this.leave("ended"))
    else this.response.end()
  }

  /** Ends it at once, with what was not read yet. */
  cut(): void {
    NodeTransport.destroy(this.writable as Duplex)
    this.leave("ended")
  }

  /** As a member of a hub: the code and the reason are for WebSockets, and have no place in an event stream. */
  close(): Effect.Effect<void> {
    return Effect.sync(() => this.finish())
  }

  /** When nothing more can be said: the client has gone, or the end is written. */
  get closed(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      const unsubscribe = this.whenClosed(() => resume(Effect.void))
      return Effect.sync(unsubscribe)
    })
  }

  /** When the client has the end, or has gone, or was cut. */
  get ended(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      if (this.state === "ended") return resume(Effect.void)
      this.whenEnded = () => resume(Effect.void)
    })
  }

  /** Calls back when nothing more can be said, at once if that is so. What comes back has it forgotten. */
  whenClosed(then: () => void): () => void {
    if (this.state === "open") {
      // An array that is pushed to would have room for sixteen.
      this.waiting = this.waiting === undefined ? [then] : [...this.waiting, then]
    } else then()
    return () => {
      this.waiting = this.waiting?.filter((other) => other !== then)
    }
  }

  /**
   * What tells that it is closed: of HTTP/1.1 the response, as a listener more would make the socket's array of them
   * grow, which takes 150 bytes. Measured.
   */
  private get told(): Owned & (Response | Writable) {
    return isHttp1(this.response) ? this.response : this.writable
  }

  private leave(next: "ending" | "ended"): void {
    const { state, waiting } = this
    if (state === "ended") return
    this.state = next
    if (next === "ended") {
      this.told.off("close", onClose)
      this.told[opened] = undefined
      this.settings.wheel.cancel(this)
      this.outbox.discard()
      this.gone(this)
      this.whenEnded?.()
    }
    this.waiting = undefined
    for (const then of waiting ?? []) then()
  }
}
