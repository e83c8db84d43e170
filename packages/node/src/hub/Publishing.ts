/**
 * `POST /publish`: one message, for programs.
 */
import { createHash, timingSafeEqual } from "node:crypto"
import type * as http from "node:http"
import type * as Hub from "@millrace/core/cluster/Hub"
import type { Access } from "@millrace/core/cluster/HubAccess"
import * as HubKey from "@millrace/core/cluster/HubKey"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import type { Key } from "@millrace/core/cluster/Parcel"
import * as Position from "@millrace/core/cluster/Position"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Answer from "./Answer.ts"
import * as Guest from "./Guest.ts"

export interface Options {
  readonly hub: Hub.Hub["Service"]
  readonly maxBody: number
  /** What has to be in `Authorization: Bearer`. Default: anybody may publish. */
  readonly token?: string | undefined
  readonly identify?: Guest.Identify | undefined
  readonly authorize?: Access<Guest.Request> | undefined
}

/** What each error of the hub is by HTTP; 400 for the others, which are of the request. */
const statuses: ReadonlyMap<HubMessage.ErrorCode, number> = new Map([
  ["forbidden", 403],
  ["stale-key", 409],
  ["too-large", 413],
  ["refused", 502],
  ["unavailable", 503]
])

export const refuse = (
  response: http.ServerResponse,
  { code, message, receivers }: HubMessage.Refusal,
  headers: http.OutgoingHttpHeaders = {}
): void => {
  const error = receivers === undefined ? { code, message } : { code, message, receivers }
  Answer.json(response, statuses.get(code) ?? 400, { error }, headers)
}

/** Takes as long for any token, however much of it is right. */
const isToken = (given: string, token: string): boolean => timingSafeEqual(digest(given), digest(token))

const digest = (text: string) => createHash("sha256").update(text).digest()

const mayPublish = ({ headers: { authorization = "" } }: http.IncomingMessage, token: string): boolean => {
  const [, given] = /^Bearer +([^ ]+)$/i.exec(authorization) ?? []
  return given !== undefined && isToken(given, token)
}

/** Of the body or of `Idempotency-Key`; a sentence where it is neither one nor the other. */
const keyOf = (
  { headers }: http.IncomingMessage,
  key: Key | undefined,
  user: string | undefined
): Key | string | undefined => {
  const value = headers["idempotency-key"]
  if (value === undefined) return key && HubKey.ofClient(key, user)
  if (key !== undefined) return 'the key is in the body or in "Idempotency-Key", not in both'
  const found = typeof value === "string" ? HubKey.ofHeader(value, user) : undefined
  return found ?? `"Idempotency-Key" is a string of 1 to ${HubMessage.maxProducerBytes} printable characters of ASCII`
}

/** Answers a request. */
export const publish = (
  { authorize, hub, identify, maxBody, token }: Options,
  request: http.IncomingMessage,
  response: http.ServerResponse
): Effect.Effect<void> =>
  Effect.gen(function* () {
    if (token !== undefined && !mayPublish(request, token)) {
      // The body is not read: the connection cannot be used for another request.
      const headers = { "WWW-Authenticate": 'Bearer realm="publish"', Connection: "close" }
      Answer.problem(response, 401, "unauthorized", "publishing needs the token of this hub", headers)
      return void request.resume()
    }
    if (!Answer.isPlainJson(request)) {
      const sentence = "send application/json, in UTF-8 and not compressed"
      return Answer.problem(response, 415, "unsupported-media-type", sentence)
    }
    const client = yield* Guest.clientOf(identify, Guest.requestOf("publish", request))
    const body = yield* Answer.readBody(request, response, maxBody)
    if (body === undefined) return
    const decoded = HubMessage.decodePublish(body)
    if (Result.isFailure(decoded)) return refuse(response, decoded.failure)
    const { dataJson, topic } = decoded.success
    const key = keyOf(request, decoded.success.key, client.user)
    if (typeof key === "string") return refuse(response, HubMessage.refuse("bad-message", undefined, key))
    if (authorize?.publish !== undefined) {
      const may = yield* Effect.result(authorize.publish(client, topic))
      if (Result.isFailure(may)) {
        return refuse(response, HubMessage.refuse("forbidden", undefined, may.failure.message))
      }
    }
    const time = yield* Clock.currentTimeMillis
    const message = HubMessage.encodeMessage({ topic, dataJson, from: client.name, time })
    yield* Effect.match(hub.publish(topic, message, { key }), {
      onFailure: (error) => refuse(response, HubMessage.refuseBroker(error, undefined, error.receivers)),
      onSuccess: ({ position, receivers, repeated }) =>
        Answer.json(response, 200, {
          receivers,
          position: position && Position.print(position),
          repeated: repeated || undefined
        })
    })
  }).pipe(Effect.catchTag("Refusal", (refusal) => Effect.sync(() => Answer.refusal(response, refusal))))
