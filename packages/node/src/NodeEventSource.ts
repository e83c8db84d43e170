/**
 * Event sources on `node:http` and `node:https`.
 *
 *     const program = NodeEventSource.stream("https://example.com/events", { headers: { Authorization: "Bearer 123" } }).pipe(
 *       Stream.runForEach(({ event, data }) => Console.log(event, data))
 *     )
 *
 * Why not the `fetch` of Node.js: it ends a response that is silent for five minutes, it has no unix sockets, and it
 * takes no agent. Not in here: HTTP/2, and the rules, which are those of `connection/EventSource`.
 */
import * as http from "node:http"
import * as https from "node:https"
import * as EventSource from "@millrace/core/connection/EventSource"
import {
  type EventSourceError,
  InvalidRequest,
  type NetworkError,
  networkError
} from "@millrace/core/connection/EventSourceError"
import type { Fetch, Request, Response } from "@millrace/core/connection/Fetch"
import type { Event } from "@millrace/core/codec/EventStream"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as Scope from "effect/Scope"
import * as Hop from "./client/Hop.ts"
import type { TlsOptions } from "./NodeWebSocket.ts"
import * as Upgrade from "./Upgrade.ts"

/** How Node.js connects. Nothing of it is required. */
export interface FetchOptions {
  /** For `https:`, such as `ca`, `cert` and `key`. The last two are not shown to another origin after a redirect. */
  readonly tls?: TlsOptions | undefined
  /** Makes the connections, through a proxy for instance. Default: one connection, which nothing else will use. */
  readonly agent?: http.Agent | undefined
  /** A unix socket to connect to; the URL then says only what to ask for there. A redirect to another origin leaves it. */
  readonly socketPath?: string | undefined
}

export interface Options extends Omit<EventSource.Options, "fetch">, FetchOptions {}

/** An event source: see `EventSource.make`. */
export const make = (
  url: string | URL,
  options: Options = {}
): Effect.Effect<EventSource.EventSource, never, Scope.Scope> =>
  EventSource.make(`${url}`, { ...options, fetch: fetch(options) })

/** The events alone: see `EventSource.stream`. */
export const stream = (url: string | URL, options: Options = {}): Stream.Stream<Event, EventSourceError> =>
  EventSource.stream(`${url}`, { ...options, fetch: fetch(options) })

/** Makes requests with `node:http` and `node:https`. It follows no redirect and undoes no content coding. */
export const fetch =
  (options: FetchOptions = {}): Fetch =>
  (request) =>
    Effect.map(
      Effect.acquireRelease(
        send(request, options),
        ({ sent }) =>
          Effect.sync(() => {
            sent.destroy()
          }),
        { interruptible: true }
      ),
      ({ response }) => response
    )

interface Exchange {
  readonly sent: http.ClientRequest
  readonly response: Response
}

/** To another origin goes nothing that shows who we are, and nothing over what leads to one server only. */
const abroad = ({ tls = {}, ...options }: FetchOptions): FetchOptions => ({
  ...options,
  tls: Hop.anonymous(tls),
  socketPath: undefined
})

const begin = (request: Request, options: FetchOptions): http.ClientRequest => {
  const url = new URL(request.url)
  const { agent = false, socketPath, tls } = request.credentials ? options : abroad(options)
  const sent = (url.protocol === "https:" ? https : http).request({
    ...tls,
    protocol: url.protocol,
    host: url.hostname.startsWith("[") ? url.hostname.slice(1, -1) : url.hostname,
    port: url.port === "" ? undefined : url.port,
    path: `${url.pathname}${url.search}`,
    method: request.method,
    socketPath,
    agent
  })
  for (const [name, value] of request.headers) sent.appendHeader(name, value)
  if (!sent.hasHeader("Cache-Control")) sent.setHeader("Cache-Control", "no-cache")
  sent.end(request.body)
  return sent
}

/** Sends the request, and waits for the head of the response. */
const send = (request: Request, options: FetchOptions): Effect.Effect<Exchange, InvalidRequest | NetworkError> =>
  Effect.callback((resume) => {
    const failed = (cause: unknown) => resume(Effect.fail(networkError(cause)))
    let sent: http.ClientRequest
    try {
      sent = begin(request, options)
    } catch (cause) {
      const detail = cause instanceof Error ? cause.message : String(cause)
      return resume(Effect.fail(new InvalidRequest({ part: "options", detail, cause })))
    }
    // The listener stays, so that a request which fails when nobody waits for it any more does not end the process.
    sent.on("error", failed)
    sent.on("response", (incoming) => resume(Effect.succeed({ sent, response: responseOf(request, sent, incoming) })))
    sent.on("upgrade", (_, socket) => {
      socket.destroy()
      failed(new Error("the server has changed the protocol, which nobody has asked for"))
    })
    return Effect.sync(() => {
      sent.destroy()
    })
  })

const responseOf = (request: Request, sent: http.ClientRequest, incoming: http.IncomingMessage): Response => ({
  status: incoming.statusCode ?? 0,
  headers: Upgrade.headersOf(incoming),
  url: request.url,
  coding: incoming.headers["content-encoding"],
  body: bodyOf(sent, incoming)
})

/** Node.js reads ahead as far as its own buffer goes, 64 KiB, and stops. */
const bodyOf = (sent: http.ClientRequest, incoming: http.IncomingMessage): Stream.Stream<Uint8Array, NetworkError> => {
  let failure: unknown
  let wake: (() => void) | undefined
  const look = () => wake?.()
  const failed = (error: unknown) => {
    failure ??= error
    look()
  }
  // One that is cut off has an error, also when it is we who have cut it.
  incoming.on("readable", look).on("end", look).on("error", failed)
  // A response without a length ends with its connection, for Node.js also when that is reset.
  sent.on("error", (error) => {
    if (!incoming.complete) failed(error)
  })
  const take = (): typeof pull | undefined => {
    const chunk = incoming.read() as Buffer | null
    if (chunk !== null) return Effect.succeed([chunk])
    if (failure !== undefined) return Effect.fail(networkError(failure))
    return incoming.readableEnded ? Cause.done() : undefined
  }
  const pull: Effect.Effect<readonly [Uint8Array], Cause.Done | NetworkError> = Effect.suspend(
    () =>
      take() ??
      Effect.callback((resume) => {
        wake = () => {
          const taken = take()
          if (taken === undefined) return
          wake = undefined
          resume(taken)
        }
        // The fiber may have yielded since it was looked, and nothing is told twice.
        wake()
        return Effect.sync(() => {
          wake = undefined
        })
      })
  )
  return Stream.fromPull(Effect.succeed(pull))
}
