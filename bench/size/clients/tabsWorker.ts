/** The script of a worker that has the connection for all tabs. */
import * as BrowserTabsWorker from "@millrace/browser/BrowserTabsWorker"
import * as Effect from "effect/Effect"

Effect.runFork(BrowserTabsWorker.serve({ url: "/ws" }))
