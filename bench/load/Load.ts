/**
 * What a load generator gives: load that starts and ends in silence, so that the server's CPU time before and after
 * belongs to exactly the messages that were counted.
 */
import * as Deferred from "../Deferred.ts"

/** Messages that have come back: deliveries, for a broadcast. */
export interface Counted {
  readonly count: number
  /** Of their payloads as they came, without the headers of frames. */
  readonly bytes: number
  /** What else was measured, by name. */
  readonly figures?: Readonly<Record<string, number>>
}

export interface Load {
  /** Loads the server for so many seconds, then waits until everything sent has come back. Fails when one is lost. */
  readonly run: (seconds: number) => Promise<Counted>
  readonly end: () => void
}

/** How long the last messages of a run may take to come back, in milliseconds. */
const patience = 20_000

/** One run: `again` tells whether to send more, `done` that all is back, `fail` that something is wrong. */
export interface Run {
  readonly again: () => boolean
  readonly done: () => void
  readonly fail: (why: string) => void
  /** Settles with the run. */
  readonly over: Promise<void>
}

/** `missing` tells how many messages have not come back, for the sentence of a run that hangs. */
export const start = (seconds: number, missing: () => number): Run => {
  const { promise, resolve, reject } = Deferred.make<void>()
  let more = true
  const fail = (why: string) => reject(new Error(why))
  const stop = setTimeout(() => (more = false), seconds * 1000)
  const late = setTimeout(
    () => fail(`${missing()} messages had not come back ${patience / 1000} seconds after the last was sent`),
    seconds * 1000 + patience
  )
  const over = promise.finally(() => {
    clearTimeout(stop)
    clearTimeout(late)
  })
  over.catch(() => {}) // a connection may be lost before or after anyone waits
  return { again: () => more, done: resolve, fail, over }
}
