/**
 * One native stream of zlib at work on the threads of libuv: fed and drained a step at a time, by one fiber.
 *
 * It works ahead of who drains it by one piece of output and no further, whatever it was fed.
 */
import type * as zlib from "node:zlib"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

/** For its stream: a buffer that is full with its first piece, so that the stream stops until that is taken. */
export const oneAhead = { highWaterMark: 1 }

export class ZlibThread {
  private readonly stream: zlib.DeflateRaw | zlib.InflateRaw
  /** At work on what it was fed last. */
  private busy = false
  private fed = 0
  private before = 0
  private failure: Exit.Exit<never, Error> | undefined
  private waiting: (() => void) | undefined

  /** Takes the stream over. It has to be made with `oneAhead`. */
  constructor(stream: zlib.DeflateRaw | zlib.InflateRaw) {
    this.stream = stream
    const look = () => this.waiting?.()
    stream.on("readable", look)
    stream.on("error", (error) => {
      this.failure = Exit.fail(error)
      look()
    })
  }

  /** Starts on the next input, which must not change meanwhile. What came out of the one before was all taken. */
  feed(bytes: Uint8Array): void {
    this.busy = true
    this.fed = bytes.length
    this.before = this.stream.bytesWritten
    this.stream.write(bytes, (error) => {
      // Without its event: the stream was destroyed.
      if (error != null) return
      this.busy = false
      this.waiting?.()
    })
  }

  /** How many bytes at the end of the input were left alone, once all that comes out of it was taken. */
  get unused(): number {
    return this.fed - (this.stream.bytesWritten - this.before)
  }

  /**
   * The next output, or `undefined` when there is no more of it without more input. Fails with what zlib says. An
   * interrupted fiber may come back for it.
   */
  readonly next: Effect.Effect<Uint8Array | undefined, Error> = Effect.callback((resume) => {
    const look = () => {
      const piece = this.failure === undefined ? (this.stream.read() as Buffer | null) : null
      if (piece === null && this.failure === undefined && this.busy) return
      this.waiting = undefined
      resume(this.failure ?? Exit.succeed(piece ?? undefined))
    }
    this.waiting = look
    look()
    return Effect.sync(() => {
      this.waiting = undefined
    })
  })

  /** Lets go of the native stream, at once or when the thread has done its step. Who comes back is interrupted. */
  destroy(): void {
    this.failure ??= Exit.interrupt()
    this.stream.destroy()
  }
}
