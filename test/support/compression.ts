/** Both ends of permessage-deflate, and zlib as the end of somebody else. */
import * as zlib from "node:zlib"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as PerMessageDeflate from "@millrace/core/codec/PerMessageDeflate"
import * as Coding from "@millrace/core/connection/Coding"
import * as Compression from "@millrace/core/connection/Compression"
import * as Deflate from "@millrace/core/connection/Deflate"
import * as Extension from "@millrace/core/connection/Extension"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import { concat } from "./frames.ts"

/** One for all tests that do not look at its threads. */
export const deflate = NodeDeflate.make()

/** An empty window. */
export const fresh = { windowBits: 15, dictionary: undefined } as const

/** Text that shrinks to next to nothing, of so many bytes. */
export const text = (length: number): string => "all the water of the weir ".repeat(length).slice(0, length)

/** Bytes that do not shrink. */
export const noise = (length: number): Uint8Array => {
  let state = 1
  return Uint8Array.from({ length }, () => (state = (state * 48_271) % 0x7fffffff) & 0xff)
}

/** Mebibytes of zeros in a thousandth of that: each but the first refers to the one before. */
export const bomb = (mebibytes: number): Uint8Array => {
  const one = deflate.deflateNow(new Uint8Array(1_048_576), { windowBits: 15, dictionary: new Uint8Array(32_768) })
  const parts = [deflate.deflateNow(new Uint8Array(32_768), fresh)]
  for (let part = 0; part < mebibytes; part++) parts.push(Deflate.tail, one)
  return concat(parts)
}

/** The same, and `see` is told how each message is compressed and inflated. */
export const watched = (
  see: (what: "deflate" | "inflate", options: Deflate.DeflateOptions) => void
): Deflate.Service => ({
  smallestWindowBits: deflate.smallestWindowBits,
  deflate: (bytes, options) => {
    see("deflate", options)
    return deflate.deflate(bytes, options)
  },
  deflateNow: (bytes, options) => {
    see("deflate", options)
    return deflate.deflateNow(bytes, options)
  },
  inflate: (bytes, options) => {
    see("inflate", options)
    return deflate.inflate(bytes, options)
  },
  inflateStream: (options) => {
    see("inflate", options)
    return deflate.inflateStream(options)
  }
})

/** Does everything by threads. */
const threaded = NodeDeflate.make({ threadedDeflateBytes: 0, threadedInflateBytes: 0 })

export type Inflate = (
  bytes: Uint8Array,
  options: Deflate.InflateOptions
) => Effect.Effect<Uint8Array, Deflate.InflateError>

/** All ways to inflate a message: in the call if it is short, by a thread, and as a stream of two pieces. */
export const ways: ReadonlyArray<readonly [name: string, inflate: Inflate]> = [
  ["in the call", (bytes, options) => deflate.inflate(bytes, options)],
  ["by a thread", (bytes, options) => threaded.inflate(bytes, options)],
  [
    "as a stream",
    (bytes, options) =>
      Stream.fromArray([bytes.subarray(0, bytes.length >> 1), bytes.subarray(bytes.length >> 1)]).pipe(
        Stream.rechunk(1),
        deflate.inflateStream(options),
        Stream.runCollect,
        Effect.map(concat)
      )
  ]
]

/** The coders of a server and of a client that asked for just these parameters, and got them. */
export const ends = (
  parameters: Partial<PerMessageDeflate.DeflateParameters> = {},
  options: Compression.Options = {},
  service: Deflate.Service = deflate
): { readonly server: Extension.Coder; readonly client: Extension.Coder } => {
  const extension = Compression.over(service, { ...options, offers: [parameters] })
  const accepted = Extension.accept([extension], extension.offers)
  const verified = Result.getOrThrow(Extension.verify([extension], accepted.response))
  return { server: Coding.make(accepted)!, client: Coding.make(verified)! }
}

/** The coder of a client whose server has answered with just these parameters. */
export const clientOf = (
  parameters: PerMessageDeflate.DeflateParameters,
  options: Compression.Options = {},
  service: Deflate.Service = deflate
): Extension.Coder => {
  const extension = Compression.over(service, options)
  const agreed = Result.getOrThrow(Extension.verify([extension], [PerMessageDeflate.printOffer(parameters)]))
  return Coding.make(agreed)!
}

/** A message on its way out. */
export const outgoing = <P>(payload: P, compress?: boolean): Extension.Outgoing<P> => ({
  kind: typeof payload === "string" ? "text" : "binary",
  payload,
  compress
})

/** What was done in the call; throws when it was not, or when it failed. */
export const now = <A, E>(effect: Effect.Effect<A, E> | undefined): A => {
  if (effect === undefined || !Exit.isExit(effect)) throw new Error("it was not done in the call")
  return Exit.isSuccess(effect) ? (effect.value as A) : Effect.runSync(effect as Effect.Effect<A, E>)
}

