/** Our client against Socket.IO's own server, unmodified. */
import { createServer } from "node:http"
import type { AddressInfo, Socket as TcpSocket } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Server, type ServerOptions } from "socket.io"
import { OpenError } from "@millrace/core/connection/OpenError"
import type * as SocketClient from "@millrace/core/interop/socketio/SocketClient"
import {
  Late,
  Refused,
  SocketClientError,
  Stopped,
  Unanswered
} from "@millrace/core/interop/socketio/SocketClientError"
import * as NodeSocketIoClient from "@millrace/node/NodeSocketIoClient"
import { eventually } from "../support/eventually.ts"

/** A server of theirs on a free port of the loopback, or on that one. */
const serve = (options: Partial<ServerOptions> = {}, port = 0) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const http = createServer()
      const io = new Server(http, options)
      const sockets = new Set<TcpSocket>()
      http.on("connection", (socket) => sockets.add(socket))
      await new Promise<void>((resolve) => http.listen(port, "127.0.0.1", resolve))
      const address = http.address() as AddressInfo
      /** Ends all connections, as a network does. Where no poll waits the server would not notice. */
      const cut = Effect.map(
        eventually(() => [...io.sockets.sockets.values()].every(({ conn }) => conn.transport.writable)),
        () => {
          for (const socket of sockets) socket.destroy()
          sockets.clear()
        }
      )
      return { io, cut, port: address.port, url: `http://127.0.0.1:${address.port}` }
    }),
    ({ io }) => Effect.promise(() => io.close())
  )

/** The events of a client, as they come. */
const heardBy = (socket: SocketClient.SocketClient) =>
  Effect.gen(function* () {
    const queue = yield* Queue.unbounded<SocketClient.Event>()
    yield* Effect.forkScoped(Effect.exit(Stream.runForEach(socket.events, (event) => Queue.offer(queue, event))), {
      startImmediately: true
    })
    return Queue.take(queue)
  })

