/**
 * The command `millrace`, run as people run it: a process of its own, from the sources, killed when the test is over.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process"
import { delimiter } from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { afterAll, beforeAll } from "vitest"

const bin = fileURLToPath(new URL("../../node_modules/.bin/", import.meta.url))

/** Where Node.js keeps what it has compiled, so that each program that is started many times is compiled once. */
export const cache = fileURLToPath(new URL("../../node_modules/.cache/compiled", import.meta.url))

/** How a command ended, and all it said. */
export interface Ended {
  /** `undefined` when a signal ended it. */
  readonly code: number | undefined
  readonly stdout: string
  readonly stderr: string
}

export class Command {
  readonly process: ChildProcessWithoutNullStreams
  stdout = ""
  stderr = ""
  private ended: Ended | undefined
  private readonly waiting = new Set<() => void>()

  constructor(process: ChildProcessWithoutNullStreams) {
    this.process = process
    const wake = () => {
      for (const check of this.waiting) check()
    }
    process.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      this.stdout += chunk
      wake()
    })
    process.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      this.stderr += chunk
      wake()
    })
    // One that has gone does not read what it is sent.
    process.stdin.on("error", () => {})
    process.on("close", (code) => {
      this.ended = { code: code ?? undefined, stdout: this.stdout, stderr: this.stderr }
      wake()
    })
  }

  private take<A>(attempt: () => A | undefined): Effect.Effect<A> {
    return Effect.callback<A>((resume) => {
      const check = () => {
        const taken = attempt()
        if (taken === undefined && this.ended === undefined) return
        this.waiting.delete(check)
        if (taken !== undefined) return resume(Effect.succeed(taken))
        resume(Effect.die(new Error(`the command ended: ${JSON.stringify(this.ended)}`)))
      }
      this.waiting.add(check)
      check()
      return Effect.sync(() => this.waiting.delete(check))
    })
  }

  /** Waits until standard output matches. */
  says(pattern: RegExp): Effect.Effect<RegExpExecArray> {
    return this.take(() => pattern.exec(this.stdout) ?? undefined)
  }

  /** Waits until standard error matches. */
  reports(pattern: RegExp): Effect.Effect<RegExpExecArray> {
    return this.take(() => pattern.exec(this.stderr) ?? undefined)
  }

  /** Waits for its end. */
  readonly end: Effect.Effect<Ended> = Effect.suspend(() => this.take(() => this.ended))

  type(text: string): void {
    this.process.stdin.write(text)
  }

  /** Ends its standard input, as Ctrl-D does. */
  typeEnd(text = ""): void {
    this.process.stdin.end(text)
  }

  signal(signal: NodeJS.Signals): void {
    this.process.kill(signal)
  }
}

/** Starts the command. */
export const start = (...flags: ReadonlyArray<string>): Effect.Effect<Command, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const env = {
        ...process.env,
        // `npm exec` and `npx` put this directory first, and with it the Node.js that is installed there.
        PATH: `${bin}${delimiter}${process.env["PATH"]}`,
        NO_COLOR: "1",
        // The command is started many times, and compiled once.
        NODE_COMPILE_CACHE: cache
      }
      return new Command(spawn(`${bin}millrace`, flags, { env, shell: process.platform === "win32" }))
    }),
    (command) =>
      Effect.suspend(() => {
        command.signal("SIGKILL")
        return command.end
      })
  )

/** Runs the command to its end, with that standard input. */
export const run = (flags: ReadonlyArray<string>, input = ""): Effect.Effect<Ended> =>
  Effect.scoped(
    Effect.flatMap(start(...flags), (command) => {
      command.typeEnd(input)
      return command.end
    })
  )

export interface Server {
  readonly command: Command
  readonly port: number
}

/** Starts `millrace serve` or `millrace echo` on a free port, and waits until it listens. */
export const server = (
  name: "serve" | "echo",
  ...flags: ReadonlyArray<string>
): Effect.Effect<Server, never, Scope.Scope> =>
  Effect.gen(function* () {
    const command = yield* start(name, "--port", "0", ...flags)
    const [, port] = yield* command.says(/:(\d+)\/.*\n/)
    return { command, port: Number(port) }
  })

/** Something that all tests of a file, or of a `describe`, use. */
export const shared = <A>(acquire: Effect.Effect<A, never, Scope.Scope>): (() => A) => {
  const scope = Scope.makeUnsafe()
  let acquired: { readonly value: A } | undefined
  beforeAll(async () => {
    acquired = { value: await Effect.runPromise(Scope.provide(acquire, scope)) }
  }, 60_000)
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  return () => {
    if (acquired === undefined) throw new Error("it is there only while tests run")
    return acquired.value
  }
}
