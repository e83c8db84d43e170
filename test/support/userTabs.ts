/** Tabs of one user: pages that share what the browser keeps, that can be loaded again, and that crash. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Browser, BrowserContext, CDPSession } from "playwright-core"
import * as Page from "./page.ts"

export interface Tab extends Page.Running {
  /** As its user does it. Whatever ran in the page is gone. */
  readonly reload: Effect.Effect<void>
  /** As a page ends that its system has no memory for. Another tab has to be opened. */
  readonly crash: Effect.Effect<void>
  readonly close: Effect.Effect<void>
  /** The browser's own protocol. */
  readonly devtools: CDPSession
}

const inside = async (context: BrowserContext, url: string): Promise<Tab> => {
  const page = await context.newPage()
  await page.goto(url)
  await page.addScriptTag({ content: await Page.script() })
  const devtools = await context.newCDPSession(page)
  return {
    page,
    devtools,
    run: (program, ...args) =>
      Effect.promise(async () => {
        const json = await page.evaluate<string>(
          `(${program})(modules, ...${JSON.stringify(args)}).then((value) => JSON.stringify({ value }))`
        )
        return JSON.parse(json).value
      }),
    reload: Effect.promise(async () => {
      await page.reload()
      await page.addScriptTag({ content: await Page.script() })
    }),
    crash: Effect.promise(async () => {
      const crashed = page.waitForEvent("crash")
      // Nobody is there to answer.
      devtools.send("Page.crash").catch(() => undefined)
      await crashed
    }),
    close: Effect.promise(() => page.close())
  }
}

/** A user with one origin: gives how to open a tab at it, or elsewhere. All end with the scope. */
export const user = (
  browser: Browser
): Effect.Effect<
  { readonly origin: string; readonly open: (url?: string) => Effect.Effect<Tab> },
  never,
  Scope.Scope
> =>
  Effect.gen(function* () {
    const context = yield* Effect.acquireRelease(
      Effect.promise(() => browser.newContext()),
      (context) => Effect.promise(() => context.close())
    )
    const origin = yield* Page.blank
    return { origin, open: (url = origin) => Effect.promise(() => inside(context, url)) }
  })
