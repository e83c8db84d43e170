/**
 * Vitest 5 reads this file only when told to: `vitest run --config vitest.workspace.ts`.
 * The packages are tested from their sources, so nothing is built first.
 */
import { readdirSync } from "node:fs"
import { availableParallelism } from "node:os"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"
import { provider } from "./test/support/pageProvider.ts"

const resolve = {
  alias: [
    {
      find: /^@millrace\/(core|node|browser)\/(.*)$/,
      replacement: fileURLToPath(new URL("./packages/$1/src/$2.ts", import.meta.url))
    }
  ]
}

/** All of Effect, whatever a test imports: when Vite comes across one more while tests run, it loads the page anew. */
const effects = readdirSync(new URL("./node_modules/effect/src/", import.meta.url)).flatMap((file) =>
  /^[A-Z]\w*\.ts$/.test(file) ? [`effect/${file.slice(0, -3)}`] : []
)

/** Of what waits for processes, sockets and servers; what depends on nothing else is not tried again. `secondTry` tells. */
const retry = 1

const project = (name: string, include: ReadonlyArray<string>, testTimeout: number, more: { retry?: number } = {}) => ({
  resolve,
  test: { name, include: [...include], environment: "node", testTimeout, ...more }
})

export default defineConfig({
  test: {
    // Most of the time a test waits for a process or a socket: one at a time, as Vitest has it on two cores, takes twice as long.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    reporters: ["default", "./test/support/secondTry.ts"],
    projects: [
      // No sockets and no clocks.
      project("pure", ["test/architecture.test.ts", "test/core/**/*.test.ts", "test/conformance/**/*.test.ts"], 20_000),
      // Loopback sockets, child processes, real peers, headless Chromium.
      project("node", ["test/node/**/*.test.ts"], 30_000, { retry }),
      project("peers", ["test/peers/**/*.test.ts"], 60_000, { retry }),
      // Programs in the pages of a headless Chromium.
      project("browser", ["test/browser/**/*.test.ts"], 60_000, { retry }),
      // Tests that run in such a page themselves.
      {
        resolve,
        optimizeDeps: { include: ["@effect/vitest", "fast-check", "msgpackr/pack", ...effects] },
        test: {
          name: "page",
          include: ["test/page/**/*.test.ts"],
          testTimeout: 30_000,
          retry,
          globalSetup: ["test/support/pageServers.ts"],
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            provider: provider(),
            instances: [{ browser: "chromium" }]
          }
        }
      },
      project("docs", ["test/docs/**/*.test.ts"], 60_000, { retry })
    ]
  }
})
