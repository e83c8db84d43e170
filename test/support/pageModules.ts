/** What a program in a page may use: bundled for it by `page.ts`. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"

export * as Deferred from "effect/Deferred"
export * as Effect from "effect/Effect"
export * as Exit from "effect/Exit"
export * as Fiber from "effect/Fiber"
export * as Schedule from "effect/Schedule"
export * as Scope from "effect/Scope"
export * as Schema from "effect/Schema"
export * as Stream from "effect/Stream"
export { ProtocolViolation } from "@millrace/core/codec/ProtocolViolation"
export * as HubClient from "@millrace/core/cluster/HubClient"
export { toJson } from "@millrace/core/cluster/JsonText"
export * as Fetch from "@millrace/core/connection/Fetch"
export * as Prepared from "@millrace/core/connection/Prepared"
export * as Client from "@millrace/core/messaging/Client"
export * as Contract from "@millrace/core/messaging/Contract"
export * as EventStreamWire from "@millrace/core/messaging/EventStreamWire"
export * as Fallback from "@millrace/core/messaging/Fallback"
export * as TypedEvents from "@millrace/core/messaging/TypedEvents"
export * as Message from "@millrace/core/protocol/Message"
export * as BrowserClient from "@millrace/browser/BrowserClient"
export * as BrowserEventSource from "@millrace/browser/BrowserEventSource"
export * as BrowserWebSocket from "@millrace/browser/BrowserWebSocket"
export * as BrowserWebSocketStream from "@millrace/browser/BrowserWebSocketStream"
export * as NativeEventSource from "@millrace/browser/NativeEventSource"
export * as PageLife from "@millrace/browser/PageLife"
export * as IndexedDbHubStore from "@millrace/browser/IndexedDbHubStore"
export * as IndexedDbOutboxStore from "@millrace/browser/IndexedDbOutboxStore"

/** How an effect ended, as JSON: a value, `done`, the tag of an error with its reason, or that it was interrupted. */
export type Outcome =
  | { readonly value: unknown }
  | { readonly error: string; readonly reason?: Readonly<Record<string, unknown>>; readonly message: string }
  | { readonly end: "done" | "interrupted" | "defect"; readonly message?: string }

export const outcomeOf = (exit: Exit.Exit<unknown, unknown>): Outcome => {
  if (Exit.isSuccess(exit)) return { value: exit.value }
  const [reason] = exit.cause.reasons
  if (reason?._tag === "Interrupt") return { end: "interrupted" }
  if (reason?._tag === "Die") return { end: "defect", message: String(reason.defect) }
  const error: unknown = reason?.error
  if (Cause.isDone(error)) return { end: "done" }
  if (!(error instanceof Error)) return { error: String(error), message: "" }
  const why: unknown = Reflect.get(error, "reason")
  return {
    error: error.name,
    message: error.message,
    ...(why instanceof Error ? { reason: { _tag: why.name, ...why } } : {})
  }
}

/** Runs it in a scope of its own, to its outcome. */
export const outcome = (effect: Effect.Effect<unknown, unknown, Scope.Scope>): Promise<Outcome> =>
  Effect.runPromise(Effect.map(Effect.exit(Effect.scoped(effect)), outcomeOf))

/** Waits in a page for what has no event of its own. */
export const eventually = async (holds: () => boolean): Promise<void> => {
  const deadline = performance.now() + 15_000
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`never: ${holds}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