/** What goes over the wire. */
export interface Wire {
  readonly payload: Uint8Array
  readonly rsv: number
}

const utf8 = new TextEncoder()

export const bytesOf = (payload: Uint8Array | string): Uint8Array =>
  typeof payload === "string" ? utf8.encode(payload) : payload

/** Encodes a message and has it written. */
export const send = (coder: Extension.Coder, payload: Uint8Array | string, compress?: boolean): Effect.Effect<Wire> =>
  Effect.gen(function* () {
    const encoding = coder.encode(outgoing(payload, compress))
    if (encoding === undefined) return { payload: bytesOf(payload), rsv: 0 }
    const encoded = yield* encoding
    encoded.written?.()
    return { payload: encoded.payload, rsv: encoded.rsv }
  })

/** Encodes a message as one that goes to many does, and has it written. */
export const share = (coder: Extension.Coder, bytes: Uint8Array, compress?: boolean): Wire => {
  const { shared } = coder
  const message = outgoing(bytes, compress)
  const encoded = shared?.encode(message)
  if (encoded === undefined) return { payload: bytes, rsv: 0 }
  shared!.written(message)
  return encoded
}

/** Encodes a message that comes in pieces, to its end. */
export const stream = (coder: Extension.Coder, pieces: ReadonlyArray<Uint8Array>, compress?: boolean) =>
  Effect.gen(function* () {
    const encoding = coder.encodeStream(outgoing(Stream.fromArray(pieces), compress))
    if (encoding === undefined) return { payload: concat(pieces), rsv: 0 }
    return { payload: concat(yield* Stream.runCollect(encoding.pieces)), rsv: encoding.rsv }
  })

/** Decodes a message, whole. */
export const receive = (coder: Extension.Coder, { payload, rsv }: Wire, maxBytes = 1e9) =>
  coder.decode(payload, rsv, maxBytes) ?? Effect.succeed(payload)

/** Decodes a message that comes in pieces. */
export const receiveStream = (coder: Extension.Coder, pieces: ReadonlyArray<Uint8Array>, rsv = 4, maxBytes = 1e9) => {
  const arriving = Stream.fromArray(pieces)
  return Effect.map(Stream.runCollect(coder.decodeStream(arriving, rsv, maxBytes) ?? arriving), concat)
}

const writeAll = (stream: zlib.DeflateRaw | zlib.InflateRaw, bytes: Uint8Array, flush: number) =>
  Effect.callback<Uint8Array, Error>((resume) => {
    const pieces: Array<Uint8Array> = []
    const collect = (piece: Uint8Array) => void pieces.push(piece)
    const failed = (error: Error) => resume(Effect.fail(error))
    stream.on("data", collect)
    stream.once("error", failed)
    stream.write(bytes)
    stream.flush(flush, () => {
      stream.off("data", collect)
      stream.off("error", failed)
      resume(Effect.succeed(concat(pieces)))
    })
  })

/** An end as others build them: two streams of zlib that live as long as the connection. */
export class ZlibPeer {
  private readonly deflating: zlib.DeflateRaw
  private readonly inflating: zlib.InflateRaw
  private readonly resetsOwn: boolean
  private readonly resetsOther: boolean

  constructor(role: "client" | "server", parameters: PerMessageDeflate.DeflateParameters) {
    const client = { windowBits: parameters.clientMaxWindowBits, resets: parameters.clientNoContextTakeover }
    const server = { windowBits: parameters.serverMaxWindowBits, resets: parameters.serverNoContextTakeover }
    const [own, other] = role === "client" ? [client, server] : [server, client]
    this.deflating = zlib.createDeflateRaw({ windowBits: own.windowBits })
    this.inflating = zlib.createInflateRaw({ windowBits: other.windowBits })
    this.resetsOwn = own.resets
    this.resetsOther = other.resets
  }

  send(payload: Uint8Array): Effect.Effect<Wire, Error> {
    return Effect.map(writeAll(this.deflating, payload, zlib.constants.Z_SYNC_FLUSH), (bytes) => {
      if (this.resetsOwn) this.deflating.reset()
      // Without input there is nothing to flush but the first time.
      return { payload: bytes.length === 0 ? Uint8Array.of(0) : bytes.slice(0, -4), rsv: 4 }
    })
  }

  receive({ payload, rsv }: Wire): Effect.Effect<Uint8Array, Error> {
    if (rsv === 0) return Effect.succeed(payload)
    return Effect.map(
      writeAll(this.inflating, concat([payload, Deflate.tail]), zlib.constants.Z_SYNC_FLUSH),
      (bytes) => {
        if (this.resetsOther) this.inflating.reset()
        return bytes
      }
    )
  }

  close(): void {
    this.deflating.destroy()
    this.inflating.destroy()
  }
}
