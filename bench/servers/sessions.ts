/** Our server of sessions: it answers an order with that order, checked by schema on the way in and on the way out. */
import * as Session from "@millrace/core/messaging/Session"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import * as SchemaJit from "@millrace/node/SchemaJit"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Bench } from "./contract.ts"

const contract = SchemaJit.compile(Bench)

const main = Effect.gen(function* () {
  const { port } = yield* NodeWebSocketServer.serve(
    { port: 0, subprotocols: Session.subprotocols() },
    Effect.fn(function* (connection) {
      const session = yield* Session.accept(contract, connection)
      yield* session.handle({
        echo: (order) => Effect.succeed(order),
        count: (most) => Stream.map(Stream.range(0, most - 1), (n) => ({ n }))
      })
    })
  )
  console.log(JSON.stringify({ port }))
  return yield* Effect.never
})

Effect.runFork(Effect.scoped(main))
