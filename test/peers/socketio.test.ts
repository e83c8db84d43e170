/** Clients of Socket.IO, unmodified, of several versions, on our server: over polls, a WebSocket, and from one to the other. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Hub from "@millrace/core/cluster/Hub"
import * as Origin from "@millrace/core/codec/Origin"
import * as Socket from "@millrace/core/interop/socketio/Socket"
import * as SocketServer from "@millrace/core/interop/socketio/SocketServer"
import * as NodeSocketIoServer from "@millrace/node/NodeSocketIoServer"
import type { io as connectClient, Socket as Client } from "socket.io-client"
import { eventually } from "../support/eventually.ts"

const serve = (recovery: boolean) =>
  Effect.gen(function* () {
    const hub = yield* Hub.make()
    const sockets: Array<Socket.Socket<NodeSocketIoServer.Asking>> = []
    const connect: Socket.Connect<NodeSocketIoServer.Asking> = (socket) =>
      Effect.gen(function* () {
        if (socket.auth["token"] === "nobody") return yield* Socket.refuse("who are you?", { code: 7 })
        sockets.push(socket)
        yield* Effect.orDie(socket.join("lobby"))
        return {
          echo: (args) => Effect.succeed(args),
          back: (args) => socket.emit("back", ...args),
          say: (args) => socket.to("lobby").emit("said", ...args),
          silent: () => Effect.never
        }
      })
    const io = yield* Effect.provideService(
      SocketServer.make({ namespaces: { "/": connect, "/admin": connect }, recovery }),
      Hub.Hub,
      hub
    )
    const server = yield* NodeSocketIoServer.serve({ origin: Origin.any }, io)
    return { hub, io, server, sockets, url: server.url.replace("ws:", "http:") }
  })

/** What a client heard, bytes as numbers. */
const plain = (value: unknown): unknown =>
  value instanceof Uint8Array || value instanceof ArrayBuffer ? [...new Uint8Array(value as ArrayBuffer)] : value

const transportsOf = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] }

const clients = ["socket.io-client", "socket.io-client-4-0", "socket.io-client-3"].flatMap((name) =>
  Object.keys(transportsOf).map((way) => [name, way as keyof typeof transportsOf] as const)
)

const using = (name: string, way: keyof typeof transportsOf) =>
  Effect.gen(function* () {
    const { io } = (yield* Effect.promise(() => import(name))) as { readonly io: typeof connectClient }
    const made: Array<Client> = []
    yield* Effect.addFinalizer(() => Effect.sync(() => made.forEach((client) => void client.disconnect())))
    return (url: string, options: object = {}) =>
      Effect.sync(() => {
        const client = io(url, {
          transports: transportsOf[way],
          forceNew: true,
          reconnectionDelay: 20,
          reconnectionDelayMax: 40,
          ...options
        })
        made.push(client)
        const heard: Array<ReadonlyArray<unknown>> = []
        client.onAny((...args: ReadonlyArray<unknown>) => void heard.push(args.map(plain)))
        client.on("connect_error", (error: Error & { readonly data?: unknown }) =>
          heard.push(["refused", error.message, error.data])
        )
        client.on("disconnect", (why: string) => void heard.push(["gone", why]))
        return { client, took: () => heard.splice(0), heard }
      })
  })

const upgraded = ({ client }: { readonly client: Client }) =>
  eventually(() => (client.io.engine as unknown as { transport: { name: string } }).transport.name === "websocket")

const cut = ({ client }: { readonly client: Client }) => {
  const { transport } = client.io.engine as unknown as { transport: { onError: (why: string) => void } }
  transport.onError("cut by the test")
}

describe.concurrent.each(clients)("%s over %s", (name, way) => {
  it.live("speaks in namespaces: events, answers both ways, bytes, rooms, refusals, goodbyes", () =>
    Effect.gen(function* () {
      const { hub, io, sockets, url } = yield* serve(false)
      const connect = yield* using(name, way)
      const one = yield* connect(url)
      yield* eventually(() => one.client.connected)
      const other = yield* connect(`${url}/admin`, { auth: { token: "t" } })
      const two = yield* connect(url)
      yield* eventually(() => other.client.connected && two.client.connected)
      if (way === "upgrade") yield* Effect.forEach([one, other, two], upgraded)
      const [ofOne, ofOther] = sockets
      assert.deepStrictEqual([ofOne!.id, ofOther!.id], [one.client.id, other.client.id])
      assert.deepStrictEqual([ofOther!.namespace, ofOther!.auth], ["/admin", { token: "t" }])
      assert.strictEqual(ofOne!.request.path, "/socket.io/")

      one.client.emit("back", "é€😀", { a: [null, 1.5] }, Buffer.from([1, 2, 255]))
      yield* eventually(() => one.heard.length === 1)
      assert.deepStrictEqual(one.took(), [["back", "é€😀", { a: [null, 1.5] }, [1, 2, 255]]])
      const answer = yield* Effect.promise(
        () =>
          new Promise<ReadonlyArray<unknown>>((resolve) =>
            one.client.emit("echo", 1, Buffer.from([7]), (...args: Array<unknown>) => resolve(args))
          )
      )
      assert.deepStrictEqual(answer.map(plain), [1, [7]])
      one.client.on("question", (n: number, reply: (...args: ReadonlyArray<unknown>) => void) =>
        reply(n + 1, Buffer.from([8]))
      )
      assert.deepStrictEqual((yield* ofOne!.ask("question", [1])).map(plain), [2, [8]])
      one.took()

      two.client.emit("say", "hi", Buffer.from([3]))
      yield* io.of("/admin").emit("to admins")
      yield* hub.publish("lobby", '["from elsewhere",1]')
      yield* eventually(() => one.heard.length === 2 && two.heard.length === 1 && other.heard.length === 1)
      assert.deepStrictEqual(
        [one.took().toSorted(), two.took(), other.took()],
        [
          [
            ["from elsewhere", 1],
            ["said", "hi", [3]]
          ],
          [["from elsewhere", 1]],
          [["to admins"]]
        ]
      )

      const refused = yield* connect(url, { auth: { token: "nobody" }, forceNew: true })
      const nowhere = yield* connect(`${url}/nowhere`)
      yield* eventually(() => refused.heard.length > 0 && nowhere.heard.length > 0)
      assert.deepStrictEqual(refused.took(), [["refused", "who are you?", { code: 7 }]])
      assert.deepStrictEqual(nowhere.took(), [["refused", "Invalid namespace", undefined]])

      yield* ofOne!.disconnect
      two.client.disconnect()
      yield* eventually(() => one.heard.length > 0)
      assert.deepStrictEqual(one.took(), [["gone", "io server disconnect"]])
      assert.deepStrictEqual([yield* ofOne!.closed, yield* sockets[2]!.closed], ["server", "client"])
    })
  )
})

