/** A folder of its own for what a test writes. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** Its path. It is gone, with what is in it, when the scope is closed. */
export const folder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "millrace-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)
