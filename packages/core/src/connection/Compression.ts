/**
 * permessage-deflate as an `Extension`: RFC 7692 section 7. Over a `Deflate`, which a platform brings.
 *
 * What is negotiated is in `codec/PerMessageDeflate`. Here is what is done to messages: which of them are compressed,
 * and what each direction's window holds. A window is plain bytes, kept by us and handed to the compressor as its
 * dictionary. It takes what was sent or received compressed, and nothing else: a message that is sent as it is, is in
 * neither end's window.
 */
import type * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as PerMessageDeflate from "../codec/PerMessageDeflate.ts"
import { ProtocolViolation } from "../codec/ProtocolViolation.ts"
import type * as Message from "../protocol/Message.ts"
import type * as Protocol from "../protocol/WebSocketProtocol.ts"
import * as Coding from "./Coding.ts"
import * as Deflate from "./Deflate.ts"
import type { Coder, Encoded, Extension, MakeCoder, Outgoing, Rsv, Shared } from "./Extension.ts"
import * as Fragments from "./Fragments.ts"
import type { Payload } from "./Outbox.ts"
import { Window } from "./Window.ts"

/** Which messages are compressed, how well, and what is negotiated. All of it has a default. */
export interface Options {
  /**
   * In bytes: a shorter message is sent as it is, unless it asks to be compressed. Default 1,024, below which what is
   * saved seldom pays for the time of both ends.
   */
  readonly threshold?: number | undefined
  /**
   * The largest window that we compress with, as its base-2 logarithm, 9 to 15, whatever larger one was agreed on.
   * Default 13: 8 KiB for each connection with context takeover. 32 KiB take two to three times the time for a small
   * message, and compress most of what is sent as messages no better. The peer's window is what was negotiated.
   */
  readonly compressorWindowBits?: PerMessageDeflate.WindowBits | undefined
  /**
   * What a server agrees to. Default: context takeover and windows of 15 bits in both directions. An offer that cannot be
   * met is declined, and the connection goes on without compression. A client that does not let its window be limited, as
   * Firefox does not, starts every message with an empty one where `clientMaxWindowBits` is below 15, unless
   * `unlimitedClients` says otherwise.
   */
  readonly server?: Partial<Omit<PerMessageDeflate.ServerOptions, "smallestWindowBits">> | undefined
  /** What a client offers, the one it likes best first, at least one. Default: one, which asks for nothing. */
  readonly offers?: ReadonlyArray<Partial<PerMessageDeflate.Offer>> | undefined
}

/** `Options` unless they say otherwise. */
export const defaults = { threshold: 1_024, compressorWindowBits: 13 } as const satisfies Options

/** RSV1, the bit that marks a compressed message. RFC 7692 section 6. */
const rsv1: Rsv = 4

/** So much of a stream is compressed at a time. What does not shrink is then still at most 64 KiB. */
const pieceLength = 65_536 - 256

const encoder = new TextEncoder()

/** The bytes of a payload, joined; `undefined` when they are fewer than `threshold`. */
const bytesOf = (payload: Payload, threshold: number): Uint8Array | undefined => {
  if (typeof payload !== "string") {
    return payload.length < threshold ? undefined : payload instanceof Uint8Array ? payload : payload.join()
  }
  // A code unit takes three bytes at most.
  if (payload.length * 3 < threshold) return undefined
  const bytes = encoder.encode(payload)
  return bytes.length < threshold ? undefined : bytes
}

/** Whether to send a message compressed: when it has become shorter, or when somebody wants it so. */
const isWorth = (compress: boolean | undefined, plain: Uint8Array, compressed: Uint8Array): boolean =>
  compress === true || compressed.length < plain.length

const violationOf = <E>(error: E): Exclude<E, Deflate.InflateError> | ProtocolViolation => {
  if (error instanceof Deflate.TooLong) {
    return new ProtocolViolation({ closeCode: 1009, clause: "RFC 6455 7.4.1", detail: "message too big" })
  }
  if (error instanceof Deflate.CorruptData) {
    return new ProtocolViolation({ closeCode: 1007, clause: "RFC 7692 7.2.2", detail: "compressed data is corrupt" })
  }
  return error as Exclude<E, Deflate.InflateError>
}

/** One direction, as it was agreed on. */
interface Direction {
  readonly windowBits: PerMessageDeflate.WindowBits
  /** Whether a message may refer to those before it. */
  readonly takeover: boolean
}

/** What is the same for all connections that have agreed on the same. */
class Plan {
  readonly deflate: Deflate.Service
  readonly threshold: number
  /** `undefined` where the window that was agreed on is too small for our compressor: nothing is compressed. */
  readonly ours: Direction | undefined
  readonly peers: Direction
  readonly sharedKey: string
  /** The ends of messages that went to many, as windows hold them. */
  readonly ends = new WeakMap<Uint8Array, Uint8Array>()

