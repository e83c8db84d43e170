/**
 * Django Channels for a test, with its layers on Redis: of the system's Python where that has them, else Debian's packages,
 * unpacked once into `node_modules/.cache`.
 */
import { spawn, spawnSync } from "node:child_process"
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { describe, expect } from "vitest"
import * as Debian from "./debian.ts"
import { eventually } from "./eventually.ts"
import * as servers from "./servers.ts"

const packages = ["channels-redis", "django-channels", "django", "redis", "msgpack", "asgiref", "async-timeout"]
  .concat("deprecated", "wrapt", "packaging", "sqlparse", "tz")
  .map((name) => `python3-${name}`)

const root = join(servers.cache, "django-channels")
const unpacked = join(root, "usr/lib/python3/dist-packages")

interface Python {
  readonly command: string
  readonly env: Readonly<Record<string, string>>
}

/** The one that Debian builds its packages for comes first. */
const commands = ["/usr/bin/python3", "python3"]

const find = (): Python | undefined => {
  for (const command of commands) {
    for (const env of existsSync(unpacked) ? [{}, { PYTHONPATH: unpacked }] : [{}]) {
      const imports = ["-c", "import channels_redis.core, channels_redis.pubsub"]
      if (spawnSync(command, imports, { env: { ...process.env, ...env } }).status === 0) return { command, env }
    }
  }
  return undefined
}

/** Finds it, or fetches it. */
const provide = (): Python | undefined => {
  const known = find()
  if (known !== undefined) return known
  mkdirSync(servers.cache, { recursive: true })
  const folder = mkdtempSync(join(servers.cache, "unpacking-"))
  try {
    Debian.unpacking(folder)(packages, join(folder, "root"))
    // Another run may have been faster.
    if (!existsSync(root)) renameSync(join(folder, "root"), root)
  } catch (error) {
    if (!(error instanceof Debian.Unavailable)) throw error
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return find()
}

/** `describe` where there are Django Channels and Redis, as `describeWith` has it. */
export const describeWithChannels = (title: string, body: () => void): void => {
  const isThere = servers.find("redis-server") !== undefined && provide() !== undefined
  if (isThere || process.env["CI"]) return void describe(title, body)
  const told = process.env["MILLRACE_SKIPPED"]
  if (told !== undefined) appendFileSync(told, `${expect.getState().testPath}: ${title}\n`)
  describe.skip(`${title}: NOT RUN, there is no Django Channels, or no redis-server`, body)
}

/** A process with one channel: see channelLayer.py. */
export interface DjangoProcess {
  readonly add: (group: string) => Effect.Effect<unknown>
  readonly send: (group: string, message: object) => Effect.Effect<unknown>
  /** Of its channel, in order. */
  readonly receive: Effect.Effect<unknown>
}

const program = fileURLToPath(new URL("channelLayer.py", import.meta.url))

/** It is killed when the scope is closed. */
export const djangoProcess = (
  layer: "pubsub" | "queue",
  url: string
): Effect.Effect<DjangoProcess, never, Scope.Scope> =>
  Effect.gen(function* () {
    const python = provide()
    if (python === undefined) return yield* Effect.die(new Error("there is no Django Channels"))
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => spawn(python.command, [program, layer, url], { env: { ...process.env, ...python.env } })),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    let said = ""
    let complaints = ""
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (said += chunk))
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (complaints += chunk))
    child.stdin.on("error", () => {})
    const line = Effect.suspend(() =>
      Effect.map(
        eventually(() => said.includes("\n") || child.exitCode !== null),
        () => {
          const end = said.indexOf("\n")
          if (end === -1) throw new Error(complaints)
          const answer = JSON.parse(said.slice(0, end)) as unknown
          said = said.slice(end + 1)
          return answer
        }
      )
    )
    const ask = (...command: ReadonlyArray<unknown>) =>
      Effect.suspend(() => {
        child.stdin.write(`${JSON.stringify(command)}\n`)
        return line
      })
    yield* line
    return {
      add: (group) => ask("add", group),
      send: (group, message) => ask("send", group, message),
      receive: ask("receive")
    }
  })
