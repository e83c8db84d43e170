/**
 * Records what goes over a connection: a `Tap` that looks at the bytes in both directions, decodes them into the entries
 * of a `Recording`, and passes everything on as it is.
 *
 *     const recorder = yield* Recorder.make()
 *     const connection = yield* NodeWebSocket.open(url, { tap: recorder.tap })
 *     ...
 *     const text = RecordingText.print(yield* recorder.ended)
 *
 * A recording holds what was said, passwords included.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { Chunks } from "../codec/Chunks.ts"
import * as Extensions from "../codec/Extensions.ts"
import * as Frame from "../codec/Frame.ts"
import * as Recording from "../protocol/Recording.ts"
import type { Role } from "../protocol/WebSocketProtocol.ts"
import type { Facts, Tap } from "./Tap.ts"
import type { Receiver, Transport } from "./Transport.ts"
import type { TransportError } from "./WebSocketError.ts"

/** How much is kept of one connection. `Infinity` for no bound. */
export interface Options {
  /** Of the payload of one data frame, in bytes, and of one read of what is no frame. Default 64 KiB. */
  readonly maxPayloadBytes?: number | undefined
  /** Entries. Default 10,000. */
  readonly maxEntries?: number | undefined
  /** Of all payloads, in bytes. Default 16 MiB. */
  readonly maxBytes?: number | undefined
}

/** `Options` unless they say otherwise. */
export const defaults = { maxPayloadBytes: 65_536, maxEntries: 10_000, maxBytes: 16_777_216 } as const satisfies Options

/** Who is given what is recorded, line by line as it comes. What it throws ends the recording, and nothing else. */
export type Sink = (line: Recording.Header | Recording.Entry) => void

const noBytes = new Uint8Array(0)

/** A frame, as far as it has come. */
interface Begun {
  readonly part: Frame.FramePart
  readonly kept: Chunks
  came: number
}

/** What is recorded of one side, before it is known when. */
type Part =
  | Pick<Recording.Recorded, "_tag" | "cut" | "fin" | "opcode" | "payload" | "rsv" | "torn">
  | Omit<Recording.Raw, "from" | "t">

/** The bytes of one side, to frames. */
class Direction {
  /** Bytes that came, headers included. */
  length = 0
  private readonly masked: boolean
  private readonly maxPayloadBytes: number
  private readonly decoder: Frame.Decoder
  private readonly record: (part: Part) => void
  private begun: Begun | undefined
  /** What the decoder holds of a frame that it has given nothing of: as it was on the wire, 139 bytes at most. */
  private tail: Uint8Array = noBytes
  private isBroken = false

  constructor(from: Role, rsv: number, maxPayloadBytes: number, record: (part: Part) => void) {
    this.masked = from === "client"
    this.maxPayloadBytes = maxPayloadBytes
    this.record = record
    this.decoder = Frame.makeDecoder({ masked: this.masked, rsv, maxPayloadLength: Number.MAX_SAFE_INTEGER })
  }

  push(chunk: Uint8Array): void {
    if (this.isBroken) return this.raw(chunk, undefined)
    // The decoder unmasks where it reads, and the chunk is somebody else's.
    const copy = new Uint8Array(chunk)
    const { parts, violation } = this.decoder.push(copy)
    let decoded = 0
    for (const part of parts) {
      if (part.offset === 0) decoded += Frame.headerLength(part.payload.length + part.remaining, this.masked)
      decoded += part.payload.length
      this.take(part)
    }
    const { tail } = this
    if (decoded >= tail.length) {
      // Copied, to keep no more than that.
      this.tail = new Uint8Array(copy.subarray(decoded - tail.length))
    } else {
      this.tail = new Uint8Array(tail.length + copy.length)
      this.tail.set(tail)
      this.tail.set(copy, tail.length)
    }
    if (violation === undefined) return
    this.isBroken = true
    this.endTail(violation.message)
  }

  /** That side sends no more. */
  end(): void {
    if (this.begun !== undefined) {
      const { came, part } = this.begun
      this.endFrame(this.begun, part.payload.length + part.remaining - came)
    }
    if (this.tail.length > 0) this.endTail(undefined)
  }

  private take(part: Frame.FramePart): void {
    const begun = (this.begun ??= { part, kept: new Chunks(), came: 0 })
    // A control frame is short, and what it says counts.
    const room = Frame.isControl(part.opcode) ? Frame.maxControlPayload : this.maxPayloadBytes
    begun.kept.push(part.payload.subarray(0, Math.max(room - begun.kept.length, 0)))
    begun.came += part.payload.length
    if (part.remaining === 0) this.endFrame(begun, 0)
  }

