/** Tests that need a real server. */
import { appendFileSync } from "node:fs"
import { describe, expect } from "vitest"
import * as servers from "./servers.ts"

/**
 * `describe` when each of those servers is there; else the tests are skipped, their title says so, and `npm test` tells
 * of them at its end. Where `CI` is set they are run all the same, and fail: nobody reads there what was skipped.
 */
export const describeWith = (...names: ReadonlyArray<servers.Name>) => {
  const missing = names.filter((name) => servers.find(name) === undefined)
  return (title: string, body: () => void): void => {
    if (missing.length === 0 || process.env["CI"]) return void describe(title, body)
    const told = process.env["MILLRACE_SKIPPED"]
    if (told !== undefined) appendFileSync(told, `${expect.getState().testPath}: ${title}\n`)
    describe.skip(`${title}: NOT RUN, there is no ${missing.join(" and no ")}`, body)
  }
}
