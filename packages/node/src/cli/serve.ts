/**
 * `millrace serve`: the hub.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import * as HubServer from "../HubServer.ts"
import * as compression from "./compression.ts"
import { Failure } from "./Failure.ts"
import * as flags from "./flags.ts"

/** Where a person's browser finds what listens at that address. */
const pageUrl = (host: string, port: number): string => {
  if (host === "127.0.0.1" || host === "::1" || host === "0.0.0.0" || host === "::") return `http://localhost:${port}/`
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}/`
}

export const serve = Command.make(
  "serve",
  {
    host: flags.host,
    port: flags.port(8080),
    maxMessage: flags.maxMessage("1MiB"),
    origin: flags.allowOrigin,
    compression: compression.flags("1KiB")
  },
  ({ compression: compress, host, maxMessage, origin, port }) =>
    Effect.gen(function* () {
      const extensions = compression.extensions(compress, 1_024)
      const hub = yield* HubServer.serve({
        host,
        port,
        origin,
        limits: { maxMessageBytes: maxMessage },
        extensions
      }).pipe(
        Effect.mapError((error) => new Failure({ sentence: `${error.message}; choose another with --host and --port` }))
      )
      const page = pageUrl(hub.host, hub.port)
      yield* Console.log(`millrace: the hub is at ${page} (WebSocket ${page.replace("http", "ws")}ws); Ctrl-C ends it`)
      yield* Effect.never
    }).pipe(Effect.scoped)
).pipe(
  Command.withDescription(
    "Run a hub: clients subscribe to topics and publish to them, over WebSocket or by POST. " +
      'GET / is a page to try it with, GET /ws the WebSocket, POST /publish takes {"topic", "data"}, ' +
      "GET /health says how it is. The messages are described in docs/protocol.md."
  ),
  Command.withShortDescription("Run a hub with a page to try it with"),
  Command.withExamples([
    { command: "millrace serve", description: "On http://localhost:8080, for this machine only" },
    { command: "millrace serve --host :: --port 9000", description: "On every interface" },
    {
      command: "millrace serve --allow-origin https://app.example.com",
      description: "For the pages of one other site"
    }
  ])
)
