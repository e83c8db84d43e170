/** Every connection sends a burst, waits until all of it has come back, and sends the next. */
import * as Connection from "./Connection.ts"
import * as frames from "./frames.ts"
import * as Load from "./Load.ts"
import * as Sequence from "./Sequence.ts"

export interface Options {
  readonly connections: number
  /** Messages in flight on each connection. */
  readonly depth: number
  /** Bytes of a message. */
  readonly size: number
  readonly kind: frames.Kind
  /** With it, every connection sends so many different documents in turn, compressed. */
  readonly documents?: number
}

/** Opens the connections and sees that each of them echoes the whole sequence once, byte for byte. */
export const open = async (port: number, extensions: string, options: Options): Promise<Load.Load> => {
  const { connections, depth, documents, kind, size } = options
  const sequence = documents === undefined ? Sequence.plain(kind, size) : await Sequence.compressed(documents, size)
  const burst = (first: number) =>
    Buffer.concat(
      Array.from({ length: depth }, (_, index) => sequence.frames.at((first + index) % sequence.frames.length)!)
    )
  const bursts = sequence.frames.map((_, index) => burst(index * depth))
  let run: Load.Run | undefined
  let lost: string | undefined
  let sent = 0
  let echoed = 0
  let bytes = 0
  let busy = 0

  const lose = (why: string) => {
    lost = why
    run?.fail(why)
  }
  const all = await Connection.many(connections, async () => {
    let missing = 0
    let next = 0
    const connection = await Connection.open(port, extensions, {
      message: (length, compressed) => {
        const wrong = Sequence.wrong(sequence, length, compressed)
        if (wrong !== undefined) return lose(wrong)
        bytes += length
        missing--
        if (missing > 0) return
        if (run === undefined || missing < 0) return lose("a message came back that nobody had sent")
        echoed += depth
        if (run.again()) send()
        else if (--busy === 0) run.done()
      },
      lost: lose
    })
    const send = () => {
      missing = depth
      sent += depth
      connection.write(bursts[next]!)
      next = (next + 1) % bursts.length
    }
    const reader = Sequence.reader(sequence)
    for (const [index, body] of sequence.bodies.entries()) {
      const reply = connection.next()
      connection.write(sequence.frames[index]!)
      await reader.expect(body, await reply)
    }
    reader.end()
    return { send, end: connection.end }
  })

  return {
    run: async (seconds) => {
      if (lost !== undefined) throw new Error(lost)
      sent = 0
      echoed = 0
      bytes = 0
      busy = connections
      run = Load.start(seconds, () => sent - echoed)
      for (const { send } of all) send()
      await run.over
      run = undefined
      return { count: echoed, bytes }
    },
    end: () => {
      for (const { end } of all) end()
    }
  }
}
