/**
 * A soak: clients, publishers and nodes, some of which are killed all the time; and in the end an account of every
 * message at every client.
 */
import { Client, SocketClient, StreamClient } from "./Client.ts"
import { type Balance, Ledger, nothing } from "./Ledger.ts"
import { Node } from "./Nodes.ts"
import { Publisher } from "./Publisher.ts"
import * as Surroundings from "./Surroundings.ts"

export interface Options {
  readonly broker: Surroundings.Broker
  /** For how long there is trouble, in milliseconds. */
  readonly duration: number
  /** One where the broker is memory, as it is each node's own. */
  readonly nodes: number
  /** Every other one is an event stream. */
  readonly clients: number
  readonly topics: number
  readonly publishers: number
  /** Publications in a second, of all publishers. */
  readonly rate: number
  /** Milliseconds between two troubles, on an average. */
  readonly interval: number
  /** What chance is made of: the same one makes the same troubles, at about the same times. */
  readonly seed: number
  /** Is told what is done. */
  readonly say?: (line: string) => void
}

export interface Summary {
  readonly balance: Balance
  readonly published: number
  readonly acknowledged: number
  readonly retries: number
  readonly repeated: number
  readonly unknown: number
  readonly epochs: number
  /** How often each trouble was made. */
  readonly troubles: ReadonlyMap<string, number>
  /** Clients that have not got to the end. */
  readonly stuck: ReadonlyArray<string>
  /** Nodes that ended though nobody had killed them. */
  readonly crashes: ReadonlyArray<string>
}

/** What makes it a failure. */
export const isSound = ({ balance, crashes, stuck }: Summary): boolean =>
  balance.faults.length === 0 && stuck.length === 0 && crashes.length === 0

/** How many topics a client is in. */
const topicsOfClient = 2

/** How long it may take after the last trouble until everything works, in milliseconds. */
const patience = 60_000

/** Mulberry32: good enough, and the same everywhere. */
const chance = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
}

const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds))

/** Looks again and again; `false` when it has not come to hold. */
const comes = async (holds: () => boolean, within = patience): Promise<boolean> => {
  const deadline = Date.now() + within
  while (!holds()) {
    if (Date.now() > deadline) return false
    await pause(20)
  }
  return true
}

interface Trouble {
  readonly name: string
  /** How often, beside the others. */
  readonly weight: number
  readonly make: () => Promise<void>
}

