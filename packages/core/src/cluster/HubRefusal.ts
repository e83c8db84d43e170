/**
 * Why the hub did not do what it was asked, as docs/protocol.md has it. Pure.
 */
import type { BrokerError } from "./BrokerError.ts"
import { type Id, maxDepth, maxTopicBytes, maxTopics } from "./HubName.ts"

/** What was wrong with a message: docs/protocol.md has them in a table. */
export type ErrorCode =
  | "bad-json"
  | "bad-message"
  | "unknown-type"
  | "bad-topic"
  | "too-many-topics"
  | "binary"
  | "too-deep"
  | "forbidden"
  | "stale-key"
  | "too-large"
  | "no-presence"
  | "refused"
  | "unavailable"

/**
 * Why the hub did not do what it was asked; the connection stays open. It is the very message that
 * `HubMessage.encode` takes. Plain data rather than an error class: a client that sends nothing but nonsense must not
 * make the hub capture a stack for each.
 */
export interface Refusal {
  readonly type: "error"
  readonly code: ErrorCode
  /** For people. Clients go by `code`. */
  readonly message: string
  /** To how many connections of this node a publication was written all the same. */
  readonly receivers?: number
  /** Present when the refused message had one that could be read. */
  readonly id?: Id
}

/** In the words of each. */
export const reasons: { readonly [code in ErrorCode]: string } = {
  "bad-json": "not a JSON text",
  "bad-message": 'a message is a JSON object with a "type"',
  "unknown-type": '"type" is one of subscribe, unsubscribe, publish, presence, ping',
  "bad-topic": `a topic has 1 to ${maxTopicBytes} bytes of UTF-8, no control characters, and does not begin with "$"`,
  "too-many-topics": `a connection can be subscribed to ${maxTopics} topics at a time`,
  binary: "messages are text, not binary",
  "too-deep": `arrays and objects may be nested ${maxDepth} deep, the message itself counted`,
  forbidden: "you may not",
  "stale-key": "the key is of an earlier life of its producer, or too old to be known: nobody can tell if it was used",
  "no-presence": "who is where is not known here",
  "too-large": "larger than what stands between the nodes takes",
  refused: "what stands between the nodes has refused",
  unavailable: "what stands between the nodes cannot be reached"
}

/** A refusal, in the words of its code unless there is a better `message`. */
export const refuse = (code: ErrorCode, id?: Id, message: string = reasons[code]): Refusal =>
  id === undefined ? { type: "error", code, message } : { type: "error", code, message, id }

/** What a broker could not do. Its own words are for the operator: they name servers and rights. */
export const refuseBroker = ({ reason }: Pick<BrokerError, "reason">, id?: Id, receivers = 0): Refusal => {
  const code = codes[reason._tag]
  const refusal = refuse(code, id, code === "too-large" ? reason.message : undefined)
  return receivers === 0 ? refusal : { ...refusal, receivers }
}

const codes: { readonly [tag in BrokerError["reason"]["_tag"]]: ErrorCode } = {
  Unavailable: "unavailable",
  Rejected: "refused",
  TooLarge: "too-large",
  StaleKey: "stale-key"
}
