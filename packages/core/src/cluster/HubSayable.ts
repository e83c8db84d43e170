/**
 * Whether what a program wants to say can be said to a hub: otherwise why not, for `Unsayable`.
 */
import * as Result from "effect/Result"
import type * as HubClient from "./HubClient.ts"
import { isProducer, isTopic, maxDepth } from "./HubName.ts"
import { print } from "./HubPublications.ts"
import type { Unanswered } from "./HubStore.ts"
import { isTooDeep, type JsonText, toJson } from "./JsonText.ts"

/** Deeper than others can have it who are told of it inside of more. */
const maxInfoDepth = maxDepth - 3

const encoder = new TextEncoder()

const jsonOf = (value: unknown): Result.Result<JsonText, string> => {
  try {
    return Result.succeed(toJson(value))
  } catch (error) {
    return Result.fail(error instanceof Error ? error.message : String(error))
  }
}

export const topic = (name: string): Result.Result<string, string> =>
  isTopic(name) ? Result.succeed(name) : Result.fail(`not a topic: ${JSON.stringify(name)}`)

/** What is published, as JSON, and by which key if the program has its own. */
export const publication = (data: unknown, key: HubClient.PublishOptions["key"]): Result.Result<JsonText, string> => {
  if (data === undefined) return Result.fail("there is no data: null is a value")
  if (key !== undefined && !isProducer(key.producer)) return Result.fail("a producer is 1 to 120 bytes of UTF-8")
  return jsonOf(data)
}

/** What others are to know of who subscribes: `""` for that it is there, `undefined` for nothing at all. */
export const presence = (
  of: HubClient.SubscribeOptions["presence"]
): Result.Result<JsonText | "" | undefined, string> => {
  if (of === undefined) return Result.succeed(undefined)
  if (of === true || of.info === undefined) return Result.succeed("")
  return Result.flatMap(jsonOf(of.info), (info) =>
    isTooDeep(info, maxInfoDepth) ? Result.fail(`info is nested more than ${maxInfoDepth} deep`) : Result.succeed(info)
  )
}

/** Why the hub would not take a publication, with the highest id that it may be said by; `undefined` where it would. */
export const tooMuch = (
  said: Pick<Unanswered, "dataJson" | "echo" | "key" | "topic">,
  maxMessageBytes: number
): string | undefined => {
  const text = print({ ...said, at: 0, saidAt: undefined }, Number.MAX_SAFE_INTEGER)
  if (text.length * 3 > maxMessageBytes && encoder.encode(text).length > maxMessageBytes) {
    return `it is longer than the ${maxMessageBytes} bytes that the hub takes`
  }
  return isTooDeep(text, maxDepth) ? `data is nested more than ${maxDepth - 1} deep` : undefined
}
