/**
 * Vitest's browser mode on the Chromium of `chromium.ts`, which is looked for, and unpacked where it has to be, when a page
 * is opened, and so not for a run that has no page.
 */
import { playwright } from "@vitest/browser-playwright"
import type { LaunchOptions } from "playwright-core"
import * as Chromium from "./chromium.ts"

type Provider = ReturnType<typeof playwright>

export const provider = (): Provider => {
  // Read when the browser is started, which is when the first page is opened.
  const launchOptions: Pick<LaunchOptions, "executablePath" | "env"> = {}
  // Not ahead of time, when it is not known yet which it is.
  const { prewarm: _, providerFactory, ...provider } = playwright({ launchOptions })
  return {
    ...provider,
    providerFactory: (project) => {
      const made = providerFactory(project)
      const openPage = made.openPage.bind(made)
      made.openPage = async (...args) => {
        Object.assign(launchOptions, await Chromium.launchOptions())
        return openPage(...args)
      }
      return made
    }
  }
}
