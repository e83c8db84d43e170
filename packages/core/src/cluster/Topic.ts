/**
 * A topic with a type: what is published to it has been checked, and so has what comes of it, whoever published it.
 *
 * What is on the wire is the hub's protocol, docs/protocol.md: clients in any language read what a program publishes
 * here, and the other way round. With a codec of binary messages it is that codec's instead, for programs alone.
 */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as WireValue from "../codec/WireValue.ts"
import { type Coder, CodingError } from "../messaging/Coder.ts"
import { MalformedMessage, type MessageCodec } from "../messaging/MessageCodec.ts"
import type * as Message from "../protocol/Message.ts"
import type { BrokerError } from "./BrokerError.ts"
import type { Hub, Notice } from "./Hub.ts"
import * as HubMessage from "./HubMessage.ts"
import * as HubName from "./HubName.ts"
import * as JsonText from "./JsonText.ts"
import type { Position } from "./Position.ts"
import type { Published, PublishError, PublishOptions } from "./Published.ts"
import * as Subscription from "./Subscription.ts"

/** The caller's fault: the value is not what the topic takes, or has no form on its wire. Nothing was published. */
export class Unencodable extends Data.TaggedError("Unencodable")<{ readonly topic: string; readonly cause: unknown }> {
  override get message(): string {
    return `${JSON.stringify(this.topic)} does not take this: ${wordsOf(this.cause)}`
  }
}

/** Its publisher's fault: something that was published is not what the topic has. */
export class Undecodable extends Data.TaggedError("Undecodable")<{
  readonly topic: string
  readonly message: string
  readonly said: Message.Message
  readonly position: Position | undefined
  readonly cause: CodingError | MalformedMessage
}> {}

const wordsOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

/** What was published, by whom and when. */
interface Said<A> {
  readonly value: A
  readonly from: string | undefined
  readonly time: number | undefined
}

/** A topic and what it carries. Made by `make`, or by a `template`. */
export interface Topic<in Sent, out Received = Sent> {
  readonly name: string
  readonly encode: (value: Sent, from: string, time: number) => Result.Result<Message.Sendable, Unencodable>
  readonly decode: (message: Message.Message) => Result.Result<Said<Received>, CodingError | MalformedMessage>
}

export interface Options {
  /** For programs alone: messages as this codec makes them, such as `MessagePackCodec.messagePack`. Default: the hub's protocol. */
  readonly codec?: MessageCodec | undefined
}

/** `from` in what a program publishes, unless it gives another. */
export const serverClient = "@server"

/** The message is one of the levels itself. */
const maxDepth = HubName.maxDepth - 1

const printJson = (topic: string, wire: unknown, from: string, time: number): string => {
  if (WireValue.countBytes(wire, maxDepth) > 0) {
    throw new TypeError("the hub's protocol has no bytes: give the topic a codec")
  }
  return HubMessage.encodeMessage({ topic, dataJson: JsonText.toJson(wire), from, time })
}

const malformed = (detail: string) => Result.fail(new MalformedMessage({ detail }))

const readJson = (message: Message.Message): Result.Result<Said<unknown>, MalformedMessage> => {
  if (message._tag === "Binary") return malformed("binary")
  let fields: unknown
  try {
    fields = JSON.parse(message.text)
  } catch {
    return malformed("not JSON")
  }
  const isMessage = typeof fields === "object" && fields !== null && Object.hasOwn(fields, "data")
  const { data, from, time, type } = (isMessage ? fields : {}) as Readonly<Record<string, unknown>>
  if (type !== "message") return malformed("not a message of the hub's")
  const why = WireValue.refusal(data, maxDepth)
  if (why !== undefined) return malformed(why)
  return Result.succeed({
    value: data,
    from: typeof from === "string" ? from : undefined,
    time: typeof time === "number" ? time : undefined
  })
}

/**
 * A topic of that name, which carries what the coder codes: `SchemaCoder.make(schema)`, or `Coder.fromStandard`. Throws a
 * `TypeError` for what is no name of a topic.
 */
