/**
 * `millrace connect --as socketio`: a person's client of Socket.IO.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Flag from "effect/cli/Flag"
import type * as NodeWebSocket from "../NodeWebSocket.ts"
import { Failure } from "./Failure.ts"

/** To be spread among the flags of a command. */
export const flags = {
  namespace: Flag.String("namespace").pipe(
    Flag.withMetavar("name"),
    Flag.withDescription("The namespace to join, such as /admin. Default /. With --as socketio."),
    Flag.optional
  ),
  auth: Flag.String("auth").pipe(
    Flag.withMetavar("json"),
    Flag.withDescription("What the server is to know of you, a JSON object. With --as socketio."),
    Flag.filterMap(
      (text) => Option.fromUndefinedOr(objectOf(text)),
      () => 'a JSON object, such as {"token":"123"}'
    ),
    Flag.optional
  )
}

type Payload = Readonly<Record<string, unknown>>

function objectOf(text: string): Payload | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Payload) : undefined
  } catch {
    return undefined
  }
}

/** What `flags` are read into. */
export interface Values {
  readonly namespace: Option.Option<string>
  readonly auth: Option.Option<Payload>
}

/** The flag of these that was given; `undefined` for none. */
export const given = ({ auth, namespace }: Values): string | undefined =>
  Option.isSome(namespace) ? "--namespace" : Option.isSome(auth) ? "--auth" : undefined

/** Until either end has had enough. */
export const talk = (
  _url: string,
  _options: NodeWebSocket.Options,
  _values: Values
): Effect.Effect<void, Failure, Scope.Scope> =>
  Effect.fail(new Failure({ sentence: "--as socketio does not talk yet" }))
