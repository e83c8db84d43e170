/**
 * Connections over ports between tabs.
 */
import { LinkConnection, type LinkLimits } from "@millrace/core/connection/LinkConnection"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { PortLink, type Options, type Port } from "./PortLink.ts"
import * as TabLock from "./TabLock.ts"

/** What is too long was refused where it came from the network. */
const limits: LinkLimits = { maxMessageBytes: Infinity, inboxBytes: 65_536, outboxBytes: 262_144, closeTimeout: 1_000 }

export interface TabWire {
  readonly connection: LinkConnection<undefined>
  readonly link: PortLink
}

/** A connection over a port that the other end knows of, or will. */
export const over = (
  port: Port,
  context: Context.Context<never>,
  options: Options,
  onSettled?: () => void
): TabWire => {
  const connection = new LinkConnection<undefined>({
    link: (owner) => new PortLink(port, owner, options),
    handshake: undefined,
    limits,
    context,
    onSettled
  })
  return { connection, link: connection.link as PortLink }
}

/** Ends a link when whoever is at its other end has died. */
export const untilDeath = (life: string, link: PortLink): Effect.Effect<unknown, never, Scope.Scope> =>
  Effect.forkScoped(
    Effect.ignore(
      Effect.andThen(
        TabLock.released(life),
        Effect.sync(() => link.died())
      )
    ),
    { startImmediately: true }
  )

/**
 * Opens a connection that lives as long as the scope, to who is told of the port by `ask`; waits for as long as it takes.
 * `own` is the lock by which this one lives, whose end nobody here will see.
 */
export const open = (
  port: Port,
  own: string | undefined,
  ask: () => void,
  onAside: (said: unknown) => void
): Effect.Effect<TabWire, never, Scope.Scope> =>
  Effect.gen(function* () {
    const context = yield* Effect.context<Scope.Scope>()
    const run = Effect.runForkWith(context)
    let hasOpened = false
    let wire: TabWire
    yield* Effect.addFinalizer((exit) =>
      hasOpened ? wire.connection.shutdown(exit) : Effect.sync(() => wire.link.abandon())
    )
    const onOpened = (life: string | undefined) => {
      if (life !== undefined && life !== own) run(untilDeath(life, wire.link))
    }
    return yield* Effect.callback<TabWire>((resume) => {
      wire = over(port, context, { onAside, onOpened }, () => {
        hasOpened = true
        resume(Effect.succeed(wire))
      })
      ask()
    })
  })
