/**
 * What NATS and its client say when something is wrong, as the errors of a broker. Not in here: what to do about it.
 */
import { JetStreamApiError } from "@nats-io/jetstream"
import { errors } from "@nats-io/transport-node"
import { BrokerError, Rejected, TooLarge, Unavailable } from "@millrace/core/cluster/BrokerError"

/** Codes of JetStream's errors, as its server has them. */
export const codes = {
  streamNotFound: 10_059,
  subjectsOverlap: 10_065,
  nameInUse: 10_058,
  anotherStream: 10_060,
  noMessage: 10_037,
  notEnabled: 10_076,
  notEnabledForAccount: 10_039,
  messageTooLarge: 10_054
} as const

/** Of a server or an account that has no room left; some of them come with the status of what passes. */
const full: ReadonlySet<number> = new Set([
  10_002, // resource limits exceeded for account
  10_023, // insufficient resources
  10_026, // maximum consumers limit reached
  10_027, // maximum number of streams reached
  10_028, // insufficient memory resources available
  10_047, // insufficient storage resources available
  10_077 // the store failed: a limit, or a disk
])

/** The network's, or the server's: it cannot be reached, or does not work. */
export const unavailable = (cause: unknown, outcome: Unavailable["outcome"] = "NotPublished"): BrokerError =>
  new BrokerError({ reason: new Unavailable({ outcome, cause }) })

/** The operator's. */
export const rejected = (cause: unknown): BrokerError => new BrokerError({ reason: new Rejected({ cause }) })

/** The caller's. */
export const tooLarge = (length: number, limit: number): BrokerError =>
  new BrokerError({ reason: new TooLarge({ length, limit }) })

export const noJetStream = (): BrokerError =>
  rejected(new Error("JetStream is off: start nats-server with -js, or enable it for this account"))

/** What the client has wrapped. */
export const causeOf = (error: unknown): unknown =>
  (error instanceof errors.RequestError || (error instanceof Error && error.name === "JetStreamNotEnabled")) &&
  error.cause !== undefined
    ? causeOf(error.cause)
    : error

/** The code of JetStream's error; `undefined` for what is none. */
export const codeOf = (error: unknown): number | undefined => {
  const cause = causeOf(error)
  return cause instanceof JetStreamApiError ? cause.code : undefined
}

/** Nobody listens there: JetStream is off, or no stream has the subject. */
export const isNobody = (error: unknown): boolean => causeOf(error) instanceof errors.NoRespondersError

/** The log has gone, or another one has come in its place. */
export const isAnotherStream = (error: unknown): boolean => {
  const code = codeOf(error)
  return code === codes.streamNotFound || code === codes.anotherStream
}

/** Nothing of it was sent, or the server says that it did nothing. */
const isUnsaid = (cause: unknown): boolean =>
  cause instanceof errors.ClosedConnectionError ||
  cause instanceof errors.DrainingConnectionError ||
  cause instanceof errors.NoRespondersError ||
  cause instanceof JetStreamApiError

/**
 * Whose fault it was. `said` is whether a publication was said to the server: then one that was not answered may be
 * there.
 */
export const errorOf = (error: unknown, said = false): BrokerError => {
  const cause = causeOf(error)
  if (cause instanceof BrokerError) return cause
  if (cause instanceof JetStreamApiError) {
    if (cause.code === codes.notEnabled || cause.code === codes.notEnabledForAccount) return noJetStream()
    const isPassing = cause.status === 503 && !full.has(cause.code)
    return isPassing || isAnotherStream(cause) ? unavailable(cause) : rejected(cause)
  }
  if (isRefusal(cause)) return rejected(cause)
  return unavailable(cause, said && !isUnsaid(cause) ? "Unknown" : "NotPublished")
}

/** The server has answered, and said no; or the options contradict themselves. */
const isRefusal = (cause: unknown): boolean =>
  cause instanceof errors.AuthorizationError ||
  cause instanceof errors.UserAuthenticationExpiredError ||
  cause instanceof errors.PermissionViolationError ||
  cause instanceof errors.InvalidArgumentError ||
  (cause instanceof errors.ProtocolError &&
    /maximum (account )?(active )?connections|tls required/i.test(cause.message))
