/** The ways of measuring: each starts its processes, lets the contenders take turns, and ends its processes. */
import { join } from "node:path"
import * as Child from "./Child.ts"
import type { Contender } from "./contenders.ts"
import type { Counted } from "./load/Load.ts"
import type { Open, Run, Scenario } from "./load/main.ts"
import * as Redis from "./Redis.ts"
import * as Tab from "./tabs/Tab.ts"
import type { Memory } from "./usage.ts"

export interface Settings {
  /** The first is ours, or what stands in its place. */
  readonly contenders: ReadonlyArray<Contender>
  readonly rounds: number
  /** How long one contender is measured in one round. */
  readonly seconds: number
  /** The folder where profiles go. */
  readonly profiles: string | undefined
}

/** For each contender one number a round, in the order of the rounds. */
export type Samples = ReadonlyMap<Contender, ReadonlyArray<number>>

const here = import.meta.dirname

const conditions = "--conditions=@millrace/source"

/** Where the profile of a contender goes; each round writes it anew. */
export const profileOf = (
  contender: Contender,
  suite: string,
  { profiles }: Settings,
  kind: "cpuprofile" | "heapsnapshot"
) =>
  profiles === undefined ? undefined : join(profiles, `${suite} ${contender.name}.${kind}`.replaceAll(/[ ,]+/g, "-"))

/** Profiles a child, if that is wanted, from the moment when it is warm until its subject ends. */
const profiled = async (child: Child.Child, file: string | undefined, subject: Subject): Promise<Subject> => {
  if (file === undefined) return subject
  await child.ask("startProfile")
  return {
    turn: subject.turn,
    end: async () => {
      await child.ask("stopProfile", file)
      await subject.end()
    }
  }
}

interface Server {
  readonly child: Child.Child
  readonly port: number
  /** What it is to agree to when it is offered permessage-deflate; `""` when it is not offered. */
  readonly extensions: string
}

const startServer = async (
  contender: Contender,
  scenario: Scenario,
  ...flags: ReadonlyArray<string>
): Promise<Server> => {
  const compressed = "documents" in scenario.options && scenario.options.documents !== undefined
  const child = Child.start({
    title: `the server of ${contender.name}`,
    args: [
      conditions,
      ...flags,
      "--import",
      join(here, "usage.ts"),
      join(here, "servers", `${contender.server ?? ""}.ts`),
      scenario.kind,
      contender.style ?? "",
      compressed ? "deflate" : ""
    ],
    env: contender.env ?? {},
    core: "server"
  })
  const { port } = JSON.parse(await child.firstLine) as { readonly port: number }
  return { child, port, extensions: compressed ? (contender.deflate ?? "permessage-deflate") : "" }
}

const startLoad = () =>
  Child.start({ title: "the load generator", args: [conditions, join(here, "load/main.ts")], core: "client" })

const openLoad = (load: Child.Child, { child, extensions, port }: Server, scenario: Scenario): Promise<void> =>
  load.ask<void>("open", { port, extensions, scenario } satisfies Open).catch(child.blame)

const noSamples = ({ contenders }: Settings) =>
  new Map<Contender, Array<number>>(contenders.map((contender) => [contender, []]))

/** What was spent in one turn, and on how many. */
interface Turn {
  readonly cost: number
  readonly count: number
}

/** A contender in one round: warmed up, and ready to take turns. */
interface Subject {
  readonly turn: () => Promise<Turn>
  readonly end: () => Promise<void>
}

/**
 * Every round begins with new processes, because a process keeps the luck that it began with (where its memory lies,
 * what its compiler made of the code). Within a round the contenders take short turns, so that a noisy moment of the
 * machine hits all of them.
 */
const takeTurns = async (
  settings: Settings,
  turns: number,
  begin: (contender: Contender) => Promise<Subject>
): Promise<Samples> => {
  const samples = noSamples(settings)
  for (let round = 0; round < settings.rounds; round++) {
    const all = []
    for (const contender of settings.contenders)
      all.push({ contender, subject: await begin(contender), cost: 0, count: 0 })
    for (let turn = 0; turn < turns; turn++) {
      for (const one of all) {
        const { cost, count } = await one.subject.turn()
        one.cost += cost
        one.count += count
      }
    }
    for (const { contender, cost, count, subject } of all) {
      await subject.end()
      samples.get(contender)?.push(cost / count)
    }
  }
  return samples
}

