/**
 * What an error of Redis or of its client says: whose fault it was, whether a publication may be there all the same, and
 * whether there is any use in this connection. Pure.
 */
import { BrokerError, Rejected, Unavailable } from "@millrace/core/cluster/BrokerError"

/**
 * Redis has not done it, and may a moment later, or another server of the same cluster will. Everything else that Redis
 * says is the operator's: a wrong password, a missing right, a server that is full, a command that it does not have.
 */
const passing: ReadonlySet<string> = new Set([
  "ASK",
  "BUSY",
  "CLUSTERDOWN",
  "LOADING",
  "MASTERDOWN",
  "MOVED",
  "NOREPLICAS",
  "READONLY",
  "TRYAGAIN"
])

/** It is the wrong server, from now on. */
const elsewhere: ReadonlySet<string> = new Set(["ASK", "MOVED", "READONLY"])

/**
 * The word that an error of Redis begins with; `undefined` when it is no answer of Redis at all. An older server says
 * what went wrong in a script in the middle of a sentence.
 */
export const codeOf = (error: unknown): string | undefined => {
  if (!(error instanceof Error) || error.name !== "ReplyError") return undefined
  const { message } = error
  const code = /^([A-Z]{2,}) /.exec(message)?.[1]
  if (code === "ERR" || code === undefined) {
    if (/max number of clients/i.test(message)) return "MAXCLIENTS"
    return /[:\s]-?([A-Z]{3,}) /.exec(message.slice(4))?.[1] ?? code ?? "ERR"
  }
  return code
}

/** Whether who is told it must connect again to get anything done. */
export const isElsewhere = (error: unknown): boolean => {
  const code = codeOf(error)
  return code !== undefined && elsewhere.has(code)
}

/** Redis has forgotten its scripts, and has run none. */
export const isForgotten = (error: unknown): boolean => codeOf(error) === "NOSCRIPT"

/** `sent`: whether something was on its way when the connection was lost. */
export const brokerError = (error: unknown, sent: boolean): BrokerError => {
  const code = codeOf(error)
  if (code === undefined) {
    const outcome = sent && !isUnsent(error) ? "Unknown" : "NotPublished"
    return new BrokerError({ reason: new Unavailable({ outcome, cause: error }) })
  }
  if (code === "MAXCLIENTS" || passing.has(code)) {
    return new BrokerError({ reason: new Unavailable({ outcome: "NotPublished", cause: error }) })
  }
  return new BrokerError({ reason: new Rejected({ cause: error }) })
}

/** What the client says when it has no connection to write to. */
const isUnsent = (error: unknown): boolean =>
  error instanceof Error && error.message.startsWith("Stream isn't writeable")
