/**
 * Where the real servers are that tests talk to: the one that an environment variable names, else one of the system,
 * else the one that `npm test` has unpacked under `node_modules/.cache`.
 */
import { spawnSync } from "node:child_process"
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Debian from "./debian.ts"

export type Name = "redis-server" | "nats-server"

/** How one is run. */
export interface Found {
  readonly command: string
  /** What to add to the environment of its process. */
  readonly env: Readonly<Record<string, string>>
}

/** The variable that names its executable. */
export const variables: Readonly<Record<Name, string>> = {
  "redis-server": "REDIS_SERVER",
  "nats-server": "NATS_SERVER"
}

/** Those of Debian that hold it. */
const packages: Readonly<Record<Name, ReadonlyArray<string>>> = {
  "redis-server": ["redis-server", "redis-tools"],
  "nats-server": ["nats-server"]
}

export const names = Object.keys(variables) as ReadonlyArray<Name>

/** Each has a folder of its own in it, with what its packages hold. */
export const cache: string = fileURLToPath(new URL("../../node_modules/.cache/servers", import.meta.url))

/** Debian keeps some of them where only root looks. */
const systemFolders = ["/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin"]

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Under `root`, which is laid out as a system is, with the libraries that lie beside it. */
const findUnder = (root: string, name: Name): Found | undefined => {
  const command = ["usr/bin", "usr/sbin"].map((folder) => join(root, folder, name)).find(isExecutable)
  if (command === undefined) return undefined
  const libraries = join(root, "usr/lib")
  const folders = existsSync(libraries)
    ? readdirSync(libraries, { withFileTypes: true }).flatMap((entry) =>
        entry.isDirectory() ? [join(libraries, entry.name)] : []
      )
    : []
  return { command, env: folders.length === 0 ? {} : { LD_LIBRARY_PATH: folders.join(delimiter) } }
}

/**
 * `undefined` when this machine has none. Throws when the variable names what is not there: someone meant that one.
 * `paths` are the folders that are looked in before the cache.
 */
export const find = (
  name: Name,
  paths: ReadonlyArray<string> = [...(process.env["PATH"] ?? "").split(delimiter), ...systemFolders]
): Found | undefined => {
  const named = process.env[variables[name]]
  if (named !== undefined && named !== "") {
    if (!isExecutable(named)) throw new Error(`$${variables[name]} names ${named}, which cannot be run`)
    return { command: named, env: {} }
  }
  const command = paths.map((folder) => join(folder, name)).find(isExecutable)
  return command === undefined ? findUnder(join(cache, name), name) : { command, env: {} }
}

/**
 * Fetches those that this machine has not, and gives what could not be had, and why. Says what it does by `say`, when
 * there is something to do.
 */
export const provide = (say: (line: string) => void): ReadonlyMap<Name, string> => {
  const missing = new Map<Name, string>()
  const wanted = names.filter((name) => find(name) === undefined)
  if (wanted.length === 0) return missing
  say(`unpacking ${wanted.join(" and ")} from Debian's packages into node_modules/.cache/servers, once ...`)
  mkdirSync(cache, { recursive: true })
  const folder = mkdtempSync(join(cache, "unpacking-"))
  const unpack = Debian.unpacking(folder)
  const fetch = (name: Name) => {
    const root = join(folder, name)
    unpack(packages[name], root)
    const found = findUnder(root, name)
    if (found === undefined) throw new Debian.Unavailable(`Debian's package has no ${name}`)
    const { status } = spawnSync(found.command, ["--version"], { env: { ...process.env, ...found.env } })
    if (status !== 0) throw new Debian.Unavailable("Debian's does not run here")
    // Everybody's by one rename: a run that is cut short leaves nothing half done.
    renameSync(root, join(cache, name))
  }
  try {
    for (const name of wanted) {
      try {
        fetch(name)
      } catch (error) {
        // Another run may have been faster.
        if (find(name) === undefined) missing.set(name, error instanceof Error ? error.message : String(error))
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return missing
}
