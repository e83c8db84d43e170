/**
 * Inflating by `node:zlib`, strictly: RFC 7692 section 7.2.2. A message in the call, or piece by piece on a thread.
 */
import * as zlib from "node:zlib"
import { Chunks } from "@millrace/core/codec/Chunks"
import * as Deflate from "@millrace/core/connection/Deflate"
import { Window } from "@millrace/core/connection/Window"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { owned, pieceLength, roomFor } from "./Room.ts"
import { oneAhead, ZlibThread } from "./ZlibThread.ts"

/**
 * What is added behind a message in place of the four bytes that were left out of it. Those would end an empty block;
 * these end a block of four bytes, the mark. So it can be seen that they were read as the end of a block, and not taken
 * for something that a message was cut short of. Behind it, a final block tells zlib that this is all.
 */
const ending = Uint8Array.of(0x04, 0x00, 0xfb, 0xff, 0x07, 0x07, 0x07, 0x07, 0x03, 0x00)

/** As the header of a block these bytes make no sense. */
const mark = ending.subarray(4, 8)

/**
 * Final blocks in one message, RFC 7692 section 7.2.3.4, each of which costs us a new stream of zlib. A message may also
 * end with one: the byte that has to follow it then is left out by some, and nothing is lost with it.
 */
export const mostFinalBlocks = 256

const cutShort = () => new Deflate.CorruptData({ detail: "unexpected end" })

const tooManyFinalBlocks = () => new Deflate.CorruptData({ detail: `it has more than ${mostFinalBlocks} final blocks` })

/** What zlib found wrong with the bytes. Anything else is no fault of whoever sent them. */
const failedBy = (error: unknown): Exit.Exit<never, Deflate.CorruptData> => {
  const { code, message } = error as NodeJS.ErrnoException
  return code === "Z_DATA_ERROR" || code === "Z_BUF_ERROR"
    ? Exit.fail(new Deflate.CorruptData({ detail: message }))
    : Exit.die(error)
}

/** What messages are copied to, to be read together with their ending. */
let scratch = new Uint8Array(0)

const withEnding = (bytes: Uint8Array): Uint8Array => {
  const length = bytes.length + ending.length
  let input = scratch
  if (length > input.length) {
    input = new Uint8Array(Math.max(length, pieceLength))
    if (length <= pieceLength) scratch = input
  }
  input.set(bytes)
  input.set(ending, bytes.length)
  return input.subarray(0, length)
}

const inflateRaw = (bytes: Uint8Array, options: zlib.ZlibOptions) =>
  zlib.inflateRawSync(bytes, { ...options, info: true }) as unknown as {
    readonly buffer: Uint8Array
    readonly engine: zlib.InflateRaw
  }

/**
 * Inflates at least one byte in the call; `undefined` when that cannot be done: more than `most` bytes would come out,
 * of which no more than that and a block were in memory, or it cannot be told whether the message is whole.
 */
export const inflateNow = (
  bytes: Uint8Array,
  { dictionary, maxBytes, windowBits }: Deflate.InflateOptions,
  most: number
): Exit.Exit<Uint8Array, Deflate.InflateError> | undefined => {
  const input = withEnding(bytes)
  const limit = Math.min(most, maxBytes)
  const tooLong = () => (most < maxBytes ? undefined : Exit.fail(new Deflate.TooLong({ maxBytes })))
  const chunkSize = roomFor(Math.min(bytes.length * 6, limit + mark.length))
  const pieces = new Chunks()
  let window: Window | undefined
  let at = 0
  for (let finalBlocks = 0; finalBlocks <= mostFinalBlocks; finalBlocks++) {
    try {
      const { buffer, engine } = inflateRaw(input.subarray(at), {
        windowBits,
        chunkSize,
        maxOutputLength: Math.max(limit + mark.length - pieces.length, 1),
        dictionary: window === undefined ? dictionary : window.bytes
      })
      at += engine.bytesWritten
      const isOver = at === input.length || at === bytes.length
      if (!isOver || pieces.length > 0) pieces.push(buffer)
      if (isOver) {
        const all = pieces.length > 0 ? pieces.join() : buffer
        if (all.length - (at === input.length ? mark.length : 0) > limit) return tooLong()
        return at === input.length ? withoutMark(all) : Exit.succeed(owned(all))
      }
      if (window === undefined) {
        window = new Window(2 ** windowBits)
        if (dictionary !== undefined) window.push(dictionary)
      }
      window.push(buffer)
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE" ? tooLong() : failedBy(error)
    }
  }
  return Exit.fail(tooManyFinalBlocks())
}

