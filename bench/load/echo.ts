/** Every connection sends a burst, waits until all of it has come back, and sends the next. */
import * as Bursts from "./bursts.ts"
import * as Connection from "./Connection.ts"
import * as frames from "./frames.ts"
import type * as Load from "./Load.ts"
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
  const echoes = Bursts.make(depth)
  const bursts = sequence.frames.map((_, index) => burst(index * depth))
  const all = await Connection.many(connections, async () => {
    let next = 0
    const lane = echoes.lane(() => {
      connection.write(bursts[next]!)
      next = (next + 1) % bursts.length
    })
    const connection = await Connection.open(port, extensions, {
      message: (length, compressed) => {
        const wrong = Sequence.wrong(sequence, length, compressed)
        if (wrong === undefined) lane.came(length)
        else echoes.lose(wrong)
      },
      lost: echoes.lose
    })
    const reader = Sequence.reader(sequence)
    for (const [index, body] of sequence.bodies.entries()) {
      const reply = connection.next()
      connection.write(sequence.frames[index]!)
      await reader.expect(body, await reply)
    }
    reader.end()
    return connection
  })
  return {
    run: echoes.run,
    end: () => {
      for (const { end } of all) end()
    }
  }
}
