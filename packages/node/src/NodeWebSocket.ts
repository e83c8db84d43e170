/**
 * WebSocket clients on `node:http` and `node:https`.
 *
 *     const program = Effect.gen(function* () {
 *       const connection = yield* NodeWebSocket.open("wss://example.com/chat", { subprotocols: ["chat"] })
 *       yield* connection.send("hello")
 *       yield* Stream.runForEach(connection.messages, Console.log)
 *     }).pipe(
 *       Effect.scoped,
 *       Effect.catchReason("OpenError", "Refused", ({ status, text }) => Console.error(`no: ${status} ${text}`))
 *     )
 *
 * `node:http` dials, speaks TLS and parses the answer; the rules of the opening handshake are those of
 * `codec/Handshake`. Not in here: reconnecting, and HTTP/2.
 */
import { randomBytes, randomFillSync } from "node:crypto"
import * as http from "node:http"
import * as https from "node:https"
import type { ConnectionOptions } from "node:tls"
import * as Handshake from "@millrace/core/codec/Handshake"
import { MalformedHead } from "@millrace/core/codec/HandshakeError"
import type { Request, Response } from "@millrace/core/codec/HttpHead"
import * as HttpHeaders from "@millrace/core/codec/HttpHeaders"
import type { Limits } from "@millrace/core/connection/Limits"
import { HandshakeTimeout, InvalidOptions, InvalidUrl, OpenError, Refused } from "@millrace/core/connection/OpenError"
import type { Transport } from "@millrace/core/connection/Transport"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import { TransportError } from "@millrace/core/connection/WebSocketError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as NodeTransport from "./NodeTransport.ts"
import * as Upgrade from "./Upgrade.ts"

/** What `node:tls` takes, apart from where to connect. Certificates are verified. */
export type TlsOptions = Omit<
  ConnectionOptions,
  "ALPNProtocols" | "allowHalfOpen" | "host" | "onread" | "path" | "port" | "signal" | "socket" | "timeout"
>

/** How to open a connection. Nothing of it is required. */
export interface Options {
  /** Cookies, authorization and the like. Those that the handshake is made of cannot be among them. */
  readonly headers?: HttpHeaders.Headers | Readonly<Record<string, string>> | undefined
  /** The one it likes best first. The server may choose one of them, or none. */
  readonly subprotocols?: ReadonlyArray<string> | undefined
  /** The origin of the page that this client acts for, such as `https://example.com`. Programs send none. */
  readonly origin?: string | undefined
  /** How long everything may take until the connection is open: DNS, TCP, TLS, redirects, the answer. Default 10 s. */
  readonly handshakeTimeout?: Duration.Input | undefined
  /** For `wss:`, such as `ca`, `cert` and `key`. The last two are not shown to another origin after a redirect. */
  readonly tls?: TlsOptions | undefined
  /** Makes the connections, through a proxy for instance. Default: one connection, which nothing else will use. */
  readonly agent?: http.Agent | undefined
  /** A unix socket to connect to; the URL then says only what to ask for there. */
  readonly socketPath?: string | undefined
  /**
   * How many redirects are followed. Default 0: a redirect is a refusal. On the way to another origin `Authorization`,
   * `Cookie` and `Proxy-Authorization` are left out, and from `wss:` to `ws:` none is followed.
   */
  readonly maxRedirects?: number | undefined
  readonly limits?: Partial<Limits> | undefined
}

/** The server's answer that opened the connection. */
export interface Opened extends Pick<Response, "headers" | "status"> {
  /** Where it was opened, after redirects. */
  readonly url: string
}

/** Random bytes are drawn many at a time: a call for four costs as much as one for thousands. */
const keys = new Int32Array(2_048)
let drawn = keys.length

/** An unpredictable key, for one frame: RFC 6455 sections 5.3 and 10.3. */
const maskingKey = (): number => {
  if (drawn === keys.length) {
    randomFillSync(keys)
    drawn = 0
  }
  return keys[drawn++]!
}

