/**
 * The WebSocket connection as a state machine: RFC 6455 sections 5.4 (fragmentation), 5.5 (control frames), 7
 * (closing) and 8.1 (text is UTF-8). Both roles.
 *
 * No sockets, no clocks, no masking keys. A transition takes a state and what happened, and gives the next state with
 * the actions it calls for, to be carried out in order. What a peer can do is never an exception: `receive` is total.
 * `send` and `close` refuse what the application may not do any more.
 *
 *         send Close / receive Close / fail          transport ended
 *   Open ------------------------------------> Closing -----------> Closed
 *     `------------------------------------------------------------>'
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import * as CloseCode from "../codec/CloseCode.ts"
import * as Frame from "../codec/Frame.ts"
import { ProtocolViolation } from "../codec/ProtocolViolation.ts"
import * as Utf8 from "../codec/Utf8.ts"

/** Which end we are: a client masks what it sends, a server ends the transport first. */
export type Role = "client" | "server"

/** Section 5.6. */
export type Kind = "text" | "binary"

/** A piece of a message. A whole message has `fin` and nothing before it. */
export interface Fragment<out Payload = Uint8Array> {
  readonly kind: Kind
  readonly payload: Payload
  /** `true` on the first piece of its message. */
  readonly first: boolean
  /** `true` on the last. */
  readonly fin: boolean
  /** The reserved bits of its message, which the first frame carries: 0 but for what an extension has coded. */
  readonly rsv: number
}

/** The message that is being received, as far as it has come. */
interface Receiving {
  readonly kind: Kind
  /** Payload bytes over all its frames. */
  readonly length: number
  readonly frames: number
  readonly rsv: number
  /** Where the text stands between two pieces. */
  readonly utf8: Utf8.State
}

/** Messages may go both ways. */
export interface Open {
  readonly _tag: "Open"
  readonly receiving: Receiving | undefined
  /** The kind of the message that is being sent in fragments. */
  readonly sending: Kind | undefined
}

/** The closing handshake has started: section 7.1.3. */
export interface Closing {
  readonly _tag: "Closing"
  /** Who said so first: we, also by failing the connection, or the peer. */
  readonly by: "local" | "remote"
  readonly receiving: Receiving | undefined
  readonly sent: CloseCode.CloseStatus
  /** `undefined` until the peer's Close arrives. */
  readonly received: CloseCode.CloseStatus | undefined
  /** Nothing that the peer sends counts any more: sections 1.4 and 7.1.7. */
  readonly discarding: boolean
  /** Why we failed the connection, if we did. */
  readonly violation: ProtocolViolation | undefined
}

/** The connection is closed: section 7.1.4. Cleanly, when both Close frames crossed. */
export interface Closed {
  readonly _tag: "Closed"
  /** Who started the closing handshake; `network` when the transport ended before anyone did. */
  readonly by: "local" | "remote" | "network"
  readonly sent: CloseCode.CloseStatus | undefined
  readonly received: CloseCode.CloseStatus | undefined
  readonly violation: ProtocolViolation | undefined
}

/** Where a connection stands. It only goes forward: Open, Closing, Closed. */
export type State = Open | Closing | Closed

/** What a transition calls for. */
export type Action<Payload = Uint8Array> =
  /** Hand this piece of a message to the application. */
  | { readonly _tag: "Deliver"; readonly fragment: Fragment }
  | { readonly _tag: "Write"; readonly frame: Frame.Frame<Payload> }
  /** Close the TCP connection, after what was written. */
  | { readonly _tag: "EndTransport" }

/** The next state, and what is to be done, in this order. */
export type Transition<Payload = Uint8Array> = readonly [state: State, actions: ReadonlyArray<Action<Payload>>]

/** The caller's fault: a message or a Close for a connection that is past it. */
export class NotOpen extends Data.TaggedError("NotOpen")<{ readonly state: "Closing" | "Closed" }> {
  override get message(): string {
    return `the WebSocket connection is ${this.state === "Closing" ? "closing" : "closed"}`
  }
}

/** The caller's fault: a close code that no endpoint may send. Section 7.4. */
export class InvalidCloseCode extends Data.TaggedError("InvalidCloseCode")<{ readonly code: number }> {
  override get message(): string {
    return `${this.code} is not a close code that may be sent: use 1000 to 1003, 1007 to 1014 or 3000 to 4999`
  }
}

/** The caller's fault: a message inside another, or the next piece of one that is not being sent. Section 5.4. */
export class Interleaved extends Data.TaggedError("Interleaved")<{ readonly sending: Kind | undefined }> {
  override get message(): string {
    return this.sending === undefined
      ? "there is no message to continue"
      : `a ${this.sending} message is being sent in fragments: finish it before the next`
  }
}

