/** Events of a server in a page, which come back when the page does. */
import * as BrowserEventSource from "@millrace/browser/BrowserEventSource"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

const events = BrowserEventSource.stream("/events")

Effect.runFork(Stream.runForEach(events, (event) => Effect.sync(() => console.log(event))))
