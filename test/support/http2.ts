/**
 * Servers of HTTP/2 that know nothing of ours: `node:http2` as it is, and one that is a socket on which the test writes
 * frames byte by byte, after RFC 9113 sections 4.1 and 6.
 */
import * as http2 from "node:http2"
import type { AddressInfo, Socket } from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import type { Certificate } from "./certificate.ts"
import { encode, read } from "./frames.ts"
import * as RawPeer from "./RawPeer.ts"

/** A request as it came, and its stream. */
export interface Request {
  readonly stream: http2.ServerHttp2Stream
  /** Pseudo-header fields too, in the order of the wire. */
  readonly headers: Headers
  readonly header: (name: string) => string | undefined
}

export interface Server {
  readonly port: number
  readonly server: http2.Http2Server | http2.Http2SecureServer
  readonly asked: ReadonlyArray<Request>
  readonly sessions: ReadonlySet<http2.ServerHttp2Session>
  /** How many TCP connections there have been. */
  readonly connections: () => number
}

const fieldsOf = (raw: ReadonlyArray<string>): Headers =>
  raw.flatMap((name, i) => (i % 2 === 0 ? [[name, raw[i + 1] ?? ""] as const] : []))

/** Takes WebSockets over HTTP/2 unless `settings` say otherwise; with a certificate it speaks TLS, HTTP/1.1 too. */
export const serve = (
  onRequest: (request: Request) => void,
  options: {
    readonly certificate?: Certificate
    readonly settings?: http2.Settings
    readonly socketPath?: string
    readonly tls?: Omit<http2.SecureServerOptions, "settings">
  } = {}
): Effect.Effect<Server, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { certificate, socketPath, tls } = options
    const settings = { enableConnectProtocol: true, ...options.settings }
    const server =
      certificate === undefined
        ? http2.createServer({ settings })
        : http2.createSecureServer({ ...certificate, allowHTTP1: true, settings, ...tls })
    const asked: Array<Request> = []
    const sessions = new Set<http2.ServerHttp2Session>()
    const sockets = new Set<Socket>()
    let connections = 0
    server.on("connection", (socket: Socket) => {
      connections++
      sockets.add(socket)
      socket.on("close", () => sockets.delete(socket))
    })
    server.on("session", (session) => {
      sessions.add(session)
      session.on("error", () => {}).on("close", () => sessions.delete(session))
    })
    const onStream = (
      stream: http2.ServerHttp2Stream,
      _headers: unknown,
      _flags: unknown,
      raw: ReadonlyArray<string>
    ) => {
      // A reset is what many of these tests are about.
      stream.on("error", () => {})
      const headers = fieldsOf(raw)
      const request = { stream, headers, header: (name: string) => headers.find(([known]) => known === name)?.[1] }
      asked.push(request)
      onRequest(request)
    }
    server.on("stream", onStream as never)
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => {
        const listening = () => resume(Effect.void)
        if (socketPath === undefined) server.listen(0, "127.0.0.1", listening)
        else server.listen(socketPath, listening)
      }),
      () =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const socket of sockets) socket.destroy()
        })
    )
    const port = socketPath === undefined ? (server.address() as AddressInfo).port : 0
    return { port, server, asked, sessions, connections: () => connections }
  })

/** Accepts the WebSocket, sends back what comes over it, and ends the stream behind the answer to a Close. */
export const echo = ({ stream }: Pick<Request, "stream">, fields: http2.OutgoingHttpHeaders = {}): void => {
  stream.respond({ ":status": 200, ...fields })
  let received = Buffer.alloc(0)
  stream.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk])
    for (;;) {
      const length = RawPeer.frameLength(received)
      if (length === undefined || received.length < length) return
      const { key: _key, ...unmasked } = read(received.subarray(0, length))[0]!
      received = received.subarray(length)
      stream.write(encode(unmasked))
      if (unmasked.opcode === 8) stream.end()
    }
  })
}

/** Types of frames. */
export const type = {
  data: 0,
  headers: 1,
  rstStream: 3,
  settings: 4,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9
} as const