/** What does not change while a connection lasts. */
export interface Config {
  readonly role: Role
  /** Longest message accepted, in bytes over all its fragments: 1009. */
  readonly maxMessageBytes: number
  /**
   * The same for a message with a reserved bit, as it is on the wire: what it is a code for has a limit elsewhere.
   * Default: no other.
   */
  readonly maxCodedBytes?: number | undefined
  /** Most frames in one message, empty ones too: 1008. */
  readonly maxFragments: number
}

/** The state after the opening handshake. */
export const initial: State = { _tag: "Open", receiving: undefined, sending: undefined }

const write = <P>(opcode: Frame.Opcode, payload: P, fin = true, rsv = 0): Action<P> => ({
  _tag: "Write",
  frame: { fin, rsv, opcode, payload }
})

/** The server closes the TCP connection first; the client waits for it to. Section 7.1.1. */
const endTransport = (role: Role, actions: Array<Action>): void => {
  if (role === "server") actions.push({ _tag: "EndTransport" })
}

/**
 * Handles what one chunk brought, in order. The usual input is many small whole messages, for which the state does
 * not change and each costs one action.
 */
export const receive = (config: Config, state: State, parts: ReadonlyArray<Frame.FramePart>): Transition => {
  const actions: Array<Action> = []
  let next = state
  for (const part of parts) next = receivePart(config, next, part, actions)
  return [next, actions]
}

const receivePart = (config: Config, state: State, part: Frame.FramePart, actions: Array<Action>): State => {
  if (state._tag === "Closed" || (state._tag === "Closing" && state.discarding)) return state
  switch (part.opcode) {
    case Frame.Opcode.ping:
      actions.push(write(Frame.Opcode.pong, part.payload))
      return state
    case Frame.Opcode.pong:
      return state
    case Frame.Opcode.close:
      return receiveClose(config, state, part.payload, actions)
    default:
      return receiveData(config, state, part, actions)
  }
}

const receiveData = (config: Config, state: Open | Closing, part: Frame.FramePart, actions: Array<Action>): State => {
  const { receiving } = state
  const startsFrame = part.offset === 0
  if (startsFrame) {
    const continues = part.opcode === Frame.Opcode.continuation
    if (continues !== (receiving !== undefined)) {
      const detail = continues ? "continuation without a message to continue" : "new message inside a fragmented one"
      return failWith(config, state, 1002, "RFC 6455 5.4", detail, actions)
    }
  }
  const kind = receiving?.kind ?? (part.opcode === Frame.Opcode.text ? "text" : "binary")
  // That a continuation has none, and a message none that was not agreed on, is for the decoder of frames to see.
  const rsv = receiving?.rsv ?? part.rsv
  const length = (receiving?.length ?? 0) + part.payload.length
  // What the header has announced counts before it is there.
  if (
    length + part.remaining >
    (rsv === 0 ? config.maxMessageBytes : (config.maxCodedBytes ?? config.maxMessageBytes))
  ) {
    return failWith(config, state, 1009, "RFC 6455 7.4.1", "message too big", actions)
  }
  const frames = (receiving?.frames ?? 0) + (startsFrame ? 1 : 0)
  if (frames > config.maxFragments) {
    return failWith(config, state, 1008, "RFC 6455 10.4", "too many fragments", actions)
  }
  const fin = part.fin && part.remaining === 0
  let utf8: Utf8.State = Utf8.accept
  // What is coded is not text yet.
  if (kind === "text" && rsv === 0) {
    utf8 = Utf8.validate(receiving?.utf8 ?? Utf8.accept, part.payload)
    if (utf8 === Utf8.reject || (fin && utf8 !== Utf8.accept)) {
      return failWith(config, state, 1007, "RFC 6455 8.1", "text is not UTF-8", actions)
    }
  }
  actions.push({ _tag: "Deliver", fragment: { kind, payload: part.payload, first: receiving === undefined, fin, rsv } })
  if (fin) return receiving === undefined ? state : { ...state, receiving: undefined }
  return { ...state, receiving: { kind, length, frames, rsv, utf8 } }
}

const receiveClose = (config: Config, state: Open | Closing, body: Uint8Array, actions: Array<Action>): State => {
  const decoded = CloseCode.decode(body)
  if (Result.isFailure(decoded)) return failInto(config, state, decoded.failure, actions)
  const received = decoded.success
  // 5.5.1: the answer echoes the status code, unless a Close was sent already.
  if (state._tag === "Open") actions.push(write(Frame.Opcode.close, body))
  endTransport(config.role, actions)
  const closing = { _tag: "Closing", receiving: undefined, received, discarding: true, violation: undefined } as const
  return state._tag === "Open"
    ? { ...closing, by: "remote", sent: received }
    : { ...closing, by: state.by, sent: state.sent }
}

