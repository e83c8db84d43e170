/**
 * A process of the benchmark: a server, a load generator or a codec, started on one core, asked by name, stopped.
 * What the child prints is kept, so that a death can be told with its last words.
 */
import { spawn, spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import type { Answer } from "./answers.ts"
import * as Deferred from "./Deferred.ts"

export interface Child {
  readonly title: string
  readonly pid: number
  /** The first line that the child prints; for a server the line that tells its port. */
  readonly firstLine: Promise<string>
  /** Fails when the child dies, or when it has not answered within two minutes. */
  readonly ask: <A>(name: string, argument?: unknown) => Promise<A>
  /** A failure of the load against this server, told as the server's death if it has died of it. */
  readonly blame: (failure: unknown) => Promise<never>
  /** By SIGKILL, to see what others make of it. */
  readonly kill: () => void
  /** Lets the child end by itself (a CPU profile is written then), and kills it after five seconds. */
  readonly stop: () => Promise<void>
}

export interface Options {
  /** How the child is called in sentences. */
  readonly title: string
  /** What comes after `node`: flags, the program, its arguments. */
  readonly args: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  readonly core: "server" | "client"
}

const patience = 120_000

/** The cores that this process may use, from `Cpus_allowed_list` (such as `0-3,8`). */
const cores = (): ReadonlyArray<number> => {
  try {
    const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? ""
    return list.split(",").flatMap((range) => {
      const [from = Number.NaN, to = from] = range.split("-").map(Number)
      return Array.from({ length: to - from + 1 }, (_, index) => from + index)
    })
  } catch {
    return []
  }
}

const pins: Readonly<Record<Options["core"], number>> | undefined = (() => {
  const allowed = cores()
  const [server] = allowed
  const client = allowed.at(-1)
  if (server === undefined || client === undefined || server === client) return undefined
  return spawnSync("taskset", ["--version"]).status === 0 ? { server, client } : undefined
})()

/** Puts all threads of a process that was started elsewhere on that core, where there are cores to choose from. */
export const pin = (pid: number, core: Options["core"]): void => {
  if (pins !== undefined) spawnSync("taskset", ["-a", "-c", "-p", String(pins[core]), String(pid)])
}

/** Where servers and load generators run, for the report. */
export const pinning =
  pins === undefined
    ? "not pinned to cores (`taskset` or a second core is missing)"
    : `servers pinned to core ${pins.server}, load to core ${pins.client}`

const here = import.meta.dirname
const running = new Set<Child>()

export const start = (options: Options): Child => {
  const node = [process.execPath, ...options.args]
  const [command = "", ...args] = pins === undefined ? node : ["taskset", "-c", String(pins[options.core]), ...node]
  const child = spawn(command, args, {
    cwd: join(here, ".."),
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe", "ipc"]
  })
  const { title } = options
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  let death: Error | undefined
  let stopping = false
  let output = ""
  let asked = 0
  const said = Deferred.make<string>()
  said.promise.catch(() => {}) // whoever needs the line awaits it; a death before it is told by `ask` as well
  const ended = Deferred.make<void>()

  const collect = (text: string) => {
    output = (output + text).slice(-4000)
    const newline = output.indexOf("\n")
    if (newline >= 0) said.resolve(output.slice(0, newline))
  }
  child.stdout?.setEncoding("utf8").on("data", collect)
  child.stderr?.setEncoding("utf8").on("data", collect)

  const die = (why: string) => {
    if (death !== undefined) return
    const words = output.trim()
    death = new Error(`${title} ${why}${words === "" ? "" : `; its last words:\n${words}`}`)
    if (!stopping) for (const { reject } of waiting.values()) reject(death)
    said.reject(death)
    waiting.clear()
    running.delete(self)
    ended.resolve()
  }
  child.on("error", (error) => die(`could not be started (${error.message})`))
  child.on("exit", (code, signal) => {
    const why = signal === null ? `ended with code ${code}` : `was ended by ${signal}`
    // The last words may still be in the pipe. "close" would wait for them, and never comes once this side has
    // disconnected (Node 24).
    globalThis.setTimeout(() => die(why), 50)
  })
  child.on("message", (answer: Answer) => {
    const asker = waiting.get(answer.id)
    waiting.delete(answer.id)
    if ("failure" in answer) asker?.reject(new Error(`${title}: ${answer.failure}`))
    else asker?.resolve(answer.value)
  })

  const self: Child = {
    title,
    pid: child.pid ?? 0,
    firstLine: said.promise,
    ask: <A>(name: string, argument?: unknown) => {
      if (death !== undefined) return Promise.reject(death)
      const id = ++asked
      const { promise, resolve, reject } = Deferred.make<unknown>()
      const late = globalThis.setTimeout(
        () => reject(new Error(`${title} did not answer "${name}" in two minutes`)),
        patience
      )
      waiting.set(id, { resolve, reject })
      child.send({ id, name, argument })
      return promise.finally(() => clearTimeout(late)) as Promise<A>
    },
    blame: async (failure) => {
      await setTimeout(200) // a connection is lost before its server is known to be dead
      throw death ?? new Error(`${failure instanceof Error ? failure.message : String(failure)} (against ${title})`)
    },
    kill: () => {
      stopping = true
      child.kill("SIGKILL")
    },
    stop: async () => {
      stopping = true
      if (child.connected) child.disconnect()
      const late = globalThis.setTimeout(() => child.kill("SIGKILL"), 5000)
      await ended.promise
      clearTimeout(late)
    }
  }
  running.add(self)
  return self
}

/** Ends every child that still runs: the last thing that the benchmark does, whatever happened. */
export const stopAll = async (): Promise<void> => {
  await Promise.all([...running].map((child) => child.stop()))
}
