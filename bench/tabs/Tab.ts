/**
 * A page of a headless Chromium that is measured: a renderer of its own, on the core of the load. What counts is the CPU
 * time of its main thread, which is what makes a page stutter: `ThreadTime` of the DevTools protocol, which leaves out
 * what the browser's other threads do, and the time in which the thread waits for a core.
 */
import { join } from "node:path"
import type { Browser, CDPSession } from "playwright-core"
import { rolldown } from "rolldown"
import { launch } from "../../test/support/chromium.ts"

export interface Tab {
  /** Takes so many messages, and gives the microseconds that the main thread was busy for all of them. */
  readonly receive: (count: number) => Promise<number>
  readonly close: () => Promise<void>
}

const bundle = async (): Promise<string> => {
  const built = await rolldown({
    input: join(import.meta.dirname, "receivers.ts"),
    platform: "browser",
    resolve: { conditionNames: ["@millrace/source", "browser", "import", "default"] },
    logLevel: "warn"
  })
  const { output } = await built.generate({ format: "iife", name: "page", minify: true })
  await built.close()
  return output[0].code
}

let bundled: Promise<string> | undefined

/** Starts the browser that all tabs are in; close it when done. */
export const start = (): Promise<Browser> => launch()

const busy = async (session: CDPSession): Promise<number> => {
  const { metrics } = await session.send("Performance.getMetrics")
  const found = metrics.find(({ name }) => name === "ThreadTime")
  if (found === undefined) throw new Error("this Chromium does not tell the CPU time of a page's main thread")
  return found.value * 1e6
}

/** A page of the server at that port, with the connection of `receivers.ts` by that name open. */
export const open = async (browser: Browser, port: number, receiver: string): Promise<Tab> => {
  const context = await browser.newContext()
  const page = await context.newPage()
  await page.goto(`http://127.0.0.1:${port}/`)
  await page.addScriptTag({ content: await (bundled ??= bundle()) })
  const session = await context.newCDPSession(page)
  await session.send("Performance.enable")
  await page.evaluate(`page.open(${JSON.stringify(receiver)})`)
  return {
    receive: async (count) => {
      const before = await busy(session)
      await page.evaluate(`page.receive(${count})`)
      return (await busy(session)) - before
    },
    close: () => context.close()
  }
}
