/**
 * The keys of clients, apart from those that the nodes use themselves and from those of other users: who could say
 * another's keys before that one does would have its publications taken for repeats.
 */
import * as Base64 from "../codec/Base64.ts"
import * as Sha1 from "../codec/Sha1.ts"
import { isProducer } from "./HubName.ts"
import type { Key } from "./Parcel.ts"

const encoder = new TextEncoder()

/**
 * The producer as the log has it, where all of a name may be used already: of a user it is a digest, which says whose it
 * is. Nobody gains by two that are alike but who has made both.
 */
const producerOf = (kind: "client" | "header", name: string, user: string | undefined): string =>
  user === undefined
    ? `${kind}:${name}`
    : `${kind}s:${Base64.encode(Sha1.digest(encoder.encode(`${user.length}:${user}${name}`)))}`

/** As the log has it. A client is the same whether it comes by WebSocket or by HTTP; a user's keys are nobody else's. */
export const ofClient = (key: Key, user?: string): Key => ({
  ...key,
  producer: producerOf("client", key.producer, user)
})

/**
 * What `Idempotency-Key` says, as draft-ietf-httpapi-idempotency-key-header has it: a string in quotes, with or without
 * them here, for one publication. `undefined` for a value that is none.
 */
export const ofHeader = (value: string, user?: string): Key | undefined => {
  const text = value.startsWith('"') ? unquote(value) : value
  return text !== undefined && isProducer(text) && isVisible.test(text)
    ? { producer: producerOf("header", text, user), epoch: 0, sequence: 0 }
    : undefined
}

const isVisible = /^[\x20-\x7e]+$/

/** RFC 9651 3.3.3: in quotes, where a backslash stands before a quote or another one. */
const unquote = (text: string): string | undefined => {
  const [, inner] = /^"((?:[^"\\]|\\["\\])*)"$/.exec(text) ?? []
  return inner?.replaceAll(/\\(["\\])/g, "$1")
}
