/**
 * How a session ended, for those who still wait for something of it.
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import type { WebSocketError } from "../connection/WebSocketError.ts"
import { Disconnected, SessionError } from "./SessionError.ts"

export interface SessionEnd {
  /** For streams: an ordinary close is their end. */
  readonly forStreams: Exit.Exit<never, Cause.Done | SessionError>
  /** For questions: however it ended, there is no answer. */
  readonly forCalls: Exit.Exit<never, SessionError>
}

/** After an ordinary close. */
export const ordinary: SessionEnd = {
  forStreams: Exit.fail(Cause.Done()),
  forCalls: Exit.fail(new SessionError({ reason: new Disconnected({ cause: undefined }) }))
}

/** After anything else. */
export const failed = (reason: SessionError["reason"]): SessionEnd => {
  const exit = Exit.fail(new SessionError({ reason }))
  return { forStreams: exit, forCalls: exit }
}

/** How the messages of the connection ended. */
export const of = (exit: Exit.Exit<unknown, WebSocketError | Cause.Done>): SessionEnd => {
  const failure = Exit.findErrorOption(exit)
  if (failure._tag === "None" || Cause.isDone(failure.value)) return ordinary
  return failed(new Disconnected({ cause: failure.value }))
}

/** In a word: `Closed`, or the tag of what went wrong. */
export const causeOf = ({ forStreams }: SessionEnd): string => {
  const failure = Exit.findErrorOption(forStreams)
  if (failure._tag === "None" || Cause.isDone(failure.value)) return "Closed"
  const { reason } = failure.value
  return reason._tag === "Disconnected" ? (reason.cause?.reason._tag ?? "Closed") : reason._tag
}