  private endFrame({ came, kept, part: { fin, opcode, rsv } }: Begun, torn: number): void {
    this.begun = undefined
    this.record({ _tag: "Frame", fin, rsv, opcode, payload: kept.join(), cut: came - kept.length, torn })
  }

  private endTail(violation: string | undefined): void {
    const { tail } = this
    this.tail = noBytes
    this.raw(tail, violation)
  }

  private raw(bytes: Uint8Array, violation: string | undefined): void {
    const kept = new Uint8Array(bytes.subarray(0, this.maxPayloadBytes))
    this.record({ _tag: "Raw", bytes: kept, cut: bytes.length - kept.length, violation })
  }
}

const sizeOf = (entry: Recording.Entry): number =>
  entry._tag === "Frame" ? entry.payload.length : entry._tag === "Raw" ? entry.bytes.length : 0

/** What is recorded of one connection. */
class Log {
  private readonly clock: Clock.Clock
  private readonly sink: Sink
  private readonly started: number
  private readonly directions: Readonly<Record<Role, Direction>>
  private readonly hasEnded: Record<Role, boolean> = { client: false, server: false }
  private entriesLeft: number
  private bytesLeft: number
  private state: "Open" | "Full" | "Over" = "Open"
  /** Bytes on the wire of what was recorded. */
  private recorded = 0

  constructor(clock: Clock.Clock, { extensions, role, subprotocol, url }: Facts, options: Options, sink: Sink) {
    const {
      maxBytes = defaults.maxBytes,
      maxEntries = defaults.maxEntries,
      maxPayloadBytes = defaults.maxPayloadBytes
    } = options
    this.clock = clock
    this.sink = sink
    this.started = millis(clock)
    this.entriesLeft = maxEntries
    this.bytesLeft = maxBytes
    const direction = (from: Role) =>
      new Direction(from, extensions.rsv, maxPayloadBytes, (part) => this.add({ ...part, from, t: this.now() }))
    this.directions = { client: direction("client"), server: direction("server") }
    this.give({
      _tag: "Header",
      role,
      url,
      subprotocol,
      extensions: Result.getOrUndefined(Extensions.print(extensions.response)) || undefined,
      start: clock.currentTimeMillisUnsafe()
    })
  }

  /** Milliseconds, to a thousandth: what is printed is what it is. */
  private now(): number {
    return Math.round((millis(this.clock) - this.started) * 1_000) / 1_000
  }

  bytes(from: Role, chunk: Uint8Array): void {
    if (this.state === "Over" || this.hasEnded[from]) return
    const direction = this.directions[from]
    direction.length += chunk.length
    if (this.state === "Open") direction.push(chunk)
  }

  /** That side sends no more. */
  end(from: Role, abruptly: boolean): void {
    if (this.state !== "Open" || this.hasEnded[from]) return
    this.hasEnded[from] = true
    this.directions[from].end()
    this.add({ _tag: "Ended", t: this.now(), from, abruptly })
  }

  /** The transport has ended. */
  over(error: TransportError | undefined): void {
    if (this.state === "Over") return
    if (this.state === "Open") {
      this.directions.client.end()
      this.directions.server.end()
    }
    const omitted = this.omitted
    this.state = "Over"
    if (omitted !== undefined) this.give(omitted)
    const cause = error?.cause
    const message = cause instanceof Error ? cause.message : String(cause)
    this.give({ _tag: "End", t: this.now(), error: error === undefined ? undefined : message })
  }

  /** What a recording that is full lacks so far. */
  get omitted(): Recording.Omitted | undefined {
    if (this.state !== "Full") return undefined
    const { client, server } = this.directions
    return { _tag: "Omitted", t: this.now(), bytes: client.length + server.length - this.recorded }
  }

  private add(entry: Recording.Entry): void {
    if (this.state !== "Open") return
    if (this.entriesLeft < 1 || sizeOf(entry) > this.bytesLeft) {
      this.state = "Full"
      return
    }
    this.entriesLeft -= 1
    this.bytesLeft -= sizeOf(entry)
    this.recorded += Recording.wireLength(entry)
    this.give(entry)
  }

  private give(line: Recording.Header | Recording.Entry): void {
    try {
      this.sink(line)
    } catch {
      this.state = "Over"
    }
  }
}

/** Milliseconds that only go forward. The time of day may be set. */
const millis = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

