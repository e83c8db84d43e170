/**
 * A connection to a NATS, as long as a scope is open. It does not come back by itself.
 */
import * as net from "node:net"
import { connect, type NatsConnection, type NodeConnectionOptions } from "@nats-io/transport-node"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { BrokerError } from "@millrace/core/cluster/BrokerError"
import * as Faults from "./Faults.ts"

/** How often the client asks whether the server is there, in milliseconds, and how often it may have no answer. */
const pingInterval = 10_000
const maxPingOut = 2

type Who = Pick<NodeConnectionOptions, "user" | "pass" | "token" | "tls">

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
): Result.Result<Who & { readonly servers: Array<string> }, string> => {
  const servers: Array<string> = []
  const rest: Who = {}
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

/**
 * Succeeds when a server says something at that address, which all do at once. The client lets go of no socket on which
 * nothing was said: it is asked to connect only where somebody is.
 */
const probe = (server: string, timeout: number): Effect.Effect<string, BrokerError> =>
  Effect.callback<string, BrokerError>((resume) => {
    const { hostname, port } = new URL(`nats://${server}`)
    const socket = net.connect({ host: hostname.replace(/^\[|\]$/g, ""), port: Number(port) })
    const done = (result: Effect.Effect<string, BrokerError>) => {
      socket.destroy()
      resume(result)
    }
    const failed = (error: Error) => done(Effect.fail(Faults.unavailable(error)))
    socket.once("data", () => done(Effect.succeed(server)))
    socket.once("end", () => failed(new Error("it ended the connection and said nothing")))
    socket.on("error", failed)
    socket.setTimeout(timeout, () => failed(new Error(`it has not answered within ${timeout} ms`)))
    return Effect.sync(() => void socket.destroy())
  })

/** Those of the servers that are there. Fails when none is. */
const present = (servers: ReadonlyArray<string>, timeout: number): Effect.Effect<Array<string>, BrokerError> =>
  Effect.flatMap(
    Effect.forEach(servers, (server) => Effect.result(probe(server, timeout)), { concurrency: "unbounded" }),
    (results) => {
      const found = results.flatMap((result) => (Result.isSuccess(result) ? [result.success] : []))
      const [first] = results
      return found.length === 0 && first !== undefined && Result.isFailure(first)
        ? Effect.fail(first.failure)
        : Effect.succeed(found)
    }
  )

/** `timeout` is in milliseconds, for each step. */
export const open = (
  addresses: string | ReadonlyArray<string>,
  options: NodeConnectionOptions | undefined,
  timeout: number
): Effect.Effect<NatsConnection, BrokerError, Scope.Scope> => {
  const parsed = serversOf(addresses)
  if (Result.isFailure(parsed)) return Effect.fail(Faults.rejected(new Error(parsed.failure)))
  const { servers, ...who } = parsed.success
  const dial = (servers: Array<string>) =>
    Effect.callback<NatsConnection, BrokerError>((resume) => {
      let isWanted = true
      connect({
        name: "millrace",
        pingInterval,
        maxPingOut,
        noAsyncTraces: true,
        ...who,
        ...options,
        servers,
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
  // It says nothing before there is TLS.
  const isMute = options?.tls?.handshakeFirst === true
  const made = Effect.flatMap(isMute ? Effect.succeed(servers) : present(servers, timeout), dial)
  return Effect.uninterruptibleMask((restore) =>
    Effect.tap(restore(made), (connection) =>
      // One that does not answer is not waited for.
      Effect.addFinalizer(() => Effect.sync(() => void connection.close()))
    )
  )
}