  constructor(
    deflate: Deflate.Service,
    threshold: number,
    ours: Direction | undefined,
    peers: Direction,
    sharedKey: string
  ) {
    this.deflate = deflate
    this.threshold = threshold
    this.ours = ours
    this.peers = peers
    this.sharedKey = sharedKey
  }

  readonly makeCoder: MakeCoder = () => new MessageCoder(this)

  /** What there is to compress; `undefined` when the message is to be sent as it is. */
  toCompress({ compress, payload }: Outgoing): Uint8Array | undefined {
    if (this.ours === undefined || compress === false) return undefined
    return bytesOf(payload, compress === true ? 0 : this.threshold)
  }

  readonly encodeShared: Shared["encode"] = (message) => {
    const bytes = this.toCompress(message)
    if (bytes === undefined) return undefined
    const windowBits = this.ours!.windowBits
    const payload = this.deflate.deflateNow(bytes, { windowBits, dictionary: undefined })
    return isWorth(message.compress, bytes, payload) ? { payload, rsv: rsv1 } : undefined
  }

  /** The same bytes for all windows, copied once: what they are an end of need not stay in memory for them. */
  endOf(bytes: Uint8Array, size: number): Uint8Array {
    let end = this.ends.get(bytes)
    if (end === undefined) this.ends.set(bytes, (end = bytes.slice(Math.max(bytes.length - size, 0))))
    return end
  }
}

/** Both windows of a connection, each made when there is something for it to hold. */
class MessageCoder implements Coder {
  private readonly plan: Plan
  private sent: Window | undefined
  private received: Window | undefined
  private sharing: Shared | undefined

  constructor(plan: Plan) {
    this.plan = plan
  }

  encode(message: Outgoing): Effect.Effect<Encoded> | undefined {
    const bytes = this.plan.toCompress(message)
    if (bytes === undefined) return undefined
    const plain: Outgoing<Uint8Array> = { ...message, payload: bytes }
    const { takeover, windowBits } = this.plan.ours!
    const compressing = this.plan.deflate.deflate(bytes, { windowBits, dictionary: this.sent?.bytes })
    return Coding.andThen(compressing, (compressed) =>
      Exit.succeed(encoded(plain, compressed, takeover ? () => this.windowSent().push(bytes) : undefined))
    )
  }

  private windowSent(): Window {
    return (this.sent ??= new Window(2 ** this.plan.ours!.windowBits))
  }

  get shared(): Shared {
    return (this.sharing ??= new Sharing(this.plan, this))
  }

  /** A message that went to many was written compressed. */
  wroteShared(bytes: Uint8Array): void {
    const { ours } = this.plan
    if (ours?.takeover === true) this.windowSent().share(this.plan.endOf(bytes, 2 ** ours.windowBits))
  }

  encodeStream<E, R>({ compress, payload }: Outgoing<Stream.Stream<Uint8Array, E, R>>) {
    const { deflate, ours } = this.plan
    if (ours === undefined || compress === false) return undefined
    const { takeover, windowBits } = ours
    const pieces = Stream.suspend(() => {
      // The connection's own goes on from here when the message is whole.
      const window = this.sent?.copy() ?? new Window(2 ** windowBits)
      let started = false
      const compress = (piece: Uint8Array) =>
        Coding.andThen(deflate.deflate(piece, { windowBits, dictionary: window.bytes }), (compressed) => {
          window.push(piece)
          const joint: Arr.NonEmptyArray<Uint8Array> = started ? [Deflate.tail.slice(), compressed] : [compressed]
          started = true
          return Exit.succeed(joint)
        })
      const ended = Stream.suspend(() => {
        if (takeover) this.sent = window
        // Section 7.2.3.6.
        return started ? Stream.empty : Stream.succeed(Uint8Array.of(0x00))
      })
      return payload.pipe(
        Stream.filter((piece) => piece.length > 0),
        Stream.mapArray((pieces) => Fragments.cut(pieces, pieceLength) as Arr.NonEmptyReadonlyArray<Uint8Array>),
        Stream.mapEffect(compress),
        Stream.flattenArray,
        Stream.concat(ended)
      )
    })
    return { rsv: rsv1, pieces }
  }

  decode(
    payload: Message.Content,
    rsv: Rsv,
    maxBytes: number
  ): Effect.Effect<Uint8Array, ProtocolViolation> | undefined {
    if ((rsv & rsv1) === 0) return undefined
    const { deflate, peers } = this.plan
    const inflating = deflate.inflate(payload instanceof Uint8Array ? payload : payload.join(), {
      windowBits: peers.windowBits,
      dictionary: this.received?.bytes,
      maxBytes
    })
    const inflated = (bytes: Uint8Array) => {
      if (peers.takeover) (this.received ??= new Window(2 ** peers.windowBits)).push(bytes)
      return Exit.succeed(bytes)
    }
    const exit = Coding.settled(inflating)
    if (exit === undefined) return Effect.flatMap(Effect.mapError(inflating, violationOf), inflated)
    return Exit.isSuccess(exit) ? inflated(exit.value) : Exit.mapError(exit, violationOf)
  }

