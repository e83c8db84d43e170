/**
 * `millrace echo`: sends back what it gets, for people who test a client and for test tools.
 */
import * as Origin from "@millrace/core/codec/Origin"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Command from "effect/cli/Command"
import * as NodeWebSocketServer from "../NodeWebSocketServer.ts"
import * as compression from "./compression.ts"
import { Failure } from "./Failure.ts"
import * as flags from "./flags.ts"

export const echo = Command.make(
  "echo",
  {
    host: flags.host,
    port: flags.port(9001),
    maxMessage: flags.maxMessage("64MiB"),
    compression: compression.flags("0")
  },
  ({ compression: compress, host, maxMessage, port }) =>
    Effect.gen(function* () {
      const extensions = compression.extensions(compress, 0)
      const limits = { maxMessageBytes: maxMessage, maxFragments: Number.POSITIVE_INFINITY }
      // Batches in, batches out: what one read brought leaves in one write.
      const server = yield* NodeWebSocketServer.serve(
        { host, port, origin: Origin.any, limits, extensions },
        (connection) =>
          Effect.forever(Effect.flatMap(connection.pull, connection.sendAll), { disableYield: true }).pipe(
            Pull.catchDone(() => Effect.void)
          )
      ).pipe(
        Effect.mapError((error) => new Failure({ sentence: `${error.message}; choose another with --host and --port` }))
      )
      yield* Console.log(`millrace: echoing at ${server.url}/; Ctrl-C ends it`)
      yield* Effect.never
    }).pipe(Effect.scoped)
).pipe(
  Command.withDescription(
    "Echo every message as it came, text as text and binary as binary, at any path and for any page."
  ),
  Command.withShortDescription("Echo every message"),
  Command.withExamples([
    { command: "millrace echo", description: "On ws://127.0.0.1:9001" },
    { command: "millrace echo --max-message 1GiB", description: "With long messages" },
    { command: "millrace echo --deflate", description: "Compressed, where the client can" }
  ])
)
