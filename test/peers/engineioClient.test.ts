/**
 * Engine.IO's own client, unmodified, at a session of ours: over polls, over a WebSocket, and from one to the other.
 */
import * as Effect from "effect/Effect"
import { Socket } from "engine.io-client"
import { afterEach, describe, expect, it } from "vitest"
import { type Options, type Server, serve } from "../support/engineioServer.ts"
import { eventually } from "../support/eventually.ts"

const cleanups: Array<() => Promise<void> | void> = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

const start = async (options: Options): Promise<Server> => {
  const server = await serve(options)
  cleanups.push(server.close)
  return server
}

interface Client {
  readonly socket: Socket
  readonly heard: Array<string>
  readonly closed: Array<string>
  readonly upgrades: Array<string>
}

const until = (holds: () => boolean) => Effect.runPromise(eventually(holds))

/** What a client heard, bytes as numbers. */
const textOf = (data: unknown) => (typeof data === "string" ? data : new Uint8Array(data as ArrayBuffer).join(" "))

const connect = ({ url }: Server, transports: ReadonlyArray<"polling" | "websocket">): Client => {
  const socket = new Socket(url, { transports: [...transports] })
  const client: Client = { socket, heard: [], closed: [], upgrades: [] }
  socket.on("message", (data: unknown) => client.heard.push(textOf(data)))
  socket.on("upgrade", ({ name }: { name: string }) => client.upgrades.push(name))
  socket.on("close", (reason: string) => client.closed.push(reason))
  cleanups.push(() => void socket.close())
  return client
}

const opened = (client: Client) => until(() => client.socket.readyState === "open")

const echo: Options = { onMessage: (session, data) => session.send(data) }

describe("engine.io-client", () => {
  it.each([[["polling"]], [["websocket"]], [["polling", "websocket"]]] as const)(
    "says text and bytes and hears them, over %j",
    async (transports) => {
      const server = await start(echo)
      const client = connect(server, transports)
      await opened(client)
      for (const data of ["a", "é€😀", "", Buffer.from([1, 2, 255]), Buffer.alloc(0), "z"]) client.socket.send(data)
      await until(() => client.heard.length === 6)
      expect(client.heard).toEqual(["a", "é€😀", "", "1 2 255", "", "z"])
      expect(client.closed).toEqual([])
    }
  )

  it("is upgraded while both talk, and neither misses a word, hears one twice or in another order", async () => {
    const toServer: Array<string> = []
    const server = await start({ onMessage: (_, data) => toServer.push(textOf(data)) })
    const clients = Array.from({ length: 8 }, () => connect(server, ["polling", "websocket"]))
    await Promise.all(clients.map(opened))
    const said: Array<string> = []
    const { sessions } = server
    const isDone = () => sessions.every(({ isUpgraded }) => isUpgraded) && said.length > 50
    while (!isDone()) {
      const word = `${said.length}`
      said.push(word)
      for (const session of sessions) session.send(word)
      for (const { socket } of clients) socket.send(word)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await until(() => toServer.length === said.length * clients.length)
    await until(() => clients.every(({ heard }) => heard.length >= said.length))
    for (const { heard } of clients) expect(heard).toEqual(said)
    expect(clients.map(({ upgrades }) => upgrades)).toEqual(clients.map(() => ["websocket"]))
    // Eight speak at once, each in order: the nth time that a word is said is never before the nth time of the one
    // before.
    const times = new Map<string, number>()
    for (const word of toServer) {
      times.set(word, (times.get(word) ?? 0) + 1)
      if (word !== "0") expect(times.get(`${Number(word) - 1}`)).toBeGreaterThanOrEqual(times.get(word)!)
    }
    for (const word of said) expect(times.get(word)).toBe(clients.length)
  })

  it.each([[["polling"]], [["websocket"]]] as const)(
    "is kept by pings, and answers them, over %j",
    async (transports) => {
      const server = await start({ ...echo, pingInterval: 20, pingTimeout: 2_000 })
      const client = connect(server, transports)
      let pings = 0
      client.socket.on("ping", () => pings++)
      await until(() => pings > 5)
      expect([client.closed, client.socket.readyState]).toEqual([[], "open"])
    }
  )

  it.each([[["polling"]], [["websocket"]], [["polling", "websocket"]]] as const)(
    "ends, and is ended, over %j",
    async (transports) => {
      const server = await start(echo)
      const [leaver, left] = [connect(server, transports), connect(server, transports)]
      await Promise.all([opened(leaver), opened(left)])
      if (transports.length === 2) {
        await until(() => [leaver, left].every(({ upgrades }) => upgrades.length === 1))
      }
      const sessionOf = ({ socket }: Client) =>
        server.sessions.find(({ sid }) => sid === (socket as unknown as { id: string }).id)!
      const [ofLeaver, ofLeft] = [sessionOf(leaver), sessionOf(left)]
      leaver.socket.close()
      await until(() => ofLeaver.reasons.length > 0)
      expect(ofLeaver.reasons).toHaveLength(1)
      expect(ofLeaver.reasons[0]).toMatch(/client|network/)
      ofLeft.shutdown()
      await until(() => left.closed.length > 0)
      expect(left.closed).toEqual(["transport close"])
      await until(() => ofLeft.reasons.length > 0)
      expect(ofLeft.reasons).toEqual(["server"])
    }
  )
})
