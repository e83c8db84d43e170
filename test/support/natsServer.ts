/** A NATS for a test. */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as RealServer from "./realServer.ts"

/**
 * Starts one with JetStream on loopback. What streams keep in files is there after `restart`, and not after
 * `restartEmpty`. It is killed when the scope is closed, or when this process dies. Dies when this machine has none: see
 * `describeWith`.
 */
export const natsServer = (
  options: {
    /** A free one when there is none here. */
    readonly port?: number
    /** More arguments, as `["--user", "ada", "--pass", "secret"]`. */
    readonly args?: ReadonlyArray<string>
  } = {}
): Effect.Effect<RealServer.RealServer, never, Scope.Scope> =>
  RealServer.start(
    {
      name: "nats-server",
      scheme: "nats",
      arguments: (port, store) =>
        ["--addr", "127.0.0.1", "--port", `${port}`, "--jetstream", "--store_dir", store].concat(options.args ?? []),
      ready: /Server is ready/
    },
    options.port
  )
