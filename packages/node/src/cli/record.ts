/**
 * A recording that is written to a file while it is made: each line as it comes, so that what a process that was killed
 * has written can be read. docs/protocol.md, "Recordings".
 */
import { closeSync, constants, fstatSync, ftruncateSync, openSync, writeFileSync } from "node:fs"
import type * as Recorder from "@millrace/core/connection/Recorder"
import * as RecordingText from "@millrace/core/protocol/RecordingText"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Failure } from "./Failure.ts"
import * as words from "./words.ts"

/** It holds what was said, secrets too: for its owner only, where it is not there already. */
const mode = 0o600

/** What was in the file is there until something takes its place. */
const flags = constants.O_WRONLY | constants.O_CREAT

/**
 * Opens the file, before there is a connection, and gives what takes the lines. Fails when it cannot be written. When it
 * cannot be written any more, as on a disk that is full, says so, and the exit code will be 1; the connection goes on.
 */
export const open = (path: string): Effect.Effect<Recorder.Sink, Failure, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({
      try: () => openSync(path, flags, mode),
      catch: (cause) => new Failure({ sentence: words.noFile("written", path, cause) })
    }),
    (file) => Effect.sync(() => closeSync(file))
  ).pipe(
    Effect.map((file): Recorder.Sink => {
      const isFile = fstatSync(file).isFile()
      let isBroken = false
      return (line) => {
        if (isBroken) return
        try {
          if (line._tag === "Header" && isFile) ftruncateSync(file)
          writeFileSync(file, `${RecordingText.printLine(line)}\n`)
        } catch (cause) {
          console.error(`millrace: the recording ends here: ${words.noFile("written", path, cause)}`)
          process.exitCode = 1
          isBroken = true
        }
      }
    })
  )
