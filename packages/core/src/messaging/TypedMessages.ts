/**
 * The messages of one connection as typed values, each of them a text message of JSON: for a peer that speaks JSON and has
 * no contract with us, and for a page that is to load as little as can be.
 *
 *     const chat = TypedMessages.over(connection, { decode: Schema.decodeUnknownResult(Said) })
 *     yield* chat.send({ say: "hello" })
 *     yield* Stream.runForEach(chat.messages, ({ from, text }) => ...)
 *
 * Who brings a function of their own for `decode` loads no schema library. Not in here: names, answers, coming back, which
 * are what `Client` has.
 */
import type * as Arr from "effect/Array"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { WebSocket } from "../connection/WebSocket.ts"
import type { WebSocketError } from "../connection/WebSocketError.ts"
import type { Message } from "../protocol/Message.ts"

/** The peer's fault: a message that is no text, no JSON, or not what it should be. The connection stays as it is. */
export class UndecodableMessage extends Data.TaggedError("UndecodableMessage")<{
  /** What `decode` has failed with, the `SyntaxError` of what is no JSON, or a `TypeError` for bytes. */
  readonly cause: unknown
}> {
  override get message(): string {
    const { cause } = this
    return `a message is not what it should be: ${cause instanceof Error ? cause.message : String(cause)}`
  }
}

/** What the values are. */
export interface Coding<In, Out> {
  /** Total: what JSON has said as what it should be, or why it is not. */
  readonly decode: (json: unknown) => Result.Result<In, unknown>
  /** What is to be said in JSON. Default: the value itself. */
  readonly encode?: ((value: Out) => unknown) | undefined
}

export interface TypedMessages<out In, in Out> {
  /**
   * For one reader at a time, as the messages of the connection are. What came before one that does not decode is delivered
   * before the stream fails with it; a stream that is run anew goes on behind that message.
   */
  readonly messages: Stream.Stream<In, UndecodableMessage | WebSocketError>
  /** As `send` of the connection. A value that JSON cannot say, such as a circle, is a defect. */
  readonly send: (value: Out) => Effect.Effect<void, WebSocketError>
}

const undecodable = (cause: unknown) => Result.fail(new UndecodableMessage({ cause }))

const parse = (text: string): Result.Result<unknown, UndecodableMessage> => {
  try {
    return Result.succeed(JSON.parse(text) as unknown)
  } catch (cause) {
    return undecodable(cause)
  }
}

/** Over a connection of either end, or anything else that has messages. */
export const over = <In, Out = In>(
  connection: Pick<WebSocket, "pull" | "send">,
  { decode, encode = (value) => value }: Coding<In, Out>
): TypedMessages<In, Out> => {
  const read = (message: Message): Result.Result<In, UndecodableMessage> => {
    if (message._tag === "Binary") return undecodable(new TypeError("it is no text"))
    const json = parse(message.text)
    if (Result.isFailure(json)) return Result.fail(json.failure)
    const value = decode(json.success)
    return Result.isSuccess(value) ? Result.succeed(value.success) : undecodable(value.failure)
  }
  /** What was pulled, and not read yet. */
  let left: ReadonlyArray<Message> = []
  let at = 0
  const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<In>, UndecodableMessage | WebSocketError> = Effect.suspend(() => {
    if (at === left.length) {
      return Effect.flatMap(connection.pull, (messages) => {
        left = messages
        at = 0
        return pull
      })
    }
    const values: Array<In> = []
    for (; at < left.length; at++) {
      const value = read(left[at]!)
      if (Result.isSuccess(value)) {
        values.push(value.success)
      } else if (values.length > 0) {
        break
      } else {
        at++
        return Effect.fail(value.failure)
      }
    }
    return Effect.succeed(values as unknown as Arr.NonEmptyReadonlyArray<In>)
  })
  return {
    messages: Stream.fromPull(Effect.succeed(pull)),
    send: (value) => Effect.suspend(() => connection.send(JSON.stringify(encode(value))))
  }
}
