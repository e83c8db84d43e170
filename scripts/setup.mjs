/**
 * Set-up that `npm start` and `npm test` do by themselves: installs the dependencies when `node_modules` is missing
 * or older than the lock file. Written with what Node.js 20 has and nothing else, because it runs before anything
 * is installed.
 */
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { createHash } from "node:crypto"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../", import.meta.url))
const lock = `${root}package-lock.json`
/** Written after an installation that went through, so that one cut short is done again. */
const stamp = `${root}node_modules/.millrace-setup`

const stop = (/** @type {string} */ sentence) => {
  console.error(`\nmillrace: ${sentence}\n`)
  process.exit(1)
}

const atLeast = (/** @type {string} */ version, /** @type {number} */ major, /** @type {number} */ minor) => {
  const [a = 0, b = 0] = version.replace(/^v/, "").split(".").map(Number)
  return a > major || (a === major && b >= minor)
}

if (!atLeast(process.version, 20, 0)) {
  stop(`Node.js 20 or newer is needed, this is ${process.version}. Install one from https://nodejs.org and try again.`)
}
if (!existsSync(lock)) stop("package-lock.json is missing: this is not a whole checkout. Clone the repository again.")

const wanted = createHash("sha256").update(readFileSync(lock)).digest("hex")
const installed = existsSync(stamp) ? readFileSync(stamp, "utf8").trim() : undefined

if (installed !== wanted) {
  const why = installed === undefined ? "the first run here" : "package-lock.json has changed"
  console.log(`millrace: installing the dependencies with npm ci (${why}); this takes about half a minute ...`)
  const npm = process.platform === "win32" ? "npm.cmd" : "npm"
  const started = Date.now()
  const result = spawnSync(npm, ["ci", "--loglevel=error", "--no-fund", "--no-audit"], {
    cwd: root,
    stdio: "inherit",
    shell: process.platform === "win32"
  })
  if (result.error !== undefined) stop(`npm could not be started (${result.error.message}). Install npm and try again.`)
  if (result.status !== 0) {
    stop(
      "npm ci failed, see above. Check that the npm registry can be reached and that the disk has 1 GB free, then try again."
    )
  }
  writeFileSync(stamp, `${wanted}\n`)
  console.log(`millrace: installed in ${Math.round((Date.now() - started) / 1000)} s`)
}

/** The Node.js that the scripts will run on: npm puts `node_modules/.bin` first, and there is one for Linux x64. */
const bin = `${root}node_modules/.bin/node`
const version = existsSync(bin) ? spawnSync(bin, ["--version"], { encoding: "utf8" }).stdout?.trim() : process.version
if (version === undefined || version === "" || !atLeast(version, 22, 19)) {
  stop(
    `Node.js 22.19 or newer is needed, this is ${version || process.version}. Install one from https://nodejs.org and try again.`
  )
}
