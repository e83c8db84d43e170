/**
 * DEFLATE by `node:zlib`, for `Compression`: RFC 7692 section 7.2. Public functions of it only.
 *
 * Short messages are compressed and inflated in the call, which takes microseconds; long ones by threads, as many at a
 * time as was said. Nothing of zlib is held between two messages.
 */
import * as zlib from "node:zlib"
import { Chunks } from "@millrace/core/codec/Chunks"
import * as Compression from "@millrace/core/connection/Compression"
import * as Deflate from "@millrace/core/connection/Deflate"
import type { Extension } from "@millrace/core/connection/Extension"
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { inflateNow, Inflating } from "./Inflate.ts"
import { owned, roomFor } from "./Room.ts"
import { oneAhead, ZlibThread } from "./ZlibThread.ts"

/** How zlib is used. */
export interface Options {
  /** How hard to look for what repeats, 0 to 9. Default 6. */
  readonly level?: number | undefined
  /** How much memory to compress with, 1 to 9: at 8 about 160 KiB for as long as a message takes. Default 8. */
  readonly memLevel?: number | undefined
  /** Messages of this many bytes and more are compressed by a thread. Default 32,768, about 0.2 ms of work. */
  readonly threadedDeflateBytes?: number | undefined
  /** Messages of this many compressed bytes and more are inflated by a thread. Default 32,768. */
  readonly threadedInflateBytes?: number | undefined
  /**
   * Messages of which more bytes than this come out are inflated by a thread, however few go in: the most that a peer
   * can make us do in the call. At most a gibibyte. Default 262,144, about 0.2 ms of work.
   */
  readonly threadedOutputBytes?: number | undefined
  /**
   * Long messages at work on threads at a time; others wait, in order. What is inflated as a stream takes its turns
   * besides. Default 2, half of the threads that Node.js has unless `UV_THREADPOOL_SIZE` says otherwise: files and the
   * names of hosts are looked up by the same.
   */
  readonly maxThreads?: number | undefined
}

/** `Options` unless they say otherwise. */
export const defaults = {
  level: 6,
  memLevel: 8,
  threadedDeflateBytes: 32_768,
  threadedInflateBytes: 32_768,
  threadedOutputBytes: 262_144,
  maxThreads: 2
} as const satisfies Options

/** The extension over zlib, and how zlib is used. */
export interface CompressionOptions extends Options, Compression.Options {}

/** With nothing left to say. */
type Settings = { readonly [K in keyof Options]-?: NonNullable<Options[K]> }

class NodeDeflate implements Deflate.Service {
  /** zlib takes 8 for 9 where it compresses, so that 8 cannot be kept to. */
  readonly smallestWindowBits = 9
  private readonly options: Settings
  private readonly threads: Semaphore.Semaphore

  constructor(options: Settings) {
    this.options = options
    this.threads = Semaphore.makeUnsafe(options.maxThreads)
  }

  private zlibOptions({ dictionary, windowBits }: Deflate.DeflateOptions, length: number): zlib.ZlibOptions {
    const { level, memLevel } = this.options
    const { Z_SYNC_FLUSH } = zlib.constants
    const chunkSize = roomFor((length >> 1) + 64)
    return { level, memLevel, windowBits, dictionary, chunkSize, flush: Z_SYNC_FLUSH, finishFlush: Z_SYNC_FLUSH }
  }

  deflateNow(bytes: Uint8Array, options: Deflate.DeflateOptions): Uint8Array {
    return withoutTail(zlib.deflateRawSync(bytes, this.zlibOptions(options, bytes.length)))
  }

  deflate(bytes: Uint8Array, options: Deflate.DeflateOptions): Effect.Effect<Uint8Array> {
    if (bytes.length < this.options.threadedDeflateBytes) return Exit.succeed(this.deflateNow(bytes, options))
    const thread = () => {
      const zlibOptions = { ...this.zlibOptions(options, bytes.length), ...oneAhead }
      return new ZlibThread(zlib.createDeflateRaw(zlibOptions))
    }
    return this.onThread(thread, (thread) => {
      thread.feed(bytes)
      return Effect.map(drain(Effect.orDie(thread.next)), withoutTail)
    })
  }

  inflate(bytes: Uint8Array, options: Deflate.InflateOptions): Effect.Effect<Uint8Array, Deflate.InflateError> {
    const { threadedInflateBytes, threadedOutputBytes } = this.options
    if (bytes.length === 0) return Exit.succeed(noBytes)
    if (bytes.length < threadedInflateBytes) {
      const inflated = inflateNow(bytes, options, threadedOutputBytes)
      if (inflated !== undefined) return inflated
    }
    return this.onThread(
      () => new Inflating(options),
      (inflating) => {
        inflating.feed(bytes)
        return drain(inflating.next, () => inflating.end())
      }
    )
  }

