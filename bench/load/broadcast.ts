/** One connection sends, all others receive; the next message goes out when everyone has the one before. */
import * as Connection from "./Connection.ts"
import * as frames from "./frames.ts"
import * as Load from "./Load.ts"

export interface Options {
  readonly receivers: number
  /** Bytes of a message. */
  readonly size: number
}

/** Opens the connections and sees that each receiver gets what is sent, byte for byte. */
export const open = async (port: number, { receivers, size }: Options): Promise<Load.Load> => {
  const body = frames.payload(size)
  const message = frames.encode("text", body)
  let run: Load.Run | undefined
  let lost: string | undefined
  let delivered = 0
  let waiting = 0

  const lose = (why: string) => {
    lost = why
    run?.fail(why)
  }
  // Whether a server sends its own message back to the sender is the server's affair: it is not counted.
  const sender = await Connection.open(port, { message: () => {}, lost: lose })
  const send = () => {
    waiting = receivers
    sender.write(message)
  }
  const delivery: Connection.Handlers = {
    message: (length) => {
      if (length !== size) return lose(`a message of ${size} bytes was delivered with ${length}`)
      waiting--
      if (waiting > 0) return
      if (run === undefined || waiting < 0) return lose("a message was delivered that nobody had sent")
      delivered += receivers
      if (run.again()) send()
      else run.done()
    },
    lost: lose
  }
  const all = await Connection.many(receivers, () => Connection.open(port, delivery))

  const first = all.map((connection) => connection.next())
  sender.write(message)
  for (const received of await Promise.all(first)) {
    if (!received.equals(body)) throw new Error("a message was delivered changed")
  }

  return {
    run: async (seconds) => {
      if (lost !== undefined) throw new Error(lost)
      delivered = 0
      run = Load.start(seconds, () => waiting)
      send()
      await run.over
      run = undefined
      return delivered
    },
    end: () => {
      sender.end()
      for (const connection of all) connection.end()
    }
  }
}
