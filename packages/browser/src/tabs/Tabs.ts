/**
 * How a tab comes to the connection of all tabs: through a worker that they share, through the one of them that leads, or
 * through one of its own where there is neither.
 *
 * Who leads holds a lock that all others wait for, so that there is one leader, and the next at once when it dies. The
 * tabs talk over a channel that all of them hear, as long as it takes to find each other, and then two of them over one
 * of their own.
 */
// oxlint-disable unicorn/require-post-message-target-origin -- it is windows that have one
import * as Again from "@millrace/core/messaging/Again"
import type * as Client from "@millrace/core/messaging/Client"
import type { Wire } from "@millrace/core/messaging/Wire"
import * as Reconnect from "@millrace/core/connection/Reconnect"
import type { Happening } from "@millrace/core/connection/Surroundings"
import { Watched } from "@millrace/core/connection/Watched"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { Port } from "./PortLink.ts"
import * as TabHost from "./TabHost.ts"
import * as TabLock from "./TabLock.ts"
import * as TabWire from "./TabWire.ts"

/** Who has the connection. */
export type Role =
  /** This tab, and it shares it with nobody: there is neither a `SharedWorker` nor a way to elect one. */
  | "Alone"
  /** Another tab, or none yet. */
  | "Follower"
  /** This tab, for all. */
  | "Leader"
  | "Worker"

export interface Options extends TabHost.Options {
  /** Tabs of one origin that have the same name share a connection. It has to be another one for another user. */
  readonly name: string
  /** Starts the worker, or connects to it. Default: a tab is elected. */
  readonly worker?: (() => SharedWorker) | undefined
}

/** A worker that the tabs share could not be started, or does not answer. */
export class WorkerFailed extends Data.TaggedError("WorkerFailed")<{ readonly cause: unknown }> {
  override get message(): string {
    return "the shared worker cannot be used"
  }
}

/** What is said to find each other. */
export type Call =
  /** Wants to be served, over a channel of this name; `life` is the lock that it holds as long as it lives. */
  | { readonly _tag: "Hello"; readonly channel: string; readonly life: string | undefined }
  /** There is a leader, who has not heard what was said before. */
  | { readonly _tag: "Leading" }

/** A worker that has not answered after so many milliseconds is none. Its script may have to be loaded. */
const patience = 8_000

/** Who leads is in the same machine. */
const nearby = { base: "50 millis", cap: "1 second" } as const

/** The one that is there as long as this tab takes part: from a `Return` to a `Leave`. */
class Stay {
  /** The lock that others know this tab by; `undefined` where there are no locks. */
  readonly life = Deferred.makeUnsafe<string | undefined>()
  host: TabHost.TabHost | undefined
}

export class Tabs {
  readonly role: Watched<Role>
  /** How the connection is, as whoever has it says. */
  note: TabHost.Note | undefined
  private readonly options: Options
  /** Tells whoever looks at `note`. */
  private readonly noted: () => void
  private readonly base: string
  private readonly random: () => string
  private readonly run: (effect: Effect.Effect<unknown>) => Fiber.Fiber<unknown>
  private way: "Alone" | "Elected" | "Worker"
  private wire: TabWire.TabWire | undefined
  private stay = new Stay()
  private staying: Fiber.Fiber<unknown> | undefined

  constructor(
    options: Options,
    random: () => string,
    run: (effect: Effect.Effect<unknown>) => Fiber.Fiber<unknown>,
    noted: () => void
  ) {
    this.options = options
    this.random = random
    this.run = run
    this.noted = noted
    this.base = `millrace.v1 ${options.name}`
    this.way = options.worker !== undefined && typeof SharedWorker === "function" ? "Worker" : withoutWorker()
    this.role = new Watched<Role>(this.away, () => false)
  }

  /** What this tab is while it has nothing to do with it. */
  private get away(): Role {
    return this.way === "Elected" ? "Follower" : this.way
  }

  // Taking part.

  heed(happening: Happening): void {
    if (happening === "Leave") this.leave()
    else if (happening === "Return") this.enter()
    else this.tell(happening)
  }

  /** Says to whoever has the connection what has happened to this tab. */
  tell(happening: Happening): void {
    this.wire?.link.aside(happening)
  }

  /** Takes part from now on. */
  enter(): void {
    if (this.staying !== undefined || this.way === "Alone") return
    const { stay } = this
    this.staying = this.run(
      Effect.catch(Effect.scoped(this.lead(stay)), () => Effect.sync(() => this.withoutLocks(stay)))
    )
  }

  /** Takes no part any more, in this very turn: nobody may be kept waiting by a page that is put away. */
  leave(): void {
    const { stay, staying } = this
    this.staying = undefined
    this.stay = new Stay()
    // Whoever was served would answer otherwise, which ends that a page is kept.
    stay.host?.leave()
    staying?.interruptUnsafe()
    this.role.set(this.away)
  }

  private withoutLocks(stay: Stay): void {
    if (this.way === "Elected") this.become("Alone")
    Deferred.doneUnsafe(stay.life, Exit.succeed(undefined))
  }

  private become(way: "Alone" | "Elected"): void {
    this.way = way
    this.role.set(this.away)
  }

