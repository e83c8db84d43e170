/** Our client of Socket.IO by polls, and from polls to a WebSocket, over loopback and through what lets no WebSocket pass. */
import * as http from "node:http"
import * as net from "node:net"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Hub from "@millrace/core/cluster/Hub"
import { OpenError } from "@millrace/core/connection/OpenError"
import { Refused } from "@millrace/core/connection/Refused"
import type * as Socket from "@millrace/core/interop/socketio/Socket"
import * as SocketServer from "@millrace/core/interop/socketio/SocketServer"
import * as NodeSocketIoClient from "@millrace/node/NodeSocketIoClient"
import * as NodeSocketIoServer from "@millrace/node/NodeSocketIoServer"
import { eventually } from "../support/eventually.ts"

const live = <A, E>(effect: Effect.Effect<A, E, Scope.Scope | Hub.Hub>) => Effect.provide(effect, Hub.Hub.layer())

const serve = (connect: Socket.Connect<NodeSocketIoServer.Asking>, port = 0) =>
  Effect.flatMap(SocketServer.make({ namespaces: { "/": connect }, maxWaiting: 4 }), (io) =>
    Effect.map(NodeSocketIoServer.serve({ port }, io), (listening) => ({ io, ...listening }))
  )

const echoing: Socket.Connect = () => Effect.succeed({ echo: (args: ReadonlyArray<unknown>) => Effect.succeed(args) })

/** Lets pass what it is told to, and counts what asks for a WebSocket. */
const behind = (port: number, passes: (head: string) => boolean) =>
  Effect.gen(function* () {
    const sockets = new Set<net.Socket>()
    const seen = { upgrades: 0, requests: 0 }
    const server = net.createServer((near) => {
      const far = net.connect(port, "127.0.0.1")
      for (const socket of [near, far]) {
        sockets.add(socket)
        socket
          .on("error", () => {})
          .on("close", () => {
            sockets.delete(socket)
            near.destroy()
            far.destroy()
          })
      }
      near.on("data", (chunk: Buffer) => {
        const head = chunk.toString("latin1")
        if (/^Upgrade: websocket/im.test(head)) seen.upgrades++
        if (/^(GET|POST) /.test(head)) seen.requests++
        if (passes(head)) far.write(chunk)
        else near.destroy()
      })
      far.pipe(near)
    })
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
      () =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const socket of sockets) socket.destroy()
        })
    )
    const { port: own } = server.address() as net.AddressInfo
    return { url: `http://127.0.0.1:${own}`, seen, sockets }
  })

const noWebSocket = (head: string) => !/^Upgrade: websocket/im.test(head)

/** Those of the numbered ones that nobody has asked for. */
const numbers = (list: ReadonlyArray<unknown>) => list.filter((args) => (args as [number])[0] >= 0)

const soon = { reconnect: Schedule.spaced("10 millis") }

