/** The nodes of a soak: processes that are killed and started again. */
import { type ChildProcess, spawn } from "node:child_process"
import { join } from "node:path"
import * as Deferred from "../Deferred.ts"
import type { Where } from "./Surroundings.ts"

const program = join(import.meta.dirname, "program.ts")

/** How long one may take to listen, in milliseconds. */
const patience = 30_000

export class Node {
  readonly name: string
  /** Where it listens; `undefined` when it does not. */
  port: number | undefined
  isPaused = false
  private readonly where: Where
  private readonly crashed: (why: string) => void
  private child: ChildProcess | undefined

  /** `crashed` is called when it ends though nobody has killed it. */
  constructor(name: string, where: Where, crashed: (why: string) => void) {
    this.name = name
    this.where = where
    this.crashed = crashed
  }

  /** Comes back when it listens. */
  start(): Promise<void> {
    const { promise, reject, resolve } = Deferred.make<void>()
    const child = spawn(
      process.execPath,
      ["--conditions=@millrace/source", program, JSON.stringify(this.where satisfies Where)],
      { stdio: ["ignore", "pipe", "pipe", "ipc"] }
    )
    this.child = child
    let said = ""
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-4000)))
    const late = setTimeout(() => child.kill("SIGKILL"), patience)
    child.once("message", ({ port }: { readonly port: number }) => {
      clearTimeout(late)
      this.port = port
      resolve()
    })
    child.once("close", (code, signal) => {
      clearTimeout(late)
      if (this.child !== child) return
      this.child = undefined
      this.port = undefined
      const why = `${this.name} ended by itself (${signal ?? code}):\n${said}`
      reject(new Error(why))
      this.crashed(why)
    })
    return promise
  }

  /** By SIGKILL. */
  kill(): void {
    const { child } = this
    this.child = undefined
    this.port = undefined
    this.isPaused = false
    child?.kill("SIGKILL")
  }

  /** By SIGSTOP. The system still takes connections for it. */
  pause(): void {
    this.isPaused = true
    this.child?.kill("SIGSTOP")
  }

  resume(): void {
    this.isPaused = false
    this.child?.kill("SIGCONT")
  }
}