  decodeStream<E, R>(pieces: Stream.Stream<Uint8Array, E, R>, rsv: Rsv, maxBytes: number) {
    if ((rsv & rsv1) === 0) return undefined
    const { deflate, peers } = this.plan
    const { takeover, windowBits } = peers
    return Stream.suspend(() => {
      const window = takeover ? (this.received?.copy() ?? new Window(2 ** windowBits)) : undefined
      const inflated = deflate.inflateStream({ windowBits, dictionary: this.received?.bytes, maxBytes })(pieces)
      const seen = Stream.map(inflated, (piece) => {
        window?.push(piece)
        return piece
      })
      const ended = Stream.suspend(() => {
        this.received = window
        return Stream.empty
      })
      return Stream.concat(Stream.mapError(seen, violationOf), ended)
    })
  }
}

const encoded = ({ compress, payload }: Outgoing<Uint8Array>, compressed: Uint8Array, written?: () => void): Encoded =>
  isWorth(compress, payload, compressed) ? { payload: compressed, rsv: rsv1, written } : { payload, rsv: 0 }

/** Messages that go to many are compressed with an empty window, so that they can be inflated with any. */
class Sharing implements Shared {
  readonly key: string
  readonly encode: Shared["encode"]
  private readonly coder: MessageCoder

  constructor(plan: Plan, coder: MessageCoder) {
    this.key = plan.sharedKey
    this.encode = plan.encodeShared
    this.coder = coder
  }

  written({ payload }: Outgoing<Uint8Array>): void {
    this.coder.wroteShared(payload)
  }
}

const withDefaults = (offer: Partial<PerMessageDeflate.Offer>): PerMessageDeflate.Offer => ({
  ...PerMessageDeflate.defaultOffer,
  ...offer
})

const min = (a: PerMessageDeflate.WindowBits, b: PerMessageDeflate.WindowBits) => (a < b ? a : b)

/** Extensions made so far: no two of them share what they have compressed. */
let made = 0

/**
 * permessage-deflate, for both roles. Throws a `RangeError`, the programmer's fault, for a threshold that is no length,
 * for a window that the compressor cannot keep to, and where a client is to offer nothing.
 */
export const over = (deflate: Deflate.Service, options: Options = {}): Extension => {
  const threshold = options.threshold ?? defaults.threshold
  const compressorWindowBits = options.compressorWindowBits ?? defaults.compressorWindowBits
  if (!(threshold >= 0)) throw new RangeError(`${threshold} is not a number of bytes to compress from`)
  if (!(compressorWindowBits >= deflate.smallestWindowBits && compressorWindowBits <= 15)) {
    throw new RangeError(`${compressorWindowBits} is not ${deflate.smallestWindowBits} to 15 bits of a window`)
  }
  const server: PerMessageDeflate.ServerOptions = {
    ...PerMessageDeflate.defaultServerOptions,
    unlimitedClients: "NoContextTakeover",
    ...options.server,
    smallestWindowBits: deflate.smallestWindowBits
  }
  const offers = (options.offers ?? [{}]).map(withDefaults)
  if (offers.length === 0) throw new RangeError("a client of permessage-deflate offers something")

  const id = ++made
  const plans = new Map<string, Plan>()
  const plan = (role: Protocol.Role, agreed: PerMessageDeflate.DeflateParameters): Plan => {
    const ofServer = { windowBits: agreed.serverMaxWindowBits, takeover: !agreed.serverNoContextTakeover }
    const ofClient = { windowBits: agreed.clientMaxWindowBits, takeover: !agreed.clientNoContextTakeover }
    const [sending, peers] = role === "server" ? [ofServer, ofClient] : [ofClient, ofServer]
    const windowBits = min(sending.windowBits, compressorWindowBits)
    const ours = windowBits < deflate.smallestWindowBits ? undefined : { windowBits, takeover: sending.takeover }
    const key = `${windowBits} ${sending.takeover} ${peers.windowBits} ${peers.takeover}`
    const known = plans.get(key)
    if (known !== undefined) return known
    const sharedKey = `${PerMessageDeflate.name} ${id} ${windowBits}`
    const agreedOn = new Plan(deflate, threshold, ours, peers, sharedKey)
    plans.set(key, agreedOn)
    return agreedOn
  }

  return {
    name: PerMessageDeflate.name,
    rsv: rsv1,
    offers: offers.map(PerMessageDeflate.printOffer),
    accept: (offered) => {
      const accepted = PerMessageDeflate.negotiate(offered, server)
      if (accepted === undefined) return undefined
      return { response: accepted.response, makeCoder: plan("server", accepted.parameters).makeCoder }
    },
    verify: (answered) =>
      Result.map(PerMessageDeflate.verify(answered, offers), (agreed) => plan("client", agreed!).makeCoder)
  }
}

/** `over` the `Deflate` of the environment. */
export const make = (options?: Options): Effect.Effect<Extension, never, Deflate.Deflate> =>
  Effect.map(Deflate.Deflate, (deflate) => over(deflate, options))
