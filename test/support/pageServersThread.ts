/** The servers of `pageServers.ts`. It says where they are, and ends when it is told to. */
import { once } from "node:events"
import { parentPort } from "node:worker_threads"
import * as Origin from "@millrace/core/codec/Origin"
import * as HubServer from "@millrace/node/HubServer"
import * as Effect from "effect/Effect"
import type { Servers } from "./pageServers.ts"
import * as Proxies from "./proxies.ts"
import * as Wilful from "./wilful.ts"

const main = Effect.gen(function* () {
  const hub = yield* HubServer.serve({ origin: Origin.any })
  const [wilful, proxies] = yield* Effect.promise(() => Promise.all([Wilful.listen(), Proxies.listen()]))
  const servers: Servers = { hub: hub.port, wilful: wilful.port, proxies: proxies.port }
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- it is no window
  parentPort!.postMessage(servers)
  yield* Effect.promise(() => once(parentPort!, "message"))
  yield* Effect.promise(() => Promise.all([wilful.close(), proxies.close()]))
})

await Effect.runPromise(Effect.scoped(main))
parentPort!.close()
