/** Every connection asks a burst of questions, waits until all of them are answered, and asks the next. */
import { isDeepStrictEqual } from "node:util"
import * as Deferred from "../Deferred.ts"
import * as Connection from "./Connection.ts"
import { type Dialect, dialects } from "./dialects.ts"
import * as frames from "./frames.ts"
import * as Load from "./Load.ts"

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
  const all = await Connection.many(connections, async () => {
    let missing = 0
    let next = firstId
    let size = 0
    const greeting = Deferred.make<Connection.Reply>()
    const handlers: Connection.Handlers = {
      ...(dialect.greets && { greeting }),
      message: (length) => {
        if (length !== size) return lose(`an answer of ${size} bytes came with ${length}`)
        bytes += length
        missing--
        if (missing > 0) return
        if (run === undefined || missing < 0) return lose("an answer came to what nobody had asked")
        answered += depth
        if (run.again()) send()
        else if (--busy === 0) run.done()
      },
      lost: lose
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
    const write = burst(dialect, depth)
    const send = () => {
      missing = depth
      sent += depth
      connection.write(write(next))
      next += depth
    }
    return { send, end: connection.end }
  })

  return {
    run: async (seconds) => {
      if (lost !== undefined) throw new Error(lost)
      sent = 0
      answered = 0
      bytes = 0
      busy = connections
      run = Load.start(seconds, () => sent - answered)
      for (const { send } of all) send()
      await run.over
      run = undefined
      return { count: answered, bytes }
    },
    end: () => {
      for (const { end } of all) end()
    }
  }
}
