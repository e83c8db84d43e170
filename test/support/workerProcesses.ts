/** `millrace serve --workers` from outside: the processes that it has started, and who of them has which connection. */
import { spawn } from "node:child_process"
import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { cache, Command, start } from "./command.ts"
import { eventually } from "./eventually.ts"

/** Of what cannot be read, as it is gone already. */
const unless = <A>(otherwise: A, read: () => A): A => {
  try {
    return read()
  } catch {
    return otherwise
  }
}

export const isAlive = (pid: number): boolean =>
  unless(false, () => !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8")))

/** Those that live. */
const childrenOf = (pid: number): ReadonlyArray<number> =>
  unless([], () =>
    readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
      .trim()
      .split(" ")
      .filter((text) => text !== "")
      .map(Number)
      .filter(isAlive)
  )

const established = "01"

/** How many connections to a port each process has. */
export const connectionsOf = (pids: ReadonlyArray<number>, port: number): ReadonlyArray<number> => {
  const local = port.toString(16).toUpperCase().padStart(4, "0")
  const inodes = new Set(
    ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((file) =>
      readFileSync(file, "utf8")
        .split("\n")
        .map((line) => line.trim().split(/\s+/))
        .filter(([, address, , state]) => address?.endsWith(`:${local}`) === true && state === established)
        .map((fields) => fields[9])
    )
  )
  return pids.map(
    (pid) =>
      unless<ReadonlyArray<string>>([], () => readdirSync(`/proc/${pid}/fd`)).filter((fd) =>
        inodes.has(unless("", () => readlinkSync(`/proc/${pid}/fd/${fd}`)).replace(/^socket:\[(\d+)\]$/, "$1"))
      ).length
  )
}

export interface Workers {
  readonly command: Command
  readonly port: number
  /** Those that live. */
  readonly pids: () => ReadonlyArray<number>
}

/** What a command starts: killed, with the command, when the scope is closed. */
const watched = (command: Command): Effect.Effect<Workers["pids"], never, Scope.Scope> => {
  const { pid } = command.process
  const known = new Set<number>()
  const pids = () => {
    for (const child of childrenOf(pid!)) known.add(child)
    return [...known].filter(isAlive)
  }
  return Effect.as(
    Effect.addFinalizer(() =>
      Effect.suspend(() => {
        pids()
        command.signal("SIGKILL")
        return eventually(() => {
          // One may have been on its way.
          for (const child of pids()) unless(true, () => process.kill(child, "SIGKILL"))
          return pids().length === 0 && !isAlive(pid!)
        })
      })
    ),
    pids
  )
}

/** `millrace serve`, started, and all of them listening. */
export const workers = (count: number): Effect.Effect<Workers, never, Scope.Scope> =>
  Effect.gen(function* () {
    const command = yield* start("serve", "--port", "0", "--workers", `${count}`)
    const pids = yield* watched(command)
    const [, port] = yield* command.says(/:(\d+)\/.*\n/)
    return { command, port: Number(port), pids }
  })

/** Two that answer with their number, by the program `workersProgram`. */
export const answering = (reusePort: boolean): Effect.Effect<Workers, never, Scope.Scope> =>
  Effect.gen(function* () {
    const program = fileURLToPath(new URL("workersProgram.ts", import.meta.url))
    const flags = ["--conditions=@millrace/source", program, reusePort ? "alone" : "together"]
    // Three processes, one after the other, that are compiled once.
    const env = { ...process.env, NODE_COMPILE_CACHE: cache }
    const command = new Command(spawn(process.execPath, flags, { env }))
    const pids = yield* watched(command)
    const [, port] = yield* command.says(/at (\d+)\n/)
    return { command, port: Number(port), pids }
  })
