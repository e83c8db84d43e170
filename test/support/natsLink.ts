/** The engine of NATS, and what its links tell. */
import { jetstreamManager, type JetStreamManager } from "@nats-io/jetstream"
import { connect, type NatsConnection } from "@nats-io/transport-node"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { BrokerError } from "@millrace/core/cluster/BrokerError"
import type { Appended, Link, Receiver } from "@millrace/core/cluster/Engine"
import type * as Position from "@millrace/core/cluster/Position"

/** What a link has told. */
export class Heard implements Receiver {
  readonly publications: Array<Appended> = []
  readonly casts: Array<readonly [string, string]> = []
  appended(appended: Appended): void {
    this.publications.push(appended)
  }
  heard(channel: string, bytes: Uint8Array): void {
    this.casts.push([channel, text(bytes)])
  }
  get texts(): ReadonlyArray<string> {
    return this.publications.map(({ bytes }) => text(bytes))
  }
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
export const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

export const run = <A>(effect: Effect.Effect<A, BrokerError, Scope.Scope>): Promise<A> =>
  Effect.runPromise(Effect.scoped(effect))

/** As somebody else who knows NATS. */
export const client = (url: string, options: object = {}) =>
  Effect.acquireRelease(
    Effect.promise(async (): Promise<{ nats: NatsConnection; jsm: JetStreamManager }> => {
      const nats = await connect({ servers: url, reconnect: false, ...options })
      return { nats, jsm: await jetstreamManager(nats) }
    }),
    ({ nats }) => Effect.promise(() => nats.close())
  )

export const publish = (link: Link, topic: string, ...messages: ReadonlyArray<string>) =>
  Effect.forEach(messages, (message) =>
    Effect.map(link.append(topic, bytes(message), undefined), ({ position }) => position.offset)
  )

/** The name of the stream that is the log. */
export const streamOf = (jsm: JetStreamManager, prefix: string): Effect.Effect<string> =>
  Effect.promise(() => jsm.streams.find(`${prefix}.log.>`))

export const tailOf = (link: Link, topic: string, after: Position.Position | undefined) =>
  Effect.map(link.since(topic, after), ({ entries, gap, to }) => ({
    texts: entries.map((entry) => text(entry.bytes)),
    gap,
    to: to.offset
  }))

/** Why something failed. */
export interface Failure {
  readonly _tag: string
  readonly message: string
  readonly outcome?: string
  readonly length?: number
  readonly limit?: number
}

export const failureOf = <A, R>(effect: Effect.Effect<A, BrokerError, R>): Effect.Effect<Failure, never, R> =>
  Effect.map(Effect.orDie(Effect.flip(effect)), ({ message, reason }) => ({ ...reason, message }))
