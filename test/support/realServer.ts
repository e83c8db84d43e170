/** What tests do to a real server: it is killed, paused, and started again on the port that it had. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from "node:fs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { eventually } from "./eventually.ts"
import { folder } from "./folder.ts"
import * as servers from "./servers.ts"

export interface RealServer {
  readonly url: string
  readonly port: number
  /** Of the process that runs, or of the last that did. */
  readonly pid: number
  readonly isRunning: boolean
  /** All that it has printed, since it was started first. */
  readonly said: string
  /** By SIGKILL; comes back when the process has gone. */
  readonly kill: Effect.Effect<void>
  /** By SIGSTOP; comes back when all its threads stand still. The system still takes connections for it, and bytes until its buffers are full. */
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
  /** Kills it if it runs, and starts it on the same port, with what it has on disk. Comes back when it is ready. */
  readonly restart: Effect.Effect<void>
  /** As `restart`, but what it had on disk is gone. */
  readonly restartEmpty: Effect.Effect<void>
}

export interface Kind {
  readonly name: servers.Name
  readonly scheme: string
  /** Its arguments; what it keeps, it keeps in `store`. */
  readonly arguments: (port: number, store: string) => ReadonlyArray<string>
  /** What it prints when it answers. */
  readonly ready: RegExp
}

/** How long one may take to start, in milliseconds: two hundred times what is usual. */
const startTimeout = 20_000

/**
 * The server becomes the process that was spawned (`$$`, by `exec`), and beside it a shell waits for the end of the
 * standard input. That ends with this process, however it dies: then the server and its folder go too. A line on it
 * says that the end is not such a one.
 */
const guarded = `exec 3<&0
(read -r line <&3 || { kill -9 $$; rm -rf "$0"; }) >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-`

/**
 * Of the ports that no system hands out by itself, so that one that was free is not a connection's a moment later: a
 * server can be started again on it. Redis Cluster talks at the port 10,000 above, which is none of them either.
 */
const anyPort = (): number => 10_240 + Math.floor(Math.random() * 9_760)

const isTaken = (said: string): boolean => /address already in use/i.test(said)

/** A thread may go on for a moment after SIGSTOP. Where the system does not tell, it is taken to have stopped. */
const isStopped = (pid: number): boolean => {
  const threads = `/proc/${pid}/task`
  if (!existsSync(threads)) return true
  try {
    return readdirSync(threads).every((thread) => /\) T /.test(readFileSync(`${threads}/${thread}/stat`, "utf8")))
  } catch {
    return false // one has just ended
  }
}

class Running {
  said = ""
  readonly process: ChildProcessWithoutNullStreams
  private ended = false
  private readonly waiting = new Set<() => void>()

  constructor(process: ChildProcessWithoutNullStreams) {
    this.process = process
    const wake = () => {
      for (const check of this.waiting) check()
    }
    for (const stream of [process.stdout, process.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk: string) => {
        this.said += chunk
        wake()
      })
    }
    process.stdin.on("error", () => {})
    process.on("error", (error) => (this.said += `${error}\n`))
    // All that it has said has been read then.
    process.on("close", () => {
      this.ended = true
      wake()
    })
  }

  get isRunning(): boolean {
    return !this.ended
  }

  /** Waits until it is so; `false` when it has ended before. */
  until(holds: () => boolean): Effect.Effect<boolean> {
    return Effect.callback<boolean>((resume) => {
      const check = () => {
        if (!holds() && !this.ended) return
        this.waiting.delete(check)
        resume(Effect.succeed(holds()))
      }
      this.waiting.add(check)
      check()
      return Effect.sync(() => this.waiting.delete(check))
    })
  }

  readonly kill: Effect.Effect<void> = Effect.suspend(() => {
    if (this.ended) return Effect.void
    this.process.stdin.write("\n")
    this.process.kill("SIGKILL")
    return Effect.asVoid(this.until(() => this.ended))
  })
}

/** Starts one on that port, or on one that is free. It is gone, with all that it kept, when the scope is closed. */
export const start = (kind: Kind, port?: number): Effect.Effect<RealServer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const found = servers.find(kind.name)
    if (found === undefined) {
      return yield* Effect.die(
        new Error(`no ${kind.name}: install one, or name its executable in $${servers.variables[kind.name]}`)
      )
    }
    const store = yield* folder
    let running: Running | undefined
    let before = ""

    /** `false` when the port is another's. */
    const startAt = (port: number): Effect.Effect<boolean> =>
      Effect.gen(function* () {
        before += running?.said ?? ""
        const started = new Running(
          spawn("/bin/sh", ["-c", guarded, store, found.command, ...kind.arguments(port, store)], {
            env: { ...process.env, ...found.env }
          })
        )
        running = started
        const late = setTimeout(() => started.process.kill("SIGKILL"), startTimeout)
        const isReady = yield* started.until(() => kind.ready.test(started.said))
        clearTimeout(late)
        if (isReady) return true
        yield* started.kill
        if (isTaken(started.said)) return false
        return yield* Effect.die(new Error(`${kind.name} did not start:\n${started.said}`))
      })

    const startAnywhere = (attempts: number): Effect.Effect<number> =>
      Effect.suspend(() => {
        const port = anyPort()
        return Effect.flatMap(startAt(port), (isMine) => {
          if (isMine) return Effect.succeed(port)
          return attempts > 1 ? startAnywhere(attempts - 1) : Effect.die(new Error(`no port for ${kind.name}`))
        })
      })

    const startHere = (port: number): Effect.Effect<number> =>
      Effect.flatMap(startAt(port), (isMine) =>
        isMine ? Effect.succeed(port) : Effect.die(new Error(`port ${port} is taken: no ${kind.name} there`))
      )

    const kill = Effect.suspend(() => running?.kill ?? Effect.void)
    yield* Effect.addFinalizer(() => kill)
    const mine = yield* Effect.uninterruptible(port === undefined ? startAnywhere(20) : startHere(port))

    const signal = (name: NodeJS.Signals) => Effect.sync(() => void running?.process.kill(name))
    const restart = Effect.uninterruptible(
      Effect.andThen(
        kill,
        Effect.suspend(() => Effect.asVoid(startHere(mine)))
      )
    )
    const server: RealServer = {
      url: `${kind.scheme}://127.0.0.1:${mine}`,
      port: mine,
      get pid() {
        return running?.process.pid ?? 0
      },
      get isRunning() {
        return running?.isRunning ?? false
      },
      get said() {
        return before + (running?.said ?? "")
      },
      kill,
      pause: Effect.andThen(
        signal("SIGSTOP"),
        eventually(() => isStopped(server.pid))
      ),
      resume: signal("SIGCONT"),
      restart,
      restartEmpty: Effect.andThen(
        kill,
        Effect.andThen(
          Effect.sync(() => {
            rmSync(store, { recursive: true })
            mkdirSync(store)
          }),
          restart
        )
      )
    }
    return server
  })
