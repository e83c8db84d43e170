/** Ways to open a WebSocket over HTTP/2 in a test, and to look at what becomes of it. */
import { subscribe, unsubscribe } from "node:diagnostics_channel"
import type * as net from "node:net"
import { expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as HttpHeaders from "@millrace/core/codec/HttpHeaders"
import type * as WebSocket from "@millrace/core/connection/WebSocket"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import { selfSigned } from "./certificate.ts"
import { plain, start } from "./connection.ts"
import { counting } from "./frames.ts"
import * as Http2Server from "./http2.ts"
import * as RawPeer from "./RawPeer.ts"

export const certificate = selfSigned("localhost")

/** For servers that will not answer a Close. */
export const brief: NodeWebSocket.Options = { http2: true, limits: { closeTimeout: "50 millis" } }

export const secure: NodeWebSocket.Options = { ...brief, tls: { ca: certificate.cert } }

export const failureOf = (url: string, options: NodeWebSocket.Options = brief) =>
  NodeWebSocket.open(url, options).pipe(
    Effect.scoped,
    Effect.flip,
    Effect.map(({ reason }) => reason)
  )

/** Says something, and hears it. */
export const talks = (connection: WebSocket.WebSocket<unknown>) =>
  Effect.gen(function* () {
    const big = counting(300_000)
    yield* connection.sendAll(["hello", big])
    const [text, bytes] = plain(yield* Stream.runCollect(Stream.take(connection.messages, 2)))
    expect(text).toBe("hello")
    expect(Buffer.from(bytes as Uint8Array).equals(big)).toBe(true)
  })

/** Opens towards a server that speaks in bytes, up to the request of the client. */
export const against = (options: NodeWebSocket.Options = brief) =>
  Effect.gen(function* () {
    const server = yield* RawPeer.listen
    const opening = yield* start(Effect.result(NodeWebSocket.open(`ws://127.0.0.1:${server.port}/`, options)))
    const far = yield* Http2Server.accept(server, Http2Server.willing)
    const { stream } = yield* far.next(Http2Server.type.headers)
    const opened = Effect.flatMap(Fiber.join(opening), Effect.fromResult)
    const reason = Effect.map(Effect.flip(opened), (error) => error.reason)
    return { far, server, stream, opened, reason }
  })

export const accepted: HttpHeaders.Headers = [[":status", "200"]]

/** The sockets that clients make meanwhile. */
export const noting = Effect.gen(function* () {
  const sockets: Array<net.Socket> = []
  const note = (message: unknown) => void sockets.push((message as { readonly socket: net.Socket }).socket)
  subscribe("net.client.socket", note)
  yield* Effect.addFinalizer(() => Effect.sync(() => unsubscribe("net.client.socket", note)))
  return sockets
})

/** How the messages end: the tag of the reason, or `Done`. */
export const endOf = (connection: WebSocket.WebSocket<unknown>) =>
  Stream.runDrain(connection.messages).pipe(
    Effect.match({ onSuccess: () => "Done", onFailure: (error) => error.reason._tag })
  )
