/**
 * The keys of clients, apart from those that the nodes use themselves: a client that knew the name of a node could say
 * its keys before it does, and have its publications taken for repeats.
 */
import { isProducer } from "./HubName.ts"
import type { Key } from "./Parcel.ts"

/** As the log has it. A client is the same whether it comes by WebSocket or by HTTP. */
export const ofClient = (key: Key): Key => ({ ...key, producer: `client:${key.producer}` })

/**
 * What `Idempotency-Key` says, as draft-ietf-httpapi-idempotency-key-header has it: a string in quotes, with or without
 * them here, for one publication. `undefined` for a value that is none.
 */
export const ofHeader = (value: string): Key | undefined => {
  const text = value.startsWith('"') ? unquote(value) : value
  return text !== undefined && isProducer(text) && isVisible.test(text)
    ? { producer: `header:${text}`, epoch: 0, sequence: 0 }
    : undefined
}

const isVisible = /^[\x20-\x7e]+$/

/** RFC 9651 3.3.3: in quotes, where a backslash stands before a quote or another one. */
const unquote = (text: string): string | undefined => {
  const [, inner] = /^"((?:[^"\\]|\\["\\])*)"$/.exec(text) ?? []
  return inner?.replaceAll(/\\(["\\])/g, "$1")
}
