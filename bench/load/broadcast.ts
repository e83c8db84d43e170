/** Each sender sends a message, and sends the next when all receivers have those of every sender. */
import * as Deferred from "../Deferred.ts"
import * as Connection from "./Connection.ts"
import { dialects } from "./dialects.ts"
import * as EventStream from "./EventStream.ts"
import * as frames from "./frames.ts"
import * as Load from "./Load.ts"
import * as Sequence from "./Sequence.ts"

export interface Options {
  readonly senders: number
  readonly receivers: number
  /** Bytes of a message. */
  readonly size: number
  /** With it, every sender sends so many different documents in turn, compressed. */
  readonly documents?: number
  /** Receivers are clients of event streams. */
  readonly events?: true
  /** Receivers are spread over the nodes at these ports; senders are at the first. Default: one node. */
  readonly ports?: ReadonlyArray<number>
  /** Messages are events of Socket.IO, with so many bytes of text in them. */
  readonly socketIo?: true
}

/** An event of Socket.IO that goes out as it came in. */
const event = (size: number): Sequence.Sequence => {
  const body = Buffer.from(`42["all","${frames.payload(size).toString()}"]`)
  return { bodies: [body], frames: [frames.encode("text", body)], compressed: false }
}

const openSocketIo = async (port: number, handlers: Connection.Handlers): Promise<Connection.Connection> => {
  const dialect = dialects["socket.io"]
  const greeting = Deferred.make<Connection.Reply>()
  const connection = await Connection.open(port, "", { ...handlers, greeting }, dialect.target)
  const say = (text: string) => connection.write(frames.encode("text", Buffer.from(text)))
  await dialect.begin(connection, say, greeting.promise)
  return connection
}

/** So many messages are looked at by every receiver. What comes second may refer to what came first. */
const looked = 2

/** Opens the connections and sees that each receiver gets what is sent, byte for byte. */
export const open = async (port: number, extensions: string, options: Options): Promise<Load.Load> => {
  const { documents, events, ports = [port], receivers, senders, size, socketIo } = options
  const sequence =
    socketIo === true
      ? event(size)
      : documents === undefined
        ? Sequence.plain("text", size)
        : await Sequence.compressed(documents, size)
  const connect = (port: number, handlers: Connection.Handlers) =>
    socketIo === true ? openSocketIo(port, handlers) : Connection.open(port, extensions, handlers)
  const deliveries = senders * receivers
  let run: Load.Run | undefined
  let lost: string | undefined
  let delivered = 0
  let bytes = 0
  let waiting = 0

  const lose = (why: string) => {
    lost = why
    run?.fail(why)
  }
  // What senders receive is not counted: whether one gets its own message back is the server's affair.
  const sending = await Connection.many(senders, async () => {
    let next = 0
    const connection = await connect(port, { message: () => {}, lost: lose })
    const send = () => {
      const index = next
      connection.write(sequence.frames[index]!)
      next = (index + 1) % sequence.frames.length
      return sequence.bodies[index]!
    }
    return { send, end: connection.end }
  })
  const send = () => {
    waiting = deliveries
    for (const sender of sending) sender.send()
  }
  const delivery: Connection.Handlers = {
    message: (length, compressed) => {
      const wrong = Sequence.wrong(sequence, length, compressed)
      if (wrong !== undefined) return lose(wrong)
      bytes += length
      waiting--
      if (waiting > 0) return
      if (run === undefined || waiting < 0) return lose("a message was delivered that nobody had sent")
      delivered += deliveries
      if (run.again()) send()
      else run.done()
    },
    lost: lose
  }
  let opened = 0
  const receiving = await Connection.many(receivers, () => {
    const its = ports[opened++ % ports.length]!
    return events === true ? EventStream.open(its, "/events", delivery) : connect(its, delivery)
  })

  const readers = receiving.map(() => Sequence.reader(sequence))
  for (let look = 0; look < looked; look++) {
    const replies = receiving.map((connection) => connection.next())
    const body = sending[0]!.send()
    for (const [index, reply] of (await Promise.all(replies)).entries()) await readers[index]!.expect(body, reply)
  }
  for (const reader of readers) reader.end()

  return {
    run: async (seconds) => {
      if (lost !== undefined) throw new Error(lost)
      delivered = 0
      bytes = 0
      run = Load.start(seconds, () => waiting)
      send()
      await run.over
      run = undefined
      return { count: delivered, bytes }
    },
    end: () => {
      for (const connection of [...sending, ...receiving]) connection.end()
    }
  }
}