/** One request of the way to the connection. */
interface Hop {
  /** `ws:` or `wss:`. On a unix socket the host is what the server there is told. */
  readonly url: URL
  readonly socketPath: string | undefined
  readonly headers: HttpHeaders.Headers
  readonly tls: TlsOptions | undefined
}

const protocols: ReadonlyMap<string, "ws:" | "wss:"> = new Map([
  ["ws:", "ws:"],
  ["http:", "ws:"],
  ["ws+unix:", "ws:"],
  ["wss:", "wss:"],
  ["https:", "wss:"],
  ["wss+unix:", "wss:"]
])

interface Address {
  readonly url: URL
  readonly socketPath: string | undefined
}

/** RFC 6455 section 3, and the same for `http:`, `https:` and unix sockets. */
const parse = (input: string | URL): Result.Result<Address, InvalidUrl> => {
  const invalid = (detail: string) => Result.fail(new InvalidUrl({ url: `${input}`, detail }))
  if (!URL.canParse(`${input}`)) return invalid("it is no URL")
  const url = new URL(input)
  const protocol = protocols.get(url.protocol)
  if (protocol === undefined) return invalid("its scheme is neither ws: nor wss:")
  if (url.hash !== "" || url.href.endsWith("#")) return invalid("it has a fragment; a # is written %23")
  if (url.username !== "" || url.password !== "") return invalid("it has a user; credentials go into a header")
  if (!url.protocol.endsWith("+unix:")) {
    url.protocol = protocol
    return Result.succeed({ url, socketPath: undefined })
  }
  const [path = "", ...rest] = url.pathname.split(":")
  if (path === "" || url.host !== "") return invalid("it names no unix socket")
  const target = rest.join(":") || "/"
  if (!target.startsWith("/")) return invalid("what follows its unix socket is no path")
  try {
    const socketPath = decodeURIComponent(path)
    return Result.succeed({ url: new URL(`${protocol}//localhost${target}${url.search}`), socketPath })
  } catch {
    return invalid("the path of its unix socket is not percent-encoded UTF-8")
  }
}

const firstHop = (url: string | URL, options: Options): Result.Result<Hop, InvalidUrl> =>
  Result.map(parse(url), (address) => {
    const { headers = [], socketPath = address.socketPath, tls } = options
    return {
      url: address.url,
      socketPath,
      headers: Symbol.iterator in headers ? (headers as HttpHeaders.Headers) : Object.entries(headers),
      tls
    }
  })

/** What is told to one origin and to no other. */
const credentials: ReadonlySet<string> = new Set(["authorization", "cookie", "proxy-authorization"])

const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

/** Where a redirect leads, or why it is not followed. */
const nextHop = (hop: Hop, redirectsLeft: number, location: string | undefined): Result.Result<Hop, string> => {
  if (redirectsLeft === 0) return Result.fail("too many redirects")
  if (location === undefined || !URL.canParse(location, hop.url.href)) return Result.fail("it redirects to no URL")
  const target = new URL(location, hop.url)
  target.hash = ""
  return parse(target).pipe(
    Result.mapError(({ detail }) => `it redirects to a URL that cannot be opened: ${detail}`),
    Result.flatMap(({ socketPath, url }) => {
      if (hop.url.protocol === "wss:" && url.protocol === "ws:") return Result.fail("it redirects to a URL without TLS")
      if (socketPath !== undefined) return Result.fail("it redirects to a unix socket")
      if (url.origin === hop.url.origin) return Result.succeed({ ...hop, url })
      const { cert: _cert, key: _key, passphrase: _passphrase, pfx: _pfx, servername: _name, ...tls } = hop.tls ?? {}
      const headers = hop.headers.filter(([name]) => !credentials.has(name.toLowerCase()))
      return Result.succeed({ url, socketPath, headers, tls })
    })
  )
}

