/** `millrace serve --workers` from outside: the processes that it has started, and who of them has which connection. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Command, start } from "./command.ts"
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

/** Started, and all of them listening; killed with all that it has started when the scope is closed. */
export const workers = (count: number): Effect.Effect<Workers, never, Scope.Scope> =>
  Effect.gen(function* () {
    const command = yield* start("serve", "--port", "0", "--workers", `${count}`)
    const { pid } = command.process
    const known = new Set<number>()
    const pids = () => {
      for (const child of childrenOf(pid!)) known.add(child)
      return [...known].filter(isAlive)
    }
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        const all = pids()
        command.signal("SIGKILL")
        return eventually(() => {
          // One may have been on its way.
          for (const child of [...all, ...pids()]) unless(true, () => process.kill(child, "SIGKILL"))
          return pids().length === 0 && !isAlive(pid!)
        })
      })
    )
    const [, port] = yield* command.says(/:(\d+)\/.*\n/)
    return { command, port: Number(port), pids }
  })
