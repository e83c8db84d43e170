/**
 * Programs that run in a page of a real Chromium. A test writes what the page is to do as a function; the modules that
 * it needs come in as its first argument, because what runs in a page has no other scope than its own.
 */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Browser, Page } from "playwright-core"
import { rolldown } from "rolldown"
import type * as Modules from "./pageModules.ts"

export type { Modules }

const source = (name: string) => fileURLToPath(new URL(`../../packages/${name}/src/`, import.meta.url))

/** What a file of this folder exports, as a script that leaves it in `modules`. */
export const bundle = async (file: string): Promise<string> => {
  const built = await rolldown({
    input: fileURLToPath(new URL(file, import.meta.url)),
    platform: "browser",
    logLevel: "warn",
    plugins: [
      {
        name: "sources",
        resolveId: (specifier) => {
          const [, name, path] = /^@millrace\/(core|browser)\/(.*)$/.exec(specifier) ?? []
          return name === undefined ? undefined : `${source(name)}${path}.ts`
        }
      }
    ]
  })
  const { output } = await built.generate({ format: "iife", name: "modules" })
  await built.close()
  return output[0].code
}

let bundled: Promise<string> | undefined

/** The modules as a script that leaves them in `modules`, for workers: bundled once. */
export const script = (): Promise<string> => (bundled ??= bundle("pageModules.ts"))

/** Where pages come from: an origin of its own, with nothing on it. */
export const blank: Effect.Effect<string, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.callback<ReturnType<typeof createServer>>((resume) => {
      const server = createServer((_, response) => {
        response.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html><title>blank</title>")
      }).listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  ),
  (server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
)

/** A page, and a way to run something in it. */
export interface Running {
  readonly page: Page
  /** Runs it in the page, and gives what it comes to: both go as JSON. */
  readonly run: <A, Args extends ReadonlyArray<unknown>>(
    program: (modules: typeof Modules, ...args: Args) => Promise<A>,
    ...args: Args
  ) => Effect.Effect<A>
}

/** A page at `address`, or at nothing in particular, that is closed with the scope. */
export const open = (browser: Browser, address?: string): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.gen(function* () {
    const context = yield* Effect.acquireRelease(
      Effect.promise(() => browser.newContext()),
      (context) => Effect.promise(() => context.close())
    )
    const url = address ?? (yield* blank)
    const page = yield* Effect.promise(async () => {
      const page = await context.newPage()
      await page.goto(url)
      await page.addScriptTag({ content: await script() })
      return page
    })
    return {
      page,
      run: (program, ...args) =>
        Effect.promise(async () => {
          const json = await page.evaluate<string>(
            `(${program})(modules, ...${JSON.stringify(args)}).then((value) => JSON.stringify({ value }))`
          )
          return JSON.parse(json).value
        })
    }
  })
