/** Events of a server, over the platform's own `EventSource`. */
import * as NativeEventSource from "@millrace/browser/NativeEventSource"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

const events = NativeEventSource.stream("/events")

Effect.runFork(Stream.runForEach(events, (event) => Effect.sync(() => console.log(event))))