/** Fails the connection, section 7.1.7: a Close with the violation's code, and whatever follows is discarded. */
export const fail = (config: Config, state: State, violation: ProtocolViolation): Transition => {
  const actions: Array<Action> = []
  return [failInto(config, state, violation, actions), actions]
}

const failWith = (
  config: Config,
  state: Open | Closing,
  closeCode: ProtocolViolation["closeCode"],
  clause: string,
  detail: string,
  actions: Array<Action>
): State => failInto(config, state, new ProtocolViolation({ closeCode, clause, detail }), actions)

const failInto = (config: Config, state: State, violation: ProtocolViolation, actions: Array<Action>): State => {
  if (state._tag === "Closed" || (state._tag === "Closing" && state.discarding)) return state
  if (state._tag === "Closing") {
    endTransport(config.role, actions)
    return { ...state, receiving: undefined, discarding: true, violation }
  }
  const sent = { code: violation.closeCode, reason: violation.detail }
  actions.push(write(Frame.Opcode.close, CloseCode.encode(sent)))
  endTransport(config.role, actions)
  return { _tag: "Closing", by: "local", receiving: undefined, sent, received: undefined, discarding: true, violation }
}

/**
 * Starts the closing handshake, section 7.1.2. Code 1005 sends an empty Close frame. What the peer sends until its own
 * Close is still received.
 */
export const close = (
  state: State,
  status: CloseCode.CloseStatus
): Result.Result<Transition, NotOpen | InvalidCloseCode> => {
  if (state._tag !== "Open") return Result.fail(new NotOpen({ state: state._tag }))
  if (!CloseCode.isOnWire(status.code) && status.code !== CloseCode.CloseCode.noStatus) {
    return Result.fail(new InvalidCloseCode({ code: status.code }))
  }
  const body = CloseCode.encode(status)
  const decoded = CloseCode.decode(body)
  const sent = Result.isSuccess(decoded) ? decoded.success : status
  return Result.succeed([
    {
      _tag: "Closing",
      by: "local",
      receiving: state.receiving,
      sent,
      received: undefined,
      discarding: false,
      violation: undefined
    },
    [write(Frame.Opcode.close, body)]
  ])
}

/**
 * Sends pieces of messages, in order. The payload is passed through unseen, so it may be whatever the caller's encoder
 * takes. Fails with `Interleaved` for a piece that is not the next of the message that is being sent.
 */
export const send = <P>(
  state: State,
  fragments: ReadonlyArray<Fragment<P>>
): Result.Result<Transition<P>, NotOpen | Interleaved> => {
  if (state._tag !== "Open") return Result.fail(new NotOpen({ state: state._tag }))
  const actions: Array<Action<P>> = []
  let { sending } = state
  for (const { kind, payload, first, fin, rsv } of fragments) {
    if (first ? sending !== undefined : sending !== kind) return Result.fail(new Interleaved({ sending }))
    actions.push(first ? write(Frame.Opcode[kind], payload, fin, rsv) : write(Frame.Opcode.continuation, payload, fin))
    sending = fin ? undefined : kind
  }
  return Result.succeed([sending === state.sending ? state : { ...state, sending }, actions])
}

/** Sends a Ping with at most 125 bytes. Section 5.5.2. It may stand between the fragments of a message. */
export const ping = (state: State, payload: Uint8Array): Result.Result<Transition, NotOpen> =>
  state._tag !== "Open"
    ? Result.fail(new NotOpen({ state: state._tag }))
    : Result.succeed([state, [write(Frame.Opcode.ping, payload.subarray(0, Frame.maxControlPayload))]])

/** The transport has ended, from either side. Section 7.1.4. */
export const transportEnded = (state: State): Closed => {
  switch (state._tag) {
    case "Open":
      return { _tag: "Closed", by: "network", sent: undefined, received: undefined, violation: undefined }
    case "Closing":
      return {
        _tag: "Closed",
        by: state.by,
        sent: state.sent,
        received: state.received,
        violation: state.violation
      }
    case "Closed":
      return state
  }
}

/** Both Close frames crossed and said nothing but good: section 7.1.4 and the codes that mean "done". */
export const isOrdinary = (closed: Pick<Closed, "sent" | "received" | "violation">): boolean =>
  closed.violation === undefined &&
  closed.sent !== undefined &&
  closed.received !== undefined &&
  CloseCode.isOrdinary(closed.received.code)
