/** Clients of Socket.IO on a hub, over sessions of Engine.IO in memory: what they say and hear, packet by packet. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Hub from "@millrace/core/cluster/Hub"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import { toJson } from "@millrace/core/cluster/JsonText"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import * as EngineServer from "@millrace/core/interop/engineio/EngineServer"
import type { EngineSession } from "@millrace/core/interop/engineio/EngineSession"
import * as EnginePacket from "@millrace/core/interop/engineio/Packet"
import * as Socket from "@millrace/core/interop/socketio/Socket"
import * as SocketServer from "@millrace/core/interop/socketio/SocketServer"
import { start, turn } from "./connection.ts"

export interface Seen {
  readonly sockets: Array<Socket.Socket<undefined>>
  readonly log: Array<unknown>
}

/** Lets everybody in but who says that it is nobody; some of what is said has an answer. */
export const connectOf =
  ({ log, sockets }: Seen): Socket.Connect<undefined> =>
  (socket) =>
    Effect.gen(function* () {
      if (socket.auth["token"] === "nobody") return yield* Socket.refuse("who are you?", { code: 7 })
      if (socket.auth["token"] === "broken") return yield* Effect.die(new Error("on purpose"))
      sockets.push(socket)
      yield* Effect.addFinalizer(() => Effect.sync(() => void log.push("released")))
      if (socket.auth["token"] === "waits") return yield* Effect.never
      if (typeof socket.auth["room"] === "string") yield* Effect.orDie(socket.join(socket.auth["room"]))
      if (socket.auth["token"] === "greeted") yield* Effect.orDie(socket.emit("hello"))
      return {
        echo: (args) => Effect.succeed(args),
        note: (args, { isAsked }) => Effect.sync(() => void log.push([...args, isAsked])),
        nothing: () => Effect.void,
        fail: () => Effect.fail("on purpose"),
        break: () => {
          throw new Error("on purpose")
        },
        wait: () => Effect.never,
        leave: () => Effect.andThen(Effect.sleep(1_000), socket.disconnect),
        later: ([time]) => Effect.as(Effect.sleep(Number(time)), ["done"]),
        ask: () => Effect.flatMap(socket.ask("question", [1]), (answer) => Effect.succeed(["heard", ...answer])),
        say: ([room, ...args]) => socket.to(String(room)).emit("said", ...args)
      }
    })

export const serve = (options: Partial<SocketServer.Options<undefined>> = {}) =>
  Effect.gen(function* () {
    const hub = yield* Hub.make()
    const seen: Seen = { sockets: [], log: [] }
    const connect = connectOf(seen)
    const io = yield* Effect.provideService(
      SocketServer.make<undefined>({ namespaces: { "/": connect, "/admin": connect }, ...options }),
      Hub.Hub,
      hub
    )
    const engine = yield* EngineServer.make()
    /** A WebSocket, whose packets of Socket.IO are said and heard as text and bytes. */
    const connectOne = (user?: string) =>
      Effect.gen(function* () {
        const { client, server } = yield* WebSocket.makePair()
        const heard: Array<string | Uint8Array> = []
        yield* start(
          Effect.ignore(
            Stream.runForEach(client.messages, (message) =>
              Effect.sync(() => {
                if (message._tag === "Binary") heard.push(message.bytes)
                else if (message.text.startsWith("4")) heard.push(message.text.slice(1))
              })
            )
          )
        )
        let session: EngineSession | undefined
        yield* start(
          Effect.suspend(() => {
            session = engine.openUnsafe(io.open({ user, request: undefined }), server)
            return session.read(server)
          })
        )
        yield* turn
        const say = (...packets: ReadonlyArray<string | Uint8Array>) =>
          Effect.andThen(
            Effect.forEach(packets, (data) => client.send(EnginePacket.encode({ _tag: "Message", data })), {
              discard: true
            }),
            Effect.andThen(turn, turn)
          )
        /** What was heard since it was asked last. */
        const took = () => heard.splice(0)
        return { client, say, took, isOver: () => session!.isOver, cut: () => session!.shutdownUnsafe() }
      })
    /** A client that is in, and what it was told. */
    const join = (auth: object = {}, namespace = "/") =>
      Effect.gen(function* () {
        const one = yield* connectOne()
        yield* one.say(`0${namespace === "/" ? "" : `${namespace},`}${JSON.stringify(auth)}`)
        const [first] = one.took()
        const told = JSON.parse(String(first).replace(/^[^{]*/, "")) as { readonly sid: string; readonly pid?: string }
        return { ...one, ...told, socket: seen.sockets.at(-1)! }
      })
    return { hub, io, engine, connect: connectOne, join, ...seen }
  })

export const ofHub = (topic: string, data: unknown) =>
  HubMessage.encodeMessage({ topic, dataJson: toJson(data), from: "ada", time: 0 })

export const textsOf = (heard: ReadonlyArray<string | Uint8Array>) =>
  heard.map((data) => (typeof data === "string" ? data : [...data]))

/** It comes back as a client does: with what it was told, and the last text that stood last. */
export const back = (of: { readonly pid?: string | undefined }, offset?: string) =>
  `0${JSON.stringify({ pid: of.pid, offset })}`

export const lastOf = (heard: ReadonlyArray<string | Uint8Array>): string | undefined => {
  const texts = heard.map((data) => (JSON.parse(String(data).slice(1)) as ReadonlyArray<unknown>).at(-1))
  return texts.findLast((text) => typeof text === "string") as string | undefined
}

export const namesOf = (heard: ReadonlyArray<string | Uint8Array>) =>
  heard.map((data) =>
    /^2\d*\[/.test(String(data)) ? (JSON.parse(String(data).replace(/^2\d*/, "")) as [unknown])[0] : "in"
  )

export const body = (text: string) => Effect.succeed(new TextEncoder().encode(text))
