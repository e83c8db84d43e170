/**
 * The log of several processes of one machine, without a server: one of them is the host, and the others are connected
 * to it by a unix socket. When it goes, another takes over, with an empty log and so a new epoch.
 */
import * as Identifier from "@millrace/core/messaging/Identifier"
import { BrokerError, Rejected, Unavailable } from "@millrace/core/cluster/BrokerError"
import type * as Engine from "@millrace/core/cluster/Engine"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Generations from "./workers/Generations.ts"
import * as Host from "./workers/Host.ts"
import * as Link from "./workers/Link.ts"

/** One host's, from its beginning to its end. */
export interface Reign {
  /** Higher than those before it. */
  readonly generation: number
  readonly epoch: string
}

export interface Options extends Host.Options {
  /**
   * Where the processes meet: a folder that belongs to this user and no other may write to. It is made where there is
   * none. At most 92 bytes long.
   */
  readonly directory: string
  /** Whether this process may become the host. One has to. Default: yes. */
  readonly host?: boolean | undefined
  /** Called when this process becomes the host, and with `undefined` when it is not any more. */
  readonly hosting?: ((reign: Reign | undefined) => void) | undefined
  /** How many milliseconds a host has to say that it is there; then another takes over. Default 2 s. */
  readonly welcomeTimeout?: number | undefined
}

export const defaults = { welcomeTimeout: 2_000 } satisfies Partial<Options>

/** How often who looks for the host begins anew, as another was quicker. Each time somebody else has got on. */
const maxAttempts = 50

const unavailable = (sentence: string): BrokerError =>
  new BrokerError({ reason: new Unavailable({ outcome: "NotPublished", cause: new Error(sentence) }) })

/** What is tried next, when there is no link yet. */
type Outcome = Engine.Link | "Refused" | "Silent" | "Again"

/** An engine; each of its links is to who is the host then, or makes this process the host as long as it is open. */
export const make = (options: Options): Engine.Engine => {
  const { directory, host = true, welcomeTimeout = defaults.welcomeTimeout } = options
  const { maxParcelBytes = Host.defaults.maxParcelBytes, outboxBytes = Host.defaults.outboxBytes } = options
  /** The highest generation that was ever seen: numbers do not begin again while somebody remembers. */
  let seen = 0

  /** As the host for as long as the scope is open, unless another is. */
  const become = (generation: number): Effect.Effect<void, BrokerError, Scope.Scope> =>
    Effect.gen(function* () {
      const context = yield* Effect.context<Scope.Scope>()
      const clock = Context.get(context, Clock.Clock)
      const epoch = Context.get(context, Identifier.Source)()
      const self = new Host.Host(epoch, () => clock.currentTimeMillisUnsafe(), options)
      // It may be over before the link is: when another takes over.
      const own = yield* Scope.fork(Context.get(context, Scope.Scope))
      const seat = yield* Generations.take(directory, generation, (socket) => self.serve(socket)).pipe(
        Effect.provideService(Scope.Scope, own),
        Effect.mapError((cause) => new BrokerError({ reason: new Rejected({ cause }) }))
      )
      if (seat === undefined) return yield* Scope.close(own, Exit.void)
      options.hosting?.({ generation, epoch })
      const timer = setInterval(() => {
        if (seat.isLost()) Effect.runFork(Scope.close(own, Exit.void))
      }, Generations.interval)
      yield* Scope.addFinalizer(
        own,
        Effect.sync(() => {
          clearInterval(timer)
          self.end(new Error("the host has ended"))
          options.hosting?.(undefined)
        })
      )
    }).pipe(Effect.uninterruptible)

  const dial = (generation: number, receiver: Engine.Receiver): Effect.Effect<Outcome, BrokerError, Scope.Scope> =>
    Effect.gen(function* () {
      const socket = yield* Generations.connect(directory, generation)
      if (socket === undefined) return "Refused" as const
      return yield* Link.make(socket, receiver, { maxParcelBytes, outboxBytes }).pipe(
        Effect.timeoutOrElse({ duration: welcomeTimeout, orElse: () => Effect.succeed("Silent" as const) }),
        Effect.catchIf(
          ({ reason }) => reason._tag === "Unavailable",
          () => Effect.succeed("Again" as const)
        )
      )
    })

  /** To the highest that there is. */
  const find = (receiver: Engine.Receiver): Effect.Effect<Outcome, BrokerError, Scope.Scope> =>
    Effect.gen(function* () {
      const generation = Generations.highest(directory)
      if (generation === 0) return "Refused" as const
      seen = Math.max(seen, generation)
      const outcome = yield* dial(generation, receiver)
      if (outcome !== "Refused") return outcome
      yield* Effect.sleep(Generations.settling)
      return Generations.highest(directory) === generation ? yield* dial(generation, receiver) : "Again"
    })

  const attempt = (receiver: Engine.Receiver): Effect.Effect<Outcome, BrokerError, Scope.Scope> =>
    Effect.gen(function* () {
      const found = yield* find(receiver)
      if (found !== "Refused" && found !== "Silent") return found
      if (!host) return yield* Effect.fail(unavailable(`there is no host in ${directory}`))
      yield* become(seen + 1)
      return "Again" as const
    })

  const open = (receiver: Engine.Receiver): Effect.Effect<Engine.Link, BrokerError, Scope.Scope> =>
    Effect.gen(function* () {
      const sentence = Generations.unusable(directory)
      if (sentence !== undefined) {
        return yield* Effect.fail(new BrokerError({ reason: new Rejected({ cause: new Error(sentence) }) }))
      }
      for (let attempts = 0; attempts < maxAttempts; attempts++) {
        const outcome = yield* attempt(receiver)
        if (typeof outcome !== "string") {
          return outcome
        }
        yield* Effect.sleep(attempts)
      }
      return yield* Effect.fail(unavailable(`nobody stays the host in ${directory}`))
    })

  return { name: "workers", maxBytes: maxParcelBytes, open }
}
