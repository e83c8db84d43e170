/** Brokers on the faulty engine, for `brokerKit`. */
import * as Effect from "effect/Effect"
import type { Broker } from "@millrace/core/cluster/Broker"
import * as EngineBroker from "@millrace/core/cluster/EngineBroker"
import type { Spec } from "./brokerKit.ts"
import * as FaultyEngine from "./faultyEngine.ts"

export const spec = (options: FaultyEngine.Options, more?: Partial<Spec>): Spec => ({
  clock: "test",
  ...more,
  make: Effect.gen(function* () {
    const server = yield* FaultyEngine.make({ maxEntries: 1_000, maxBytes: 262_144, ...options })
    const names = new Map<Broker["Service"], string>()
    const name = (node: Broker["Service"]) => names.get(node)!
    return {
      connect: Effect.suspend(() => {
        const its = `node ${names.size}`
        return Effect.tap(EngineBroker.make(server.engine(its)), (node) => Effect.sync(() => names.set(node, its)))
      }),
      maxBytes: server.maxBytes,
      maxEntries: 1_000,
      faults: {
        cut: (node) => Effect.sync(() => server.cut(name(node))),
        restart: Effect.suspend(() => {
          server.kill()
          return Effect.andThen(
            Effect.sleep(100),
            Effect.sync(() => server.start())
          )
        }),
        pause: Effect.acquireRelease(
          Effect.sync(() => server.pause()),
          () => Effect.sync(() => server.resume())
        ),
        partition: (node) =>
          Effect.acquireRelease(
            Effect.sync(() => server.partition(name(node))),
            () => Effect.sync(() => server.heal(name(node)))
          )
      }
    }
  })
})