export const make = <Sent, Received>(
  name: string,
  coder: Coder<Sent, Received>,
  { codec }: Options = {}
): Topic<Sent, Received> => {
  if (!HubName.isTopic(name)) throw new TypeError(`${JSON.stringify(name)} is no name of a topic`)
  return {
    name,
    encode: (value, from, time) => {
      const wire = coder.encode(value)
      if (Result.isFailure(wire)) return Result.fail(new Unencodable({ topic: name, cause: wire.failure }))
      try {
        const sendable = codec?.encode(wire.success) ?? printJson(name, wire.success, from, time)
        return Result.succeed(sendable)
      } catch (cause) {
        return Result.fail(new Unencodable({ topic: name, cause }))
      }
    },
    decode: (message): Result.Result<Said<Received>, CodingError | MalformedMessage> => {
      const said: Result.Result<Said<unknown>, MalformedMessage> = codec === undefined
        ? readJson(message)
        : Result.map(codec.decode(message), (value) => ({ value, from: undefined, time: undefined }))
      if (Result.isFailure(said)) return Result.fail(said.failure)
      return Result.map(coder.decode(said.success.value), (value) => ({ ...said.success, value }))
    }
  }
}

/** The names in braces. */
export type Parameters<Pattern extends string> = Pattern extends `${string}{${infer Name}}${infer Rest}`
  ? { readonly [name in Name]: string } & Parameters<Rest>
  : unknown

/**
 * Topics whose names have parts: `template("room:{id}", coder)({ id: "7" })` is that of `room:7`. Parts are
 * percent-encoded, so that no two of them make one name. Throws as `make` does, when a name is made that is too long.
 */
export const template =
  <const Pattern extends string, Sent, Received>(pattern: Pattern, coder: Coder<Sent, Received>, options?: Options) =>
  (parameters: Parameters<Pattern>): Topic<Sent, Received> => {
    const parts = parameters as Readonly<Record<string, string>>
    const name = pattern.replaceAll(/\{([^{}]*)\}/g, (_, part: string) => {
      if (!Object.hasOwn(parts, part)) throw new TypeError(`${pattern} has no ${part}`)
      return encodeURIComponent(parts[part]!.toWellFormed())
    })
    return make(name, coder, options)
  }

type Service = Hub["Service"]

/** Publishes a value. Fails with `Unencodable` when that is not what the topic takes, else as `hub.publish` does. */
export const publish = <Sent>(
  hub: Service,
  topic: Topic<Sent, unknown>,
  value: Sent,
  { from = serverClient, ...options }: PublishOptions & { readonly from?: string | undefined } = {}
): Effect.Effect<Published, PublishError | Unencodable> =>
  Effect.flatMap(Clock.currentTimeMillis, (time): Effect.Effect<Published, PublishError | Unencodable> => {
    const encoded = topic.encode(value, from, time)
    return Result.isFailure(encoded) ? Effect.fail(encoded.failure) : hub.publish(topic.name, encoded.success, options)
  })

/** A value, with what is known of how it came. */
export interface Value<out A> {
  readonly _tag: "Value"
  readonly value: A
  /** Behind it; `undefined` for what has no place in the log. */
  readonly position: Position | undefined
  /** The client's name, which is not proved; and when the hub got it, in milliseconds since 1970. */
  readonly from: string | undefined
  readonly time: number | undefined
}

/** What of a subscription comes as a stream. */
export type Element<A> = Value<A> | Undecodable | Notice

export interface SubscribeOptions extends Subscription.Options {
  /** What cannot be decoded is an element like others, or ends the stream as its failure. Default: `Tell`. */
  readonly undecodable?: "Tell" | "Fail" | undefined
}

const elementOf = <A>(topic: Topic<never, A>, element: Subscription.Element): Element<A> => {
  if (element._tag !== "Message") return element
  const { message: said, position } = element
  const decoded = topic.decode(said)
  if (Result.isSuccess(decoded)) return { _tag: "Value", position, ...decoded.success }
  const { failure: cause } = decoded
  return new Undecodable({ topic: topic.name, message: cause.message, said, position, cause })
}

/** The values of a topic, as `Subscription.stream` gives its messages. */
export const subscribe = <A>(
  hub: Service,
  topic: Topic<never, A>,
  { undecodable = "Tell", ...options }: SubscribeOptions = {}
): Stream.Stream<Element<A>, BrokerError | Subscription.Closed | Undecodable> => {
  const elements = Stream.map(Subscription.stream(hub, [topic.name], options), (element) => elementOf(topic, element))
  return undecodable === "Tell"
    ? elements
    : Stream.mapEffect(elements, (element) =>
        element._tag === "Undecodable" ? Effect.fail(element) : Effect.succeed(element)
      )
}
