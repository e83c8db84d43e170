/** HTTP/2 in bytes: both ends of it are test/support/http2.ts, and what they sent is read here. */
import * as Effect from "effect/Effect"
import { toHex } from "../../support/frames.ts"
import * as http2 from "../../support/http2.ts"
import * as Http2Client from "../../support/Http2Client.ts"
import * as RawPeer from "../../support/RawPeer.ts"
import { hex } from "../../support/wire.ts"
import { type Lines, nameOf } from "./fields.ts"

export const { enableConnectProtocol } = http2

/** The flags of RFC 9113 sections 6.1, 6.2 and 6.5. */
const [endStream, ack] = [1, 1]

const ends = ({ flags, kind }: http2.Frame): boolean =>
  kind === http2.type.rstStream ||
  ((kind === http2.type.data || kind === http2.type.headers) && (flags & endStream) !== 0)

/** The values that the SETTINGS among those frames give to SETTINGS_ENABLE_CONNECT_PROTOCOL, in order. */
export const valuesIn = (frames: ReadonlyArray<http2.Frame>): ReadonlyArray<number> =>
  frames
    .filter(({ flags, kind }) => kind === http2.type.settings && (flags & ack) === 0)
    .flatMap(({ payload }) =>
      Array.from({ length: payload.length / 6 }, (_, i) => i * 6)
        .filter((at) => payload.readUInt16BE(at) === enableConnectProtocol)
        .map((at) => payload.readUInt32BE(at + 2))
    )

/** One end of HTTP/2 that keeps the frames of the other. */
export class Http2Peer {
  readonly frames: Array<http2.Frame> = []
  private readonly raw: http2.RawHttp2

  constructor(raw: http2.RawHttp2) {
    this.raw = raw
  }

  /** Sends frames. SETTINGS that come meanwhile are acknowledged when they are read. */
  send(...frames: ReadonlyArray<Uint8Array>): void {
    this.raw.send(...frames)
  }

  /** Bytes in hex on a stream, and its end if it is that. */
  sendData(stream: number, bytes: string, ends = false): void {
    this.send(http2.data(stream, hex(bytes), ends))
  }

  sendHeaders(stream: number, lines: Lines): void {
    const fields = lines.map((line) => [nameOf(line), line.slice(nameOf(line).length + 2)] as const)
    this.send(http2.headers(stream, fields))
  }

  /** Reads on until what came has it; fails the test when the other end closes before that. */
  until<A>(look: () => A | undefined): Effect.Effect<A> {
    return Effect.suspend(() => {
      const found = look()
      if (found !== undefined) return Effect.succeed(found)
      return Effect.flatMap(this.raw.frame, (frame) => {
        this.frames.push(frame)
        if (frame.kind === http2.type.settings && (frame.flags & ack) === 0) this.send(http2.settingsAck)
        return this.until(look)
      })
    })
  }

  /** The first frame of that type, on that stream. */
  first(kind: number, stream = 0): Effect.Effect<http2.Frame> {
    return this.until(() => this.frames.find((frame) => frame.kind === kind && frame.stream === stream))
  }

  /** Waits for so many bytes of a stream, and gives all that came, in hex. */
  data(stream: number, length: number): Effect.Effect<string> {
    return this.until(() => {
      const frames = this.frames.filter((frame) => frame.kind === http2.type.data && frame.stream === stream)
      const bytes = Buffer.concat(frames.map(({ payload }) => payload))
      return bytes.length >= length ? toHex(bytes) : undefined
    })
  }

  /** Waits for the end of a stream, and gives the type of the frame that it came with: DATA or HEADERS, or RST_STREAM. */
  endOf(stream: number): Effect.Effect<number> {
    return this.until(() => this.frames.find((frame) => frame.stream === stream && ends(frame))?.kind)
  }

  /** Waits for an RST_STREAM on a stream, and gives its code. */
  resetOf(stream: number): Effect.Effect<number> {
    return Effect.map(this.first(http2.type.rstStream, stream), ({ payload }) => payload.readUInt32BE())
  }

  /** All that came until the other end has closed. */
  readonly rest: Effect.Effect<ReadonlyArray<http2.Frame>> = Effect.suspend(() =>
    Effect.as(Effect.exit(this.until<never>(() => undefined)), this.frames)
  )
}

/** Connects to a server on this machine, and tells it those settings. */
export const dial = (port: number, ...settings: ReadonlyArray<readonly [identifier: number, value: number]>) =>
  Effect.map(RawPeer.connect(port), (peer) => {
    const client = new Http2Peer(new http2.RawHttp2(peer))
    client.send(Buffer.from(http2.preface), http2.settings(...settings))
    return client
  })

/** The request of section 5.1, without TLS. */
export const asking: Lines = Http2Client.rawFields.map(([name, value]) => `${name}: ${value}`)

/** `:status: 200`, which HPACK has in a table: RFC 7541 appendix A. */
const ok = 0x88

/** A connection, and a stream that has become a WebSocket. */
export const open = (port: number, lines: Lines = asking) =>
  Effect.gen(function* () {
    const peer = yield* dial(port)
    peer.sendHeaders(1, lines)
    const { payload } = yield* peer.first(http2.type.headers, 1)
    if (payload[0] !== ok) return yield* Effect.die(new Error(`refused with ${toHex(payload)}`))
    return peer
  })
