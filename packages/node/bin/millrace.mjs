#!/usr/bin/env -S node --max-semi-space-size=2
/**
 * In a checkout the command runs from the sources of the workspace, with no build; installed, from `dist`.
 */
import { existsSync } from "node:fs"
import * as module from "node:module"

const source = new URL("../tsconfig.json", import.meta.url) // not published, so it marks a checkout

if (existsSync(source)) {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
  if (major < 22 || (major === 22 && minor < 19)) {
    console.error(
      `millrace: Node.js 22.19 or newer is needed, this is ${process.version}. ` +
        "Run it with npx, which uses the Node.js that npm installed here, or install a newer one from https://nodejs.org"
    )
    process.exit(1)
  }
  module.registerHooks({
    resolve: (specifier, context, next) =>
      next(specifier, { ...context, conditions: [...context.conditions, "@millrace/source"] })
  })
  await import("../src/cli/main.ts")
} else {
  await import("../dist/cli/main.js")
}
