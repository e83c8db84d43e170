/**
 * Clients of HTTP/2 that know nothing of ours: `node:http2` as it is, and one that is a socket on which the test writes
 * frames, with the bytes of `http2.ts`.
 */
import * as http2 from "node:http2"
import * as net from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import * as raw from "./http2.ts"
import * as RawPeer from "./RawPeer.ts"

type SessionOptions = http2.ClientSessionOptions | http2.SecureClientSessionOptions

/** A session whose server has said what it takes; destroyed with the scope. `url` has the scheme of `http` or `ws`. */
export const connect = (
  url: string,
  options: SessionOptions = {}
): Effect.Effect<http2.ClientHttp2Session, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<http2.ClientHttp2Session>((resume) => {
      const session = http2.connect(url.replace(/^ws/, "http"), options)
      session.once("remoteSettings", () => resume(Effect.succeed(session)))
      // Its end is what many of these tests are about.
      session.on("error", (error) => resume(Effect.die(error)))
    }),
    (session) => Effect.sync(() => session.destroy())
  )

/** The head of a response, and its stream as a socket would be. */
export interface Answer {
  readonly status: number
  readonly header: (name: string) => string | undefined
  readonly headers: http2.IncomingHttpHeaders
  readonly stream: http2.ClientHttp2Stream
  readonly peer: RawPeer.RawPeer
}

/** The fields of an extended CONNECT; one that is `undefined` is left out. */
export const connectFields = (
  target = "/",
  fields: Readonly<Record<string, string | ReadonlyArray<string> | undefined>> = {}
): http2.OutgoingHttpHeaders => {
  const all = {
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":path": target,
    "sec-websocket-version": "13",
    ...fields
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as http2.OutgoingHttpHeaders
}

/** Sends a request, and waits for the head of the answer; dies with the code of a reset. */
export const ask = (
  session: http2.ClientHttp2Session,
  target?: string,
  fields?: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>,
  options: http2.ClientSessionRequestOptions = {}
): Effect.Effect<Answer> =>
  Effect.callback((resume) => {
    const stream = session.request(connectFields(target, fields), { endStream: false, ...options })
    const peer = new RawPeer.RawPeer(stream as unknown as net.Socket)
    stream.once("response", (headers) =>
      resume(
        Effect.succeed({
          status: Number(headers[":status"]),
          header: (name: string) => headers[name.toLowerCase()] as string | undefined,
          headers,
          stream,
          peer
        })
      )
    )
    stream.once("close", () => resume(Effect.die(new Error(`reset with ${stream.rstCode}`))))
  })

/** A WebSocket that is open. */
export const open = (
  session: http2.ClientHttp2Session,
  target?: string,
  fields?: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
): Effect.Effect<Answer> =>
  Effect.tap(ask(session, target, fields), ({ status }) =>
    status === 200 ? Effect.void : Effect.die(new Error(`refused with ${status}`))
  )

/** A client that writes frames: it has said its preface, and has been told what the server takes. */
export const connectRaw = (port: number, settings = raw.settings()): Effect.Effect<raw.RawHttp2, never, Scope.Scope> =>
  Effect.gen(function* () {
    const peer = yield* RawPeer.connect(port)
    const client = new raw.RawHttp2(peer)
    client.send(Buffer.from(raw.preface), settings)
    yield* client.next(raw.type.settings)
    client.send(raw.settingsAck)
    return client
  })

/** The fields of an extended CONNECT as a list, for frames. */
export const rawFields: Headers = [
  [":method", "CONNECT"],
  [":protocol", "websocket"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "localhost"],
  ["sec-websocket-version", "13"]
]