/** How many turns make a round. */
const turns = 5

/** Before anything is measured: the compiler's work is not the messages'. In seconds. */
const warmUp = 0.75

/**
 * The server's CPU microseconds for each message of a scenario (for each delivery, when it is a broadcast), and the bytes
 * that it sends for each as the message's payload. A contender may have a scenario of its own.
 */
export const cpuOfServer = async (
  suite: string,
  scenario: Scenario | ((contender: Contender) => Scenario),
  settings: Settings
): Promise<{ readonly cpu: Samples; readonly bytes: Samples }> => {
  const load = startLoad()
  const bytes = noSamples(settings)
  const cpu = await takeTurns(settings, turns, async (contender) => {
    const itsScenario = typeof scenario === "function" ? scenario(contender) : scenario
    const server = await startServer(contender, itsScenario)
    const { child, port } = server
    const run = (seconds: number) => load.ask<Counted>("run", { port, seconds } satisfies Run).catch(child.blame)
    await openLoad(load, server, itsScenario)
    await run(warmUp)
    const all = { count: 0, bytes: 0 }
    return profiled(child, profileOf(contender, suite, settings, "cpuprofile"), {
      turn: async () => {
        const before = await child.ask<number>("cpu")
        const { bytes, count } = await run(settings.seconds / turns)
        all.count += count
        all.bytes += bytes
        return { cost: (await child.ask<number>("cpu")) - before, count }
      },
      end: async () => {
        bytes.get(contender)?.push(all.bytes / all.count)
        await load.ask("end", port)
        await child.stop()
      }
    })
  })
  await load.stop()
  return { cpu, bytes }
}

export interface MemoryOfServer {
  /** Bytes for each connection, resident. */
  readonly rss: Samples
  /** Bytes for each connection, on V8's heap and with what hangs on it. */
  readonly heap: Samples
  /** Of the whole process, resident, in MiB. */
  readonly total: Samples
}

/** Connections that are opened before those whose memory is counted. */
export const uncounted = 1000

/** One node of a cluster. */
interface Node {
  readonly child: Child.Child
  readonly port: number
}

/** What nodes are told of their surroundings: the mode, and where Redis is. */
export const startNode = async (contender: Contender, mode: string, url: string, ...flags: ReadonlyArray<string>) => {
  const child = Child.start({
    title: `a node of ${contender.name}`,
    args: [
      conditions,
      ...flags,
      "--import",
      join(here, "usage.ts"),
      join(here, "servers", `${contender.server ?? ""}.ts`),
      mode,
      url
    ],
    core: "server"
  })
  const { port } = JSON.parse(await child.firstLine) as { readonly port: number }
  return { child, port } satisfies Node
}

/** The CPU microseconds of so many nodes and their Redis for each message of a scenario. */
export const cpuOfCluster = async (
  nodes: number,
  scenario: (contender: Contender, ports: ReadonlyArray<number>) => Scenario,
  settings: Settings
): Promise<Samples> => {
  const load = startLoad()
  const samples = await takeTurns(settings, turns, async (contender) => {
    const redis = await Redis.start()
    const all: Array<Node> = []
    for (let node = 0; node < nodes; node++) all.push(await startNode(contender, "broadcast", redis.url))
    const ports = all.map(({ port }) => port)
    const [first] = all
    if (first === undefined) throw new Error("a cluster has one node at least")
    const { child, port } = first
    await openLoad(load, { child, port, extensions: "" }, scenario(contender, ports))
    const run = (seconds: number) => load.ask<Counted>("run", { port, seconds } satisfies Run).catch(child.blame)
    const cpu = async () => {
      let sum = await redis.cpu()
      for (const { child } of all) sum += await child.ask<number>("cpu")
      return sum
    }
    await run(warmUp)
    return {
      turn: async () => {
        const before = await cpu()
        const { count } = await run(settings.seconds / turns)
        return { cost: (await cpu()) - before, count }
      },
      end: async () => {
        await load.ask("end", port)
        for (const { child } of all) await child.stop()
        await redis.stop()
      }
    }
  })
  await load.stop()
  return samples
}