const withoutMark = (marked: Uint8Array): Exit.Exit<Uint8Array, Deflate.CorruptData> | undefined => {
  if (!endsIn(marked, mark)) return Exit.fail(cutShort())
  const bytes = marked.subarray(0, marked.length - mark.length)
  // Either the message says so, or it was cut short in a block without compression, which took all of it for its own.
  return endsIn(bytes, ending.subarray(0, mark.length)) ? undefined : Exit.succeed(owned(bytes))
}

const endsIn = (bytes: Uint8Array, end: Uint8Array): boolean => {
  const from = bytes.length - end.length
  return from >= 0 && end.every((byte, i) => bytes[from + i] === byte)
}

/** A message as it is inflated on a thread, by one fiber. */
export class Inflating {
  private readonly options: Deflate.InflateOptions
  private readonly window: Window
  private thread: ZlibThread | undefined
  private input: Uint8Array = ending
  private ended = false
  /** How much of the message has come out, and of the mark behind it. */
  private length = 0
  private marked = 0
  private finalBlocks = 0

  constructor(options: Deflate.InflateOptions) {
    this.options = options
    this.window = new Window(2 ** options.windowBits)
    if (options.dictionary !== undefined) this.window.push(options.dictionary)
  }

  /** The next bytes of the message, at least one. What came out of those before was all taken. */
  feed(input: Uint8Array): void {
    this.input = input
    this.thread ??= this.start()
    this.thread.feed(input)
  }

  /** There are no more bytes. What is left may still come out. */
  end(): void {
    this.ended = true
    // Of no bytes at all nothing comes out, and nothing is wrong with them.
    if (this.thread !== undefined) this.feed(ending)
  }

  private start(): ZlibThread {
    const { windowBits } = this.options
    const dictionary = this.window.bytes
    return new ZlibThread(
      zlib.createInflateRaw({ windowBits, chunkSize: pieceLength, ...oneAhead, ...(dictionary && { dictionary }) })
    )
  }

  /** The next piece that comes out, or `undefined` when there is no more of it before more is fed or at all. */
  readonly next: Effect.Effect<Uint8Array | undefined, Deflate.InflateError> = Effect.suspend(() => {
    const { thread } = this
    if (thread === undefined) return Exit.succeed(undefined)
    return Effect.matchEffect(thread.next, {
      onFailure: failedBy,
      onSuccess: (piece) => (piece === undefined ? this.drained(thread) : this.received(piece))
    })
  })

  private received(piece: Uint8Array): Effect.Effect<Uint8Array | undefined, Deflate.InflateError> {
    if (this.ended) {
      // All of the message had come out when it ended.
      this.marked += piece.length
      return this.next
    }
    const { maxBytes } = this.options
    this.length += piece.length
    if (this.length > maxBytes) return Exit.fail(new Deflate.TooLong({ maxBytes }))
    this.window.push(piece)
    return Exit.succeed(owned(piece))
  }

  private drained({ unused }: ZlibThread): Effect.Effect<Uint8Array | undefined, Deflate.InflateError> {
    if (this.ended && unused === ending.length) return Exit.succeed(undefined)
    if (unused === 0) return this.ended && this.marked !== mark.length ? Exit.fail(cutShort()) : Exit.succeed(undefined)
    // A final block has ended. What follows may refer to what came before it.
    if (++this.finalBlocks > mostFinalBlocks) return Exit.fail(tooManyFinalBlocks())
    this.destroy()
    this.thread = undefined
    this.feed(this.input.subarray(this.input.length - unused))
    return this.next
  }

  destroy(): void {
    this.thread?.destroy()
  }
}
