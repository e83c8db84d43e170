/** Clients of a contract over real sockets: a server that goes and comes, and a network that cuts. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Reconnect from "@millrace/core/connection/Reconnect"
import * as Client from "@millrace/core/messaging/Client"
import * as Repeats from "@millrace/core/messaging/Repeats"
import * as Session from "@millrace/core/messaging/Session"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { start } from "../support/connection.ts"
import { cutting } from "../support/cuttingProxy.ts"
import { eventually } from "../support/eventually.ts"
import { backTo, countingFibers, resources } from "../support/leaks.ts"
import type { Handlers } from "../support/returning.ts"
import { Chat, reasonOf, silent } from "../support/session.ts"

/** A server on that port, any for 0, and what ends it. */
const serve = (port: number, handlers: Handlers) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const codes: Array<number | undefined> = []
    const server = yield* NodeWebSocketServer.serve({ port, subprotocols: Session.subprotocols() }, (connection) =>
      Effect.gen(function* () {
        const session = yield* Session.accept(Chat, connection)
        yield* session.handle({ ...silent, ...handlers } as never, { concurrency: "unbounded" })
      }).pipe(
        Effect.ignore,
        Effect.andThen(connection.closed),
        Effect.map(({ received }) => void codes.push(received?.code))
      )
    ).pipe(Scope.provide(scope))
    yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
    return { server, codes, end: Scope.close(scope, Exit.void) }
  })

const reconnect = Reconnect.fullJitter({ base: "20 millis", cap: "200 millis" })

const clientOf = (port: number) =>
  Client.make(
    Chat,
    // The address may be somebody else's for a moment, whose answer is none to stop for.
    NodeWebSocket.open(`ws://127.0.0.1:${port}`, { subprotocols: Session.subprotocols() }),
    { reconnect, again: () => "Again" }
  )

const many = 50

describe("50 clients of a server that goes away and comes back", () => {
  it.live("are all there again, with what was to be done done once", () =>
    countingFibers((alive) =>
      Effect.gen(function* () {
        const before = resources()
        const fibers = alive.fibers
        yield* Effect.scoped(
          Effect.gen(function* () {
            const paid = new Map<number, number>()
            const told: Array<number> = []
            const done = yield* Deferred.make<void>()
            const handlers: Handlers = {
              pay: (n) =>
                Effect.suspend(() => {
                  paid.set(n, (paid.get(n) ?? 0) + 1)
                  return Effect.as(Deferred.await(done), n)
                }),
              tell: (n) => Effect.sync(() => void told.push(n))
            }
            const first = yield* serve(0, handlers)
            const clients = yield* Effect.forEach(Array.from({ length: many }), () => clientOf(first.server.port))
            const paying = yield* Effect.forEach(clients, (client, n) => start(client.request("pay", n)))
            const renaming = yield* Effect.forEach(clients, (client) => start(reasonOf(client.request("rename", "x"))))
            yield* eventually(() => paid.size === many)

            yield* first.end
            // The server has said so before it closed.
            for (const fiber of renaming) assert.strictEqual(yield* Fiber.join(fiber), "Failed unavailable")
            yield* Effect.forEach(clients, (client, n) => client.emit("tell", n))
            // Nobody listens there now.
            yield* Effect.forEach(
              clients,
              (client) =>
                Stream.runDrain(
                  Stream.takeUntil(
                    client.states,
                    (state) => state._tag === "Waiting" && state.lost.cause._tag === "NotOpened"
                  )
                ),
              { concurrency: "unbounded" }
            )

            const second = yield* serve(first.server.port, handlers)
            yield* eventually(() => told.length === many)
            assert.strictEqual(second.server.connections(), many)
            yield* Deferred.succeed(done, undefined)
            for (const [n, fiber] of paying.entries()) assert.strictEqual(yield* Fiber.join(fiber), n)
            assert.deepStrictEqual(
              told.toSorted((a, b) => a - b),
              Array.from({ length: many }, (_, n) => n)
            )
            assert.deepStrictEqual(
              [...paid.values()],
              Array.from({ length: many }, () => 1)
            )
          })
        )
        yield* backTo(before)
        yield* eventually(() => alive.fibers === fibers)
      })
    ).pipe(Effect.provideService(Repeats.Current, new Repeats.Repeats()))
  )
})

describe("a network that cuts every connection, each one later than the one before", () => {
  it.live("does not keep a client from what it wants done, nor has it done twice", () =>
    Effect.gen(function* () {
      const paid: Array<number> = []
      const { codes, server } = yield* serve(0, {
        pay: (n) => Effect.sync(() => (paid.push(n), n)),
        count: ((n: number) => Stream.range(1, n)) as never
      })
      const proxy = yield* cutting(server.port, 23)
      const scope = yield* Scope.make()
      const client = yield* Scope.provide(clientOf(proxy.port), scope)
      const wanted = Array.from({ length: 20 }, (_, n) => n)
      const answers = yield* Effect.forEach(wanted, (n) => client.request("pay", n), { concurrency: 4 })
      assert.deepStrictEqual(answers, wanted)
      assert.deepStrictEqual(
        paid.toSorted((a, b) => a - b),
        wanted
      )
      // A stream is for who reads it to begin again.
      const elements = yield* Effect.retry(Stream.runCollect(client.stream("count", 100)), Schedule.forever)
      assert.deepStrictEqual(
        elements,
        Array.from({ length: 100 }, (_, n) => n + 1)
      )
      assert.isAbove(proxy.connections(), 10)
      yield* Scope.close(scope, Exit.void)
      yield* eventually(() => codes.at(-1) === 1000)
    }).pipe(Effect.provideService(Repeats.Current, new Repeats.Repeats()))
  )
})
