/**
 * What is done about what a client says: one event after the other, and what comes meanwhile waits, as far as there is
 * room for it.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type * as Socket from "./Socket.ts"
import type * as Protocol from "./SocketProtocol.ts"

export type Delivered = Extract<Protocol.Action, { readonly _tag: "Deliver" }>

/** How much waits, and who runs what nobody waits for. */
export interface Bounds {
  /** Most events, and most of them in UTF-16 units and bytes, that wait for the one that is being dealt with. */
  readonly maxWaiting: number
  readonly maxWaitingSize: number
  readonly fork: (effect: Effect.Effect<unknown>) => Fiber.Fiber<unknown>
}

/** Whose events they are. */
export interface Owner {
  readonly answer: (id: number, args: ReadonlyArray<unknown>) => Effect.Effect<void>
}

export class Listening {
  handler: Socket.Handler | undefined
  private readonly bounds: Bounds
  private readonly owner: Owner
  private running: Fiber.Fiber<unknown> | undefined
  private waiting: Array<{ readonly event: Delivered; readonly size: number }> | undefined
  private waitingSize = 0
  /** Those who wait for room: more than one where a client has come back, and its connection from before still waits. */
  private crowd: Set<() => void> | undefined

  constructor(bounds: Bounds, owner: Owner) {
    this.bounds = bounds
    this.owner = owner
  }

  /** Whether something is being dealt with. */
  get isBusy(): boolean {
    return this.running !== undefined
  }

  /** Deals with it, or has it wait; suspends while as much waits as may. */
  deliver(event: Delivered, size: number): Effect.Effect<void> {
    if (this.running === undefined) {
      this.run(event)
      return Effect.void
    }
    this.waiting ??= []
    this.waiting.push({ event, size })
    this.waitingSize += size
    if (!this.isFull) return Effect.void
    return Effect.callback<void>((resume) => {
      if (!this.isFull) return resume(Effect.void)
      const go = () => resume(Effect.void)
      this.crowd ??= new Set()
      this.crowd.add(go)
      return Effect.sync(() => this.crowd?.delete(go))
    })
  }

  /** Interrupts what is being dealt with, and forgets what waits. */
  stopUnsafe(): void {
    this.waiting = undefined
    this.letGo()
    this.running?.interruptUnsafe()
  }

  private get isFull(): boolean {
    const { maxWaiting, maxWaitingSize } = this.bounds
    return this.waiting !== undefined && (this.waiting.length > maxWaiting || this.waitingSize > maxWaitingSize)
  }

  private run({ args, id, name }: Delivered): void {
    const { handler } = this
    const listener = typeof handler === "function" ? handler : own(handler, name)
    if (listener === undefined) return
    const said = (answer: unknown) =>
      id === undefined ? Effect.void : this.owner.answer(id, Array.isArray(answer) ? answer : [])
    const dealt = called(listener, args, { name, isAsked: id !== undefined })
    const isDealt = Exit.isExit(dealt) && Exit.isSuccess(dealt)
    if (isDealt && id === undefined) return
    // What has succeeded in the call needs a fiber for its answer only.
    const fiber = this.bounds.fork(isDealt ? said(dealt.value) : logged(Effect.flatMap(dealt, said)))
    if (fiber.pollUnsafe() !== undefined) return
    this.running = fiber
    fiber.addObserver(() => {
      this.running = undefined
      this.goOn()
    })
  }

  private goOn(): void {
    while (this.running === undefined && this.waiting !== undefined && this.waiting.length > 0) {
      const { event, size } = this.waiting.shift()!
      this.waitingSize -= size
      if (this.waiting.length === 0) this.waiting = undefined
      this.run(event)
    }
    if (!this.isFull) this.letGo()
  }

  private letGo(): void {
    const { crowd } = this
    this.crowd = undefined
    for (const go of crowd ?? []) go()
  }
}

const called = (listener: Socket.Listener, args: ReadonlyArray<unknown>, event: Socket.Event) => {
  try {
    return listener(args, event)
  } catch (defect) {
    return Effect.die(defect)
  }
}

const logged = (dealt: Effect.Effect<unknown, unknown>): Effect.Effect<unknown> =>
  Effect.catchCause(dealt, (cause) =>
    Cause.hasInterrupts(cause) ? Effect.void : Effect.logError("Socket.IO: a listener has failed", cause)
  )

const own = (handler: Exclude<Socket.Handler, Function> | undefined, name: string) =>
  handler !== undefined && Object.hasOwn(handler, name) ? handler[name] : undefined
