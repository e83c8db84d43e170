/**
 * Several processes that serve as one: `millrace serve --workers 4`. The first process starts the others, each of which
 * runs the same command and listens on the same port, has the log that they share, and serves nobody itself, so that it
 * hardly ever dies. When it is killed all the same, the others go on, and one of them has the log.
 *
 * New connections are shared out by the system: all listen on the port of their own, with `SO_REUSEPORT`. Where there is
 * no such thing, as on macOS, the first process accepts them and hands them on, which `node:cluster` does; then the others
 * end with it.
 */
import { type ChildProcess, fork } from "node:child_process"
import cluster from "node:cluster"
import { mkdtempSync, rmSync } from "node:fs"
import * as net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Broker } from "@millrace/core/cluster/Broker"
import type * as Context from "effect/Context"
import * as Console from "effect/Console"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as WorkersBroker from "../brokers/WorkersBroker.ts"
import * as WorkersEngine from "../brokers/WorkersEngine.ts"
import * as Listen from "../Listen.ts"
import { Failure } from "./Failure.ts"
import * as words from "./words.ts"

/** What a process that was started by `supervise` is told. */
export interface Worker {
  /** From 1 on. One that is started again has the number of the one that died. */
  readonly number: number
  /** Of all of them. */
  readonly count: number
  /** Where they meet: that of `WorkersBroker`. */
  readonly directory: string
  /** To listen on; 0 where the first has to choose one. */
  readonly port: number
  /** To listen with. */
  readonly reusePort: boolean
}

const variable = "MILLRACE_WORKER"

/** What this process is told; `undefined` where nobody has started it as a worker. */
export const mine = (): Worker | undefined => {
  const text = process.env[variable]
  if (text === undefined) return undefined
  return JSON.parse(text) as Worker
}

/**
 * Calls for each signal that asks this process to end. Ctrl-C, which a terminal sends to all of its processes, is for the
 * first: it tells the others, once, and a second one would be the end at once. A worker with a terminal does not hear it.
 */
export const onEnd = (end: () => void): void => {
  const worker = mine()
  process.on("SIGTERM", end).on("SIGINT", worker === undefined || worker.reusePort ? end : () => {})
}

/** The broker of a worker. Says so when the worker has the log, which is when the first process was killed. */
export const broker = (
  { directory, number }: Worker,
  options?: Omit<WorkersBroker.Options, "directory">
): Effect.Effect<Broker["Service"], never, Scope.Scope> =>
  Effect.contextWith((context: Context.Context<never>) =>
    WorkersBroker.make({
      ...options,
      directory,
      hosting: (reign) => {
        if (reign !== undefined)
          Effect.runForkWith(context)(words.say(`worker ${number} has the log of all from now on`))
      }
    })
  )

/** In a worker, each line that is logged or said for people begins with its number. */
export const named = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const worker = mine()
    if (worker === undefined) return effect
    const error = (...said: ReadonlyArray<unknown>) => console.error(`[worker ${worker.number}]`, ...said)
    return Effect.provideService(
      effect,
      Console.Console,
      Object.assign(Object.create(console) as Console.Console, { error })
    )
  })

/** Tells that this worker takes connections. The first process may be gone. */
export const listening = (port: number): Effect.Effect<void> =>
  Effect.sync(() => {
    if (process.connected) process.send?.({ listening: port }, undefined, {}, () => {})
  })

export interface Options {
  /** How many processes serve. */
  readonly count: number
  readonly host: string
  /** 0 for one that is free. */
  readonly port: number
  /** Of the log. Without one where the workers have another broker. */
  readonly log?: Omit<WorkersEngine.Options, "directory" | "host"> | false | undefined
  /** When all listen for the first time. */
  readonly ready: (port: number) => Effect.Effect<void>
  /** Whether each listens by itself. Default: where the system can. */
  readonly reusePort?: boolean | undefined
}

/** Where several processes can listen on one port, each with a queue of its own. */
const sharing: ReadonlySet<NodeJS.Platform> = new Set(["linux", "freebsd", "sunos", "aix"])

/** How long, in milliseconds, a worker that was asked to end may take before it is killed. Draining takes less. */
const patience = 15_000

/** In milliseconds: how long the first wait before a worker is started again is, and the longest. */
const waits = { first: 100, longest: 10_000 }

const failure = (sentence: string): Failure => new Failure({ sentence })

/** A port that is free, that one if it is not 0. Fails when somebody listens there, also one who would share it with us. */
const free = (host: string, port: number): Effect.Effect<number, Failure> =>
  Effect.scoped(Listen.listen(net.createServer(), { host, port })).pipe(
    Effect.mapBoth({
      onSuccess: ({ port }) => port,
      onFailure: ({ message }) => failure(`${message}; choose another with --host and --port`)
    })
  )

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "millrace-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const nobody = { appended: () => {}, heard: () => {} }

