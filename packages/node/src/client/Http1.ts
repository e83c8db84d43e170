/**
 * A client's opening handshake over HTTP/1.1: `node:http` dials, speaks TLS and parses the answer; the rules are those of
 * `codec/Handshake`.
 */
import { randomBytes } from "node:crypto"
import * as http from "node:http"
import * as https from "node:https"
import type { Duplex } from "node:stream"
import * as Handshake from "@millrace/core/codec/Handshake"
import { type InvalidHead, MalformedHead } from "@millrace/core/codec/HandshakeError"
import { InvalidOptions } from "@millrace/core/connection/OpenError"
import type { TransportError } from "@millrace/core/connection/WebSocketError"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as NodeTransport from "../NodeTransport.ts"
import * as Upgrade from "../Upgrade.ts"
import { type Answer, type Asked, type Held, networkFailure } from "./Answer.ts"
import * as Hop from "./Hop.ts"

/** How the connection is made: by an agent, or it has been made. */
export interface Way {
  readonly agent?: http.Agent | undefined
  readonly socket?: Duplex | undefined
}

/** Who is at fault when a request fails: the server when it does not speak HTTP, otherwise the network. */
const failureOf = (error: Error & { readonly code?: string }): MalformedHead | TransportError => {
  if (error.code === "HPE_HEADER_OVERFLOW") {
    return new MalformedHead({ status: 431, clause: "RFC 9110 5.4", detail: "the head of the answer is too long" })
  }
  if (error.code?.startsWith("HPE_") === true) {
    return new MalformedHead({ status: 400, clause: "RFC 9112 2", detail: "the answer is not HTTP/1.1" })
  }
  return networkFailure(error)
}

const make = (hop: Hop.Hop, { agent, socket }: Way): http.ClientRequest => {
  const secure = Hop.isSecure(hop)
  return (secure ? https : http).request({
    ...hop.tls,
    protocol: secure ? "https:" : "http:",
    host: Hop.hostname(hop),
    port: hop.url.port === "" ? undefined : hop.url.port,
    path: Hop.target(hop),
    socketPath: hop.socketPath,
    ...(socket === undefined ? { agent: agent ?? false } : { createConnection: () => socket }),
    setHost: false
  })
}

/** Sends the request, and waits for the head of the answer. */
export const ask = (
  hop: Hop.Hop,
  asked: Asked,
  way: Way,
  settings: NodeTransport.Settings,
  held: Held
): Effect.Effect<Answer, InvalidHead | InvalidOptions | MalformedHead | TransportError> => {
  const wanted = { ...asked, host: hop.url.host, target: Hop.target(hop), key: randomBytes(16), headers: hop.headers }
  const handshake = Handshake.request(wanted)
  if (Result.isFailure(handshake)) return Effect.fail(handshake.failure)
  return Effect.callback((resume) => {
    let request: http.ClientRequest
    try {
      request = make(hop, way)
      held.hold(() => request.destroy())
      for (const [name, value] of handshake.success.headers) request.appendHeader(name, value)
      request.end()
    } catch (cause) {
      return resume(Effect.fail(new InvalidOptions({ cause })))
    }
    const answer = (body: http.IncomingMessage, transport: Answer["transport"]) => {
      const response = { status: body.statusCode ?? 0, reason: "", headers: Upgrade.headersOf(body) }
      const agreed = Handshake.verify(response, wanted)
      resume(Effect.succeed({ ...response, httpVersion: "1.1", agreed, transport, body }))
    }
    // The listener stays, so that a request which fails when nobody waits for it any more does not end the process.
    request.on("error", (error) => resume(Effect.fail(failureOf(error))))
    request.on("response", (incoming) => answer(incoming, undefined))
    request.on("upgrade", (incoming, socket, head) => {
      // A request that was upgraded is over, and to destroy it does nothing to its socket.
      held.hold(() => socket.destroy())
      answer(incoming, NodeTransport.make(socket, head, settings))
    })
  })
}
