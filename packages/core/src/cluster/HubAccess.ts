/**
 * Who may join and publish, as effects that a program gives: each either succeeds or says why not.
 */
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"

/** The client's: it may not do that. The client is told the message as the error `forbidden`; by HTTP with 403. */
export class Rejection extends Data.TaggedError("Rejection")<{ readonly message: string }> {}

/** Who asks. */
export interface Client<out Request = unknown> {
  /** No other connection of any node has it. */
  readonly id: string
  /** What it is called in the messages that it publishes. By HTTP, `HubMessage.httpClient`. */
  readonly name: string
  /** Whom it belongs to, when that is known. */
  readonly user: string | undefined
  /** What it came with. */
  readonly request: Request
}

/** What is asked before a client does something. What is not there is allowed to everybody. */
export interface Access<in Request = unknown> {
  /** Asked for each topic, before the client is in. To read what is kept of a topic is to join it. */
  readonly join?: ((client: Client<Request>, topic: string) => Effect.Effect<void, Rejection>) | undefined
  /** Asked for each publication. */
  readonly publish?: ((client: Client<Request>, topic: string) => Effect.Effect<void, Rejection>) | undefined
}
