/** A client behind what lets no WebSocket through, in each of the ways in which that is done. */
import * as net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { OpenError } from "@millrace/core/connection/OpenError"
import type { WebSocketError } from "@millrace/core/connection/WebSocketError"
import * as Client from "@millrace/core/messaging/Client"
import * as Fallback from "@millrace/core/messaging/Fallback"
import * as NodeSessionServer from "@millrace/node/NodeSessionServer"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import { Chat, credentials, serve, ways } from "../support/chatOverHttp.ts"
import { eventually } from "../support/eventually.ts"

/** What becomes of a request for a WebSocket. */
type Treatment = "passes" | "refuses with 400" | "refuses with 502" | "swallows" | "cuts"

interface Proxy {
  readonly port: number
  /** How many requests for a WebSocket there were, and for anything else. */
  upgrades: number
  others: number
  treatment: Treatment
}

const refuse = (near: net.Socket, status: string): void =>
  void near.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\n\r\n`)

/** A proxy that looks at the first request of a connection. */
const proxy = (port: number, treatment: Treatment): Effect.Effect<Proxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    const sockets = new Set<net.Socket>()
    const server = net.createServer((near) => {
      const far = net.connect(port, "127.0.0.1")
      for (const socket of [near, far]) {
        sockets.add(socket)
        socket.on("error", () => {}).on("close", () => sockets.delete(socket))
      }
      near.on("close", () => far.destroy())
      far.on("close", () => near.destroy())
      near.once("data", (head: Buffer) => {
        const isUpgrade = /^upgrade: websocket/im.test(head.toString("latin1"))
        if (isUpgrade) self.upgrades++
        else self.others++
        if (!isUpgrade || self.treatment === "passes") {
          far.write(head)
          near.pipe(far)
          far.pipe(near)
        } else if (self.treatment === "refuses with 400") refuse(near, "400 Bad Request")
        else if (self.treatment === "refuses with 502") refuse(near, "502 Bad Gateway")
        else {
          // It lets the handshake through, and nothing behind it.
          far.write(head)
          far.once("data", (answer: Buffer) => {
            near.write(answer, () => {
              if (self.treatment === "cuts") near.destroy()
            })
          })
        }
      })
    })
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
      () =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const socket of sockets) socket.destroy()
        })
    )
    const self: Proxy = { port: (server.address() as net.AddressInfo).port, upgrades: 0, others: 0, treatment }
    return self
  })

const quick = { reconnect: Schedule.spaced(5), limits: { helloTimeout: 300 } } as const

const openThrough = (port: number, options?: Fallback.Options) => {
  const url = `ws://127.0.0.1:${port}/chat`
  const webSocket = NodeWebSocket.open(url, { limits: { closeTimeout: 100 } })
  return Fallback.make([webSocket, ways.eventStream(url)], options)
}

describe("a client that may fall back", () => {
  it.live.each(["refuses with 400", "refuses with 502", "swallows", "cuts"] as const)(
    "works behind a proxy that %s, and asks for no WebSocket the next time",
    (treatment) =>
      Effect.gen(function* () {
        const { port, seen } = yield* serve({ limits: { closeTimeout: 100 } })
        const between = yield* proxy(port, treatment)
        const open = yield* openThrough(between.port)
        const chat = yield* Client.make(Chat, open, { credentials: Effect.succeed(credentials), ...quick })
        assert.strictEqual(yield* chat.request("rename", "Grace"), "ada:Grace")
        assert.strictEqual(between.upgrades, 1)
        // The session ends, and the client comes back.
        const { id } = seen.sessions.at(-1)!
        yield* seen.sessions.at(-1)!.close()
        yield* eventually(() => seen.sessions.at(-1)!.id !== id)
        assert.strictEqual(yield* chat.request("rename", "Hopper"), "ada:Hopper")
        assert.strictEqual(between.upgrades, 1)
      })
  )

  it.live("takes a WebSocket where one gets through, and nothing else", () =>
    Effect.gen(function* () {
      const { port } = yield* serve()
      const between = yield* proxy(port, "passes")
      const open = yield* openThrough(between.port)
      const chat = yield* Client.make(Chat, open, { credentials: Effect.succeed(credentials), ...quick })
      assert.strictEqual(yield* chat.request("rename", "Grace"), "ada:Grace")
      assert.deepStrictEqual([between.upgrades, between.others], [1, 0])
    })
  )

  it.live("does not take a refusal of the server's for a WebSocket that does not get through", () =>
    Effect.gen(function* () {
      const { port } = yield* serve({ handshake: () => NodeSessionServer.refuse(401) })
      const open = yield* openThrough(port)
      const chat = yield* Client.make(Chat, open, { credentials: Effect.succeed(credentials), ...quick })
      const { reason } = yield* Effect.flip(chat.ended)
      assert.strictEqual(reason._tag, "Disconnected")
      const cause = (reason as { readonly cause: OpenError | WebSocketError }).cause.reason
      assert.deepInclude(cause, { _tag: "Refused", status: 401 })
    })
  )

  it.live("stays with the WebSocket when the server does not accept the credentials", () =>
    Effect.gen(function* () {
      const { port } = yield* serve()
      const between = yield* proxy(port, "passes")
      const open = yield* openThrough(between.port)
      const chat = yield* Client.make(Chat, open, { credentials: Effect.succeed({ token: "wrong" }), ...quick })
      const { reason } = yield* Effect.flip(chat.ended)
      assert.deepInclude(reason, { _tag: "Rejected", detail: "no such token" })
      assert.deepStrictEqual([between.upgrades, between.others], [1, 0])
    })
  )

  it.live("comes back to a server that was started again, over the way that works", () =>
    Effect.gen(function* () {
      const between = yield* Effect.scoped(
        Effect.gen(function* () {
          const { port } = yield* serve()
          return port
        })
      )
      const once = Effect.scoped(
        Effect.gen(function* () {
          const { seen } = yield* serve({ port: between })
          yield* eventually(() => seen.said.length > 0)
          return seen.said
        })
      )
      const chat = yield* Client.make(Chat, ways.eventStream(`http://127.0.0.1:${between}/chat`), {
        credentials: Effect.succeed(credentials),
        ...quick
      })
      yield* chat.emit("say", "first")
      assert.deepStrictEqual(yield* once, ["first"])
      yield* chat.states.pipe(
        Stream.takeUntil(({ _tag }) => _tag === "Waiting"),
        Stream.runDrain
      )
      yield* chat.emit("say", "second")
      assert.deepStrictEqual(yield* once, ["second"])
    })
  )
})
