/** Socket.IO's own client, unmodified, understands our packets, and is understood. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { io, type Socket } from "socket.io-client"
import { afterEach, describe, expect, it } from "vitest"
import * as Packet from "@millrace/core/interop/socketio/Packet"
import { serve, type Session } from "../support/engineioServer.ts"
import { eventually } from "../support/eventually.ts"

const cleanups: Array<() => Promise<void> | void> = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

const until = (holds: () => boolean) => Effect.runPromise(eventually(holds))

const say = (session: Session, packet: Packet.Packet) => {
  const { attachments, text } = Result.getOrThrow(Packet.encode(packet))
  session.send(text, ...attachments)
}

/** Lets everybody in who has a token, echoes events, answers what asks, and keeps what it was told. */
const start = async () => {
  const heard: Array<Packet.Packet> = []
  const decoders = new WeakMap<Session, Packet.Decoder>()
  const server = await serve({
    path: "/socket.io/",
    onMessage: (session, data) => {
      const decoder = decoders.get(session) ?? Packet.makeDecoder()
      decoders.set(session, decoder)
      const packet = Result.getOrThrow(decoder.push(data))
      if (packet === undefined) return
      heard.push(packet)
      const { namespace, query } = packet
      if (packet._tag === "Connect") {
        if (packet.payload?.["token"] === "t") {
          return say(session, { _tag: "Connect", namespace, query, payload: { sid: `${heard.length}` } })
        }
        const data = { code: 7 }
        return say(session, { _tag: "ConnectError", namespace, query, message: "who are you?", data })
      }
      if (packet._tag !== "Event") return
      if (packet.id === undefined) say(session, { ...packet, name: `${packet.name} back` })
      else say(session, { _tag: "Ack", namespace, query, id: packet.id, args: [packet.name, ...packet.args] })
    }
  })
  cleanups.push(server.close)
  return { heard, ...server }
}

const connect = (url: string, token: string, transports: ReadonlyArray<string>): Socket => {
  const socket = io(url, { auth: { token }, transports: [...transports], forceNew: true, reconnection: false })
  cleanups.push(() => void socket.disconnect())
  return socket
}

/** As Node.js has bytes. */
const bytes = Buffer.from([1, 2, 255])

describe.each([[["polling"]], [["websocket"]], [["polling", "websocket"]]] as const)(
  "socket.io-client over %j",
  (transports) => {
    it("is let into namespaces, talks with text and bytes, is answered, and leaves", async () => {
      const { heard, url } = await start()
      const socket = connect(`${url}/admin`, "t", transports)
      const said: Array<unknown> = []
      socket.on("chat back", (...args) => said.push(args))
      await until(() => socket.connected)
      expect(heard[0]).toEqual({ _tag: "Connect", namespace: "/admin", query: undefined, payload: { token: "t" } })
      expect(socket.id).toBe("1")
      const args = ["é€😀", { a: [bytes, { b: bytes }] }, null, Buffer.alloc(0)]
      socket.emit("chat", ...args)
      expect(await socket.timeout(10_000).emitWithAck("ask", 1)).toBe("ask")
      const answered = new Promise((resolve) =>
        socket.emit("ask", bytes, (...all: ReadonlyArray<unknown>) => resolve(all))
      )
      expect(await answered).toEqual(["ask", bytes])
      await until(() => said.length === 1)
      expect(said).toEqual([args])
      socket.disconnect()
      await until(() => heard.at(-1)?._tag === "Disconnect")
      expect(heard.at(-1)).toEqual({ _tag: "Disconnect", namespace: "/admin", query: undefined })
    })

    it("is told why it is not let in", async () => {
      const { url } = await start()
      const socket = connect(url, "x", transports)
      const error = await new Promise<Error & { data?: unknown }>((resolve) => socket.on("connect_error", resolve))
      expect([error.message, error.data]).toEqual(["who are you?", { code: 7 }])
    })
  }
)

it("answers what we ask, and what we ask with bytes", async () => {
  const { heard, sessions, url } = await start()
  const socket = connect(url, "t", ["websocket"])
  socket.on("ask", (value: unknown, answer: (...args: ReadonlyArray<unknown>) => void) => answer(value, bytes))
  await until(() => socket.connected)
  const [session] = sessions.values()
  const main = { namespace: "/", query: undefined }
  say(session!, { _tag: "Event", ...main, id: 2 ** 53 - 1, name: "ask", args: [Uint8Array.from(bytes)] })
  await until(() => heard.at(-1)?._tag === "Ack")
  expect(heard.at(-1)).toEqual({
    _tag: "Ack",
    ...main,
    id: 2 ** 53 - 1,
    args: [Uint8Array.from(bytes), Uint8Array.from(bytes)]
  })
})