/** What the load generator says of each round of a scenario against one server, warmed up; and the CPU microseconds. */
export const figuresOfServer = async (
  scenario: Scenario,
  settings: Settings
): Promise<{ readonly cpu: Samples; readonly of: (figure: string) => Samples }> => {
  const load = startLoad()
  const figures = new Map<string, Map<Contender, Array<number>>>()
  const of = (figure: string) => {
    const existing = figures.get(figure) ?? noSamples(settings)
    figures.set(figure, existing)
    return existing
  }
  const cpu = await takeTurns(settings, 1, async (contender) => {
    const { child, port } = await startNode(contender, "memory", "")
    await openLoad(load, { child, port, extensions: "" }, scenario)
    const run = (seconds: number) => load.ask<Counted>("run", { port, seconds } satisfies Run).catch(child.blame)
    await run(warmUp)
    return {
      turn: async () => {
        const before = await child.ask<number>("cpu")
        const { count, figures = {} } = await run(settings.seconds)
        for (const [name, value] of Object.entries(figures)) of(name).get(contender)?.push(value)
        return { cost: (await child.ask<number>("cpu")) - before, count }
      },
      end: async () => {
        await load.ask("end", port)
        await child.stop()
      }
    }
  })
  await load.stop()
  return { cpu, of }
}

/** Bytes of a server for each topic that a client is in, beyond what the connections take. */
export const memoryOfTopics = async (
  options: { readonly connections: number; readonly topics: number },
  settings: Settings
): Promise<Pick<MemoryOfServer, "heap" | "rss">> => {
  const load = startLoad()
  const heap = noSamples(settings)
  const rss = await takeTurns(settings, 1, async (contender) => ({
    turn: async () => {
      const server = await startNode(contender, "memory", "", "--expose-gc")
      const { child, port } = server
      const open = (connections: number, prefix: string) =>
        openLoad(
          load,
          { child, port, extensions: "" },
          { kind: "topics", options: { ...options, connections, prefix } }
        )
      const join = () => load.ask<Counted>("run", { port, seconds: 0 } satisfies Run).catch(child.blame)
      // The code is loaded and the heap has had its growth; these stay.
      await open(Math.ceil(options.connections / 10), "uncounted")
      await join()
      await open(options.connections, "counted")
      const before = await child.ask<Memory>("memory")
      const { count } = await join()
      const after = await child.ask<Memory>("memory")
      await load.ask("end", port)
      await child.stop()
      heap.get(contender)?.push((after.heap - before.heap) / count)
      return { cost: after.rss - before.rss, count }
    },
    end: async () => {}
  }))
  await load.stop()
  return { heap, rss }
}

/** Seconds from the death of one of two nodes until all of its clients have what they missed, on the other. */
export const recovery = async (
  options: { readonly clients: number; readonly topics: number; readonly rate: number },
  settings: Settings
): Promise<Samples> => {
  const load = startLoad()
  const samples = await takeTurns(settings, 1, async (contender) => ({
    turn: async () => {
      const redis = await Redis.start()
      const doomed = await startNode(contender, "redis", redis.url)
      const other = await startNode(contender, "redis", redis.url)
      const { child, port } = other
      const ports = [doomed.port, port]
      await openLoad(load, { child, port, extensions: "" }, { kind: "recovery", options: { ...options, ports } })
      const run = load.ask<Counted>("run", { port, seconds: 0 } satisfies Run).catch(child.blame)
      setTimeout(() => doomed.child.kill(), 1_000)
      const { figures } = await run
      await load.ask("end", port)
      await child.stop()
      await redis.stop()
      return { cost: figures?.["seconds"] ?? Number.NaN, count: 1 }
    },
    end: async () => {}
  }))
  await load.stop()
  return samples
}

/** What a server holds for idle connections, each of which has had what the scenario sends first. */
export const memoryOfServer = async (
  suite: string,
  scenario: Extract<Scenario, { readonly kind: "calls" | "echo" | "hub" | "respond" }>,
  settings: Settings
): Promise<MemoryOfServer> => {
  const connections = scenario.options.connections - uncounted
  const load = startLoad()
  const heap = noSamples(settings)
  const total = noSamples(settings)
  const rss = await takeTurns(settings, 1, async (contender) => ({
    turn: async () => {
      const server = await startServer(contender, scenario, "--expose-gc")
      const { child, port } = server
      // The code is loaded and the heap has had its growth before anything is counted. These connections stay: of
      // closed ones a server may keep something for seconds, and would look the better for it.
      const open = (connections: number) =>
        openLoad(load, server, { ...scenario, options: { ...scenario.options, connections } } as Scenario)
      await open(uncounted)
      const before = await child.ask<Memory>("memory")
      await open(connections)
      const after = await child.ask<Memory>("memory")
      const file = profileOf(contender, suite, settings, "heapsnapshot")
      if (file !== undefined) await child.ask("heapSnapshot", file)
      await load.ask("end", port)
      await child.stop()
      heap.get(contender)?.push((after.heap - before.heap) / connections)
      total.get(contender)?.push(after.rss / 1024 ** 2)
      return { cost: after.rss - before.rss, count: connections }
    },
    end: async () => {}
  }))
  await load.stop()
  return { rss, heap, total }
}

