/** The ways of measuring: each starts its processes, lets the contenders take turns, and ends its processes. */
import { join } from "node:path"
import * as Child from "./Child.ts"
import type { Contender } from "./contenders.ts"
import type { Open, Run, Scenario } from "./load/main.ts"
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

const startServer = async (
  contender: Contender,
  mode: Scenario["kind"],
  ...flags: ReadonlyArray<string>
): Promise<{ readonly server: Child.Child; readonly port: number }> => {
  const server = Child.start({
    title: `the server of ${contender.name}`,
    args: [
      conditions,
      ...flags,
      "--import",
      join(here, "usage.ts"),
      join(here, "servers", `${contender.server}.ts`),
      mode,
      contender.style ?? ""
    ],
    env: contender.env ?? {},
    core: "server"
  })
  const { port } = JSON.parse(await server.firstLine) as { readonly port: number }
  return { server, port }
}

const startLoad = () => Child.start({ title: "the load generator", args: [join(here, "load/main.ts")], core: "client" })

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
  const samples = new Map<Contender, Array<number>>(settings.contenders.map((contender) => [contender, []]))
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

/** The server's CPU microseconds for each message of a scenario (for each delivery, when it is a broadcast). */
export const cpuOfServer = async (suite: string, scenario: Scenario, settings: Settings): Promise<Samples> => {
  const load = startLoad()
  const samples = await takeTurns(settings, turns, async (contender) => {
    const { port, server } = await startServer(contender, scenario.kind)
    const run = (seconds: number) => load.ask<number>("run", { port, seconds } satisfies Run).catch(server.blame)
    await load.ask("open", { port, scenario } satisfies Open).catch(server.blame)
    await run(warmUp)
    return profiled(server, profileOf(contender, suite, settings, "cpuprofile"), {
      turn: async () => {
        const before = await server.ask<number>("cpu")
        const count = await run(settings.seconds / turns)
        return { cost: (await server.ask<number>("cpu")) - before, count }
      },
      end: async () => {
        await load.ask("end", port)
        await server.stop()
      }
    })
  })
  await load.stop()
  return samples
}

/**
 * Bytes that a server holds for each idle connection, each of which has echoed one message: resident, and on V8's heap
 * with what hangs on it.
 */
export const memoryOfServer = async (
  suite: string,
  connections: number,
  settings: Settings
): Promise<{ readonly rss: Samples; readonly heap: Samples }> => {
  const load = startLoad()
  const heap = new Map<Contender, Array<number>>(settings.contenders.map((contender) => [contender, []]))
  const rss = await takeTurns(settings, 1, async (contender) => ({
    turn: async () => {
      const { port, server } = await startServer(contender, "echo", "--expose-gc")
      const open = (connections: number) => {
        const scenario: Scenario = { kind: "echo", options: { connections, depth: 1, size: 64, kind: "text" } }
        return load.ask("open", { port, scenario } satisfies Open).catch(server.blame)
      }
      // The code is loaded and the heap has had its growth before anything is counted. These connections stay: of
      // closed ones a server may keep something for seconds, and would look the better for it.
      await open(1000)
      const before = await server.ask<Memory>("memory")
      await open(connections)
      const after = await server.ask<Memory>("memory")
      const file = profileOf(contender, suite, settings, "heapsnapshot")
      if (file !== undefined) await server.ask("heapSnapshot", file)
      await load.ask("end", port)
      await server.stop()
      heap.get(contender)?.push((after.heap - before.heap) / connections)
      return { cost: after.rss - before.rss, count: connections }
    },
    end: async () => {}
  }))
  await load.stop()
  return { rss, heap }
}

const startCodec = (contender: Contender) =>
  Child.start({
    title: `the codec of ${contender.name}`,
    args: [conditions, join(here, "codecs/main.ts"), contender.codec ?? ""],
    env: contender.env ?? {},
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

const withCodec = (settings: Settings): Settings => ({
  ...settings,
  contenders: settings.contenders.filter(({ codec }) => codec !== undefined)
})