describe.concurrent.each(Object.keys(transportsOf).map((way) => [way as keyof typeof transportsOf] as const))(
  "socket.io-client over %s",
  (way) => {
    it.live("is the same socket after a cut, and gets what it has missed, once and in order", () =>
      Effect.gen(function* () {
        const { hub, sockets, url } = yield* serve(true)
        const connect = yield* using("socket.io-client", way)
        const one = yield* connect(url)
        yield* eventually(() => one.client.connected)
        if (way === "upgrade") yield* upgraded(one)
        const [socket] = sockets
        const { id } = one.client
        one.client.on("question", (reply: (answer: string) => void) => reply("answered"))
        for (let round = 0; round < 3; round++) {
          // In the first round it has heard nothing when it is cut.
          cut(one)
          yield* eventually(() => !socket!.isConnected || one.client.connected)
          yield* hub.publish("lobby", `["published",${round}]`)
          yield* socket!.emit("emitted", round)
          yield* hub.publish("lobby", `["published again",${round}]`)
          const asked = yield* socket!.ask("question", [])
          assert.deepStrictEqual(asked, ["answered"])
          yield* eventually(() => one.heard.filter(([name]) => name === "published again").length > 0)
          const heard = one.took().filter(([name]) => name !== "gone" && name !== "question")
          assert.deepStrictEqual(
            heard.map((args) => args.slice(0, 2)),
            [
              ["published", round],
              ["emitted", round],
              ["published again", round]
            ]
          )
          assert.deepStrictEqual([one.client.recovered, one.client.id], [true, id])
        }
        assert.strictEqual(sockets.length, 1)
      })
    )

    it.live("is a new socket when what it has missed is gone, and knows that", () =>
      Effect.gen(function* () {
        const { sockets, url } = yield* serve(true)
        const connect = yield* using("socket.io-client", way)
        const one = yield* connect(url)
        yield* eventually(() => one.client.connected)
        const [socket] = sockets
        const { id } = one.client
        cut(one)
        for (let i = 0; i < 300; i++) yield* socket!.emit("emitted", i)
        yield* eventually(() => one.client.connected && one.client.id !== id)
        assert.deepStrictEqual([one.client.recovered, yield* socket!.closed], [false, "transport"])
      })
    )

    it.live("gives up an answer that is late, says nothing volatile while it is away, and asks many", () =>
      Effect.gen(function* () {
        const { io, sockets, url } = yield* serve(false)
        const connect = yield* using("socket.io-client", way)
        const [one, two] = [yield* connect(url), yield* connect(url)]
        yield* eventually(() => one.client.connected && two.client.connected)
        const late = yield* Effect.promise(() =>
          one.client
            .timeout(50)
            .emitWithAck("silent")
            .catch((e: Error) => e.message)
        )
        assert.strictEqual(late, "operation has timed out")
        one.client.on("q", (reply: (n: number) => void) => reply(1))
        const { answers, silent } = yield* io.of("/").to("lobby").ask("q", [], { timeout: "3 seconds" })
        assert.deepStrictEqual(
          [answers.map(({ args, id }) => [id, args]), silent],
          [[[one.client.id, [1]]], [two.client.id]]
        )
        two.took()
        const [, ofTwo] = [...sockets].toSorted((a) => (a.id === one.client.id ? -1 : 1))
        assert.strictEqual(yield* ofTwo!.emitVolatile("now", 1), true)
        yield* eventually(() => two.heard.length === 1)
        two.client.disconnect()
        yield* ofTwo!.closed
        assert.strictEqual(yield* ofTwo!.emitVolatile("now", 2), false)
      })
    )
  }
)

describe.concurrent("a client of version 2", () => {
  it.live("is told that its protocol is not spoken, over polls and over a WebSocket", () =>
    Effect.gen(function* () {
      const { url } = yield* serve(false)
      const polled = yield* Effect.promise(() => fetch(`${url}/socket.io/?EIO=3&transport=polling`))
      const body = yield* Effect.promise(() => polled.json())
      assert.deepStrictEqual([polled.status, body], [400, { code: 5, message: "Unsupported protocol version" }])
      const refused = yield* Effect.promise(
        () =>
          new Promise((resolve) => {
            const socket = new WebSocket(`${url.replace("http", "ws")}/socket.io/?EIO=3&transport=websocket`)
            socket.addEventListener("error", () => resolve("refused"))
            socket.addEventListener("open", () => resolve("open"))
          })
      )
      assert.strictEqual(refused, "refused")
    })
  )
})