  /** Lives, and in the end leads. */
  private lead(stay: Stay): Effect.Effect<never, TabLock.LocksMissing, Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      const life = `${this.base} ${this.random()}`
      const die = yield* TabLock.hold(life)
      Deferred.doneUnsafe(stay.life, Exit.succeed(life))
      if (this.way !== "Elected") return yield* Effect.never
      const resign = yield* TabLock.hold(`${this.base} leader`)
      const host = yield* TabHost.make(this.options, life)
      const channel = yield* channelOf(this.base)
      const context = yield* Effect.context<Scope.Scope>()
      const run = Effect.runForkWith(context)
      channel.addEventListener("message", ({ data }: MessageEvent<Call>) => {
        if (data?._tag !== "Hello") return
        run(Effect.forkScoped(host.serve(new BroadcastChannel(data.channel), data.life), { startImmediately: true }))
      })
      stay.host = host
      channel.postMessage({ _tag: "Leading" } satisfies Call)
      this.role.set("Leader")
      // Before everything else, which may take a while: others can go on.
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          stay.host = undefined
          resign()
          die()
        })
      )
      return yield* Effect.never
    })
  }

  // The wire.

  /** A connection to whoever has one. */
  readonly open: Effect.Effect<Wire, unknown, Scope.Scope> = Effect.suspend(() => {
    this.note = undefined
    this.noted()
    switch (this.way) {
      case "Alone":
        return TabHost.connect(this.options)
      case "Elected":
        return Effect.flatMap(Deferred.await(this.stay.life), (life) =>
          life === undefined ? this.open : this.openElected(life)
        )
      case "Worker":
        return Effect.catch(
          Effect.flatMap(Deferred.await(this.stay.life), (life) => this.openWorker(life)),
          (error) => {
            if (!(error instanceof WorkerFailed)) return Effect.fail(error)
            this.fallBack()
            return this.open
          }
        )
    }
  })

  private fallBack(): void {
    if (this.way !== "Worker") return
    const isStaying = this.staying !== undefined
    this.way = withoutWorker()
    this.leave()
    if (isStaying) this.enter()
  }

  private aside = (said: unknown): void => {
    if (!TabHost.isNote(said)) return
    this.note = said
    this.noted()
  }

  private joined(opening: Effect.Effect<TabWire.TabWire, never, Scope.Scope>): Effect.Effect<Wire, never, Scope.Scope> {
    return Effect.map(opening, (wire) => {
      this.wire = wire
      return wire.connection
    })
  }

  private openElected(life: string): Effect.Effect<Wire, never, Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      const { host } = this.stay
      if (host !== undefined) {
        const { port1, port2 } = new MessageChannel()
        const serving = host.serve(port1, undefined)
        return yield* this.joined(TabWire.open(port2, life, () => void this.run(serving), this.aside))
      }
      const name = `${this.base} ${this.random()}`
      const channel = yield* channelOf(this.base)
      const hello = () => channel.postMessage({ _tag: "Hello", channel: name, life } satisfies Call)
      const listening = new AbortController()
      const heard = ({ data }: MessageEvent<Call>) => {
        if (data?._tag === "Leading") hello()
      }
      channel.addEventListener("message", heard, { signal: listening.signal })
      const opening = TabWire.open(new BroadcastChannel(name), life, hello, this.aside)
      return yield* Effect.tap(this.joined(opening), () => Effect.sync(() => listening.abort()))
    })
  }

  private openWorker(life: string | undefined): Effect.Effect<Wire, WorkerFailed, Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      const worker = yield* Effect.try({
        try: () => this.options.worker!(),
        catch: (cause) => new WorkerFailed({ cause })
      })
      const port: Port = worker.port
      const hello = () => port.postMessage({ _tag: "Hello", channel: "", life } satisfies Call)
      const failed = Effect.callback<never, WorkerFailed>((resume) => {
        const listening = new AbortController()
        const { signal } = listening
        worker.addEventListener("error", (cause) => resume(Effect.fail(new WorkerFailed({ cause }))), { signal })
        return Effect.sync(() => listening.abort())
      })
      const late = Effect.andThen(Effect.sleep(patience), Effect.fail(new WorkerFailed({ cause: undefined })))
      return yield* Effect.raceFirst(
        this.joined(TabWire.open(port, life, hello, this.aside)),
        Effect.raceFirst(failed, late)
      )
    })
  }

  // Coming back.

  /** To a hub as its owner wants it; to who is in the same machine without much ado. */
  get reconnect(): Schedule.Schedule<unknown, Client.Lost> {
    const { reconnect = Reconnect.fullJitter() } = this.options
    return Schedule.fromStep(
      Effect.all([Schedule.toStep(reconnect), Schedule.toStep(Reconnect.fullJitter(nearby))]).pipe(
        Effect.map(
          ([far, near]) =>
            (now: number, lost: Client.Lost) =>
              (this.way === "Alone" ? far : near)(now, lost)
        )
      )
    )
  }

  get again(): (cause: Again.Cause) => Again.Decision {
    return (cause) => ((this.way === "Alone" ? this.options.again : undefined) ?? Again.decide)(cause)
  }
}

const withoutWorker = (): "Alone" | "Elected" =>
  TabLock.areThere() && typeof BroadcastChannel === "function" ? "Elected" : "Alone"

const channelOf = (name: string) =>
  Effect.acquireRelease(
    Effect.sync(() => new BroadcastChannel(name)),
    (channel) => Effect.sync(() => channel.close())
  )
