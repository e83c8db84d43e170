/** Socket.IO's own parser, in both directions. */
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { Decoder, Encoder, type Packet as Theirs, PacketType } from "socket.io-parser"
import { describe, expect, it } from "vitest"
import * as Packet from "@millrace/core/interop/socketio/Packet"
import { mutatedText } from "../support/engineio.ts"
import { generous, packet } from "../support/socketio.ts"

/** Bytes in Buffers, as Node.js has them, or as they are. */
const mapBytes = (value: unknown, map: (bytes: Uint8Array) => Uint8Array): unknown => {
  if (typeof value !== "object" || value === null) return value
  if (value instanceof Uint8Array) return map(value)
  if (Array.isArray(value)) return value.map((element) => mapBytes(element, map))
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, mapBytes(inner, map)]))
}

const buffers = (value: unknown) => mapBytes(value, (bytes) => Buffer.from(bytes))

const nameOf = ({ namespace, query }: Packet.Packet) => (query === undefined ? namespace : `${namespace}?${query}`)

/** One of ours as they have it. */
const theirs = (ours: Packet.Packet): Partial<Theirs> => {
  const nsp = nameOf(ours)
  switch (ours._tag) {
    case "Connect":
      return { type: PacketType.CONNECT, nsp, ...(ours.payload === undefined ? {} : { data: ours.payload }) }
    case "Disconnect":
      return { type: PacketType.DISCONNECT, nsp }
    case "Event":
      return {
        type: PacketType.EVENT,
        nsp,
        data: buffers([ours.name, ...ours.args]),
        ...(ours.id === undefined ? {} : { id: ours.id })
      }
    case "Ack":
      return { type: PacketType.ACK, nsp, id: ours.id, data: buffers(ours.args) }
    case "ConnectError":
      return {
        type: PacketType.CONNECT_ERROR,
        nsp,
        data: { message: ours.message, ...(ours.data === undefined ? {} : { data: ours.data }) }
      }
  }
}

/** What their decoder makes of messages: packets, and where it throws. */
const decodeAll = (data: ReadonlyArray<string | Uint8Array>): ReadonlyArray<unknown> => {
  const decoder = new Decoder({ maxAttachments: 1_000 })
  const got: Array<unknown> = []
  decoder.on("decoded", (one: Theirs) => {
    // They leave the number of attachments in it, as `undefined`.
    if (one.attachments === undefined) delete one.attachments
    got.push(one)
  })
  for (const one of data) decoder.add(typeof one === "string" ? one : Buffer.from(one))
  return got
}

const messages = (sent: Packet.Packet): ReadonlyArray<string | Uint8Array> => {
  const { attachments, text } = Result.getOrThrow(Packet.encode(sent, generous))
  return [text, ...attachments]
}

describe("socket.io-parser", () => {
  it("reads what we write", () => {
    fc.assert(
      fc.property(packet, (sent) => {
        expect(decodeAll(messages(sent))).toEqual([theirs(sent)])
      }),
      { numRuns: 200 }
    )
  })

  it("writes what we write, and we read it", () => {
    fc.assert(
      fc.property(packet, (sent) => {
        const written = new Encoder().encode(theirs(sent) as Theirs) as ReadonlyArray<string | Uint8Array>
        expect(written.map((one) => (typeof one === "string" ? one : Uint8Array.from(one)))).toEqual(messages(sent))
        const decoder = Packet.makeDecoder(generous)
        expect(written.map((one) => Result.getOrThrow(decoder.push(one))).at(-1)).toBeDefined()
      }),
      { numRuns: 200 }
    )
  })

  it("reads what we read of any text, where we take it at all", () => {
    let taken = 0
    fc.assert(
      fc.property(mutatedText(packet.map((sent) => messages(sent)[0] as string)), (text) => {
        const answer = Packet.makeDecoder(generous).push(text)
        if (Result.isFailure(answer) || answer.success === undefined) return
        const [read] = decodeAll([text]) as ReadonlyArray<Theirs>
        const ours = theirs(answer.success) as Theirs
        // What a name is to us, and an error's message, is one of several things to them.
        if (ours.type === PacketType.CONNECT_ERROR) {
          expect(read).toMatchObject({ type: ours.type, nsp: ours.nsp })
        } else if (ours.type === PacketType.EVENT && read !== undefined) {
          const [name, ...args] = read.data as ReadonlyArray<unknown>
          expect({ ...read, data: [String(name), ...args] }).toEqual(ours)
        } else {
          expect(read).toEqual(ours)
        }
        taken++
      }),
      { numRuns: 1000 }
    )
    expect(taken).toBeGreaterThan(100)
  })
})
