/** Event sources over a network of the test's own, and what they come to. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type { Event } from "@millrace/core/codec/EventStream"
import * as EventSource from "@millrace/core/connection/EventSource"
import type { EventSourceError } from "@millrace/core/connection/EventSourceError"
import { start, turn } from "./connection.ts"
import { TestFetch } from "./TestFetch.ts"

export const url = "https://example.com/events"

/** A source whose network is the test, and which somebody reads from the first moment to the last. */
export const reading = (options: Partial<EventSource.Options> = {}, at = url) =>
  Effect.gen(function* () {
    const network = new TestFetch()
    const source = yield* EventSource.make(at, { fetch: network.fetch, ...options })
    const events: Array<Event> = []
    const states: Array<EventSource.State> = []
    yield* start(Stream.runForEach(source.states, (state) => Effect.sync(() => states.push(state))))
    const reader = yield* start(Stream.runForEach(source.events, (event) => Effect.sync(() => events.push(event))))
    yield* turn
    return { network, source, events, states, reader }
  })

/** Why the reading has failed. */
export const failureOf = (reader: Fiber.Fiber<void, EventSourceError>): Effect.Effect<EventSourceError["reason"]> =>
  Effect.map(Effect.flip(Fiber.join(reader)) as Effect.Effect<EventSourceError>, ({ reason }) => reason)

/** The data of events. */
export const dataOf = (events: ReadonlyArray<Event>): ReadonlyArray<string> => events.map(({ data }) => data)

/** The tags of states, in order. */
export const tagsOf = (states: ReadonlyArray<EventSource.State>): string => states.map(({ _tag }) => _tag).join(" ")
