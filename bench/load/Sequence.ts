/** What a connection sends, in order and over and over: messages, with the frames that carry them. */
import * as zlib from "node:zlib"
import * as Deferred from "../Deferred.ts"
import type { Reply } from "./Connection.ts"
import { document } from "./documents.ts"
import * as frames from "./frames.ts"

export interface Sequence {
  readonly bodies: ReadonlyArray<Buffer>
  /** As many. */
  readonly frames: ReadonlyArray<Buffer>
  /** Whether the frames carry compressed messages, and replies are to be so. */
  readonly compressed: boolean
}

/** One message of `size` bytes. */
export const plain = (kind: frames.Kind, size: number): Sequence => {
  const body = frames.payload(size)
  return { bodies: [body], frames: [frames.encode(kind, body)], compressed: false }
}

/** What RFC 7692 has left out of the end of each message: section 7.2.1. */
const tail = Buffer.of(0x00, 0x00, 0xff, 0xff)

/** All that comes out of a stream of zlib for these bytes. */
const through = (stream: zlib.DeflateRaw | zlib.InflateRaw, bytes: Uint8Array): Promise<Buffer> => {
  const { promise, resolve, reject } = Deferred.make<Buffer>()
  const pieces: Array<Buffer> = []
  const take = (piece: Buffer) => pieces.push(piece)
  stream.on("data", take).once("error", reject)
  stream.write(bytes)
  stream.flush(zlib.constants.Z_SYNC_FLUSH, () => {
    stream.off("data", take).off("error", reject)
    resolve(Buffer.concat(pieces))
  })
  return promise
}

/**
 * So many documents of `size` bytes, compressed by one stream with context takeover: zlib's defaults, which are a level
 * of 6, a memory level of 8 and a window of 15 bits. What one refers to lies so many bytes before it, and none refers to
 * what is not of the sequence: so it may begin again behind its end.
 */
export const compressed = async (count: number, size: number): Promise<Sequence> => {
  const bodies = Array.from({ length: count }, (_, index) => document(index, size))
  const deflate = zlib.createDeflateRaw()
  const payloads: Array<Buffer> = []
  for (const body of bodies) payloads.push((await through(deflate, body)).subarray(0, -tail.length))
  deflate.close()
  const inflate = zlib.createInflateRaw()
  for (const [index, payload] of [...payloads, ...payloads].entries()) {
    const inflated = await through(inflate, Buffer.concat([payload, tail]))
    if (!inflated.equals(bodies[index % count]!)) throw new Error("the sequence does not bear to be sent again")
  }
  inflate.close()
  return { bodies, frames: payloads.map((payload) => frames.encode("text", payload, true)), compressed: true }
}

/** Why a message that was only counted cannot be one of the sequence, as a sentence. */
export const wrong = ({ bodies, compressed }: Sequence, length: number, marked: boolean): string | undefined => {
  if (marked !== compressed) return marked ? "a message came compressed" : "a message came that was not compressed"
  const size = bodies[0]!.length
  return compressed || length === size ? undefined : `a message of ${size} bytes came with ${length}`
}

/** Looks at the replies of one connection, from its first one on. */
export interface Reader {
  /** Fails when the reply is not the body, byte for byte. */
  readonly expect: (body: Buffer, reply: Reply) => Promise<void>
  readonly end: () => void
}

export const reader = (sequence: Sequence): Reader => {
  const inflate = sequence.compressed ? zlib.createInflateRaw() : undefined
  return {
    expect: async (body, { compressed, payload }) => {
      const why = wrong(sequence, payload.length, compressed)
      if (why !== undefined) throw new Error(why)
      const came = inflate === undefined ? payload : await through(inflate, Buffer.concat([payload, tail]))
      if (!came.equals(body)) throw new Error("a message came changed")
    },
    end: () => inflate?.close()
  }
}
