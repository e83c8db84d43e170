/** Connections over transports of the test's own, and ways to look at what they leave behind. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import type * as Frame from "@millrace/core/codec/Frame"
import type * as Extension from "@millrace/core/connection/Extension"
import type * as Limits from "@millrace/core/connection/Limits"
import type { Transport } from "@millrace/core/connection/Transport"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import type { WebSocketError } from "@millrace/core/connection/WebSocketError"
import type * as Message from "@millrace/core/protocol/Message"
import type { Role } from "@millrace/core/protocol/WebSocketProtocol"
import * as frames from "./frames.ts"
import { TestTransport } from "./TestTransport.ts"

/** A connection over that transport. A client's masking keys are all 0, so that what it writes can be read. */
export const over = (
  transport: Transport,
  role: Role,
  limits?: Partial<Limits.Limits>,
  maskingKey = () => 0,
  extensions?: Extension.Agreed
) =>
  Effect.gen(function* () {
    const settings = WebSocket.settings(role, limits, maskingKey)
    const wheel = yield* WebSocket.makeWheel(settings)
    return yield* WebSocket.make({
      transport,
      settings,
      wheel,
      subprotocol: undefined,
      handshake: undefined,
      extensions
    })
  })

/** A connection whose far end is the test. The far end hangs up when the test is over, if nothing has ended it. */
export const open = (
  role: Role,
  limits?: Partial<Limits.Limits>,
  maskingKey?: () => number,
  extensions?: Extension.Agreed
) =>
  Effect.gen(function* () {
    const far = new TestTransport()
    const connection = yield* over(far, role, limits, maskingKey, extensions)
    yield* Effect.addFinalizer(() => Effect.sync(() => far.hangUp()))
    return { far, connection, role }
  })

/** Lets everything happen that happens without a timer or the far end. */
export const turn: Effect.Effect<void> = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

/** Starts an effect now, not at the next turn. */
export const start = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Fiber.Fiber<A, E>, never, R> =>
  Effect.forkChild(effect, { startImmediately: true })

/** Runs an effect in a world with a clock of its own: one run of a property. */
export const world = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>): Promise<A> =>
  Effect.runPromise(effect.pipe(Effect.scoped, Effect.provide(TestClock.layer())))

/** A frame as that role receives it: masked for a server. */
export const toward = (role: Role, frame: Frame.Frame): Uint8Array =>
  frames.encode(frame, role === "server" ? 0x0f1e2d3c : undefined)

/** Messages as plain values. */
export const plain = (messages: ReadonlyArray<Message.Message>): ReadonlyArray<string | Uint8Array> =>
  messages.map((message) => (message._tag === "Text" ? message.text : message.bytes))

/** Why it failed, as the tag of the reason. */
export const reasonOf = <A, R>(effect: Effect.Effect<A, WebSocketError, R>): Effect.Effect<string, never, R> =>
  Effect.match(effect, { onSuccess: () => "succeeded", onFailure: (error) => error.reason._tag })

/** What runs: fibers, and sleeps of the clock. */
export interface Running {
  fibers: number
  sleeps: number
}

/** Runs an effect in whose world every fiber and every sleep is counted. */
export const counted = <A, E, R>(effect: (running: Running) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.gen(function* () {
    const running: Running = { fibers: 0, sleeps: 0 }
    // From here on the clock of the test does not start a fiber of its own any more, to warn of a test that waits.
    yield* TestClock.adjust(0)
    const clock = yield* Clock.Clock
    const counting: Clock.Clock = Object.assign(Object.create(clock) as Clock.Clock, {
      sleep: (duration: Parameters<Clock.Clock["sleep"]>[0]) =>
        Effect.acquireUseRelease(
          Effect.sync(() => running.sleeps++),
          () => clock.sleep(duration),
          () => Effect.sync(() => running.sleeps--)
        )
    })
    return yield* effect(running).pipe(
      Effect.provideService(Clock.Clock, counting),
      Effect.provideService(Metric.FiberRuntimeMetrics, {
        recordFiberStart: () => void running.fibers++,
        recordFiberEnd: () => void running.fibers--
      })
    )
  })

export type Opened = Effect.Success<ReturnType<typeof open>>
