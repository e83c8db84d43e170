/** Connections that send a burst, wait until all of it was answered, and send the next: what they count together. */
import * as Load from "./Load.ts"

/** One of the connections. */
export interface Lane {
  /** An answer came, of so many bytes. */
  readonly came: (length: number) => void
}

export interface Bursts {
  /** A connection that sends a burst with `write`. */
  readonly lane: (write: () => void) => Lane
  /** Something is wrong, now or for a run that is still to come. */
  readonly lose: (why: string) => void
  readonly run: (seconds: number) => Promise<Load.Counted>
}

/** `depth`: how many messages are a burst. */
export const make = (depth: number): Bursts => {
  const sends: Array<() => void> = []
  let run: Load.Run | undefined
  let lost: string | undefined
  let sent = 0
  let answered = 0
  let bytes = 0
  let busy = 0

  const lose = (why: string) => {
    lost = why
    run?.fail(why)
  }
  return {
    lose,
    lane: (write) => {
      let missing = 0
      const send = () => {
        missing = depth
        sent += depth
        write()
      }
      sends.push(send)
      return {
        came: (length) => {
          bytes += length
          missing--
          if (missing > 0) return
          if (run === undefined || missing < 0) return lose("an answer came to what nobody had sent")
          answered += depth
          if (run.again()) send()
          else if (--busy === 0) run.done()
        }
      }
    },
    run: async (seconds) => {
      if (lost !== undefined) throw new Error(lost)
      sent = 0
      answered = 0
      bytes = 0
      busy = sends.length
      run = Load.start(seconds, () => sent - answered)
      for (const send of sends) send()
      await run.over
      run = undefined
      return { count: answered, bytes }
    }
  }
}
