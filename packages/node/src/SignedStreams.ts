/**
 * Streams whose names a Rails program has signed, as channels of Action Cable: `Turbo::StreamsChannel`, which
 * `turbo_stream_from` subscribes to, and `$pubsub` of AnyCable. Who has the signed name may read the topic of that name:
 * nobody else is asked.
 *
 *     const cable = yield* CableServer.make({ channels: { ...SignedStreams.channels({ secret }), ChatChannel } })
 *
 * A signed name is base64 of the name as JSON, `--`, and the HMAC-SHA256 of that base64 in hexadecimal: what
 * `ActiveSupport::MessageVerifier` makes with `digest: "SHA256", serializer: JSON`. Not in here: names that expire or
 * have a purpose, which are refused.
 */
import { createHmac, timingSafeEqual } from "node:crypto"
import * as HubName from "@millrace/core/cluster/HubName"
import * as Channel from "@millrace/core/interop/actioncable/Channel"
import * as Effect from "effect/Effect"

/** Text, or bytes as `Rails.application.key_generator` makes them. */
export type Secret = string | Uint8Array

export interface Options {
  /** For names in `$pubsub`, and in `Turbo::StreamsChannel`. */
  readonly secret: Secret
  /** For names in `Turbo::StreamsChannel` alone: Rails' `Turbo.signed_stream_verifier_key`. Default: `secret`. */
  readonly turboSecret?: Secret | undefined
}

const digest = (text: string, secret: Secret): Buffer => createHmac("sha256", secret).update(text).digest()

/** A name as a Rails program would sign it. */
export const sign = (name: string, secret: Secret): string => {
  const text = Buffer.from(JSON.stringify(name)).toString("base64")
  return `${text}--${digest(text, secret).toString("hex")}`
}

const form = /^([A-Za-z0-9+/]+={0,2})--([0-9a-f]{64})$/

/** The name that was signed; `undefined` for what was not, or not with this secret. Takes as long for any digest. */
export const verify = (signed: string, secret: Secret): string | undefined => {
  const [, text, given] = form.exec(signed) ?? []
  if (text === undefined || given === undefined) return undefined
  if (!timingSafeEqual(Buffer.from(given, "hex"), digest(text, secret))) return undefined
  try {
    const name: unknown = JSON.parse(Buffer.from(text, "base64").toString("utf8"))
    return typeof name === "string" ? name : undefined
  } catch {
    return undefined
  }
}

const signedBy =
  (secret: Secret): Channel.Channel =>
  ({ params: { signed_stream_name: signed } }) => {
    const topic = typeof signed === "string" ? verify(signed, secret) : undefined
    return topic === undefined || !HubName.isTopic(topic) ? Channel.reject : Effect.succeed({ topics: [topic] })
  }

/** The two channels, to be put beside others. An empty secret is a `TypeError`. */
export const channels = ({ secret, turboSecret = secret }: Options): Readonly<Record<string, Channel.Channel>> => {
  if (secret.length === 0 || turboSecret.length === 0) throw new TypeError("a secret that everybody knows is none")
  return { $pubsub: signedBy(secret), "Turbo::StreamsChannel": signedBy(turboSecret) }
}
