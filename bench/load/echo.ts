/** Every connection sends a burst, waits until all of it has come back, and sends the next. */
import * as Connection from "./Connection.ts"
import * as frames from "./frames.ts"
import * as Load from "./Load.ts"

export interface Options {
  readonly connections: number
  /** Messages in flight on each connection. */
  readonly depth: number
  /** Bytes of a message. */
  readonly size: number
  readonly kind: frames.Kind
}

/** Opens the connections and sees that each of them echoes what it is sent, byte for byte. */
export const open = async (port: number, options: Options): Promise<Load.Load> => {
  const { connections, depth, kind, size } = options
  const body = frames.payload(size)
  const one = frames.encode(kind, body)
  const burst = Buffer.concat(Array.from({ length: depth }, () => one))
  let run: Load.Run | undefined
  let lost: string | undefined
  let sent = 0
  let echoed = 0
  let busy = 0

  const lose = (why: string) => {
    lost = why
    run?.fail(why)
  }
  const all = await Connection.many(connections, async () => {
    let missing = 0
    const connection = await Connection.open(port, {
      message: (length) => {
        if (length !== size) return lose(`a message of ${size} bytes came back with ${length}`)
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
      connection.write(burst)
    }
    const reply = connection.next()
    connection.write(one)
    if (!(await reply).equals(body)) throw new Error("a message came back changed")
    return { send, end: connection.end }
  })

  return {
    run: async (seconds) => {
      if (lost !== undefined) throw new Error(lost)
      sent = 0
      echoed = 0
      busy = connections
      run = Load.start(seconds, () => sent - echoed)
      for (const { send } of all) send()
      await run.over
      run = undefined
      return echoed
    },
    end: () => {
      for (const { end } of all) end()
    }
  }
}
