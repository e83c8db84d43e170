/** Events of a server, over the platform's `fetch`. */
import * as EventSource from "@millrace/core/connection/EventSource"
import * as Fetch from "@millrace/core/connection/Fetch"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

const events = EventSource.stream(`${location.origin}/events`, { fetch: Fetch.fromWeb(globalThis.fetch) })

Effect.runFork(Stream.runForEach(events, (event) => Effect.sync(() => console.log(event))))
