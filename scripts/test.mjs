/**
 * `npm test`: everything, in the order in which a mistake is cheapest to find. Each step is a command that can be
 * run alone; the first that fails ends the run with its exit code. Arguments go to Vitest.
 *
 * Before, it sees to the browser that some tests need, and to the real servers that some talk to. Those are skipped where
 * there is no server to be had, and the last lines say which; where `CI` is set the run fails instead.
 */
import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as chromium from "../test/support/chromium.ts"
import * as servers from "../test/support/servers.ts"

const root = fileURLToPath(new URL("../", import.meta.url))

const missing = servers.provide((line) => console.log(`millrace: ${line}`))
// Once, and not by each of the first tests that want one.
await chromium.find()
const remedy = [...missing].map(
  ([name, why]) => `  ${name}: ${why}. Install it, or name its executable in $${servers.variables[name]}.`
)
if (missing.size > 0 && process.env["CI"]) {
  console.error(`\nmillrace: CI is set, and there is a server missing that tests need:\n${remedy.join("\n")}`)
  process.exit(1)
}

/** Each suite that is skipped for want of a server writes a line to it. */
const skipped = join(mkdtempSync(join(tmpdir(), "millrace-")), "skipped")
writeFileSync(skipped, "")
process.on("exit", () => rmSync(join(skipped, ".."), { recursive: true }))

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
    env: { ...process.env, MILLRACE_SKIPPED: skipped },
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

if (missing.size > 0) {
  const suites = [...new Set(readFileSync(skipped, "utf8").trim().split("\n"))].filter((line) => line !== "").toSorted()
  console.log(`\nmillrace: NOT EVERYTHING WAS TESTED. There is no ${[...missing.keys()].join(" and no ")}:`)
  console.log(remedy.join("\n"))
  console.log(suites.length === 0 ? "No suite of this run needs it." : "Skipped were:")
  for (const suite of suites) console.log(`  ${suite.replace(root, "")}`)
}
