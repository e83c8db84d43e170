/**
 * `npm test`: everything, in the order in which a mistake is cheapest to find. Each step is a command that can be
 * run alone; the first that fails ends the run with its exit code. Arguments go to Vitest.
 */
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../", import.meta.url))

/** @type {ReadonlyArray<readonly [what: string, command: string, ...args: Array<string>]>} */
const steps = [
  ["types", "tsc", "-b"],
  ["lint", "oxlint", "--deny-warnings"],
  ["format", "oxfmt", "--check"],
  ["tests", "vitest", "run", "--config", "vitest.workspace.ts", ...process.argv.slice(2)]
]

for (const [what, command, ...args] of steps) {
  console.log(`\n== ${what}: ${command} ${args.join(" ")}`)
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: "inherit",
    shell: process.platform === "win32"
  })
  if (error !== undefined) {
    console.error(`millrace: ${command} could not be started (${error.message}). Run npm ci and try again.`)
    process.exit(1)
  }
  if (status !== 0) {
    console.error(`\nmillrace: ${what} failed: run \`npx ${command} ${args.join(" ")}\` to see it alone.`)
    process.exit(status ?? 1)
  }
}
