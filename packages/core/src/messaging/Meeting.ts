/**
 * How the two ends of a session meet: the client says hello, the server looks at it and says welcome, or closes.
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { Chunks } from "../codec/Chunks.ts"
import type { WebSocketError } from "../connection/WebSocketError.ts"
import * as Message from "../protocol/Message.ts"
import type { Contract } from "./Contract.ts"
import * as Identifier from "./Identifier.ts"
import * as MessageCodec from "./MessageCodec.ts"
import type * as Packet from "./Packet.ts"
import { SessionCode } from "./SessionCode.ts"
import {
  Disconnected,
  Mismatch,
  Rejected,
  RequestTimeout,
  SessionError,
  SessionViolation,
  Unencodable
} from "./SessionError.ts"
import type { Limits } from "./SessionLimits.ts"
import type { Wire } from "./Wire.ts"

/** What the other end said of its contract. */
export interface Peer {
  readonly contract: string
  readonly version: string
  readonly hash: string
  /** Whether its contract looks the same as ours on the wire. With one version, it may be an older one of it. */
  readonly same: boolean
}

/** Why somebody is not let in. */
export class Refusal extends Data.TaggedError("Refusal")<{ readonly detail: string }> {
  override get message(): string {
    return this.detail
  }
}

/** What came of it. */
export interface Met<out Known> {
  readonly id: string
  readonly peer: Peer
  readonly known: Known
}

/** Finds out who it is. */
export type Authenticate<Known, R> = (credentials: unknown, peer: Peer) => Effect.Effect<Known, Refusal, R>

interface Meeting {
  readonly contract: Contract
  readonly wire: Wire
  readonly codec: MessageCodec.MessageCodec
  readonly limits: Limits
}

type Reason = SessionError["reason"]

const failWith = (reason: Reason) => Effect.fail(new SessionError({ reason }))

/** Closes the connection, and fails. */
const turnAway = (wire: Wire, code: number, reason: Reason, detail = reason.message) =>
  Effect.andThen(Effect.ignore(wire.close(code, detail)), failWith(reason))

const violation = (code: number, detail: string) => new SessionViolation({ code, detail })

const unread = (error: WebSocketError | Cause.Done) =>
  new SessionError({ reason: new Disconnected({ cause: Cause.isDone(error) ? undefined : error }) })

/** The first message, of which no more is read than it may have. `undefined` when it has more. */
const first = ({ limits, wire }: Meeting): Effect.Effect<Message.Message | undefined, WebSocketError | Cause.Done> => {
  const within = <M extends { readonly length: number }>(message: M) =>
    message.length > limits.maxHelloBytes ? undefined : message
  if (wire.receiveStream === undefined) return Effect.map(wire.receive, within)
  return Effect.flatMap(wire.receiveStream, (streamed) => {
    // However it is cut: a message that comes byte by byte is not to keep a buffer for each.
    const chunks = new Chunks()
    return Effect.map(
      Stream.runForEachWhile(streamed.bytes, (chunk) => {
        chunks.push(chunk)
        return Effect.succeed(chunks.length <= limits.maxHelloBytes)
      }),
      () => within(streamed.kind === "text" ? new Message.Text(chunks) : new Message.Binary(chunks))
    )
  })
}

/** The first packet, which has to be one of `tag`. */
const firstPacket = <Tag extends "Hello" | "Welcome">(
  meeting: Meeting,
  tag: Tag
): Effect.Effect<Extract<Packet.Packet, { _tag: Tag }>, SessionError> => {
  const { codec, limits, wire } = meeting
  const timeout = Duration.toMillis(limits.helloTimeout)
  const { helloTimeout, violation: broken } = SessionCode
  return Effect.flatMap(
    Effect.timeoutOrElse(Effect.mapError(first(meeting), unread), {
      duration: timeout,
      orElse: () => turnAway(wire, helloTimeout, violation(helloTimeout, `no ${tag.toLowerCase()} for ${timeout} ms`))
    }),
    (message) => {
      if (message === undefined) {
        return turnAway(
          wire,
          broken,
          violation(broken, `a ${tag.toLowerCase()} of more than ${limits.maxHelloBytes} bytes`)
        )
      }
      const packet = MessageCodec.read(codec, message)
      if (Result.isFailure(packet)) return turnAway(wire, broken, violation(broken, packet.failure.message))
      if (packet.success._tag !== tag) {
        return turnAway(wire, broken, violation(broken, `the first message is no ${tag.toLowerCase()}`))
      }
      return Effect.succeed(packet.success as Extract<Packet.Packet, { _tag: Tag }>)
    }
  )
}

