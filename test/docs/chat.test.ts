/** The example of a contract, as it is in the folder: its server and its client as processes, and its page in Chromium. */
import { spawn } from "node:child_process"
import { rmSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { rolldown } from "rolldown"
import { launch } from "../support/chromium.ts"
import { Command } from "../support/command.ts"

const folder = fileURLToPath(new URL("../../docs/examples/chat/", import.meta.url))

const page = join(folder, "page.js")

/** Its page, built as the example says, but from the sources. */
const built: Effect.Effect<void, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(async () => {
    const bundle = await rolldown({
      input: join(folder, "page.ts"),
      platform: "browser",
      resolve: { conditionNames: ["@millrace/source", "browser", "import", "default"] }
    })
    await bundle.write({ file: page })
    await bundle.close()
  }),
  () => Effect.sync(() => rmSync(page))
)

const node = (...args: ReadonlyArray<string>): Effect.Effect<Command, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(
      () => new Command(spawn(process.execPath, ["--conditions=@millrace/source", ...args], { cwd: folder }))
    ),
    (command) =>
      Effect.suspend(() => {
        command.signal("SIGKILL")
        return command.end
      })
  )

describe("the chat", () => {
  it.live("is the same for a client in a terminal and one in a page, which are told of errors and come back", () =>
    Effect.gen(function* () {
      yield* built
      const server = yield* node("server.ts", "0")
      const [, port] = yield* server.says(/:(\d+)\//)
      const ada = yield* node("client.ts", "ada", "good morning", port!)
      yield* ada.says(/^ada: good morning$/m)

      const browser = yield* Effect.acquireRelease(
        Effect.promise(() => launch()),
        (browser) => Effect.promise(() => browser.close())
      )
      const page = yield* Effect.promise(() => browser.newPage())
      page.setDefaultTimeout(20_000)
      const complaints: Array<string> = []
      page.on("console", (message) => complaints.push(message.text()))
      page.on("pageerror", (error) => complaints.push(error.message))
      const line = (text: string) =>
        Effect.promise(() => page.getByRole("listitem").filter({ hasText: text }).waitFor())
      const status = (text: string) =>
        Effect.promise(() => page.getByRole("status").filter({ hasText: text }).waitFor())
      const type = (label: string, text: string) =>
        Effect.promise(async () => {
          await page.getByLabel(label).fill(text)
          await page.getByLabel(label).press("Enter")
        })
      yield* Effect.promise(() => page.goto(`http://127.0.0.1:${port}/`))
      yield* line("ada: good morning")
      yield* type("Your name", "ada")
      yield* status("somebody is called ada already")
      yield* type("Your name", "bo")
      yield* status("you are bo")
      yield* type("Say", "from a page")
      yield* line("bo: from a page")
      yield* ada.says(/^bo: from a page$/m)
      expect(complaints).toEqual([])

      server.signal("SIGKILL")
      yield* ada.reports(/waiting/)
      yield* status("Waiting")
      const again = yield* node("server.ts", port!)
      yield* again.says(/chat is at/)
      yield* status("Open")
      yield* ada.reports(/waiting[^]*open/)
      yield* type("Say", "still here")
      yield* line("still here")
      yield* ada.says(/: still here$/m)
    })
  )
})
