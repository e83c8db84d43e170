/**
 * A request of `node:http` as Effect's `HttpServerRequest`. `NodeHttpServer` of `@effect/platform-node` has one too, but
 * cannot be imported without `ws`.
 */
import type * as http from "node:http"
import type { TLSSocket } from "node:tls"
import { NodeHttpIncomingMessage } from "@effect/platform-node/NodeHttpIncomingMessage"
import * as NodeMultipart from "@effect/platform-node/NodeMultipart"
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Cookies from "effect/http/Cookies"
import * as Headers from "effect/http/Headers"
import { HttpServerError, RequestParseError } from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import type { HttpServerResponse } from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import type * as Socket from "effect/socket/Socket"

/** A request and its answer, shared by all views that `modify` makes of the request. */
export interface Exchange {
  readonly incoming: http.IncomingMessage
  readonly response: http.ServerResponse
  /** `undefined` when the request is none to upgrade. */
  readonly upgrade:
    | ((request: Request, headers: Headers.Headers) => Effect.Effect<Socket.Socket, HttpServerError>)
    | undefined
  /** What the application is told of the answer when the connection was upgraded. */
  switched: HttpServerResponse | undefined
  /** Whoever answers. */
  fiber: Fiber.Fiber<unknown, unknown> | undefined
}

/** What `modify` may say otherwise than the request does. */
type View = Partial<Parameters<HttpServerRequest.HttpServerRequest["modify"]>[0]>

/** The part of an absolute target that is its authority, and the rest. RFC 9112 section 3.2.2. */
const absolute = (target: string): { readonly host: string; readonly target: string } | undefined => {
  if (!/^https?:\/\//i.test(target) || !URL.canParse(target)) return undefined
  const { host, pathname, search } = new URL(target)
  return { host, target: pathname + search }
}

export class Request extends NodeHttpIncomingMessage<HttpServerError> implements HttpServerRequest.HttpServerRequest {
  readonly [HttpServerRequest.TypeId]: typeof HttpServerRequest.TypeId = HttpServerRequest.TypeId
  // What is left of a body is dealt with behind the answer: see `Response`.
  protected override readonly destroyOnOverflow = false
  protected override readonly closeOnDone = false
  readonly exchange: Exchange
  readonly url: string
  private readonly view: View
  private fields: Headers.Headers | undefined
  private parsedCookies: HttpServerRequest.HttpServerRequest["cookies"] | undefined
  private parts: HttpServerRequest.HttpServerRequest["multipart"] | undefined

  constructor(exchange: Exchange, view: View = {}) {
    super(
      exchange.incoming,
      (cause) => {
        const reason = cause instanceof NodeStream.MaxBytesError ? "BodyTooLarge" : "Parse"
        return new HttpServerError({ reason: new RequestParseError({ request: this, reason, cause }) })
      },
      view.remoteAddress
    )
    const { url: target = "/" } = exchange.incoming
    const found = view.url === undefined ? absolute(target) : undefined
    this.exchange = exchange
    this.view = view
    this.url = view.url ?? found?.target ?? target
    this.fields = view.headers
    if (found !== undefined) this.fields = Headers.set(this.headers, "host", found.host)
  }

  /** For `NodeHttpServerRequest.toServerResponse`. */
  get response(): http.ServerResponse {
    return this.exchange.response
  }

  get method(): string {
    return (this.source.method ?? "GET").toUpperCase()
  }

  get originalUrl(): string {
    const { url: target = "/" } = this.source
    const { host } = this.source.headers
    if (!target.startsWith("/") || host === undefined) return target
    return `${(this.source.socket as TLSSocket).encrypted ? "https" : "http"}://${host}${target}`
  }

  get protocol(): "http" | "https" | undefined {
    return this.view.protocol
  }

  get peerAddress(): Option.Option<string> {
    return this.view.peerAddress ?? this.remoteAddress
  }

  override get headers(): Headers.Headers {
    return (this.fields ??= Headers.fromInput(this.source.headers))
  }

  get cookies(): HttpServerRequest.HttpServerRequest["cookies"] {
    return (this.parsedCookies ??= Cookies.parseHeader(this.headers["cookie"] ?? ""))
  }

  get multipart(): HttpServerRequest.HttpServerRequest["multipart"] {
    return (this.parts ??= Effect.runSync(
      Effect.cached(Effect.suspend(() => NodeMultipart.persisted(this.source, this.source.headers)))
    ))
  }

  get multipartStream(): HttpServerRequest.HttpServerRequest["multipartStream"] {
    return NodeMultipart.stream(this.source, this.source.headers)
  }

  get upgrade(): HttpServerRequest.HttpServerRequest["upgrade"] {
    return this.upgradeWith({})
  }

  readonly upgradeWith: HttpServerRequest.HttpServerRequest["upgradeWith"] = ({ headers }) =>
    Effect.suspend(() => {
      const { upgrade } = this.exchange
      if (upgrade !== undefined) return upgrade(this, Headers.fromInput(headers))
      const description = "the request asks for no upgrade"
      return Effect.fail(new HttpServerError({ reason: new RequestParseError({ request: this, description }) }))
    })

  modify(view: View): Request {
    const { exchange, headers, url } = this
    return new Request(exchange, { ...this.view, headers, url, ...view })
  }

  override toString(): string {
    return `Request(${this.method} ${this.url})`
  }

  toJSON(): unknown {
    return { _id: "HttpServerRequest", method: this.method, url: this.originalUrl }
  }
}
