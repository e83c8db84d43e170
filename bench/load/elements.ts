/** One client of ours reads one stream, as fast as it can; it is told of its end before the time is up, not behind it. */
import * as Session from "@millrace/core/messaging/Session"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Bench } from "../servers/contract.ts"
import type * as Load from "./Load.ts"

export interface Options {
  /** Elements of one stream. */
  readonly elements: number
}

export const open = async (port: number, { elements }: Options): Promise<Load.Load> => {
  const scope = Scope.makeUnsafe()
  const session = await Effect.runPromise(
    NodeWebSocket.open(`ws://127.0.0.1:${port}/`, { subprotocols: Session.subprotocols() }).pipe(
      Effect.flatMap((connection) => Session.connect(Bench, connection)),
      Scope.provide(scope)
    )
  )
  const read = Effect.map(
    Stream.runFold(
      session.stream("count", elements),
      () => 0,
      (next, { n }) => {
        if (n !== next) throw new Error(`element ${next} came as ${n}`)
        return next + 1
      }
    ),
    (count) => {
      if (count !== elements) throw new Error(`${count} elements came of ${elements}`)
    }
  )
  return {
    run: async (seconds) => {
      const until = performance.now() + seconds * 1000
      let count = 0
      do {
        await Effect.runPromise(read)
        count += elements
      } while (performance.now() < until)
      return { count, bytes: 0 }
    },
    end: () => void Effect.runFork(Scope.close(scope, Exit.void))
  }
}