const reasonOf = <A, R>(effect: Effect.Effect<A, SocketClientError, R>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

const bytes = Uint8Array.of(0, 1, 254, 255)

const ways = [["websocket"], ["polling"], ["polling", "websocket"]] as const

describe.each(ways.map((transports) => [transports]))("over %j", (transports) => {
  const connect = (url: string, options: NodeSocketIoClient.Options = {}) =>
    NodeSocketIoClient.connect(url, { reconnect: Schedule.spaced("10 millis"), transports, ...options })

  describe("a client of Socket.IO's own server", () => {
    it.live("is let into a namespace with what it says of itself, hears and says events with bytes in them", () =>
      Effect.gen(function* () {
        const { io, url } = yield* serve()
        const heard: Array<unknown> = []
        io.of("/admin").on("connection", (socket) => {
          socket.onAny((...event: ReadonlyArray<unknown>) => heard.push(event))
          socket.emit("welcome", socket.handshake.auth, Buffer.from(bytes), { of: [Buffer.from([7])] })
        })
        const socket = yield* connect(url, { namespace: "/admin", auth: { token: "t" } })
        const next = yield* heardBy(socket)
        const { args, isAsked, name } = yield* next
        expect([name, isAsked]).toEqual(["welcome", false])
        expect(args).toEqual([{ token: "t" }, bytes, { of: [Uint8Array.of(7)] }])
        yield* socket.emit("say", "é", { deep: [bytes] }, Uint8Array.of(9))
        yield* socket.emit("last")
        yield* eventually(() => heard.length === 2)
        expect(heard).toEqual([["say", "é", { deep: [Buffer.from(bytes)] }, Buffer.from([9])], ["last"]])
        const { id, recovered } = yield* socket.entered
        expect([io.of("/admin").sockets.has(id), recovered]).toEqual([true, false])
      })
    )

    it.live("asks and is answered, answers what it is asked, and each knows its own", () =>
      Effect.gen(function* () {
        const { io, url } = yield* serve()
        const answers: Array<unknown> = []
        io.on("connection", (socket) => {
          socket.on("upper", (text: string, reply: (...args: Array<unknown>) => void) =>
            reply(text.toUpperCase(), Buffer.from(bytes))
          )
          socket.on("ask me", async () => {
            const given = await Promise.all([socket.emitWithAck("one", 1), socket.emitWithAck("two", 2)])
            answers.push(...given)
          })
        })
        const socket = yield* connect(url)
        const next = yield* heardBy(socket)
        const both = yield* Effect.all([socket.ask("upper", ["tea"]), socket.ask("upper", ["milk"])], {
          concurrency: "unbounded"
        })
        expect(both).toEqual([
          ["TEA", bytes],
          ["MILK", bytes]
        ])
        yield* socket.emit("ask me")
        const [one, two] = [yield* next, yield* next]
        expect([one.name, one.isAsked, two.args]).toEqual(["one", true, [2]])
        expect(yield* two.reply("second")).toBe(true)
        expect(yield* one.reply(bytes)).toBe(true)
        expect(yield* one.reply("again")).toBe(false)
        yield* eventually(() => answers.length === 2)
        expect(answers).toEqual([Buffer.from(bytes), "second"])
      })
    )

    it.live("ends with its scope, behind all that it was given to say", () =>
      Effect.gen(function* () {
        const { io, url } = yield* serve()
        const told: Array<unknown> = []
        io.on("connection", (socket) => {
          socket.on("say", (text) => told.push(text))
          socket.on("disconnect", (reason) => told.push(reason))
        })
        const scope = yield* Scope.make()
        const socket = yield* Scope.provide(connect(url), scope)
        yield* socket.entered
        for (let i = 0; i < 100; i++) yield* socket.emit("say", i)
        yield* Scope.close(scope, Exit.void)
        yield* eventually(() => told.length === 101)
        expect(told).toEqual([...Array.from({ length: 100 }, (_, i) => i), "transport close"])
        expect(yield* reasonOf(socket.emit("late"))).toEqual(new Stopped({ cause: undefined }))
        expect(Array.from(yield* Stream.runCollect(socket.events))).toEqual([])
      })
    )

    it.live("says in time what it was given before there was a server, in order, and a volatile event never", () =>
      Effect.gen(function* () {
        const first = yield* Effect.scoped(serve())
        const socket = yield* connect(first.url, { capacity: 3 })
        for (let i = 0; i < 3; i++) yield* socket.emit("say", i)
        expect(yield* socket.emitVolatile("say", "volatile")).toBe(false)
        expect((yield* reasonOf(socket.emit("say", 3)))._tag).toBe("OutboxFull")
        const heard: Array<unknown> = []
        const { io } = yield* serve({}, first.port)
        io.on("connection", (socket) => void socket.on("say", (what) => heard.push(what)))
        yield* eventually(() => heard.length === 3)
        expect(yield* socket.emitVolatile("say", "now")).toBe(true)
        yield* eventually(() => heard.length === 4)
        expect(heard).toEqual([0, 1, 2, "now"])
      })
    )
  })

  describe("a refusal", () => {
    it.live("of a middleware is the end, with its message and its data, of all that is asked of the client", () =>
      Effect.gen(function* () {
        const { io, url } = yield* serve()
        let attempts = 0
        io.use((_, next) => {
          attempts++
          next(Object.assign(new Error("who are you?"), { data: { code: 7 } }))
        })
        const socket = yield* connect(url)
        const error = new Refused({ message: "who are you?", data: { code: 7 } })
        const reason = new Stopped({ cause: { _tag: "Refused", error } })
        expect(yield* reasonOf(socket.entered)).toEqual(reason)
        expect(yield* reasonOf(socket.ask("q", []))).toEqual(reason)
        expect(yield* reasonOf(Stream.runDrain(socket.events))).toEqual(reason)
        expect(yield* reasonOf(Stream.runDrain(socket.entrances))).toEqual(reason)
        expect(attempts).toBe(1)
      })
    )

    it.live("is tried again where the program says so, with what it says of itself then", () =>
      Effect.gen(function* () {
        const { io, url } = yield* serve()
        const told: Array<unknown> = []
        io.use((socket, next) => {
          told.push(socket.handshake.auth)
          next(told.length < 3 ? new Error("not yet") : undefined)
        })
        let attempts = 0
        const socket = yield* connect(url, { again: () => "Again", auth: Effect.sync(() => ({ attempt: ++attempts })) })
        yield* socket.entered
        expect(told).toEqual([{ attempt: 1 }, { attempt: 2 }, { attempt: 3 }])
      })
    )

    it.live("of a namespace that is not there is one, too", () =>
      Effect.gen(function* () {
        const { url } = yield* serve()
        const reason = yield* reasonOf((yield* connect(url, { namespace: "/nowhere" })).entered)
        expect(reason).toEqual(
          new Stopped({
            cause: { _tag: "Refused", error: new Refused({ message: "Invalid namespace", data: undefined }) }
          })
        )
      })
    )

    it.live("of the request, with 403, is the end", () =>
      Effect.gen(function* () {
        const { url } = yield* serve({ allowRequest: (_, answer) => answer("no", false) })
        const reason = yield* reasonOf((yield* connect(url)).entered)
        expect(reason._tag === "Stopped" && reason.cause?.error instanceof OpenError).toBe(true)
      })
    )

    it.live("behind its entrance, by a server that puts it out, is the end as well", () =>
      Effect.gen(function* () {
        const { io, url } = yield* serve()
        io.on("connection", (socket) => {
          socket.emit("last")
          socket.disconnect()
        })
        const socket = yield* connect(url)
        const names: Array<string> = []
        const reason = yield* reasonOf(
          Stream.runForEach(socket.events, ({ name }) => Effect.sync(() => void names.push(name)))
        )
        expect(names).toEqual(["last"])
        expect(reason._tag === "Stopped" && reason.cause?._tag === "Ended" && reason.cause.error._tag).toBe("PutOut")
      })
    )
  })

  describe("a question", () => {
    it.live("fails when there is no answer in time, and when the connection is lost; the next one is asked", () =>
      Effect.gen(function* () {
        const { cut, io, url } = yield* serve()
        let asked = 0
        io.on("connection", (socket) => {
          socket.on("never", () => void asked++)
          socket.on("now", (reply: (answer: string) => void) => reply("here"))
        })
        const socket = yield* connect(url)
        // Which may not even have been said by then.
        expect(yield* reasonOf(socket.ask("late", [], { timeout: "20 millis" }))).toEqual(
          new Late({ name: "late", timeout: 20 })
        )
        const asking = yield* Effect.forkChild(reasonOf(socket.ask("never", [], { timeout: Infinity })))
        yield* eventually(() => asked === 1)
        yield* cut
        expect(yield* Fiber.join(asking)).toEqual(new Unanswered({ name: "never" }))
        expect(yield* socket.ask("now", [], { timeout: Infinity })).toEqual(["here"])
        expect(asked).toBe(1)
      })
    )
  })

  describe("a connection that was lost", () => {
    it.live("is recovered: the same client, which gets what it has missed, in order, once", () =>
      Effect.gen(function* () {
        const { cut, io, url } = yield* serve({ connectionStateRecovery: { maxDisconnectionDuration: 60_000 } })
        let asked: unknown
        io.on("connection", (socket) => {
          if (socket.recovered) return void socket.emit("back")
          socket.on("disconnect", () => {
            for (const missed of [1, 2, 3]) io.emit("missed", missed)
          })
          void socket.join("lobby")
          socket.emit("first")
          // Not a place, though it stands last.
          socket.emit("asked", "not a place", (answer: unknown) => void (asked = answer))
        })
        const socket = yield* connect(url)
        const next = yield* heardBy(socket)
        const first = yield* socket.entered
        expect([first.recovered, (yield* next).name]).toEqual([false, "first"])
        yield* (yield* next).reply("heard")
        yield* eventually(() => asked === "heard")
        const place = yield* socket.place
        yield* cut
        const heard = [yield* next, yield* next, yield* next, yield* next]
        expect(heard.map(({ args, name }) => [name, args[0]])).toEqual([
          ["missed", 1],
          ["missed", 2],
          ["missed", 3],
          ["back", heard[3]!.args[0]]
        ])
        const second = yield* socket.entered
        expect(second).toEqual({ id: first.id, recovered: true })
        const later = yield* socket.place
        expect([later?.pid, later?.offset === place?.offset]).toEqual([place?.pid, false])
      })
    )

    it.live("is recovered by the next life of the program, which knows its place", () =>
      Effect.gen(function* () {
        const { cut, io, url } = yield* serve({ connectionStateRecovery: { maxDisconnectionDuration: 60_000 } })
        io.on("connection", (socket) => {
          if (socket.recovered) return
          socket.on("disconnect", () => io.emit("missed"))
          socket.emit("first")
        })
        const before = yield* connect(url, { again: () => "Stop" })
        const { id } = yield* before.entered
        yield* yield* heardBy(before)
        const place = yield* before.place
        yield* cut
        yield* Effect.exit(Stream.runDrain(before.states))
        const after = yield* connect(url, { place })
        expect((yield* yield* heardBy(after)).name).toBe("missed")
        expect(yield* after.entered).toEqual({ id, recovered: true })
      })
    )

    it.live("by a server that starts again is another one, over which is said what was waiting", () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const first = yield* Scope.provide(serve(), scope)
        const socket = yield* connect(first.url)
        const entrances: Array<SocketClient.Entrance> = []
        yield* Effect.forkScoped(
          Stream.runForEach(socket.entrances, (entrance) => Effect.sync(() => void entrances.push(entrance)))
        )
        yield* eventually(() => entrances.length === 1)
        yield* Scope.close(scope, Exit.void)
        const states = yield* Effect.forkChild(
          Stream.runHead(Stream.filter(socket.states, ({ _tag }) => _tag !== "Open"))
        )
        yield* Fiber.join(states)
        yield* socket.emit("kept", 1)
        const asking = yield* Effect.forkChild(socket.ask("and", [], { timeout: Infinity }))
        const { io } = yield* serve({}, first.port)
        const heard: Array<unknown> = []
        io.on("connection", (socket) => {
          socket.on("kept", (what) => heard.push(what))
          socket.on("and", (reply: () => void) => reply())
        })
        expect(yield* Fiber.join(asking)).toEqual([])
        yield* eventually(() => heard.length === 1 && entrances.length === 2)
        expect(entrances[0]!.id).not.toBe(entrances[1]!.id)
        expect(entrances.map(({ recovered }) => recovered)).toEqual([false, false])
      })
    )

    it.live("where the server ends it, and not by name, is opened again", () =>
      Effect.gen(function* () {
        const { io, url } = yield* serve()
        let count = 0
        io.on("connection", (socket) => {
          if (++count === 1) socket.conn.close()
        })
        const socket = yield* connect(url)
        yield* Stream.runDrain(Stream.take(socket.entrances, 2))
        expect(count).toBe(2)
      })
    )
  })
})