type Reason = OpenError["reason"]

interface Upgraded {
  readonly transport: Transport
  readonly subprotocol: string | undefined
  readonly handshake: Opened
}

interface Answer {
  readonly incoming: http.IncomingMessage
  /** When Node.js has taken the answer for one that upgrades. */
  readonly transport: Transport | undefined
}

const responseOf = (incoming: http.IncomingMessage): Response => ({
  status: incoming.statusCode ?? 0,
  reason: "",
  headers: Upgrade.headersOf(incoming)
})

const maxBody = 65_536

/** A refusal, whose body may still be coming. */
class Refusing {
  private readonly response: Response
  private readonly detail: string | undefined
  private readonly chunks: Array<Uint8Array> = []
  private room = maxBody

  constructor(response: Response, detail?: string) {
    this.response = response
    this.detail = detail
  }

  /** Says whether there is room for all of it. */
  take(chunk: Uint8Array): boolean {
    const taken = chunk.subarray(0, this.room)
    this.chunks.push(taken)
    this.room -= taken.length
    return taken.length === chunk.length
  }

  end(truncated: boolean): Refused {
    const { status, headers } = this.response
    return new Refused({ status, headers, body: Buffer.concat(this.chunks), truncated, detail: this.detail })
  }
}

/** Reads the body of a refusal, as far as there is room for it and as it comes. */
const readBody = (incoming: http.IncomingMessage, refusing: Refusing): Effect.Effect<never, Refused> =>
  Effect.callback((resume) => {
    const end = (truncated: boolean) => resume(Effect.fail(refusing.end(truncated)))
    incoming.on("error", () => end(true))
    incoming.on("close", () => end(true))
    incoming.on("end", () => end(false))
    incoming.on("data", (chunk: Buffer) => {
      if (!refusing.take(chunk)) end(true)
    })
  })

/** Who is at fault when a request fails: the server when it does not speak HTTP, otherwise the network. */
const failureOf = (error: Error & { readonly code?: string }): MalformedHead | TransportError => {
  if (error.code === "HPE_HEADER_OVERFLOW") {
    return new MalformedHead({ status: 431, clause: "RFC 9110 5.4", detail: "the head of the answer is too long" })
  }
  if (error.code?.startsWith("HPE_") === true) {
    return new MalformedHead({ status: 400, clause: "RFC 9112 2", detail: "the answer is not HTTP/1.1" })
  }
  // A name with several addresses fails with the failures of all of them, and with no message of its own.
  const cause: unknown = error instanceof AggregateError ? (error.errors[0] ?? error) : error
  return new TransportError({ cause })
}

/** A connection that is being opened: at most one request at a time, and what has become of it. */
class Opening {
  private readonly options: Options
  private readonly settings: WebSocket.Settings
  private request: http.ClientRequest | undefined
  private refusing: Refusing | undefined

  constructor(options: Options, settings: WebSocket.Settings) {
    this.options = options
    this.settings = settings
  }

  /** Leaves no socket behind, not even one that was upgraded. */
  abort(): void {
    this.request?.destroy()
  }

  /** Why it is not open when the time is over. A refusal counts, though its body has not come to an end. */
  late(timeout: number): HandshakeTimeout | Refused {
    return this.refusing?.end(true) ?? new HandshakeTimeout({ timeout })
  }

