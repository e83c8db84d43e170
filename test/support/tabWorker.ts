/** The script of the worker in tests of tabs. */
import * as BrowserTabsWorker from "@millrace/browser/BrowserTabsWorker"
import * as Effect from "effect/Effect"

Effect.runFork(BrowserTabsWorker.serve({ url: new URL(location.href).searchParams.get("hub")! }))

// As the platform may end it: nobody who is served is told.
const ending = new BroadcastChannel("end of the worker")
ending.addEventListener("message", () => close())