const peerOf = (contract: Contract, { contract: name, hash, version }: Packet.Hello | Packet.Welcome): Peer => ({
  contract: name,
  version,
  hash,
  same: hash === contract.hash
})

const titleOf = ({ name, version }: { readonly name: string; readonly version: string }) => `${name} ${version}`

const mismatch = (contract: Contract, peer: Peer): Mismatch | undefined =>
  peer.contract === contract.name && peer.version === contract.version
    ? undefined
    : new Mismatch({
        ours: titleOf(contract),
        theirs: titleOf({ name: peer.contract, version: peer.version }).slice(0, 64)
      })

const say = ({ codec, wire }: Meeting, packet: Packet.Packet) =>
  Effect.suspend(() => {
    let message: Message.Sendable
    try {
      message = MessageCodec.write(codec, packet)
    } catch (cause) {
      return failWith(new Unencodable({ name: packet._tag, cause }))
    }
    return Effect.mapError(wire.send(message), unread)
  })

/** The server's part. */
export const accept = <Known, R>(
  meeting: Meeting & { readonly authenticate: Authenticate<Known, R> }
): Effect.Effect<Met<Known>, SessionError, R> =>
  Effect.gen(function* () {
    const { authenticate, contract, wire } = meeting
    const hello = yield* firstPacket(meeting, "Hello")
    const peer = peerOf(contract, hello)
    const differ = mismatch(contract, peer)
    if (differ !== undefined) return yield* turnAway(wire, SessionCode.mismatch, differ, titleOf(contract))
    const credentials = contract.credentials.decode(hello.credentials)
    if (Result.isFailure(credentials)) {
      return yield* turnAway(
        wire,
        SessionCode.rejected,
        new Rejected({ detail: "they are not what the contract says" })
      )
    }
    const authenticated = Effect.catch(authenticate(credentials.success, peer), ({ detail }) =>
      turnAway(wire, SessionCode.rejected, new Rejected({ detail }), detail)
    )
    const timeout = Duration.toMillis(meeting.limits.helloTimeout)
    const known = yield* Effect.timeoutOrElse(authenticated, {
      duration: timeout,
      orElse: () => turnAway(wire, SessionCode.helloTimeout, new RequestTimeout({ name: "authenticate", timeout }))
    })
    const id = yield* Identifier.next
    const { hash, name, version } = contract
    yield* say(meeting, { _tag: "Welcome", contract: name, version, hash, session: id })
    return { id, peer, known }
  })

/** The client's part. */
export const greet = (
  meeting: Meeting & { readonly credentials: unknown }
): Effect.Effect<Met<undefined>, SessionError> =>
  Effect.gen(function* () {
    const { contract, wire } = meeting
    const credentials = contract.credentials.encode(meeting.credentials)
    if (Result.isFailure(credentials)) {
      return yield* failWith(new Unencodable({ name: "credentials", cause: credentials.failure }))
    }
    const { hash, name, version } = contract
    yield* say(meeting, { _tag: "Hello", contract: name, version, hash, credentials: credentials.success })
    const welcome = yield* Effect.catch(firstPacket(meeting, "Welcome"), (error) => closedWith(meeting, error))
    const peer = peerOf(contract, welcome)
    const differ = mismatch(contract, peer)
    if (differ !== undefined) return yield* turnAway(wire, SessionCode.mismatch, differ)
    return { id: welcome.session, peer, known: undefined }
  })

/** A server that closes instead of saying welcome says with its code why. */
const closedWith = ({ contract }: Meeting, error: SessionError): Effect.Effect<never, SessionError> => {
  const { reason } = error
  const cause = reason._tag === "Disconnected" ? reason.cause?.reason : undefined
  if (cause?._tag !== "ConnectionLost") return Effect.fail(error)
  const said = cause.received?.reason ?? ""
  if (cause.code === SessionCode.rejected) return failWith(new Rejected({ detail: said }))
  if (cause.code === SessionCode.mismatch) return failWith(new Mismatch({ ours: titleOf(contract), theirs: said }))
  return Effect.fail(error)
}
