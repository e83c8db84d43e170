/** Two processes that listen on one port, and answer with their number. A program, started by `workerProcesses`. */
import * as http from "node:http"
import * as workers from "@millrace/node/cli/workers"
import * as Listen from "@millrace/node/Listen"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

const host = "127.0.0.1"
const mine = workers.mine()

const served = ({ number, port, reusePort }: workers.Worker) =>
  Effect.gen(function* () {
    const server = http.createServer((_, response) => response.setHeader("Connection", "close").end(`${number}`))
    const at = yield* Listen.listen(server, { host, port, reusePort })
    yield* workers.listening(at.port)
    return yield* Effect.never
  })

const program: Effect.Effect<never, unknown, Scope.Scope> =
  mine === undefined
    ? workers.supervise({
        count: 2,
        host,
        port: 0,
        reusePort: process.argv[2] === "alone",
        ready: (port) => Console.log(`at ${port}`)
      })
    : served(mine)

const fiber = Effect.runFork(Effect.scoped(program))
let interrupted = false
workers.onEnd(() => {
  if (interrupted) process.exit(130)
  interrupted = true
  fiber.interruptUnsafe()
})
fiber.addObserver(() => process.exit(interrupted ? 0 : 1))
