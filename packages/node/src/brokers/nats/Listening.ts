/**
 * What a connection is subscribed to, by the names that we have for it. Messages are told in the turn in which they are
 * heard.
 */
import type { Msg, NatsConnection, Subscription } from "@nats-io/transport-node"
import * as Effect from "effect/Effect"
import type { BrokerError } from "@millrace/core/cluster/BrokerError"
import * as Faults from "./Faults.ts"

export class Listening {
  private readonly connection: NatsConnection
  private readonly subjectOf: (name: string) => string
  private readonly heard: (name: string, message: Msg) => void
  private readonly subscriptions = new Map<string, Subscription>()
  /** Why the server does not let us hear a name. */
  private readonly refusals = new Map<string, Error>()

  constructor(
    connection: NatsConnection,
    subjectOf: (name: string) => string,
    heard: (name: string, message: Msg) => void
  ) {
    this.connection = connection
    this.subjectOf = subjectOf
    this.heard = heard
  }

  /** Succeeds when the server has said that it knows. Fails with `Rejected` when it does not let us. */
  begin(names: ReadonlyArray<string>): Effect.Effect<void, BrokerError> {
    return Effect.tryPromise({
      try: async () => {
        for (const name of names) {
          if (this.subscriptions.has(name)) continue
          this.refusals.delete(name)
          this.subscriptions.set(name, this.subscribe(name))
        }
        // A refusal comes before the answer.
        await this.connection.flush()
        for (const name of names) {
          const refusal = this.refusals.get(name)
          this.refusals.delete(name)
          if (refusal !== undefined) throw refusal
        }
      },
      catch: (error) => Faults.errorOf(error)
    })
  }

  /** What a name is subscribed to by, as long as it is. */
  of(name: string): object | undefined {
    return this.subscriptions.get(name)
  }

  end(names: ReadonlyArray<string>): void {
    for (const name of names) {
      const subscription = this.subscriptions.get(name)
      this.subscriptions.delete(name)
      if (subscription !== undefined && !this.connection.isClosed()) subscription.unsubscribe()
    }
  }

  private subscribe(name: string): Subscription {
    return this.connection.subscribe(this.subjectOf(name), {
      callback: (error, message) => {
        if (error === null) return this.heard(name, message)
        this.subscriptions.delete(name)
        this.refusals.set(name, error)
      }
    })
  }
}