  /** Asks there, and where the answer sends us. */
  ask(hop: Hop, redirectsLeft: number): Effect.Effect<Upgraded, Reason> {
    const wanted = {
      host: hop.url.host,
      target: `${hop.url.pathname}${hop.url.search}`,
      key: randomBytes(16),
      subprotocols: this.options.subprotocols,
      origin: this.options.origin,
      headers: hop.headers
    }
    const handshake = Handshake.request(wanted)
    if (Result.isFailure(handshake)) return Effect.fail(handshake.failure)
    return Effect.flatMap(this.send(hop, handshake.success), ({ incoming, transport }) => {
      const response = responseOf(incoming)
      const verified = Handshake.verify(response, wanted)
      if (Result.isSuccess(verified) && transport !== undefined) {
        const { headers, status } = response
        const { subprotocol } = verified.success
        return Effect.succeed({ transport, subprotocol, handshake: { status, headers, url: hop.url.href } })
      }
      if (Result.isFailure(verified) && verified.failure._tag === "HandshakeViolation") {
        return Effect.fail(verified.failure)
      }
      const isRedirect = redirects.has(response.status) && (this.options.maxRedirects ?? 0) > 0
      const next = isRedirect ? nextHop(hop, redirectsLeft, incoming.headers.location) : Result.fail(undefined)
      if (Result.isFailure(next)) {
        this.refusing = new Refusing(response, next.failure)
        return readBody(incoming, this.refusing)
      }
      this.abort()
      return this.ask(next.success, redirectsLeft - 1)
    })
  }

  /** Sends the request, and waits for the head of the answer. */
  private send(
    hop: Hop,
    { headers, target }: Request
  ): Effect.Effect<Answer, InvalidOptions | MalformedHead | TransportError> {
    return Effect.callback((resume) => {
      let request: http.ClientRequest
      try {
        request = this.request = this.make(hop, target)
        for (const [name, value] of headers) request.appendHeader(name, value)
        request.end()
      } catch (cause) {
        return resume(Effect.fail(new InvalidOptions({ cause })))
      }
      // The listener stays, so that a request which fails when nobody waits for it any more does not end the process.
      request.on("error", (error) => resume(Effect.fail(failureOf(error))))
      request.on("response", (incoming) => resume(Effect.succeed({ incoming, transport: undefined })))
      request.on("upgrade", (incoming, socket, head) => {
        const transport = NodeTransport.make(socket, head, this.settings)
        resume(Effect.succeed({ incoming, transport }))
      })
    })
  }

  private make({ socketPath, tls, url }: Hop, target: string): http.ClientRequest {
    const secure = url.protocol === "wss:"
    return (secure ? https : http).request({
      ...tls,
      protocol: secure ? "https:" : "http:",
      host: url.hostname.startsWith("[") ? url.hostname.slice(1, -1) : url.hostname,
      port: url.port === "" ? undefined : url.port,
      path: target,
      socketPath,
      agent: this.options.agent ?? false,
      setHost: false
    })
  }
}

/**
 * Opens a connection that lives as long as the scope, whose closing closes it with 1000, with 1011 on failure and with
 * 1001 when interrupted. Interrupting `open` leaves no socket behind.
 *
 * `url` is `ws://host/chat`, `wss://host/chat` (`http:` and `https:` mean the same), or `ws+unix:/path/to.sock:/chat`
 * for a unix socket, where a colon in its path is written `%3A`.
 *
 * Fails with `OpenError`, whose reason says whose fault it was.
 */
export const open = (
  url: string | URL,
  options: Options = {}
): Effect.Effect<WebSocket.WebSocket<Opened>, OpenError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      const settings = WebSocket.settings("client", options.limits, maskingKey)
      const timeout = Duration.toMillis(options.handshakeTimeout ?? "10 seconds")
      const opening = new Opening(options, settings)
      return Effect.fromResult(firstHop(url, options)).pipe(
        Effect.flatMap((hop) => opening.ask(hop, options.maxRedirects ?? 0)),
        Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.fail(opening.late(timeout)) }),
        restore,
        Effect.onError(() => Effect.sync(() => opening.abort())),
        Effect.mapError((reason) => new OpenError({ reason })),
        Effect.flatMap((upgraded) =>
          Effect.flatMap(WebSocket.makeWheel(settings), (wheel) => WebSocket.make({ ...upgraded, settings, wheel }))
        )
      )
    })
  )