export const run = async (options: Options): Promise<Summary> => {
  const { broker, say = () => {} } = options
  const surroundings = await Surroundings.begin(broker)
  const crashes: Array<string> = []
  const crashed = (why: string) => {
    crashes.push(why)
    say(why)
  }
  const count = broker === "memory" ? 1 : options.nodes
  const nodes = Array.from({ length: count }, (_, index) => new Node(`node ${index}`, surroundings.where, crashed))
  const clients: Array<Client> = []
  const publishers: Array<Publisher> = []
  try {
    await Promise.all(nodes.map((node) => node.start()))
    const random = chance(options.seed)
    const ledger = new Ledger()
    const topics = Array.from({ length: options.topics }, (_, index) => `topic ${index}`)
    const around = {
      ledger,
      // Not those of the troubles: how often clients ask depends on time.
      random: chance(options.seed + 1),
      anyPort: () => {
        const ports = nodes.flatMap(({ port }) => (port === undefined ? [] : [port]))
        return ports[Math.floor(around.random() * ports.length)]
      }
    }

    for (let index = 0; index < options.clients; index++) {
      const its = Array.from({ length: topicsOfClient }, (_, nth) => topics[(index + nth * 7) % topics.length]!)
      const Kind = index % 2 === 0 ? SocketClient : StreamClient
      clients.push(new Kind(`${Kind === SocketClient ? "socket" : "stream"} ${index}`, [...new Set(its)], around))
    }
    await Promise.all(clients.map((client) => client.begin()))
    say(`${clients.length} clients are in their topics on ${nodes.length} nodes`)

    let isOver = false
    for (let index = 0; index < options.publishers; index++)
      publishers.push(new Publisher(`publisher ${index}`, topics, around))
    let publishing = publishers.length
    for (const publisher of publishers)
      void publisher.run((1000 * options.publishers) / options.rate, () => isOver).then(() => publishing--)

    const any = <A>(all: ReadonlyArray<A>): A | undefined => all[Math.floor(random() * all.length)]
    /** What is put right again while other trouble goes on. */
    const healing = new Set<Promise<void>>()
    const later = (milliseconds: number, heal: () => unknown) => {
      const healed: Promise<void> = pause(milliseconds)
        .then(heal)
        .then(() => void healing.delete(healed))
      healed.catch((error: unknown) => crashed(String(error)))
      healing.add(healed)
    }
    const { server } = surroundings
    let isServerInTrouble = false
    const troubleServer = async (begin: () => Promise<void>, heal?: () => Promise<void>) => {
      if (isServerInTrouble) return
      isServerInTrouble = true
      await begin()
      later(heal === undefined ? 0 : 500 + random() * Math.min(12_000, options.duration / 4), async () => {
        await heal?.()
        isServerInTrouble = false
      })
    }
    const troubles: Array<Trouble> = [
      {
        name: "a node is killed",
        weight: 6,
        make: async () => {
          const there = nodes.filter(({ port }) => port !== undefined)
          // Where there are others, somebody is left.
          const node = there.length === 1 && nodes.length > 1 ? undefined : any(there)
          node?.kill()
          if (node !== undefined) later(random() * 2_000, () => node.start())
        }
      },
      {
        name: "a node stands still",
        weight: 1,
        make: async () => {
          const node = any(nodes.filter(({ isPaused, port }) => port !== undefined && !isPaused))
          node?.pause()
          if (node !== undefined) later(500 + random() * 4_000, () => node.resume())
        }
      },
      {
        name: "a tenth of the clients go elsewhere",
        weight: 3,
        make: async () => {
          for (const client of clients) if (random() < 0.1) client.leave()
        }
      },
      ...(server === undefined
        ? []
        : [
            { name: "the broker stands still", weight: 1, make: () => troubleServer(server.pause, server.resume) },
            { name: "the broker is killed", weight: 1, make: () => troubleServer(server.restart) },
            { name: "the broker is killed, and forgets", weight: 1, make: () => troubleServer(server.restartEmpty) }
          ])
    ]
    const sum = troubles.reduce((all, { weight }) => all + weight, 0)
    const made = new Map(troubles.map(({ name }) => [name, 0]))
    const end = Date.now() + options.duration
    while (Date.now() < end) {
      await pause(Math.min(options.interval * 2 * random(), end - Date.now()))
      let left = random() * sum
      const trouble = troubles.find(({ weight }) => (left -= weight) < 0)!
      say(`${((options.duration - end + Date.now()) / 1000).toFixed(1)} s: ${trouble.name}`)
      made.set(trouble.name, (made.get(trouble.name) ?? 0) + 1)
      await trouble.make()
    }

    say("the troubles are over")
    isOver = true
    while (healing.size > 0) await Promise.all(healing)
    for (const node of nodes) node.resume()
    const stuck = (await comes(() => publishing === 0)) ? [] : ["a publisher"]
    if (!(await comes(() => clients.every(({ isThere }) => isThere)))) say("not all clients have come back")

    // Whoever has been told of the last publication of a topic has been told of all before it, or never will be.
    const ends = new Map<string, number>()
    if (stuck.length === 0) for (const topic of topics) ends.set(topic, await publishers[0]!.publish(topic))
    const isAtEnd = (client: Client) =>
      [...client.accounts.values()].every((account) => ledger.reached(account, ends.get(account.topic) ?? -1))
    await comes(() => clients.every(isAtEnd))
    // What comes twice may come late.
    await pause(500)

    const balance = nothing()
    for (const client of clients) {
      if (!isAtEnd(client)) stuck.push([...client.accounts.values()][0]!.client)
      for (const account of client.accounts.values()) ledger.settle(balance, account, ends.get(account.topic) ?? -1)
    }
    const total = (of: (publisher: Publisher) => number) => publishers.reduce((all, one) => all + of(one), 0)
    return {
      balance,
      published: ledger.published,
      acknowledged: ledger.acknowledged,
      retries: total(({ retries }) => retries),
      repeated: total(({ repeated }) => repeated),
      unknown: total(({ unknown }) => unknown),
      epochs: ledger.epochsSeen,
      troubles: made,
      stuck,
      crashes
    }
  } finally {
    for (const client of clients) client.end()
    for (const publisher of publishers) publisher.end()
    for (const node of nodes) node.kill()
    await surroundings.end()
  }
}
