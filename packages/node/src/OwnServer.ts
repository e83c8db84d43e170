/**
 * The server that `serve` runs: HTTP/1.1 alone, or HTTP/1.1 and HTTP/2 on one port, told apart by ALPN where there is
 * TLS and by the first bytes where there is none. It serves nothing but WebSockets, unless it is told what else.
 */
import * as http from "node:http"
import * as http2 from "node:http2"
import * as https from "node:https"
import type * as net from "node:net"
import { Refusal } from "@millrace/core/codec/HandshakeError"
import * as Claims from "./Claims.ts"
import * as Http2Upgrade from "./Http2Upgrade.ts"
import * as Preface from "./Preface.ts"
import * as Sessions from "./Sessions.ts"
import * as Upgrade from "./Upgrade.ts"

/** What it speaks, and to whom. */
export interface Options {
  readonly tls: https.ServerOptions | undefined
  readonly http2: Sessions.Options | undefined
  readonly limits: Upgrade.Limits
  /** How many milliseconds a client has to send its request, once more for TLS. */
  readonly patience: number
  /** Whether there are WebSockets at that path. */
  readonly isServed: (path: string | undefined) => boolean
  /** Answers what asks for no WebSocket. Default: 426, 405 over HTTP/2, and 404 elsewhere. */
  readonly plain?: PlainListener | undefined
}

/** Answers a request of either version of HTTP. */
export type PlainListener = (
  request: http.IncomingMessage | http2.Http2ServerRequest,
  response: http.ServerResponse | http2.Http2ServerResponse
) => void

/** A server that does not listen yet. */
export interface OwnServer {
  readonly server: http.Server | http2.Http2SecureServer
  /** The part of it that speaks HTTP/2; the same where one server speaks both. */
  readonly http2: http2.Http2Server | http2.Http2SecureServer | undefined
  /** All parts of it that ask for WebSockets. */
  readonly parts: ReadonlyArray<Claims.Server>
}

export const make = (options: Options): OwnServer => {
  const { limits, patience, tls } = options
  const timeouts = {
    ...(Number.isFinite(patience)
      ? {
          headersTimeout: patience,
          requestTimeout: Math.max(300_000, patience),
          connectionsCheckingInterval: Math.min(2_000, Math.ceil(patience / 4))
        }
      : { headersTimeout: 0 }),
    // Node.js refuses what has as many.
    maxHeaderSize: Math.min(limits.maxHandshakeBytes + 1, 0x7fff_ffff)
  }
  const secure = { ...timeouts, handshakeTimeout: timeouts.headersTimeout, ...tls }
  if (options.http2 === undefined) {
    const onRequest = http1Listener(options)
    const server = tls === undefined ? http.createServer(timeouts, onRequest) : https.createServer(secure, onRequest)
    return { server, http2: undefined, parts: [server] }
  }
  const sessions = Sessions.serverOptions(options.http2, limits)
  if (tls === undefined) {
    const server = http.createServer(timeouts, http1Listener(options))
    const streams = http2.createServer(sessions, options.plain)
    if (options.plain === undefined) answerStreams(streams, options)
    Preface.divert(server, streams, patience)
    return { server, http2: streams, parts: [server, streams] }
  }
  const server = http2.createSecureServer({ ...secure, ...sessions, allowHTTP1: true } as http2.SecureServerOptions)
  // What Node.js before 24 does not take as options.
  Object.assign(server, { keepAliveTimeout: 5_000 }, timeouts)
  server.on("request", http1Listener(options) as never)
  // With it came a listener that makes a request and a response of every stream, which is more than its WebSocket takes.
  if (options.plain === undefined) {
    server.removeAllListeners("stream")
    answerStreams(server, options)
  }
  return { server, http2: server, parts: [server] }
}

const http1Listener =
  ({ isServed, plain }: Options): http.RequestListener =>
  (request, response) => {
    if (plain !== undefined) return plain(request, response)
    const found = isServed(Upgrade.pathOf(request))
    response.writeHead(found ? 426 : 404, {
      "Content-Type": "text/plain; charset=utf-8",
      ...(found ? { Upgrade: "websocket", Connection: "Upgrade, close" } : {})
    })
    response.end(found ? "this is a WebSocket endpoint\n" : "not found\n")
  }

/** Answers what asks for no WebSocket. */
const answerStreams = (server: net.Server, { isServed }: Options): void => {
  const answer = (
    stream: http2.ServerHttp2Stream,
    headers: http2.IncomingHttpHeaders,
    _flags: number,
    rawHeaders: ReadonlyArray<string>
  ) => {
    if (headers[":method"] === "CONNECT") return
    stream.on("error", () => {})
    const upgrade = new Http2Upgrade.Http2Upgrade(stream, rawHeaders)
    upgrade.refuse(isServed(upgrade.path) ? notAsked : notFound)
  }
  server.on("stream", Claims.leavesConnect(answer))
}

/** There is nothing to upgrade to in HTTP/2, so no 426. */
const notAsked = new Refusal({
  status: 405,
  headers: [["Allow", "CONNECT"]],
  clause: "RFC 8441 4",
  detail: "this is a WebSocket endpoint"
})

const notFound = new Refusal({ status: 404, headers: [], clause: "RFC 9110 15.5.5", detail: "not found" })
