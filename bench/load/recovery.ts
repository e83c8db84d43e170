/**
 * Clients on several nodes, and publications that go on and on by the last of them. A run waits until the other nodes
 * have lost all of their clients, has these come to the last one with their positions, and sees that every client gets
 * every publication of its topic, in order and once, and is told of no gap.
 */
import { performance } from "node:perf_hooks"
import * as Deferred from "../Deferred.ts"
import * as Connection from "./Connection.ts"
import * as hub from "./hubClient.ts"
import type * as Load from "./Load.ts"

export interface Options {
  readonly ports: ReadonlyArray<number>
  readonly clients: number
  readonly topics: number
  /** Publications in a second. */
  readonly rate: number
}

/** How many of those who lost their node connect at a time. */
const atOnce = 256

/** How long a run may take, in milliseconds. */
const patience = 30_000

const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds))

const until = async (holds: () => boolean, what: string): Promise<void> => {
  const deadline = performance.now() + patience
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`${what}: not in ${patience / 1000} seconds`)
    await pause(5)
  }
}

interface Said {
  readonly type: string
  readonly data?: number
  readonly position?: string
}

/** One client in one topic, in which numbers are published. */
class Client {
  position: string | undefined
  /** The number that is due. */
  next = 0
  private connection: Connection.Connection | undefined
  private readonly topic: string
  private readonly wrong: (why: string) => void
  private readonly came: () => void

  constructor(topic: string, wrong: (why: string) => void, came: () => void) {
    this.topic = topic
    this.wrong = wrong
    this.came = came
  }

  /** Comes back when it is in its topic, where it was. `lost` is called when its node has gone. */
  async connect(port: number, lost: () => void): Promise<void> {
    const admitted = Deferred.make<void>()
    let pieces: Array<Buffer> = []
    const connection = await hub.open(port, {
      content: (piece) => pieces.push(Buffer.from(piece)),
      message: () => {
        const said = JSON.parse(Buffer.concat(pieces).toString()) as Said
        pieces = []
        if (said.type === "subscribed") admitted.resolve()
        else if (said.type !== "message") return this.wrong(`a client was told ${JSON.stringify(said)}`)
        else {
          if (said.data !== this.next) this.wrong(`${this.next} was due and ${said.data} came in ${this.topic}`)
          this.next++
          this.came()
        }
        this.position = said.position ?? this.position
      },
      lost: (why) => {
        admitted.reject(new Error(why))
        lost()
      }
    })
    this.connection = connection
    hub.say(connection, { type: "subscribe", topic: this.topic, position: this.position })
    await admitted.promise
  }

  end(): void {
    this.connection?.end()
  }
}

export const open = async ({ clients: count, ports, rate, topics }: Options): Promise<Load.Load> => {
  const survivor = ports.at(-1)!
  const over = Deferred.make<never>()
  over.promise.catch(() => {})
  const wrong = (why: string) => over.reject(new Error(why))
  /** The next number of each topic. */
  const numbers = Array.from({ length: topics }, () => 0)
  let published = 0
  let acknowledged = 0
  let deliveries = 0
  let isOver = false
  const homeless: Array<Client> = []

  const clients: Array<{ readonly client: Client; readonly port: number; readonly topic: number }> = []
  for (let index = 0; index < count; index++) {
    const topic = index % topics
    const client = new Client(`topic ${topic}`, wrong, () => void deliveries++)
    clients.push({ client, topic, port: ports[Math.floor(index / topics) % ports.length]! })
  }
  let opened = 0
  await Connection.many(count, () => {
    const { client, port } = clients[opened++]!
    return client.connect(port, () => {
      if (isOver) return
      if (port === survivor) wrong("the node that was to live has lost a client")
      else homeless.push(client)
    })
  })
  const publisher = await hub.open(survivor, {
    content: (piece) => {
      if (piece.includes(`{"type":"error"`)) wrong(`a publication was refused: ${piece.toString()}`)
    },
    message: () => void acknowledged++,
    lost: wrong
  })
  const publish = () => {
    const topic = published++ % topics
    hub.say(publisher, { type: "publish", topic: `topic ${topic}`, data: numbers[topic]!++, id: published })
  }

  const moved = clients.filter(({ port }) => port !== survivor).length

  const scenario = async () => {
    const began = performance.now()
    let isPublishing = true
    const step = () => {
      const due = Math.floor(((performance.now() - began) * rate) / 1000) - published
      for (let one = 0; one < due; one++) publish()
      if (isPublishing) setTimeout(step, 5)
    }
    step()
    await until(() => homeless.length > 0, "a node has died")
    const died = performance.now()
    // Each one comes as soon as it knows that its node has gone, and as there is room in the queue of the other.
    let back = 0
    const come = async () => {
      while (back < moved) {
        const client = homeless.shift()
        if (client === undefined) await pause(5)
        else {
          await client.connect(survivor, () => wrong("a client that came back was lost again"))
          back++
        }
      }
    }
    await Promise.all(Array.from({ length: atOnce }, come))
    // Back is who has everything that had been published by then.
    const then = [...numbers]
    await until(() => clients.every(({ client, topic }) => client.next >= then[topic]!), "all have what they missed")
    const seconds = (performance.now() - died) / 1000
    await pause(500)
    isPublishing = false
    const isAtEnd = () => clients.every(({ client, topic }) => client.next >= numbers[topic]!)
    await until(() => acknowledged === published && isAtEnd(), "all have everything")
    // What comes twice may come late.
    await pause(500)
    if (!clients.every(({ client, topic }) => client.next === numbers[topic]))
      throw new Error("more came than was sent")
    return { count: deliveries, bytes: 0, figures: { seconds, moved } }
  }

  return {
    run: () => Promise.race([scenario(), over.promise]),
    end: () => {
      isOver = true
      publisher.end()
      for (const { client } of clients) client.end()
    }
  }
}
