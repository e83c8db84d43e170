/**
 * What the tests in test/page need of Node.js: Vitest starts it before their Chromium, on free ports of loopback, and ends
 * it behind. The tests ask for the addresses: `inject("servers")`.
 */
import { once } from "node:events"
import { Worker } from "node:worker_threads"
import type { TestProject } from "vitest/node"

/** Ports of 127.0.0.1. */
export interface Servers {
  /** The hub, for pages of any origin: WebSocket at `/ws`, `GET /events`, `POST /publish`. Topics are shared by all tests. */
  readonly hub: number
  /** A WebSocket server that does what the path says: see `wilful.ts`. */
  readonly wilful: number
  /** Makes proxies that a test can cut: see `proxies.ts`; a page's way to it is `line.ts`. */
  readonly proxies: number
}

declare module "vitest" {
  interface ProvidedContext {
    readonly servers: Servers
  }
}

export default async (project: TestProject): Promise<() => Promise<void>> => {
  // A thread of its own: what waits for a page is not to wait for Vite, which serves it its modules.
  const thread = new Worker(new URL("pageServersThread.ts", import.meta.url), {
    execArgv: ["--conditions=@millrace/source"]
  })
  const [servers] = (await once(thread, "message")) as [Servers]
  project.provide("servers", servers)
  return async () => {
    const ended = once(thread, "exit")
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- it is no window
    thread.postMessage("end")
    await ended
  }
}
