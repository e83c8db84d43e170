/** Nodes of the workers' broker as processes of their own, which can be killed. */
import { type ChildProcess, fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { Position } from "@millrace/core/cluster/Position"
import type * as WorkersEngine from "@millrace/node/brokers/WorkersEngine"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { eventually } from "./eventually.ts"

/** What a node was told and has done. */
export interface Report {
  /** Where its subscription began. */
  subscribed: Position | undefined
  readonly delivered: Array<readonly [id: string, position: Position]>
  readonly gaps: Array<readonly [from: Position | undefined, to: Position]>
  readonly acknowledged: Array<readonly [id: string, position: Position]>
  readonly failed: Array<readonly [id: string, reason: string]>
}

export type Told =
  | { readonly _tag: "Ready"; readonly at: number }
  | { readonly _tag: "Hosting"; readonly reign: WorkersEngine.Reign | undefined; readonly at: number }
  | { readonly _tag: "Report"; readonly report: Report }

/** In milliseconds of the system's clock. */
export interface Reign extends WorkersEngine.Reign {
  readonly node: string
  readonly from: number
  to: number | undefined
}

export class Worker {
  readonly name: string
  readonly process: ChildProcess
  /** How many milliseconds it took to begin; `undefined` before. */
  began: number | undefined
  isDead = false
  report: Report | undefined
  readonly reigns: Array<Reign> = []
  private readonly started = Date.now()

  constructor(name: string, directory: string, host: boolean) {
    this.name = name
    this.process = fork(
      fileURLToPath(new URL("workersNode.ts", import.meta.url)),
      [directory, name, host ? "host" : "guest"],
      {
        execArgv: ["--conditions=@millrace/source"],
        serialization: "advanced"
      }
    )
    this.process.on("message", (told: Told) => this.told(told))
    this.process.on("exit", () => (this.isDead = true))
  }

  get isReady(): boolean {
    return this.began !== undefined
  }

  /** Whether it is the host, as far as it has said. */
  get isHost(): boolean {
    return this.reigns.at(-1)?.to === undefined && this.reigns.length > 0
  }

  kill(): void {
    this.process.kill("SIGKILL")
    if (this.isHost) this.reigns.at(-1)!.to = Date.now()
  }

  /** What it has done, when it publishes no more. */
  readonly stop = Effect.sync(() => this.process.send("stop"))

  readonly tell: Effect.Effect<Report> = Effect.suspend(() => {
    this.report = undefined
    this.process.send("report")
    return Effect.map(
      eventually(() => this.report !== undefined),
      () => this.report!
    )
  })

  private told(told: Told): void {
    if (this.process.signalCode !== null) return
    if (told._tag === "Ready") this.began = told.at - this.started
    else if (told._tag === "Report") this.report = told.report
    else if (told.reign === undefined) this.reigns.at(-1)!.to ??= told.at
    else this.reigns.push({ node: this.name, ...told.reign, from: told.at, to: undefined })
  }
}

/** Killed when the scope is closed, if it lives still. */
export const worker = (name: string, directory: string, host = true): Effect.Effect<Worker, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => new Worker(name, directory, host)),
    (worker) =>
      Effect.suspend(() => {
        worker.kill()
        return eventually(() => worker.isDead)
      })
  )