/** Has the log, or waits for who has it to die. */
const standing = (options: WorkersEngine.Options): Effect.Effect<never> => {
  const engine = WorkersEngine.make(options)
  const stand = Effect.flatMap(engine.open(nobody), ({ ended }) => ended)
  return Effect.forever(
    Effect.catch(Effect.scoped(stand), (error) =>
      Effect.andThen(words.say(`the log of the workers: ${error.message}`), Effect.sleep(1_000))
    )
  )
}

/** How a worker ended. */
interface Ended {
  readonly code: number | undefined
  readonly signal: string | undefined
  /** In milliseconds. */
  readonly lived: number
}

/** Those that live, for an end that does not wait. */
const living = new Set<ChildProcess>()

const killAll = () => {
  for (const child of living) child.kill("SIGKILL")
}

/** The same command once more. */
const start = (worker: Worker): ChildProcess => {
  const env = { ...process.env, [variable]: JSON.stringify(worker) }
  const options = { execArgv: process.execArgv, stdio: ["ignore", "inherit", "inherit", "ipc"] as Array<never> }
  const [, exec = "", ...args] = process.argv
  // A terminal that is closed is for the first process, too.
  if (worker.reusePort) return fork(exec, args, { ...options, env, detached: true })
  cluster.setupPrimary({ ...options, exec, args })
  return cluster.fork(env).process
}

/** A worker's life. Who is interrupted ends it in good order, as Ctrl-C would. */
const life = (worker: Worker, listens: (port: number) => void): Effect.Effect<Ended> =>
  Effect.callback((resume) => {
    const started = performance.now()
    const child = start(worker)
    living.add(child)
    const over = (code: number | null, signal: string | null) => {
      living.delete(child)
      resume(
        Effect.succeed({
          code: code ?? undefined,
          signal: signal ?? undefined,
          lived: performance.now() - started
        })
      )
    }
    child.on("exit", over)
    child.on("error", () => {
      if (child.pid === undefined) over(null, "it could not be started")
    })
    child.on("message", ({ listening }: { readonly listening?: number }) => {
      if (listening !== undefined) listens(listening)
    })
    return Effect.callback<void>((resume) => {
      if (!living.has(child)) return resume(Effect.void)
      const timer = setTimeout(() => child.kill("SIGKILL"), patience)
      child.on("exit", () => {
        clearTimeout(timer)
        resume(Effect.void)
      })
      child.kill("SIGTERM")
    })
  })

/** A worker, and those that take its place when it dies. Fails when the first of them never listened. */
const lives = (worker: Worker, listens: (port: number) => void): Effect.Effect<never, Failure> =>
  Effect.gen(function* () {
    let port: number | undefined
    let wait = waits.first
    for (;;) {
      const ended = yield* life({ ...worker, port: port ?? worker.port }, (found) => {
        port = found
        listens(found)
      })
      const why = ended.signal ?? `exit code ${ended.code}`
      if (port === undefined) return yield* Effect.fail(failure(`worker ${worker.number} could not start: ${why}`))
      if (ended.lived > waits.longest) wait = waits.first
      yield* words.say(`worker ${worker.number} has died (${why}); another is started in ${wait / 1_000} s`)
      yield* Effect.sleep(wait)
      wait = Math.min(wait * 2, waits.longest)
    }
  })

/**
 * Runs the workers until it is interrupted; then each ends as it would alone, and the end is waited for. An end of this
 * process that does not wait kills them.
 */
export const supervise = (options: Options): Effect.Effect<never, Failure, Scope.Scope> =>
  Effect.gen(function* () {
    const { count, host, ready, reusePort = sharing.has(process.platform) } = options
    const port = options.port === 0 && reusePort ? 0 : yield* free(host, options.port)
    const directory = yield* folder
    if (options.log !== false) {
      yield* Effect.forkScoped(standing({ ...options.log, directory }), { startImmediately: true })
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => process.on("exit", killAll).on("SIGHUP", hangUp)),
      () => Effect.sync(() => process.off("exit", killAll).off("SIGHUP", hangUp))
    )
    const chosen = yield* Deferred.make<number>()
    const all = yield* Deferred.make<number>()
    const found = new Set<number>()
    const one = (number: number, port: number) =>
      lives({ number, count, directory, port, reusePort }, (port) => {
        found.add(number)
        Deferred.doneUnsafe(chosen, Effect.succeed(port))
        if (found.size === count) Deferred.doneUnsafe(all, Effect.succeed(port))
      })
    // The first says which port it is, where any would do.
    const others = Effect.flatMap(Deferred.await(chosen), (port) =>
      Effect.all(
        Array.from({ length: count - 1 }, (_, i) => one(i + 2, port)),
        { concurrency: "unbounded", discard: true }
      )
    )
    const told = Effect.flatMap(Deferred.await(all), ready)
    yield* Effect.all([one(1, port), others, told], { concurrency: "unbounded", discard: true })
    return yield* Effect.never
  })

/** The terminal is gone: the workers have none of their own, and would not hear of it. */
const hangUp = () => void process.emit("SIGTERM")