  private onThread<T extends { readonly destroy: () => void }, A, E>(
    make: () => T,
    use: (thread: T) => Effect.Effect<A, E>
  ): Effect.Effect<A, E> {
    return this.threads.withPermit(
      Effect.acquireUseRelease(Effect.sync(make), use, (thread) => Effect.sync(() => thread.destroy()))
    )
  }

  inflateStream(options: Deflate.InflateOptions) {
    return <E, R>(pieces: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Uint8Array, E | Deflate.InflateError, R> =>
      Stream.transformPullBracket(pieces, (pull, _, scope) => {
        const inflating = new Inflating(options)
        const release = Effect.sync(() => inflating.destroy())
        return Effect.as(Scope.addFinalizer(scope, release), inflatePull(pull, inflating))
      })
  }
}

const noBytes = new Uint8Array(0)

const withoutTail = (bytes: Uint8Array): Uint8Array => owned(bytes.subarray(0, bytes.length - Deflate.tail.length))

/** All that comes out, joined. */
const drain = Effect.fnUntraced(function* <E>(next: Effect.Effect<Uint8Array | undefined, E>, end?: () => void) {
  const pieces = new Chunks()
  for (let ended = end === undefined; ;) {
    const piece = yield* next
    if (piece !== undefined) {
      pieces.push(piece)
    } else if (ended) {
      return owned(pieces.join())
    } else {
      end?.()
      ended = true
    }
  }
})

const inflatePull = <E, R>(
  pull: Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, E, void, R>,
  inflating: Inflating
): Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, E | Deflate.InflateError, void, R> => {
  let input: ReadonlyArray<Uint8Array> = []
  let at = 0
  let ended = false
  const more = Pull.catchDone(
    Effect.map(pull, (pieces) => {
      input = pieces
      at = 0
    }),
    () =>
      Effect.sync(() => {
        ended = true
        inflating.end()
      })
  )
  return Effect.gen(function* () {
    for (;;) {
      const piece = yield* inflating.next
      if (piece !== undefined) return [piece]
      if (ended) return yield* Cause.done()
      const next = input[at++]
      if (next === undefined) yield* more
      else if (next.length > 0) inflating.feed(next)
    }
  })
}

const within = (value: number, least: number, most: number): boolean => value >= least && value <= most

/**
 * What `Compression` needs, by zlib. Whoever uses the same one shares its threads. Throws a `RangeError`, the
 * programmer's fault, for options that zlib has no use for.
 */
export const make = (options: Options = {}): Deflate.Service => {
  const settings: Settings = {
    level: options.level ?? defaults.level,
    memLevel: options.memLevel ?? defaults.memLevel,
    threadedDeflateBytes: options.threadedDeflateBytes ?? defaults.threadedDeflateBytes,
    threadedInflateBytes: options.threadedInflateBytes ?? defaults.threadedInflateBytes,
    threadedOutputBytes: options.threadedOutputBytes ?? defaults.threadedOutputBytes,
    maxThreads: options.maxThreads ?? defaults.maxThreads
  }
  const { level, maxThreads, memLevel } = settings
  if (!Number.isInteger(level) || !within(level, 0, 9)) throw new RangeError(`level ${level} is not 0 to 9`)
  if (!Number.isInteger(memLevel) || !within(memLevel, 1, 9)) throw new RangeError(`memLevel ${memLevel} is not 1 to 9`)
  if (!within(maxThreads, 1, Infinity)) throw new RangeError(`${maxThreads} threads do nothing`)
  for (const [name, most] of [
    ["threadedDeflateBytes", Infinity],
    ["threadedInflateBytes", Infinity],
    ["threadedOutputBytes", 2 ** 30]
  ] as const) {
    if (!within(settings[name], 0, most)) throw new RangeError(`${name} ${settings[name]} is not 0 to ${most} bytes`)
  }
  return new NodeDeflate(settings)
}

/** `make` for the environment. */
export const layer = (options?: Options): Layer.Layer<Deflate.Deflate> =>
  Layer.sync(Deflate.Deflate, () => make(options))

/**
 * permessage-deflate for `extensions`, of a server or of a client. Made once and used for all: connections of one
 * share its threads, and what they broadcast is compressed once. Throws as `make` and `Compression.over` do.
 */
export const compression = (options: CompressionOptions = {}): Extension => Compression.over(make(options), options)
