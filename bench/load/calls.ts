/** Every connection asks a burst of questions, waits until all of them are answered, and asks the next. */
import { isDeepStrictEqual } from "node:util"
import * as Deferred from "../Deferred.ts"
import * as Bursts from "./bursts.ts"
import * as Connection from "./Connection.ts"
import { type Dialect, dialects } from "./dialects.ts"
import * as frames from "./frames.ts"
import type * as Load from "./Load.ts"

export interface Options {
  readonly connections: number
  /** Questions in flight on each connection. */
  readonly depth: number
  readonly dialect: keyof typeof dialects
}

/** Nine digits, so that every frame is as long as the others. */
const firstId = 100_000_001

/** So many questions in one write, whose numbers are written into it anew: the masking key is zero. */
const burst = ({ request }: Dialect, depth: number) => {
  const place = String(firstId)
  const text = request(place)
  const frame = frames.encode("text", Buffer.from(text), false, [0, 0, 0, 0])
  const at = frame.length - text.length + text.indexOf(place)
  const bytes = Buffer.concat(Array.from({ length: depth }, () => frame))
  return (first: number): Buffer => {
    for (let index = 0; index < depth; index++)
      bytes.write(String(first + index), at + index * frame.length, 9, "latin1")
    return bytes
  }
}

/** Opens the connections and sees that each of them answers one question right. */
export const open = async (port: number, options: Options): Promise<Load.Load> => {
  const { connections, depth } = options
  const dialect = dialects[options.dialect]
  const bursts = Bursts.make(depth)
  const all = await Connection.many(connections, async () => {
    let next = firstId
    let size = 0
    const write = burst(dialect, depth)
    const greeting = Deferred.make<Connection.Reply>()
    const lane = bursts.lane(() => {
      connection.write(write(next))
      next += depth
    })
    const handlers: Connection.Handlers = {
      ...(dialect.greets && { greeting }),
      message: (length) => {
        if (length === size) lane.came(length)
        else bursts.lose(`an answer of ${size} bytes came with ${length}`)
      },
      lost: bursts.lose
    }
    const connection = await Connection.open(port, "", handlers, dialect.target)
    const say = (text: string) => connection.write(frames.encode("text", Buffer.from(text)))
    await dialect.begin(connection, say, greeting.promise)
    const reply = connection.next()
    say(dialect.request(String(next)))
    const text = (await reply).payload.toString()
    if (!isDeepStrictEqual(JSON.parse(dialect.jsonOf(text)), dialect.reply(String(next)))) {
      throw new Error(`a wrong answer: ${text}`)
    }
    size = Buffer.byteLength(text)
    next++
    return connection
  })
  return {
    run: bursts.run,
    end: () => {
      for (const { end } of all) end()
    }
  }
}
