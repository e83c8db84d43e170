/** Tests that need a real server. */
import { describe } from "@effect/vitest"
import * as servers from "./servers.ts"

/**
 * `describe` when each of those servers is there; else the tests are skipped, and their title says so. Where `CI` is set
 * they are run all the same, and fail: nobody would read there what was skipped.
 */
export const describeWith = (...names: ReadonlyArray<servers.Name>) => {
  const missing = names.filter((name) => servers.find(name) === undefined)
  return (title: string, body: () => void): void => {
    if (missing.length === 0 || process.env["CI"]) return void describe(title, body)
    describe.skip(`${title}: NOT RUN, there is no ${missing.join(" and no ")}`, body)
  }
}