const startCodec = (contender: Contender) =>
  Child.start({
    title: `the codec of ${contender.name}`,
    args: [conditions, join(here, "codecs/main.ts"), contender.codec ?? ""],
    env: contender.env ?? {},
    core: "server"
  })

const startParser = (contender: Contender) =>
  Child.start({
    title: `the parser of ${contender.name}`,
    args: [conditions, join(here, "parsers/main.ts"), contender.parser ?? ""],
    core: "server"
  })

/** CPU nanoseconds of a codec for each frame. */
export const cpuOfCodec = (suite: string, settings: Settings): Promise<Samples> =>
  takeTurns(withCodec(settings), turns, async (contender) => {
    const child = startCodec(contender)
    const frames = (seconds: number) => child.ask<Turn>("frames", seconds)
    await frames(warmUp)
    return profiled(child, profileOf(contender, suite, settings, "cpuprofile"), {
      turn: () => frames(settings.seconds / turns),
      end: child.stop
    })
  })

/** How many times as long a codec takes for a message of twice `size` bytes, when they come one at a time. */
export const growthOfCodec = (suite: string, size: number, settings: Settings): Promise<Samples> =>
  takeTurns(withCodec(settings), 1, async (contender) => {
    const child = startCodec(contender)
    const bytewise = (size: number) => child.ask<number>("bytewise", size)
    await bytewise(size)
    return profiled(child, profileOf(contender, suite, settings, "cpuprofile"), {
      turn: async () => ({ count: await bytewise(size), cost: await bytewise(size * 2) }),
      end: child.stop
    })
  })

/** CPU nanoseconds of a parser for each event of a load of `parsers/loads.ts`. */
export const cpuOfParser = (suite: string, load: string, settings: Settings): Promise<Samples> =>
  takeTurns(settings, turns, async (contender) => {
    const child = startParser(contender)
    const parse = (seconds: number) => child.ask<Turn>("parse", { load, seconds })
    await parse(warmUp)
    return profiled(child, profileOf(contender, suite, settings, "cpuprofile"), {
      turn: () => parse(settings.seconds / turns),
      end: child.stop
    })
  })

/** How many times as long a parser takes for an event of twice `size` bytes of data, when they come one at a time. */
export const growthOfParser = (suite: string, size: number, settings: Settings): Promise<Samples> =>
  takeTurns(settings, 1, async (contender) => {
    const child = startParser(contender)
    const bytewise = (size: number) => child.ask<number>("bytewise", size)
    await bytewise(size)
    return profiled(child, profileOf(contender, suite, settings, "cpuprofile"), {
      turn: async () => ({ count: await bytewise(size), cost: await bytewise(size * 2) }),
      end: child.stop
    })
  })

const withCodec = (settings: Settings): Settings => ({
  ...settings,
  contenders: settings.contenders.filter(({ codec }) => codec !== undefined)
})

/** Messages that a page receives in one turn: 100,000 in a round. */
const inOneTurn = 20_000

/** The CPU microseconds of a page's main thread for each message that it receives. */
export const cpuOfPage = async (receiver: (contender: Contender) => string, settings: Settings): Promise<Samples> => {
  const server = Child.start({
    title: "the server of pages",
    args: [conditions, join(here, "servers/page.ts")],
    core: "server"
  })
  const { port } = JSON.parse(await server.firstLine) as { readonly port: number }
  const browser = await Tab.start()
  try {
    return await takeTurns(settings, turns, async (contender) => {
      const tab = await Tab.open(browser, port, receiver(contender))
      // The first messages are the compiler's work, here as there.
      await tab.receive(2 * inOneTurn)
      return { turn: async () => ({ cost: await tab.receive(inOneTurn), count: inOneTurn }), end: tab.close }
    })
  } finally {
    await browser.close()
    await server.stop()
  }
}
