/**
 * Starting a server of Node.js, and ending it whatever its connections do.
 */
import type { AddressInfo, Server, Socket } from "node:net"
import * as tls from "node:tls"
import type * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** The server could not be started: who runs it has to choose another address, or the rights for this one. */
export class ListenError extends Data.TaggedError("ListenError")<{
  /** As Node.js has it: `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`, `ENOTFOUND` ... */
  readonly code: string | undefined
  readonly address: string
  readonly cause: unknown
}> {
  override get message(): string {
    switch (this.code) {
      case "EADDRINUSE":
        return `${this.address} is in use already`
      case "EADDRNOTAVAIL":
      case "ENOTFOUND":
        return `${this.address} is no address of this machine`
      case "EACCES":
        return `${this.address} may not be used by this user`
      default:
        return `cannot listen on ${this.address}: ${this.cause instanceof Error ? this.cause.message : this.cause}`
    }
  }
}

/** An address. */
export interface ListenOptions {
  /** Default 127.0.0.1, which only this machine can reach. `::` or `0.0.0.0` for every interface. */
  readonly host?: string | undefined
  /** Default 0: one that is free. */
  readonly port?: number | undefined
  /** Whether other processes of this user may listen there too, and have some of the connections. Default: no. */
  readonly reusePort?: boolean | undefined
  /** A unix socket, in place of host and port. */
  readonly socketPath?: string | undefined
}

/** Where a server listens. */
export interface Listening {
  readonly host: string
  readonly port: number
  /** With `ws:` or `wss:`, and without a path. */
  readonly url: string
}

/** As `NodeWebSocket` takes it, where a colon ends the path. */
const escapePath = (path: string): string => encodeURI(path).replaceAll(/[:?#]/g, encodeURIComponent)

/**
 * Starts a server, and ends it with the scope: it stops listening first, and cuts what is open at the end. What goes
 * wrong with the server itself in between, such as too many open files, is logged at level Error.
 */
export const listen = (server: Server, options: ListenOptions): Effect.Effect<Listening, ListenError, Scope.Scope> =>
  Effect.contextWith((context: Context.Context<never>) => {
    const report = (error: Error) => void Effect.runForkWith(context)(Effect.logError("the server has failed", error))
    // A socket that was upgraded is none of `node:http` any more, and would keep the server from ending as long as it likes.
    const sockets = new Set<Socket>()
    const forget = function (this: Socket) {
      sockets.delete(this)
    }
    const remember = (socket: Socket) => {
      sockets.add(socket)
      socket.on("close", forget)
    }
    const started = Effect.tap(start(server, options), () =>
      Effect.sync(() => server.on("connection", remember).on("error", report))
    )
    return Effect.acquireRelease(started, () =>
      Effect.callback<void>((resume) => {
        server.off("connection", remember)
        server.close(() => {
          server.off("error", report)
          resume(Effect.void)
        })
        for (const socket of sockets) socket.destroy()
      })
    )
  })

const start = (
  server: Server,
  { host = "127.0.0.1", port = 0, reusePort = false, socketPath }: ListenOptions
): Effect.Effect<Listening, ListenError> =>
  Effect.callback((resume) => {
    const shown = socketPath ?? `${host.includes(":") ? `[${host}]` : host}:${port}`
    const fail = (cause: Error & { readonly code?: string }) => {
      server.off("error", fail)
      resume(Effect.fail(new ListenError({ code: cause.code, address: shown, cause })))
    }
    server.on("error", fail)
    const listening = () => {
      server.off("error", fail)
      resume(Effect.succeed(whereabouts(server, socketPath)))
    }
    try {
      server.listen(socketPath === undefined ? { host, port, reusePort } : { path: socketPath }, listening)
    } catch (cause) {
      fail(cause as Error)
    }
  })

const whereabouts = (server: Server, socketPath = ""): Listening => {
  const address = server.address() as AddressInfo | string
  const scheme = server instanceof tls.Server ? "wss" : "ws"
  if (typeof address === "string") return { host: "", port: 0, url: `${scheme}+unix:${escapePath(socketPath)}` }
  const name = address.family === "IPv6" ? `[${address.address}]` : address.address
  return { host: address.address, port: address.port, url: `${scheme}://${name}:${address.port}` }
}
