/** Extensions of the tests' own, for what a connection does with any extension. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import { ProtocolViolation } from "@millrace/core/codec/ProtocolViolation"
import type * as Extension from "@millrace/core/connection/Extension"
import type * as Message from "@millrace/core/protocol/Message"

const bytesOf = (payload: string | Message.Content): Uint8Array =>
  typeof payload === "string"
    ? new TextEncoder().encode(payload)
    : payload instanceof Uint8Array
      ? payload
      : payload.join()

/** How a coder of the tests takes its time: at once, or when the test lets it. */
export interface Pace {
  readonly encode: <A, E>(result: Exit.Exit<A, E>) => Effect.Effect<A, E>
  readonly decode: <A, E>(result: Exit.Exit<A, E>) => Effect.Effect<A, E>
}

export const atOnce: Pace = { encode: (result) => result, decode: (result) => result }

/**
 * Every byte plus one, modulo 256, under RSV2, but for messages sent with `compress: false`. A byte 0 in what is
 * received is a violation, and so is what is too long.
 */
export class Shift implements Extension.Coder {
  /** What was written, as it was before, in order. */
  readonly log: Array<string> = []
  readonly shared: Extension.Shared | undefined
  private readonly pace: Pace

  constructor(pace: Pace = atOnce, isShared = true) {
    this.pace = pace
    this.shared = isShared
      ? {
          key: "shift",
          encode: ({ payload }) => ({ payload: payload.map((byte) => byte + 1), rsv: 2 }),
          written: ({ payload }) => this.log.push(`shared ${new TextDecoder().decode(payload)}`)
        }
      : undefined
  }

  encode({ compress, payload }: Extension.Outgoing): Effect.Effect<Extension.Encoded> | undefined {
    if (compress === false) return undefined
    const bytes = bytesOf(payload)
    const written = () => this.log.push(new TextDecoder().decode(bytes))
    return this.pace.encode(Exit.succeed({ payload: bytes.map((byte) => byte + 1), rsv: 2, written }))
  }

  encodeStream<E, R>({ payload }: Extension.Outgoing<Stream.Stream<Uint8Array, E, R>>) {
    return { rsv: 2, pieces: Stream.map(payload, (piece) => piece.map((byte) => byte + 1)) }
  }

  decode(payload: Message.Content, _rsv: number, maxBytes: number): Effect.Effect<Uint8Array, ProtocolViolation> {
    return this.pace.decode(this.shiftBack(bytesOf(payload), maxBytes))
  }

  decodeStream<E, R>(pieces: Stream.Stream<Uint8Array, E, R>, _rsv: number, maxBytes: number) {
    return Stream.mapEffect(pieces, (piece) => this.shiftBack(piece, maxBytes))
  }

  private shiftBack(bytes: Uint8Array, maxBytes: number): Exit.Exit<Uint8Array, ProtocolViolation> {
    if (bytes.length > maxBytes) {
      return Exit.fail(new ProtocolViolation({ closeCode: 1009, clause: "of the test", detail: "too long" }))
    }
    if (bytes.includes(0)) {
      return Exit.fail(new ProtocolViolation({ closeCode: 1007, clause: "of the test", detail: "a zero" }))
    }
    return Exit.succeed(bytes.map((byte) => byte - 1))
  }
}

/** What two ends have agreed on that use this coder. */
export const agreed = (coder: Extension.Coder): Extension.Agreed => ({
  response: [{ name: "shift", params: [] }],
  rsv: 2,
  coders: [{ rsv: 2, makeCoder: () => coder }]
})