/** Codes of errors: section 7. */
export const code = {
  noError: 0,
  protocolError: 1,
  internalError: 2,
  refusedStream: 7,
  cancel: 8,
  enhanceYourCalm: 11,
  http11Required: 13
} as const

const endStream = 1
/** END_HEADERS: section 6.2. */
export const endHeaders = 4

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

export const frame = (kind: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array(0)): Buffer => {
  const header = Buffer.alloc(9)
  header.writeUIntBE(payload.length, 0, 3)
  header[3] = kind
  header[4] = flags
  header.writeUInt32BE(stream, 5)
  return Buffer.concat([header, payload])
}

/** A SETTINGS frame of identifiers and values: section 6.5. */
export const settings = (...pairs: ReadonlyArray<readonly [identifier: number, value: number]>): Buffer =>
  frame(
    type.settings,
    0,
    0,
    Buffer.concat(pairs.map(([identifier, value]) => Buffer.concat([uint32(identifier).subarray(2), uint32(value)])))
  )

export const settingsAck = frame(type.settings, 1, 0)

/** SETTINGS_MAX_CONCURRENT_STREAMS: section 6.5.2. */
export const maxConcurrentStreams = 3

/** SETTINGS_ENABLE_CONNECT_PROTOCOL: RFC 8441 section 3. */
export const enableConnectProtocol = 8

const literal = (text: string): Buffer => Buffer.concat([Uint8Array.of(text.length), Buffer.from(text)])

/** Each field as a literal without indexing, with its name: RFC 7541 section 6.2.2. For names and values under 127. */
export const headers = (stream: number, fields: Headers, ends = false): Buffer =>
  frame(
    type.headers,
    endHeaders + (ends ? endStream : 0),
    stream,
    Buffer.concat(fields.map(([name, value]) => Buffer.concat([Uint8Array.of(0), literal(name), literal(value)])))
  )

export const data = (stream: number, payload: Uint8Array | string, ends = false): Buffer =>
  frame(type.data, ends ? endStream : 0, stream, Buffer.from(payload as string))

export const rstStream = (stream: number, reason: number): Buffer => frame(type.rstStream, 0, stream, uint32(reason))

export const goAway = (lastStream: number, reason: number): Buffer =>
  frame(type.goAway, 0, 0, Buffer.concat([uint32(lastStream), uint32(reason)]))

export const windowUpdate = (stream: number, increment: number): Buffer =>
  frame(type.windowUpdate, 0, stream, uint32(increment))

export interface Frame {
  readonly kind: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

/** The first bytes of a client: section 3.4. */
export const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

/** One end of a connection whose other end speaks HTTP/2. */
export class RawHttp2 {
  readonly peer: RawPeer.RawPeer

  constructor(peer: RawPeer.RawPeer) {
    this.peer = peer
  }

  send(...frames: ReadonlyArray<Uint8Array>): void {
    this.peer.send(Buffer.concat(frames))
  }

  get frame(): Effect.Effect<Frame> {
    return Effect.gen({ self: this }, function* () {
      const header = yield* this.peer.bytes(9)
      const payload = yield* this.peer.bytes(header.readUIntBE(0, 3))
      return { kind: header[3]!, flags: header[4]!, stream: header.readUInt32BE(5), payload }
    })
  }

  /** The next frame of that type; others are skipped. */
  next(kind: number): Effect.Effect<Frame> {
    return Effect.flatMap(this.frame, (frame) => (frame.kind === kind ? Effect.succeed(frame) : this.next(kind)))
  }
}

/** Accepts a client of HTTP/2, and sends it the settings first, when there are any. */
export const accept = (server: RawPeer.RawServer, first?: Uint8Array): Effect.Effect<RawHttp2> =>
  Effect.gen(function* () {
    const peer = yield* server.accept
    if (first !== undefined) peer.send(first)
    const start = yield* peer.bytes(preface.length)
    if (start.toString("latin1") !== preface)
      return yield* Effect.die(new Error(`no preface: ${start.toString("hex")}`))
    return new RawHttp2(peer)
  })

/** What a server says first that takes WebSockets. */
export const willing: Buffer = Buffer.concat([settings([enableConnectProtocol, 1]), settingsAck])
