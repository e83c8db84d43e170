/**
 * The connections of one server while they live, and how they are all ended: gracefully, in batches, and then at all
 * events.
 */
import type { Duplex } from "node:stream"
import * as TimerWheel from "@millrace/core/connection/TimerWheel"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Endpoint from "./Endpoint.ts"
import * as NodeTransport from "./NodeTransport.ts"
import type { Upgrade } from "./Upgrade.ts"

/** How the connections of a server are ended. */
export interface DrainOptions {
  /**
   * Over how long the connections are closed, so that clients do not all come back to another server at once. Up to
   * 100 connections are closed together. Default 1 s.
   */
  readonly window?: Duration.Input | undefined
}

const batchesInWindow = 10
const smallestBatch = 100

type Settled = Pick<Endpoint.Endpoint<never, never, never>, "grace" | "settings">

/** A handler, from the upgrade to its end; that may come after the end of its connection, until it is too late. */
class Running implements Endpoint.Host, TimerWheel.Timed {
  slot: Set<TimerWheel.Timed> | undefined
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  readonly wheel: TimerWheel.TimerWheel
  readonly duplex: Duplex
  private readonly endpoint: Settled

  constructor(wheel: TimerWheel.TimerWheel, duplex: Duplex, endpoint: Settled) {
    this.wheel = wheel
    this.duplex = duplex
    this.endpoint = endpoint
  }

  /** How many milliseconds its closing handshake may take. */
  get closeTimeout(): number {
    return this.endpoint.settings.closeTimeout
  }

  ended(): void {
    // Often the end of the connection was all that the handler waited for.
    if (this.fiber?.pollUnsafe() === undefined) this.wheel.schedule(this, this.endpoint.grace)
  }

  expired(): void {
    this.fiber?.interruptUnsafe()
  }
}

/** Made by `make`, which also drains them at the end. */
export class Connections {
  private readonly wheel: TimerWheel.TimerWheel
  private readonly running = new Set<Running>()
  private draining = false

  constructor(wheel: TimerWheel.TimerWheel) {
    this.wheel = wheel
  }

  get size(): number {
    return this.running.size
  }

  get isDraining(): boolean {
    return this.draining
  }

  /** Answers the upgrade and runs its handler in a fiber of its own, which is kept until it ends. */
  serve<A, E, R>(endpoint: Endpoint.Endpoint<A, E, R>, upgrade: Upgrade, context: Context.Context<R>): void {
    this.fork(endpoint, upgrade, (host) => Endpoint.serve(endpoint, upgrade, host), context)
  }

  /**
   * Runs the life of a connection, from its request on, in a fiber of its own, which is kept until it ends. The fiber
   * is uninterruptible, as what it has to do has an end of its own, and so a drain does not take its outcome away.
   */
  fork<A, E, R>(
    endpoint: Settled,
    { duplex }: Upgrade,
    life: (host: Endpoint.Host) => Effect.Effect<A, E, R>,
    context: Context.Context<R>
  ): Fiber.Fiber<A, E> {
    const running = new Running(this.wheel, duplex, endpoint)
    this.running.add(running)
    const fiber = Effect.runForkWith(context)(life(running), { uninterruptible: true })
    running.fiber = fiber
    fiber.addObserver(() => {
      this.running.delete(running)
      this.wheel.cancel(running)
    })
    return fiber
  }

  /**
   * Interrupts the handlers, which closes their connections with 1001, in batches over the window; waits for all of
   * them, at most the longest `closeTimeout` and a second after the last batch; then cuts what is left.
   */
  drain(options: DrainOptions): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.draining = true
      let longestClose = 0
      for (const { closeTimeout } of this.running) longestClose = Math.max(longestClose, closeTimeout)
      const fibers = Array.from(this.running, ({ fiber }) => fiber).filter((fiber) => fiber !== undefined)
      const batch = Math.max(smallestBatch, Math.ceil(fibers.length / batchesInWindow))
      const pause = Duration.millis(Duration.toMillis(options.window ?? "1 second") / batchesInWindow)
      const interruptFrom = (from: number): Effect.Effect<void> =>
        Effect.suspend(() => {
          for (const fiber of fibers.slice(from, from + batch)) fiber.interruptUnsafe()
          const next = from + batch
          return next < fibers.length ? Effect.andThen(Effect.sleep(pause), interruptFrom(next)) : Effect.void
        })
      return interruptFrom(0).pipe(
        Effect.andThen(
          Effect.timeoutOption(
            Effect.forEach(fibers, (fiber) => Fiber.await(fiber), { discard: true }),
            longestClose + 1_000
          )
        ),
        Effect.andThen(
          Effect.sync(() => {
            for (const { duplex } of this.running) NodeTransport.destroy(duplex)
          })
        )
      )
    })
  }
}

/**
 * The connections of a server that lives as long as the scope, whose closing drains them. `shortest` is the shortest
 * deadline that their endpoints have, in milliseconds.
 */
export const make = (drain: DrainOptions, shortest: number): Effect.Effect<Connections, never, Scope.Scope> =>
  Effect.flatMap(TimerWheel.make(shortest), (wheel) =>
    Effect.acquireRelease(
      Effect.sync(() => new Connections(wheel)),
      (connections) => connections.drain(drain)
    )
  )
