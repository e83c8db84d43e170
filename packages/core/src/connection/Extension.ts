/**
 * Extensions of the protocol as values: RFC 6455 section 9. One says how it is negotiated, which reserved bits it gives
 * a meaning to, and what it does to the messages of a connection; several are applied in order.
 *
 * What an extension sees are messages, whole or as streams, and not frames: fragments, control frames and masking are
 * none of its business (RFC 7692 section 4 calls this a per-message extension). permessage-deflate is one of these,
 * `Compression`, and uses nothing that another extension could not.
 */
import type * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Stream from "effect/Stream"
import type * as Extensions from "../codec/Extensions.ts"
import { HandshakeViolation } from "../codec/HandshakeError.ts"
import type { ProtocolViolation } from "../codec/ProtocolViolation.ts"
import type * as Message from "../protocol/Message.ts"
import type * as Protocol from "../protocol/WebSocketProtocol.ts"
import type { Payload } from "./Outbox.ts"

/** The reserved bits of a message's first frame, as in `Frame.rsv`: RSV1, RSV2 and RSV3 are 4, 2 and 1. */
export type Rsv = number

/** A message on its way out. */
export interface Outgoing<out P = Payload> {
  readonly kind: Protocol.Kind
  readonly payload: P
  /** What the sender asks for: `undefined` leaves it to the extension. */
  readonly compress: boolean | undefined
}

/** A message as an extension sends it. */
export interface Encoded {
  readonly payload: Uint8Array
  /** The bits that this extension sets. */
  readonly rsv: Rsv
  /** Called when the message is written, in the same turn; never called for one that is not sent after all. */
  readonly written?: (() => void) | undefined
}

/** A message that goes to many connections and is encoded for all of them once. */
export interface Shared {
  /** Connections whose coders give the same key encode to the same bytes. */
  readonly key: string
  /**
   * Depends on nothing that was sent before, and is decoded whatever was; `undefined` leaves the message as it is. May be
   * called by itself, without its object.
   */
  readonly encode: (message: Outgoing<Uint8Array>) => Omit<Encoded, "written"> | undefined
  /** Called when what `encode` gave is written on this connection. */
  readonly written: (message: Outgoing<Uint8Array>) => void
}

/**
 * What an extension does to the messages of one connection, in both directions. Calls for one direction never overlap,
 * and messages are encoded in the order in which they are written: the next one, also one that goes to many, when the one
 * before has been written or given up.
 *
 * An effect that is an `Exit` is taken at once, in the same turn. Any other suspends that direction of the connection
 * until it is done. What is encoded is interrupted when the connection ends; what is decoded is not. None may fail with a defect for what a peer sent.
 */
export interface Coder {
  /** `undefined` leaves the message as it is. */
  readonly encode: (message: Outgoing) => Effect.Effect<Encoded> | undefined
  /** The pieces of a message that is sent as a stream, and the bits of its first frame; `undefined` as above. */
  readonly encodeStream: <E, R>(
    message: Outgoing<Stream.Stream<Uint8Array, E, R>>
  ) => { readonly rsv: Rsv; readonly pieces: Stream.Stream<Uint8Array, E, R> } | undefined
  /** `undefined`, where it encodes each message for this connection alone. */
  readonly shared: Shared | undefined
  /**
   * What a received message was before the peer's `encode`, at most `maxBytes` of it: longer is a violation with 1009.
   * `rsv` holds the bits of this extension only. `undefined` leaves the message as it is.
   */
  readonly decode: (
    payload: Message.Content,
    rsv: Rsv,
    maxBytes: number
  ) => Effect.Effect<Uint8Array, ProtocolViolation> | undefined
  /** The same for the pieces of a message that has not ended. Each piece it gives is at most 64 KiB. */
  readonly decodeStream: <E, R>(
    pieces: Stream.Stream<Uint8Array, E, R>,
    rsv: Rsv,
    maxBytes: number
  ) => Stream.Stream<Uint8Array, E | ProtocolViolation, R> | undefined
}

/** What both ends have agreed on: makes the coder of a connection. */
export type MakeCoder = () => Coder

