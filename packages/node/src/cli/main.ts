/**
 * The `millrace` command: the entry point, and what a person reads when something does not work.
 *
 * Whatever goes wrong is one sentence on standard error and an exit code that is not zero. The first Ctrl-C ends the
 * command in good order, with exit code 0; a second one ends it at once.
 */
import { readFileSync } from "node:fs"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import { connect } from "./connect.ts"
import { echo } from "./echo.ts"
import { Failure } from "./Failure.ts"
import { listen } from "./listen.ts"
import { publish } from "./publish.ts"
import { replay } from "./replay.ts"
import { serve } from "./serve.ts"
import * as words from "./words.ts"
import * as workers from "./workers.ts"

const millrace = Command.make("millrace").pipe(
  Command.withDescription("WebSockets and Server-Sent Events from the command line: a hub, an echo server, clients."),
  Command.withSubcommands([serve, echo, connect, listen, publish, replay])
)

/** Help is for those who ask for it; a mistake gets the sentence that it needs. */
const presenter: CliOutput.Presenter = {
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? words.say(
          `${event.errors.map((error) => error.message.trim()).join("; ")}. ` +
            `Try ${event.commandPath.join(" ")} --help.`
        )
      : CliOutput.defaultPresenter.present(event)
}

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  readonly version: string
}

const main = Command.runWith(millrace, { version })(process.argv.slice(2)).pipe(
  Effect.catchTag("Failure", (failure: Failure) =>
    Effect.andThen(words.say(failure.sentence), Effect.succeed(failure.exitCode ?? 1))
  ),
  Effect.catchTag("ShowHelp", (help) => Effect.succeed(help.errors.length > 0 ? 1 : 0)),
  Effect.map((code) => (typeof code === "number" ? code : 0)),
  Effect.provide(
    Layer.mergeAll(
      NodeServices.layer,
      CliOutput.layerPresenter(presenter),
      Layer.succeed(
        CliConfig.CliConfig,
        CliConfig.make({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions, GlobalFlag.LogLevel] })
      ),
      // Standard output belongs to what was asked for.
      Layer.succeed(Logger.LogToStderr, true)
    )
  )
)

const fiber = Effect.runFork(main)

let interrupted = false
const interrupt = () => {
  if (interrupted) process.exit(130)
  interrupted = true
  fiber.interruptUnsafe()
}
workers.onEnd(interrupt)

/** A pipe whose reader has gone, as in `millrace connect ... | head -1`, is the end of the command and no mistake. */
const unwritten = (error: Error & { readonly code?: string }) => {
  if (error.code === "EPIPE" || process.exitCode) return
  console.error(`millrace: cannot write to standard output: ${error.message}`)
  process.exitCode = 1
}
process.stdout.on("error", (error) => {
  unwritten(error)
  if (!interrupted) interrupt()
})

fiber.addObserver((exit) => {
  if (Exit.isSuccess(exit)) process.exitCode ||= exit.value
  else if (!Cause.hasInterruptsOnly(exit.cause)) {
    console.error(`millrace: this is a mistake in millrace itself: ${Cause.pretty(exit.cause)}`)
    process.exitCode = 70
  }
  // Standard input may be open still, and would keep the process; what was printed goes out first.
  process.stdout.write("", (error) => {
    if (error) unwritten(error)
    process.exit()
  })
})
