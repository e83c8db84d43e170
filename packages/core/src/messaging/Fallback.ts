/**
 * Several ways to a server, of which the first that gets through is taken and remembered: where proxies let no WebSocket
 * pass, an event stream with POST does.
 *
 *     const open = yield* Fallback.make([
 *       NodeWebSocket.open("wss://example.com/chat", { subprotocols: Session.subprotocols() }),
 *       EventStreamWire.open("https://example.com/chat", { fetch: Fetch.fromWeb(globalThis.fetch) })
 *     ])
 *     const chat = yield* Client.make(Chat, open)
 *
 * Not in here: when to try again, which is the `Client`'s, and whether a refusal is the end, which is `Again`'s.
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { WebSocketError } from "../connection/WebSocketError.ts"
import type { Message } from "../protocol/Message.ts"
import type { Wire } from "./Wire.ts"

/** Which way worked, and when. A value of JSON. */
export interface Remembered {
  /** Its index among the ways, from 0. */
  readonly way: number
  /** In milliseconds since 1970. */
  readonly at: number
}

/** Where it is kept, such as in the storage of a page. What it reads is checked. */
export interface Memory {
  readonly read: Effect.Effect<Remembered | undefined>
  /** `undefined` forgets. */
  readonly write: (remembered: Remembered | undefined) => Effect.Effect<void>
}

export interface Options {
  /** Default: as long as what `make` has made is used. */
  readonly memory?: Memory | undefined
  /** For how long. Then the first way is tried again, as the network may be another one. Default 30 minutes. */
  readonly remember?: Duration.Input | undefined
}

/** Kept in memory. */
const inMemory = (): Memory => {
  let value: Remembered | undefined
  return {
    read: Effect.sync(() => value),
    write: (remembered) =>
      Effect.sync(() => {
        value = remembered
      })
  }
}

/** From here on the codes of a Close are those of applications and libraries: somebody has read what was said. */
const firstFreeCode = 3_000

/** A wire that is looked at until it has brought something. */
class Watched implements Wire {
  private readonly wire: Wire
  private readonly onHeard: Effect.Effect<void>
  /** Whether something was said that is to be answered. */
  private said = false
  /** Whether there was an answer, be it a refusal. */
  private answered = false

  constructor(wire: Wire, onHeard: Effect.Effect<void>) {
    this.wire = wire
    this.onHeard = onHeard
  }

  /** It took what was said, and gave nothing for it. */
  get isMute(): boolean {
    return this.said && !this.answered
  }

  private watch<A>(effect: Effect.Effect<A, WebSocketError | Cause.Done>): typeof effect {
    if (this.answered) return effect
    return Effect.tapError(Effect.tap(effect, this.heard), (error) =>
      Effect.sync(() => {
        if (codeOf(error) >= firstFreeCode) this.answered = true
      })
    )
  }

  private readonly heard: Effect.Effect<void> = Effect.suspend(() => {
    if (this.answered) return Effect.void
    this.answered = true
    return this.onHeard
  })

  get pull(): Wire["pull"] {
    return this.watch<Arr.NonEmptyReadonlyArray<Message>>(this.wire.pull)
  }

  get receive(): Wire["receive"] {
    return this.watch<Message>(this.wire.receive)
  }

  get receiveStream(): Wire["receiveStream"] {
    const { receiveStream } = this.wire
    return receiveStream === undefined ? undefined : this.watch(receiveStream)
  }

  readonly send: Wire["send"] = (message) => {
    this.said = true
    return this.wire.send(message)
  }

  get close(): Wire["close"] {
    return this.wire.close
  }

  get closed(): Wire["closed"] {
    return this.wire.closed
  }

  get subprotocol(): Wire["subprotocol"] {
    return this.wire.subprotocol
  }
}

const codeOf = (error: WebSocketError | Cause.Done): number =>
  !Cause.isDone(error) && error.reason._tag === "ConnectionLost" ? error.reason.code : 0

/**
 * What opens a connection by the first way that works. To be run for each connection, as by a `Client`.
 *
 * A way is passed over when it does not open, and the next time when it has opened and ended before anything came over
 * it: some proxies say yes to a WebSocket and then cut it, or let nothing through. A way over which something came is
 * remembered, and tried first, until it fails or `remember` is over.
 *
 * Fails when no way opens, as the last one in the list does: that is the one which is told most, so a refusal by the
 * server is not hidden by what became of a WebSocket.
 */
export const make = <E, R>(
  ways: Arr.NonEmptyReadonlyArray<Effect.Effect<Wire, E, R>>,
  { memory = inMemory(), remember = "30 minutes" }: Options = {}
): Effect.Effect<Effect.Effect<Wire, E, Exclude<R, Scope.Scope> | Scope.Scope>> =>
  Effect.sync(() => {
    const lifetime = Duration.toMillis(remember)
    /** Which way to begin with, when none is remembered. */
    let first = 0

    const remembered = Effect.map(Effect.zip(memory.read, Clock.currentTimeMillis), ([value, now]) => {
      const isGood =
        value !== undefined && ways[value.way] !== undefined && now >= value.at && now - value.at < lifetime
      return isGood ? value : undefined
    })

    /** A way that was to work does not. */
    const disappointed = (way: number): Effect.Effect<void> =>
      Effect.flatMap(memory.read, (value) => {
        const wasRemembered = value?.way === way
        first = wasRemembered && way !== 0 ? 0 : (way + 1) % ways.length
        return wasRemembered ? memory.write(undefined) : Effect.void
      })

    const worked = (way: number): Effect.Effect<void> =>
      Effect.gen(function* () {
        first = 0
        if ((yield* remembered)?.way === way) return
        yield* memory.write({ way, at: yield* Clock.currentTimeMillis })
      })

    /** Opens one, in a scope of its own, which ends with the scope, or at once if it does not open. */
    const openBy = (way: number) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const scope = yield* Scope.fork(yield* Effect.scope)
          let watched: Watched | undefined
          // First, so that it is run last: behind the end of the connection.
          yield* Scope.addFinalizer(
            scope,
            Effect.suspend(() => (watched?.isMute === true ? disappointed(way) : Effect.void))
          )
          const exit = yield* Effect.exit(restore(Scope.provide(ways[way]!, scope)))
          if (Exit.isSuccess(exit)) return (watched = new Watched(exit.value, worked(way)))
          yield* Scope.close(scope, exit)
          if (!Cause.hasInterrupts(exit.cause)) yield* disappointed(way)
          return yield* exit
        })
      )

    return Effect.gen(function* () {
      const begin = (yield* remembered)?.way ?? first
      const order = [begin, ...Array.from(ways.keys()).filter((way) => way !== begin)]
      /** How the last one in the list ended. */
      let failure: { readonly way: number; readonly exit: Exit.Failure<Wire, E> } | undefined
      for (const way of order) {
        const exit = yield* Effect.exit(openBy(way))
        if (Exit.isSuccess(exit)) return exit.value
        if (failure === undefined || way > failure.way) failure = { way, exit }
      }
      // Nothing is known of any of them.
      first = 0
      return yield* failure!.exit
    }) as never
  })
