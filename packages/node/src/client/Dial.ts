/**
 * A connection of TCP or TLS, or to a unix socket, on which nothing has been said yet.
 */
import * as net from "node:net"
import * as tls from "node:tls"
import { InvalidOptions } from "@millrace/core/connection/OpenError"
import type { TransportError } from "@millrace/core/connection/WebSocketError"
import * as Effect from "effect/Effect"
import { type Held, networkFailure } from "./Answer.ts"
import * as Hop from "./Hop.ts"

/** How to get to where a hop leads. */
export type Way = Pick<Hop.Hop, "socketPath" | "tls" | "url">

const connect = (way: Way, alpn: ReadonlyArray<string>): net.Socket => {
  const host = Hop.hostname(way)
  const secure = Hop.isSecure(way)
  const port = way.url.port === "" ? (secure ? 443 : 80) : Number(way.url.port)
  const address = way.socketPath === undefined ? { host, port } : { path: way.socketPath }
  if (!secure) return net.connect(address)
  return tls.connect({
    // The host is what the certificate has to be for, on a unix socket too. RFC 6066 section 3: no name for an address.
    ...(net.isIP(host) === 0 ? { servername: host } : {}),
    ...way.tls,
    ...address,
    host,
    ALPNProtocols: [...alpn]
  })
}

/**
 * Dials, and does the TLS handshake, in which the protocols of `alpn` are offered. Fails with `InvalidOptions` for what
 * `node:tls` does not take, and with `TransportError`.
 */
export const dial = (
  way: Way,
  alpn: ReadonlyArray<string>,
  held: Held
): Effect.Effect<net.Socket, InvalidOptions | TransportError> =>
  Effect.callback((resume) => {
    let socket: net.Socket
    try {
      socket = connect(way, alpn)
    } catch (cause) {
      return resume(Effect.fail(new InvalidOptions({ cause })))
    }
    held.hold(() => socket.destroy())
    // The listener stays, so that a socket which fails when nobody waits for it any more does not end the process.
    socket.on("error", (error) => resume(Effect.fail(networkFailure(error))))
    socket.once(Hop.isSecure(way) ? "secureConnect" : "connect", () => resume(Effect.succeed(socket)))
  })

/** The protocol that the server has chosen; `undefined` when it has chosen none. */
export const chosenProtocol = (socket: net.Socket): string | undefined =>
  (socket as Partial<tls.TLSSocket>).alpnProtocol || undefined
