/** A Redis for a test. */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as RealServer from "./realServer.ts"

/**
 * Starts one on loopback, which keeps nothing on disk unless `args` say so: started again it is empty. It is killed when
 * the scope is closed, or when this process dies. Dies when this machine has none: see `describeWith`.
 */
export const redisServer = (
  options: {
    /** A free one when there is none here. */
    readonly port?: number
    /** More arguments, as `["--requirepass", "secret"]`; they come last, and win. */
    readonly args?: ReadonlyArray<string>
  } = {}
): Effect.Effect<RealServer.RealServer, never, Scope.Scope> =>
  RealServer.start(
    {
      name: "redis-server",
      scheme: "redis",
      arguments: (port, store) =>
        ["--bind", "127.0.0.1", "--port", `${port}`, "--dir", store, "--save", "", "--appendonly", "no"].concat(
          options.args ?? []
        ),
      ready: /Ready to accept connections/
    },
    options.port
  )