/** A server's yes to an offer. */
export interface Accepted {
  readonly response: Extensions.Extension
  readonly makeCoder: MakeCoder
}

/** An extension that this end is ready to use. */
export interface Extension {
  /** As registered with IANA. RFC 6455 section 11.4. */
  readonly name: string
  /** The reserved bits that it gives a meaning to, and of which each message that it has encoded carries one. */
  readonly rsv: Rsv
  /** What a client offers, the one it likes best first. */
  readonly offers: ReadonlyArray<Extensions.Extension>
  /** A server's answer to what a client offered under this name, in the client's order; `undefined` declines. */
  readonly accept: (offered: ReadonlyArray<Extensions.Extension>) => Accepted | undefined
  /** A client's check of what the server answered under this name, at least one element. */
  readonly verify: (answered: ReadonlyArray<Extensions.Extension>) => Result.Result<MakeCoder, HandshakeViolation>
}

/** What was agreed on, in the order in which it is applied to what is sent. */
export interface Agreed {
  /** What the server's response lists. */
  readonly response: ReadonlyArray<Extensions.Extension>
  /** All bits that mean something now. */
  readonly rsv: Rsv
  readonly coders: ReadonlyArray<{ readonly rsv: Rsv; readonly makeCoder: MakeCoder }>
}

/** No extension. */
export const none: Agreed = { response: [], rsv: 0, coders: [] }

/**
 * Extensions that can be used together. Throws a `TypeError`, the programmer's fault, when two have one name or give
 * the same bit a meaning: RFC 6455 section 9.1 leaves no way to tell them apart.
 */
export const compose = (extensions: ReadonlyArray<Extension>): ReadonlyArray<Extension> => {
  let taken = 0
  const names = new Set<string>()
  for (const { name, rsv } of extensions) {
    if (names.has(name)) throw new TypeError(`the extension ${name} is there twice`)
    if ((rsv & ~7) !== 0) throw new TypeError(`the extension ${name} claims bits that no frame has`)
    if ((rsv & taken) !== 0) throw new TypeError(`the extension ${name} claims a reserved bit that is taken`)
    names.add(name)
    taken |= rsv
  }
  return extensions
}

/** What a server agrees to, of the extensions it is ready for and in their order. */
export const accept = (extensions: ReadonlyArray<Extension>, offered: ReadonlyArray<Extensions.Extension>): Agreed => {
  if (extensions.length === 0 || offered.length === 0) return none
  const accepted = extensions.flatMap(({ accept, name, rsv }) => {
    const offers = offered.filter((offer) => offer.name === name)
    const found = offers.length === 0 ? undefined : accept(offers)
    return found === undefined ? [] : [{ ...found, rsv }]
  })
  return {
    response: accepted.map(({ response }) => response),
    rsv: accepted.reduce((all, { rsv }) => all | rsv, 0),
    coders: accepted
  }
}

/**
 * What a client has agreed to by the server's response, in the order of that response. Fails with `HandshakeViolation`,
 * the server's fault, for an extension that was not offered or one whose response does not answer the offer; the
 * connection must then be failed.
 */
export const verify = (
  extensions: ReadonlyArray<Extension>,
  answered: ReadonlyArray<Extensions.Extension>
): Result.Result<Agreed, HandshakeViolation> => {
  const coders: Array<{ rsv: Rsv; makeCoder: MakeCoder }> = []
  for (const name of new Set(answered.map((answer) => answer.name))) {
    const extension = extensions.find((candidate) => candidate.name === name)
    if (extension === undefined) {
      return Result.fail(
        new HandshakeViolation({
          field: "Sec-WebSocket-Extensions",
          clause: "RFC 6455 4.1",
          detail: "an extension that was not asked for"
        })
      )
    }
    const makeCoder = extension.verify(answered.filter((answer) => answer.name === name))
    if (Result.isFailure(makeCoder)) return Result.fail(makeCoder.failure)
    coders.push({ rsv: extension.rsv, makeCoder: makeCoder.success })
  }
  return Result.succeed({
    response: answered,
    rsv: coders.reduce((all, { rsv }) => all | rsv, 0),
    coders
  })
}
