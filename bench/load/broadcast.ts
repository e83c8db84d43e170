/** Each sender sends a message, and sends the next when all receivers have those of every sender. */
import * as Connection from "./Connection.ts"
import * as frames from "./frames.ts"
import * as Load from "./Load.ts"

export interface Options {
  readonly senders: number
  readonly receivers: number
  /** Bytes of a message. */
  readonly size: number
}

/** Opens the connections and sees that each receiver gets what is sent, byte for byte. */
export const open = async (port: number, { receivers, senders, size }: Options): Promise<Load.Load> => {
  const body = frames.payload(size)
  const message = frames.encode("text", body)
  const deliveries = senders * receivers
  let run: Load.Run | undefined
  let lost: string | undefined
  let delivered = 0
  let waiting = 0

  const lose = (why: string) => {
    lost = why
    run?.fail(why)
  }
  // What senders receive is not counted: whether one gets its own message back is the server's affair.
  const sending = await Connection.many(senders, () => Connection.open(port, { message: () => {}, lost: lose }))
  const send = () => {
    waiting = deliveries
    for (const sender of sending) sender.write(message)
  }
  const delivery: Connection.Handlers = {
    message: (length) => {
      if (length !== size) return lose(`a message of ${size} bytes was delivered with ${length}`)
      waiting--
      if (waiting > 0) return
      if (run === undefined || waiting < 0) return lose("a message was delivered that nobody had sent")
      delivered += deliveries
      if (run.again()) send()
      else run.done()
    },
    lost: lose
  }
  const receiving = await Connection.many(receivers, () => Connection.open(port, delivery))

  const first = receiving.map((connection) => connection.next())
  sending[0]?.write(message)
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
      for (const connection of [...sending, ...receiving]) connection.end()
    }
  }
}
