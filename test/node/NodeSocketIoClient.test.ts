/** Our client of Socket.IO and our server, over loopback. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Hub from "@millrace/core/cluster/Hub"
import type { Transport } from "@millrace/core/connection/Transport"
import * as Socket from "@millrace/core/interop/socketio/Socket"
import type * as SocketClient from "@millrace/core/interop/socketio/SocketClient"
import * as SocketServer from "@millrace/core/interop/socketio/SocketServer"
import * as NodeSocketIoClient from "@millrace/node/NodeSocketIoClient"
import * as NodeSocketIoServer from "@millrace/node/NodeSocketIoServer"

const serve = (connect: Socket.Connect<NodeSocketIoServer.Asking>, recovery = false) =>
  Effect.flatMap(SocketServer.make({ namespaces: { "/tea": connect }, recovery }), (io) =>
    Effect.map(NodeSocketIoServer.serve({ port: 0 }, io), ({ url }) => ({ io, url }))
  )

const heardBy = (socket: SocketClient.SocketClient) =>
  Effect.gen(function* () {
    const queue = yield* Queue.unbounded<SocketClient.Event>()
    yield* Effect.forkScoped(Effect.exit(Stream.runForEach(socket.events, (event) => Queue.offer(queue, event))), {
      startImmediately: true
    })
    return Queue.take(queue)
  })

const live = <A, E>(effect: Effect.Effect<A, E, Scope.Scope | Hub.Hub>) => Effect.provide(effect, Hub.Hub.layer())

const bytes = Uint8Array.of(0, 255)

describe("our client of our server", () => {
  it.live("is let in, asks and answers, with bytes, and hears what is said in its rooms", () =>
    live(
      Effect.gen(function* () {
        const answered = yield* Queue.unbounded<unknown>()
        const { io, url } = yield* serve((socket) =>
          Effect.gen(function* () {
            yield* Effect.orDie(socket.join("lobby"))
            return {
              echo: (args) => Effect.succeed(args),
              ask: () =>
                Effect.flatMap(socket.ask("ready?", [1], { timeout: "10 seconds" }), (answer) =>
                  Effect.asVoid(Queue.offer(answered, answer))
                )
            }
          })
        )
        const socket = yield* NodeSocketIoClient.connect(url, { namespace: "/tea" })
        const next = yield* heardBy(socket)
        expect(yield* socket.ask("echo", ["é", { of: bytes }])).toEqual(["é", { of: bytes }])
        yield* socket.emit("ask")
        const question = yield* next
        expect([question.name, question.args]).toEqual(["ready?", [1]])
        expect(yield* question.reply(bytes)).toBe(true)
        expect(yield* Queue.take(answered)).toEqual([bytes])
        yield* io.of("/tea").to("lobby").emit("said", "hi")
        expect((yield* next).args[0]).toBe("hi")
      })
    )
  )

  it.live("is recovered, and gets what it has missed once and in order", () =>
    live(
      Effect.gen(function* () {
        const { io, url } = yield* serve((socket) => Effect.orDie(socket.join("lobby")), true)
        let transport: Transport | undefined
        const tap = (opened: Transport) => (transport = opened)
        const socket = yield* NodeSocketIoClient.connect(url, {
          namespace: "/tea",
          reconnect: Schedule.spaced("10 millis"),
          webSocket: { tap }
        })
        const next = yield* heardBy(socket)
        const { id } = yield* socket.entered
        yield* io.of("/tea").to("lobby").emit("said", 0)
        expect((yield* next).args[0]).toBe(0)
        transport!.destroy()
        for (const missed of [1, 2, 3]) yield* io.of("/tea").to("lobby").emit("said", missed)
        const heard = [yield* next, yield* next, yield* next]
        expect(heard.map(({ args }) => args[0])).toEqual([1, 2, 3])
        expect(yield* socket.entered).toEqual({ id, recovered: true })
      })
    )
  )

  it.live("is refused with a message and data", () =>
    live(
      Effect.gen(function* () {
        const { url } = yield* serve(() => Socket.refuse("no", { code: 7 }))
        const socket = yield* NodeSocketIoClient.connect(url, { namespace: "/tea" })
        const { reason } = yield* Effect.flip(socket.entered)
        expect(reason).toMatchObject({ _tag: "Stopped", cause: { error: { message: "no", data: { code: 7 } } } })
      })
    )
  )
})
