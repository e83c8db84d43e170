/**
 * One publisher that publishes so many messages in a second, whatever comes of them, and subscribers that see that all of
 * them come, in order. The latency of a delivery is from when its message was due, so that a pause anywhere, in the load
 * generator too, is counted for everything that it held up.
 */
import { performance } from "node:perf_hooks"
import type * as Connection from "./Connection.ts"
import * as frames from "./frames.ts"
import * as hub from "./hubClient.ts"
import * as Load from "./Load.ts"

export interface Options {
  /** Messages in a second. */
  readonly rate: number
  readonly subscribers: number
  /** Bytes of what is published. */
  readonly size: number
}

const topic = "rate"

/** How a message begins; behind it there are nine digits. */
const opening = `{"type":"message","topic":"${topic}","data":"`
const digits = 9

/** So many publications in one write, whose numbers are written into it anew: the masking key is zero. */
const publications = (size: number) => {
  const number = "0".repeat(digits)
  const data = number + frames.payload(size - digits).toString()
  const text = JSON.stringify({ type: "publish", topic, data })
  const frame = frames.encode("text", Buffer.from(text), false, [0, 0, 0, 0])
  const at = frame.length - text.length + text.indexOf(number)
  return (first: number, count: number): Buffer => {
    const bytes = Buffer.alloc(frame.length * count)
    for (let index = 0; index < count; index++) {
      frame.copy(bytes, index * frame.length)
      bytes.write(String(first + index).padStart(digits, "0"), at + index * frame.length, digits, "latin1")
    }
    return bytes
  }
}

export const open = async (port: number, { rate, size, subscribers }: Options): Promise<Load.Load> => {
  const write = publications(size)
  let run: Load.Run | undefined
  let lost: string | undefined
  /** Of the run: when it began, what was sent and came, and how long that took in milliseconds. */
  let began = 0
  let first = 0
  let sent = 0
  let came = 0
  let bytes = 0
  let isSent = false
  let latencies = new Float64Array(0)

  const lose = (why: string) => {
    lost = why
    run?.fail(why)
  }
  const subscriber = async () => {
    let next = 0
    const head = Buffer.alloc(opening.length + digits)
    let filled = 0
    const handlers: Connection.Handlers = {
      content: (piece) => {
        if (filled < head.length) filled += piece.copy(head, filled)
      },
      message: (length) => {
        const number = filled === head.length ? Number(head.toString("latin1", opening.length)) : Number.NaN
        filled = 0
        if (number !== next) return lose(`number ${next} was due and ${number} came: ${head.toString("latin1")}`)
        next++
        latencies[came++] = performance.now() - began - ((number - first) * 1000) / rate
        bytes += length
        if (isSent && came === (sent - first) * subscribers) run?.done()
      },
      lost: lose
    }
    const connection = await hub.open(port, handlers)
    await hub.subscribe(connection, topic)
    return connection
  }
  const subscribed = await Promise.all(Array.from({ length: subscribers }, subscriber))
  const publisher = await hub.open(port, { message: () => lose("a publisher was answered"), lost: lose })

  return {
    run: async (seconds) => {
      if (lost !== undefined) throw new Error(lost)
      first = sent
      came = 0
      bytes = 0
      isSent = false
      const count = Math.ceil(rate * seconds)
      latencies = new Float64Array(count * subscribers)
      run = Load.start(seconds, () => (sent - first) * subscribers - came)
      began = performance.now()
      const step = () => {
        if (lost !== undefined) return
        const due = Math.min(count, Math.ceil(((performance.now() - began) * rate) / 1000)) - (sent - first)
        if (due > 0) publisher.write(write(sent, due))
        sent += Math.max(0, due)
        isSent = sent - first === count
        if (!isSent) setTimeout(step, 1)
      }
      step()
      await run.over
      run = undefined
      latencies.sort()
      const at = (part: number) => latencies[Math.min(came - 1, Math.floor(came * part))] ?? Number.NaN
      return { count: came, bytes, figures: { median: at(0.5), p99: at(0.99), most: at(1) } }
    },
    end: () => {
      for (const connection of [publisher, ...subscribed]) connection.end()
    }
  }
}