describe("a client that may poll", () => {
  it.live("says and hears everything once and in order while a WebSocket takes over", () =>
    live(
      Effect.gen(function* () {
        const got: Array<unknown> = []
        const { io, port } = yield* serve((socket) =>
          Effect.succeed({
            say: ([n, bytes]: ReadonlyArray<unknown>) =>
              Effect.andThen(
                Effect.sync(() => void got.push([n, bytes])),
                Effect.orDie(socket.emit("said", n, bytes))
              )
          })
        )
        const { seen, url } = yield* behind(port, () => true)
        for (let round = 0; round < 10; round++) {
          got.length = 0
          seen.upgrades = 0
          const socket = yield* NodeSocketIoClient.connect(url, { ...soon, transports: ["polling", "websocket"] })
          const heard: Array<unknown> = []
          yield* Effect.forkScoped(
            Effect.exit(Stream.runForEach(socket.on("said"), ({ args }) => Effect.sync(() => void heard.push(args)))),
            { startImmediately: true }
          )
          const count = 200
          for (let n = 0; n < count; n++) {
            yield* socket.emit("say", n, Uint8Array.of(n))
            // As long as it polls, and some way behind that.
            if (n % 8 === round % 8) yield* socket.ask("say", [-1, Uint8Array.of(0)])
          }
          yield* eventually(() => heard.filter((args) => (args as [number])[0] >= 0).length === count)
          const all = Array.from({ length: count }, (_, n) => [n, Uint8Array.of(n)])
          expect(numbers(got)).toEqual(all)
          expect(numbers(heard)).toEqual(all)
          expect([seen.upgrades, io.of("/").sockets.size]).toEqual([1, round + 1])
        }
      })
    )
  )

  it.live("polls on where no WebSocket gets through, and begins to where it would rather have one", () =>
    live(
      Effect.gen(function* () {
        const { port } = yield* serve(echoing)
        for (const transports of [
          ["polling", "websocket"],
          ["websocket", "polling"]
        ] as const) {
          const { seen, url } = yield* behind(port, noWebSocket)
          const socket = yield* NodeSocketIoClient.connect(url, { ...soon, transports })
          expect(yield* socket.ask("echo", [1])).toEqual([1])
          yield* eventually(() => seen.upgrades === 1)
          expect(yield* socket.ask("echo", [2])).toEqual([2])
          expect((yield* socket.state)._tag).toBe("Open")
        }
      })
    )
  )

  it.live("asks for none where it was told so", () =>
    live(
      Effect.gen(function* () {
        const { port } = yield* serve(echoing)
        const { seen, url } = yield* behind(port, () => true)
        const socket = yield* NodeSocketIoClient.connect(url, { transports: ["polling"] })
        for (let n = 0; n < 20; n++) expect(yield* socket.ask("echo", [n])).toEqual([n])
        expect(seen.upgrades).toBe(0)
        expect(seen.requests).toBeGreaterThan(20)
      })
    )
  )

  it.live("uses its connections again, and has none when it has ended", () =>
    live(
      Effect.gen(function* () {
        const { port } = yield* serve(echoing)
        const { sockets, url } = yield* behind(port, () => true)
        let most = 0
        yield* Effect.scoped(
          Effect.gen(function* () {
            const socket = yield* NodeSocketIoClient.connect(url, { transports: ["polling"] })
            for (let n = 0; n < 20; n++) {
              yield* socket.ask("echo", [n])
              most = Math.max(most, sockets.size)
            }
          })
        )
        // Each has two ends here.
        expect(most).toBeLessThanOrEqual(6)
        yield* eventually(() => sockets.size === 0)
      })
    )
  )

  it.live("tells the server when it goes, and goes on with a server that starts again", () =>
    live(
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const first = yield* Scope.provide(serve(echoing), scope)
        const own = yield* Scope.make()
        const socket = yield* Scope.provide(
          NodeSocketIoClient.connect(`http://127.0.0.1:${first.port}`, { ...soon, transports: ["polling"] }),
          own
        )
        expect(yield* socket.ask("echo", [1])).toEqual([1])
        const { id } = yield* socket.entered
        yield* Scope.close(scope, Exit.void)
        const { io } = yield* serve(echoing, first.port)
        yield* Stream.runHead(Stream.filter(socket.entrances, (entrance) => entrance.id !== id))
        expect(yield* socket.ask("echo", [2])).toEqual([2])
        const [there] = io.of("/").sockets.values()
        yield* Scope.close(own, Exit.void)
        expect(yield* there!.closed).toBe("transport")
      })
    )
  )

  it.live("is told what answers that is no server of Socket.IO, and what refuses", () =>
    Effect.gen(function* () {
      let status = 200
      const server = http.createServer((_, response) => void response.writeHead(status).end("<html>"))
      yield* Effect.acquireRelease(
        Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
        () => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
      )
      const url = `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`
      for (const [next, detail] of [
        [200, "it is no session of Engine.IO"],
        [403, undefined]
      ] as const) {
        status = next
        const socket = yield* NodeSocketIoClient.connect(url, { transports: ["polling"], again: () => "Stop" })
        const { reason } = yield* Effect.flip(socket.entered)
        const cause = reason._tag === "Stopped" ? reason.cause : undefined
        const error = cause?._tag === "NotOpened" ? cause.error : undefined
        const refused = error instanceof OpenError && error.reason instanceof Refused ? error.reason : undefined
        expect([refused?.status, refused?.detail, refused?.text]).toEqual([next, detail, "<html>"])
      }
    })
  )
})
