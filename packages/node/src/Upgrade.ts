/**
 * A request to open a WebSocket as it comes out of `node:http`, and the two answers to it: accept or refuse.
 *
 * Node.js has parsed the head by then; the rules of the opening handshake are those of `codec/Handshake`.
 */
import { type IncomingMessage, ServerResponse } from "node:http"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import * as Handshake from "@millrace/core/codec/Handshake"
import { type InvalidHead, Refusal } from "@millrace/core/codec/HandshakeError"
import * as HttpHead from "@millrace/core/codec/HttpHead"
import * as HttpHeaders from "@millrace/core/codec/HttpHeaders"
import type { Chosen } from "@millrace/core/codec/Negotiation"
import * as Result from "effect/Result"

/** What an endpoint's handshake looks at before it accepts or refuses. */
export interface UpgradeRequest {
  /** What the client asks for, by the rules of RFC 6455 section 4.2.1. */
  readonly client: Handshake.ClientHandshake
  /** The target without its query, as it was sent. */
  readonly path: string
  readonly query: URLSearchParams
  /** All fields, in the order of the wire. */
  readonly headers: HttpHeaders.Headers
  /** The value of a field, whatever its case; repeated ones joined by a comma, or by a semicolon for `Cookie`. */
  readonly header: (name: string) => string | undefined
  /** As the socket says; behind a proxy that is the proxy. `undefined` on a unix socket. */
  readonly remoteAddress: string | undefined
  /** Whether the socket itself is TLS. */
  readonly encrypted: boolean
  readonly incoming: IncomingMessage
}

/** The three things `node:http` hands over with an upgrade. */
export interface Upgrade {
  readonly incoming: IncomingMessage
  readonly socket: Duplex
  /** Bytes that were read behind the head: the first frames of an eager client. */
  readonly head: Uint8Array
}

/** The fields of a request or a response, in the order of the wire. */
export const headersOf = ({ rawHeaders }: Pick<IncomingMessage, "rawHeaders">): HttpHeaders.Headers => {
  const headers: Array<readonly [string, string]> = []
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) headers.push([rawHeaders[i]!, rawHeaders[i + 1]!])
  return headers
}

/** Whether the request asks for a WebSocket and not for another protocol. */
export const isWebSocket = (incoming: IncomingMessage): boolean =>
  HttpHeaders.hasToken(headersOf(incoming), "Upgrade", "websocket")

/** The path that a request is for, as it was sent but without its query; `undefined` when the target is none. */
export const pathOf = ({ url: target = "" }: IncomingMessage): string | undefined => {
  const path = target.split("?", 1)[0]!
  if (path.startsWith("/")) return path
  if (!URL.canParse(target) || !path.includes("://")) return undefined
  // Not that of a `URL`, which takes "/a/../b" for "/b".
  const slash = path.indexOf("/", path.indexOf("://") + 3)
  return slash === -1 ? "/" : path.slice(slash)
}

/** Reads the client's handshake. The refusal is the client's fault and is to be sent to it. */
export const read = ({ incoming }: Upgrade): Result.Result<UpgradeRequest, Refusal> => {
  const headers = headersOf(incoming)
  const client = Handshake.readRequest({
    method: incoming.method ?? "",
    target: incoming.url ?? "",
    version: { major: incoming.httpVersionMajor, minor: incoming.httpVersionMinor },
    headers
  })
  return Result.map(client, (client): UpgradeRequest => {
    const [path = "/", ...query] = client.target.split("?")
    const socket = incoming.socket as Socket & { readonly encrypted?: boolean }
    return {
      client,
      path,
      query: new URLSearchParams(query.join("?")),
      headers,
      header: (name) =>
        HttpHeaders.equalsIgnoringCase(name, "cookie")
          ? HttpHeaders.values(headers, name).join("; ") || undefined
          : HttpHeaders.combined(headers, name),
      // Asked for only when needed: a socket keeps the answer.
      get remoteAddress() {
        return socket.remoteAddress
      },
      encrypted: socket.encrypted === true,
      incoming
    }
  })
}

/** Sends the response that opens the connection. Fails, before a byte is sent, when `chosen` cannot be sent. */
export const accept = (
  { socket }: Upgrade,
  client: Handshake.ClientHandshake,
  chosen: Chosen
): Result.Result<void, InvalidHead> =>
  Result.gen(function* () {
    const response = yield* Handshake.response(client, chosen)
    socket.write(yield* HttpHead.printResponse(response))
  })

/**
 * Whether the response to a request before this one is still on its way: the client did not wait for it. An answer
 * would get in front of it, and what comes of it behind a 101 would be frames to the client. `node:http` says so here
 * only, without taking the socket.
 */
const isEarly = ({ socket }: Upgrade): boolean =>
  ((socket as { readonly _httpMessage?: object | null })._httpMessage ?? undefined) !== undefined

/** Ends the connection of a client that did not wait, after what there is of the response before; `true` if it did not. */
export const cutEarly = (upgrade: Upgrade): boolean => {
  if (!isEarly(upgrade)) return false
  upgrade.socket.on("error", () => upgrade.socket.destroy())
  end(upgrade.socket)
  return true
}

/** Sends a refusal and ends the socket; a refusal that cannot be sent as it is becomes a plain 500. */
export const refuse = (upgrade: Upgrade, refusal: Refusal): void => {
  if (cutEarly(upgrade)) return
  const { socket } = upgrade
  const bytes = Result.gen(function* () {
    const { body, response } = yield* Handshake.refuse(refusal)
    return [yield* HttpHead.printResponse(response), body] as const
  })
  if (Result.isFailure(bytes)) {
    return refuse(upgrade, internalError)
  }
  // Nobody may be listening to the socket any more, and the client may be gone: neither is our problem.
  socket.on("error", () => socket.destroy())
  socket.write(bytes.success[0])
  socket.write(bytes.success[1])
  end(socket)
}

/**
 * A response of `node:http` to the request, for whoever answers it as if it were no upgrade. The socket ends behind it.
 *
 * `undefined` when the client did not wait for the response to the request before, and was cut.
 */
export const respond = (upgrade: Upgrade): ServerResponse | undefined => {
  if (cutEarly(upgrade)) return undefined
  const { incoming, socket } = upgrade
  socket.on("error", () => socket.destroy())
  const response = new ServerResponse(incoming)
  response.assignSocket(socket as Socket)
  response.shouldKeepAlive = false
  response.on("finish", () => end(socket))
  return response
}

/** The client has its answer. What it still sends is read and dropped, and it is not waited for indefinitely. */
const end = (socket: Duplex): void => {
  if (socket.destroyed) return
  socket.end()
  socket.resume()
  // Not `socket.setTimeout`, which a client that sends on would never let end.
  const timer = setTimeout(() => socket.destroy(), linger)
  socket.once("close", () => clearTimeout(timer))
}

const linger = 5_000

/** For a mistake of ours, of which the client is told nothing. */
export const internalError = new Refusal({
  status: 500,
  headers: [],
  clause: "RFC 9110 15.6.1",
  detail: "internal server error"
})

/** For whoever comes while the server ends, or has not been accepted when it does. */
export const shuttingDown = new Refusal({
  status: 503,
  headers: [["Retry-After", "1"]],
  clause: "RFC 9110 15.6.4",
  detail: "the server is shutting down"
})
