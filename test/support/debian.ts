/**
 * What Debian's packages hold, without installing them: no root is needed, nothing of the system is changed, no script of
 * a package runs and no service is left behind. So it is on Ubuntu, and wherever else there are `apt-get` and `dpkg`.
 */
import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { join } from "node:path"

/** Why something could not be had, for people. */
export class Unavailable extends Error {}

/** For a program that downloads, in milliseconds. */
const timeout = 180_000

const patience = ["-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=15", "-o", "Acquire::https::Timeout=15"]

const run = (command: string, flags: ReadonlyArray<string>, cwd: string): string => {
  const env = { ...process.env, LC_ALL: "C", DEBIAN_FRONTEND: "noninteractive" }
  const { error, status, stderr, stdout } = spawnSync(command, flags, { cwd, env, timeout, encoding: "utf8" })
  if (error !== undefined) {
    throw new Unavailable("code" in error && error.code === "ENOENT" ? `there is no ${command}` : error.message)
  }
  if (status !== 0) {
    const lines = stderr.trim().split("\n")
    throw new Unavailable(lines.find((line) => line.startsWith("E: "))?.slice(3) ?? lines.at(-1) ?? `${command} failed`)
  }
  return stdout
}

/** The packages, and the libraries that they need and the system lacks, unpacked under `root`. */
const unpackFrom = (lists: ReadonlyArray<string>, packages: ReadonlyArray<string>, root: string, folder: string) => {
  // What the system has downloaded before is left out of what is printed, and so would be missing here.
  const archives = join(folder, "archives")
  mkdirSync(join(archives, "partial"), { recursive: true })
  const options = [...patience, ...lists, "-o", `Dir::Cache::archives=${archives}`]
  const apt = (...flags: ReadonlyArray<string>) => run("apt-get", ["-q", "-y", ...options, ...flags], folder)
  const plan = ["--print-uris", "--no-install-recommends", "--reinstall", "install", ...packages]
  const files = apt("-o", "Debug::NoLocking=1", ...plan).matchAll(/^'\S+' (?<name>[^_\s]+)_\S+\.deb /gm)
  const planned = Array.from(files, ({ groups }) => groups!["name"]!)
  const missing = packages.filter((name) => !planned.includes(name))
  if (missing.length > 0) throw new Unavailable(`apt-get cannot download ${missing.join(" and ")}`)
  const wanted = planned.filter((name) => name.startsWith("lib") || packages.includes(name))
  apt("download", ...wanted)
  for (const name of wanted) run("sh", ["-c", `dpkg -x ${name}_*.deb "$0"`, root], folder)
}

/**
 * Gives what unpacks, under a new folder `root`, what packages hold, with the libraries that they need and the system does
 * not have. Where the system's lists of packages are empty or old it gets lists of its own, once. All that is needed on
 * the way is left in `folder`, which the caller removes. Throws `Unavailable`.
 */
export const unpacking = (folder: string): ((packages: ReadonlyArray<string>, root: string) => void) => {
  const own = join(folder, "apt")
  const ownLists = ["-o", `Dir::State::lists=${own}/lists`, "-o", `Dir::Cache=${own}/cache`]
  let updated: "not yet" | "yes" | Unavailable = "not yet"

  const update = () => {
    for (const needed of ["lists/partial", "cache/archives/partial"]) mkdirSync(join(own, needed), { recursive: true })
    try {
      run("apt-get", ["-q", ...patience, ...ownLists, "-o", "APT::Update::Error-Mode=any", "update"], folder)
      updated = "yes"
    } catch (error) {
      if (error instanceof Unavailable) updated = error
      throw error
    }
  }

  return (packages, root) => {
    if (process.platform !== "linux") throw new Unavailable("this is not Debian")
    const attempt = (lists: ReadonlyArray<string>) => {
      rmSync(root, { recursive: true, force: true })
      mkdirSync(root)
      unpackFrom(lists, packages, root, mkdtempSync(join(folder, "downloads-")))
    }
    if (updated === "not yet") {
      try {
        return attempt([])
      } catch {
        update()
      }
    }
    if (updated instanceof Unavailable) throw updated
    attempt(ownLists)
  }
}
