/**
 * A connection to a NATS, as long as a scope is open. It does not come back by itself.
 */
import { connect, type NatsConnection, type NodeConnectionOptions } from "@nats-io/transport-node"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { BrokerError } from "@millrace/core/cluster/BrokerError"
import * as Faults from "./Faults.ts"

/** How often the client asks whether the server is there, in milliseconds, and how often it may have no answer. */
const pingInterval = 10_000
const maxPingOut = 2

/** As it is, where it is not escaped well. */
const unescaped = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Where to connect to, and as whom. Fails with what is wrong with an address, in words. */
export const serversOf = (
  addresses: string | ReadonlyArray<string>
): Result.Result<Pick<NodeConnectionOptions, "servers" | "user" | "pass" | "token" | "tls">, string> => {
  const servers: Array<string> = []
  const rest: Pick<NodeConnectionOptions, "user" | "pass" | "token" | "tls"> = {}
  for (const address of typeof addresses === "string" ? [addresses] : addresses) {
    const url = URL.parse(address)
    // Addresses have passwords in them, so they are not repeated.
    if (url === null || url.hostname === "" || !/^(nats|tls):$/.test(url.protocol)) {
      return Result.fail("an address of NATS is nats://host:port or tls://host:port")
    }
    servers.push(`${url.hostname}:${url.port === "" ? "4222" : url.port}`)
    const user = unescaped(url.username)
    const pass = unescaped(url.password)
    if (pass !== "") Object.assign(rest, { user, pass })
    else if (user !== "") rest.token = user
    if (url.protocol === "tls:") rest.tls ??= {}
  }
  return servers.length === 0 ? Result.fail("there is no address of NATS") : Result.succeed({ servers, ...rest })
}

/** `timeout` is in milliseconds, for each address. */
export const open = (
  addresses: string | ReadonlyArray<string>,
  options: NodeConnectionOptions | undefined,
  timeout: number
): Effect.Effect<NatsConnection, BrokerError, Scope.Scope> => {
  const servers = serversOf(addresses)
  if (Result.isFailure(servers)) return Effect.fail(Faults.rejected(new Error(servers.failure)))
  const made = Effect.callback<NatsConnection, BrokerError>((resume) => {
    let isWanted = true
    connect({
      name: "millrace",
      pingInterval,
      maxPingOut,
      noAsyncTraces: true,
      ...servers.success,
      ...options,
      timeout,
      reconnect: false,
      waitOnFirstConnect: false
    }).then(
      (connection) => {
        if (isWanted) resume(Effect.succeed(connection))
        else void connection.close()
      },
      (error: unknown) => resume(Effect.fail(Faults.errorOf(error)))
    )
    return Effect.sync(() => {
      isWanted = false
    })
  })
  return Effect.uninterruptibleMask((restore) =>
    Effect.tap(restore(made), (connection) =>
      // One that does not answer is not waited for.
      Effect.addFinalizer(() => Effect.sync(() => void connection.close()))
    )
  )
}
