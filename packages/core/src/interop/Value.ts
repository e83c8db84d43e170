/**
 * A value of JSON, in which bytes may stand, as a publication of the hub, and back: for systems whose messages are such
 * values. Pure.
 *
 * Without bytes it is a message of the hub's protocol, so that clients in any language have it as `data`; with bytes in it
 * a binary message of `JsonCodec`.
 */
import * as Result from "effect/Result"
import * as HubMessage from "../cluster/HubMessage.ts"
import * as HubName from "../cluster/HubName.ts"
import { toJson } from "../cluster/JsonText.ts"
import { Publication } from "../cluster/Publication.ts"
import * as WireValue from "../codec/WireValue.ts"
import * as Prepared from "../connection/Prepared.ts"
import * as JsonCodec from "../messaging/JsonCodec.ts"
import { Binary, type Message, type Sendable } from "../protocol/Message.ts"
import * as Content from "./Content.ts"

/** The message is one of the levels itself. */
const maxDepth = HubName.maxDepth - 1

/** What the hub says of a publication. */
export interface By {
  readonly topic: string
  readonly from: string
  /** In milliseconds since 1970. */
  readonly time: number
}

/**
 * What is published for a value. Fails with a `TypeError` for what is no such value, or nested deeper than 63: see
 * `WireValue.countBytes`.
 */
export const toPublish = (value: unknown, { from, time, topic }: By): Result.Result<Sendable, TypeError> => {
  try {
    return Result.succeed(
      WireValue.countBytes(value, maxDepth) === 0
        ? HubMessage.encodeMessage({ topic, dataJson: toJson(value ?? null), from, time })
        : JsonCodec.json.encode(value)
    )
  } catch (cause) {
    return Result.fail(cause as TypeError)
  }
}

/** What was published, and what the hub says of it where it is a message of its protocol. */
export interface Said {
  readonly value: unknown
  readonly from: string | undefined
  /** In milliseconds since 1970. */
  readonly time: number | undefined
}

/** Total: text that is no JSON is that text, and bytes in which there is no value are those bytes. */
export const ofMessage = (message: Message): Said => {
  const content = Content.of(new Publication("", Prepared.make(message)))
  if (content._tag === "Json") {
    return { value: JSON.parse(content.data) as unknown, from: content.from, time: content.time }
  }
  const decoded = JsonCodec.json.decode(new Binary(content.bytes))
  return { value: Result.isSuccess(decoded) ? decoded.success : content.bytes, from: undefined, time: undefined }
}