/** A transport that is looked at. Everything is recorded before it happens, as it may happen in the call. */
class Tapped implements Transport {
  private readonly transport: Transport
  private readonly role: Role
  private readonly log: Log

  constructor(transport: Transport, role: Role, log: Log) {
    this.transport = transport
    this.role = role
    this.log = log
  }

  open(receiver: Receiver): void {
    const { log } = this
    const peer = Recording.other(this.role)
    // Whether there is one tells a transport what to do.
    const peerEnded = receiver.peerEnded === undefined ? {} : { peerEnded: () => this.peerEnded(receiver) }
    this.transport.open({
      data: (chunk) => {
        log.bytes(peer, chunk)
        receiver.data(chunk)
      },
      drained: () => receiver.drained(),
      ended: (error) => {
        log.over(error)
        receiver.ended(error)
      },
      ...peerEnded
    })
  }

  private peerEnded(receiver: Receiver): void {
    this.log.end(Recording.other(this.role), false)
    receiver.peerEnded?.()
  }

  pause(): void {
    this.transport.pause()
  }

  resume(): void {
    this.transport.resume()
  }

  write(bytes: Uint8Array): void {
    this.log.bytes(this.role, bytes)
    this.transport.write(bytes)
  }

  writeAll(chunks: ReadonlyArray<Uint8Array>): void {
    for (const chunk of chunks) this.log.bytes(this.role, chunk)
    this.transport.writeAll(chunks)
  }

  get writableLength(): number {
    return this.transport.writableLength
  }

  get atEndOfTurn(): Transport["atEndOfTurn"] {
    return this.transport.atEndOfTurn
  }

  end(): void {
    this.log.end(this.role, false)
    this.transport.end()
  }

  destroy(): void {
    this.log.end(this.role, true)
    this.transport.destroy()
  }
}

/** For who has a clock at hand: records what goes over a transport, and gives each line to the sink. */
export const tapUnsafe = (
  clock: Clock.Clock,
  transport: Transport,
  facts: Facts,
  options: Options,
  sink: Sink
): Transport => new Tapped(transport, facts.role, new Log(clock, facts, options, sink))

/**
 * A tap that gives what goes over each connection to a sink of its own, line by line as it comes: for a file, or a
 * screen. The header comes in the call that makes the connection. `RecordingText.printLine` makes a line of it. Where
 * `makeSink` throws, that connection is not recorded.
 */
export const each = (makeSink: (facts: Facts) => Sink, options: Options = {}): Effect.Effect<Tap> =>
  Clock.clockWith((clock) =>
    Effect.succeed((transport, facts) => {
      let sink: Sink
      try {
        sink = makeSink(facts)
      } catch {
        return transport
      }
      return tapUnsafe(clock, transport, facts, options, sink)
    })
  )

/** Records the first connection that it is the tap of; others pass it by. Made by `make`. */
export class Recorder {
  private readonly clock: Clock.Clock
  private readonly options: Options
  private readonly entries: Array<Recording.Entry> = []
  private readonly ending = Deferred.makeUnsafe<Recording.Recording>()
  private header: Recording.Header | undefined
  private log: Log | undefined

  constructor(clock: Clock.Clock, options: Options) {
    this.clock = clock
    this.options = options
  }

  readonly tap: Tap = (transport, facts) => {
    if (this.header !== undefined) return transport
    this.log = new Log(this.clock, facts, this.options, (line) => this.take(line))
    return new Tapped(transport, facts.role, this.log)
  }

  private take(line: Recording.Header | Recording.Entry): void {
    if (line._tag === "Header") {
      this.header = line
      return
    }
    this.entries.push(line)
    if (line._tag === "End") Deferred.doneUnsafe(this.ending, Effect.succeed(this.recording!))
  }

  /** What there is so far; `undefined` while there was no connection. Says what it lacks, where it is full. */
  get recording(): Recording.Recording | undefined {
    if (this.header === undefined) return undefined
    const omitted = this.log?.omitted
    return { header: this.header, entries: omitted === undefined ? [...this.entries] : [...this.entries, omitted] }
  }

  /** The whole of it. Waits for the end of the connection. */
  get ended(): Effect.Effect<Recording.Recording> {
    return Deferred.await(this.ending)
  }
}

/** A recorder that keeps what it records, in memory and within the bounds of `options`. */
export const make = (options: Options = {}): Effect.Effect<Recorder> =>
  Clock.clockWith((clock) => Effect.sync(() => new Recorder(clock, options)))
