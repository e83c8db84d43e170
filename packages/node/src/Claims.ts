/**
 * Who on a server of Node.js answers a request to open a WebSocket. Everybody who adds endpoints to a server claims
 * their paths, so that a request is refused only when nobody wants it; all other requests stay where they are.
 */
import type * as http from "node:http"
import type * as http2 from "node:http2"
import type * as net from "node:net"
import type { Duplex } from "node:stream"
import { Refusal } from "@millrace/core/codec/HandshakeError"
import * as Http1Upgrade from "./Http1Upgrade.ts"
import * as Http2Upgrade from "./Http2Upgrade.ts"
import type { Upgrade } from "./Upgrade.ts"

/** A server of `node:http`, `node:https` or `node:http2`. */
export type Server = http.Server | http2.Http2Server | http2.Http2SecureServer

/** The path of an endpoint that takes what no other endpoint claims. */
export const everyPath = "*"

/** What somebody does with a request for that path; `undefined` for a path that is none of theirs. */
export type Claim = (path: string) => ((upgrade: Upgrade) => void) | undefined

const claims = new WeakMap<net.Server, Set<Claim>>()

const isHttp2 = (server: Server): server is http2.Http2Server | http2.Http2SecureServer => "updateSettings" in server

/** Adds a claim. A server of HTTP/2 tells the clients of its next sessions that they may ask for WebSockets. */
export const register = (server: Server, claim: Claim): void => {
  const existing = claims.get(server)
  if (existing !== undefined) {
    existing.add(claim)
    return
  }
  claims.set(server, new Set([claim]))
  const emitter: net.Server = server
  emitter.on("upgrade", onUpgrade)
  if (isHttp2(server)) {
    server.updateSettings({ enableConnectProtocol: true })
    emitter.on("stream", onStream)
    emitter.on("connect", onConnect)
  }
}

/**
 * Takes a claim back. What clients were told of a server of HTTP/2 stays as it is: RFC 8441 section 3 has no way back
 * for a session, and whether the next ones should be told is not known here.
 */
export const release = (server: Server, claim: Claim): void => {
  const existing = claims.get(server)
  existing?.delete(claim)
  if (existing?.size !== 0) return
  claims.delete(server)
  const emitter: net.Server = server
  emitter.off("upgrade", onUpgrade).off("stream", onStream).off("connect", onConnect)
}

/** Gives the request to whoever claims its path, or its every path; `false` when nobody does. */
const give = (server: net.Server, upgrade: Upgrade): boolean => {
  for (const path of [upgrade.path, everyPath]) {
    for (const claim of claims.get(server) ?? []) {
      const serve = path === undefined ? undefined : claim(path)
      if (serve === undefined) continue
      serve(upgrade)
      return true
    }
  }
  return false
}

const refusal = (status: number, clause: string, detail: string, headers: Refusal["headers"] = []) =>
  new Refusal({ status, headers, clause, detail })

const notFound = refusal(404, "RFC 9110 15.5.5", "no WebSocket here")

// HTTP/1.1.

function onUpgrade(this: http.Server, incoming: http.IncomingMessage, socket: Duplex, head: Buffer): void {
  const upgrade = new Http1Upgrade.Http1Upgrade(incoming, socket, head)
  const alone = this.listenerCount("upgrade") === 1
  if (!Http1Upgrade.isWebSocket(incoming)) {
    if (alone) serveAsRequest(this, upgrade)
  } else if (!give(this, upgrade) && alone) {
    upgrade.refuse(notFound)
  }
}

/** A server may ignore `Upgrade`: RFC 9110 section 7.8. Node.js hands the socket over all the same. */
const serveAsRequest = (server: http.Server, upgrade: Http1Upgrade.Http1Upgrade): void => {
  const { head, incoming } = upgrade
  const hasBody =
    incoming.headers["content-length"] !== undefined || incoming.headers["transfer-encoding"] !== undefined
  // The parser has let go of the body, so it cannot be read any more.
  if (hasBody || head.length > 0) return upgrade.refuse(notUpgraded)
  const response = upgrade.respond()
  if (response !== undefined) server.emit("request", incoming, response)
}

const notUpgraded = refusal(400, "RFC 9110 7.8", "send this request without Upgrade")

// HTTP/2.

/** Without a listener, Node.js answers every CONNECT with 405 as soon as the server has one for requests. */
const onConnect = (): void => {}

/** No problem of ours, nor of the process: whoever has the stream is told when it closes. */
const onStreamError = (): void => {}

function onStream(
  this: net.Server,
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  _flags: number,
  rawHeaders: ReadonlyArray<string>
): void {
  if (headers[":method"] !== "CONNECT") return
  stream.on("error", onStreamError)
  // When all listeners have seen it: somebody else may have answered by then.
  process.nextTick(() => {
    if (stream.headersSent) return
    const upgrade = new Http2Upgrade.Http2Upgrade(stream, rawHeaders)
    if (headers[":protocol"] === "websocket" && give(this, upgrade)) return
    if (isAlone(this)) upgrade.refuse(unclaimed(headers[":protocol"]))
  })
}

/** Listeners for streams that answer no CONNECT. */
const leaving = new WeakSet<object>()

/** Makes known that a listener for streams answers no CONNECT, so that one that nobody claims is refused. */
export const leavesConnect = <Listener extends object>(listener: Listener): Listener => {
  leaving.add(listener)
  return listener
}

/** Whether nobody else may still answer a CONNECT. One listener for streams is that of Node.js, for those for requests. */
const isAlone = (server: net.Server): boolean => {
  if (server.listenerCount("connect") > 1) return false
  const others = server.listeners("stream").filter((listener) => listener !== onStream && !leaving.has(listener))
  return others.length <= Math.min(1, server.listenerCount("request"))
}

const unclaimed = (protocol: unknown): Refusal => {
  if (protocol === "websocket") return notFound
  return protocol === undefined ? noProxy : unknownProtocol
}

const noProxy = refusal(405, "RFC 9110 9.3.6", "this server is no proxy", [["Allow", "GET, HEAD"]])

const unknownProtocol = refusal(501, "RFC 9220 3", ":protocol is not websocket")
