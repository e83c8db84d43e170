/** The workers' broker against what every broker promises. The host is stood up apart, so that it can be killed alone. */
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import type { Broker } from "@millrace/core/cluster/Broker"
import * as WorkersBroker from "@millrace/node/brokers/WorkersBroker"
import * as WorkersEngine from "@millrace/node/brokers/WorkersEngine"
import * as Generations from "@millrace/node/brokers/workers/Generations"
import { brokerKit } from "../../support/brokerKit.ts"
import { folder } from "../../support/folder.ts"
import { type PartingProxy, parting } from "../../support/partingProxy.ts"

const retention = { maxEntries: 1_000 }
const maxParcelBytes = 300_000

/** A host without a node, that can end and be followed by another. */
const standing = (directory: string) =>
  Effect.gen(function* () {
    let current: Scope.Closeable | undefined
    const stand = Effect.gen(function* () {
      current = yield* Scope.make()
      yield* WorkersEngine.make({ directory, retention, maxParcelBytes })
        .open({ appended: () => {}, heard: () => {} })
        .pipe(Effect.provideService(Scope.Scope, current))
    })
    const fall = Effect.suspend(() => (current === undefined ? Effect.void : Scope.close(current, Exit.void)))
    yield* Effect.acquireRelease(stand, () => fall)
    return { restart: Effect.orDie(Effect.andThen(fall, stand)) }
  })

brokerKit(
  "WorkersBroker, as every broker",
  {
    make: Effect.gen(function* () {
      const home = yield* folder
      const directory = join(home, "host")
      const host = yield* standing(directory)
      const proxies = new Map<Broker["Service"], PartingProxy>()
      let count = 0
      return {
        connect: Effect.gen(function* () {
          // Where it looks for the host is a proxy, which goes to whoever that is.
          const own = join(home, `${count++}`)
          mkdirSync(own, { mode: 0o700 })
          const proxy = yield* parting(
            () => Generations.pathOf(directory, Generations.highest(directory)),
            Generations.pathOf(own, 1)
          )
          const broker = yield* WorkersBroker.make({
            directory: own,
            host: false,
            maxParcelBytes,
            welcomeTimeout: 300,
            callTimeout: 500,
            connectTimeout: 1_000,
            heartbeat: 200,
            publishTimeout: 1_000,
            reconnect: Schedule.spaced(20)
          })
          proxies.set(broker, proxy)
          return broker
        }),
        maxBytes: maxParcelBytes,
        maxEntries: retention.maxEntries,
        faults: {
          cut: (node) => proxies.get(node)!.cut,
          restart: host.restart,
          pause: Effect.suspend(() => Effect.forEach([...proxies.values()], ({ part }) => part, { discard: true })),
          partition: (node) => proxies.get(node)!.part
        }
      }
    })
  },
  60_000
)
