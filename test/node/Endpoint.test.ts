/** The handshake of an endpoint: who may connect, what the connection knows of it, and what the client is told. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import type * as WebSocket from "@millrace/core/connection/WebSocket"
import * as Endpoint from "@millrace/node/Endpoint"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import type { UpgradeRequest } from "@millrace/node/Upgrade"
import { start } from "../support/connection.ts"
import { eventually, settled } from "../support/eventually.ts"
import { countingFibers } from "../support/leaks.ts"
import { logged } from "../support/logged.ts"
import * as RawPeer from "../support/RawPeer.ts"

const textOf = (frame: { readonly payload: Uint8Array }) => Buffer.from(frame.payload).toString()

/** Sends what the handshake found out. */
const tell = (connection: WebSocket.WebSocket<unknown>) =>
  Effect.andThen(connection.send(JSON.stringify([connection.handshake, connection.subprotocol])), Effect.never)

const ask = (port: number, fields?: Readonly<Record<string, string | undefined>>, target?: string) =>
  Effect.gen(function* () {
    const peer = yield* RawPeer.connect(port)
    peer.send(RawPeer.upgradeRequest(target, fields))
    return { peer, head: yield* peer.head }
  })

const identify = (request: UpgradeRequest) =>
  Effect.succeed(Endpoint.accept({ user: request.header("Authorization") ?? "", room: request.query.get("room") }))

const demandToken = () =>
  Endpoint.refuse(401, {
    headers: [
      ["WWW-Authenticate", "Bearer"],
      ["Content-Type", "application/json"]
    ],
    body: '{"no":"ü"}'
  })

describe("a handshake that accepts", () => {
  it.live("hands what it found out to the handler, with its type", () =>
    Effect.gen(function* () {
      const users: Array<string> = []
      const server = yield* NodeWebSocketServer.serve({ handshake: identify }, (connection) => {
        users.push(connection.handshake.user)
        return tell(connection)
      })
      const { peer } = yield* ask(server.port, { Authorization: "Bearer ada" }, "/?room=1")
      expect(textOf(yield* peer.frame)).toBe('[{"user":"Bearer ada","room":"1"},null]')
      expect(users).toEqual(["Bearer ada"])
    })
  )

  it.live("adds fields to the 101, several of one name too", () =>
    Effect.gen(function* () {
      const headers = [
        ["Set-Cookie", "a=1; Path=/"],
        ["Set-Cookie", "b=2"],
        ["X-Served-By", "one"]
      ] as const
      const server = yield* NodeWebSocketServer.serve(
        { handshake: () => Effect.succeed(Endpoint.accept(undefined, { headers })) },
        tell
      )
      const { head } = yield* ask(server.port)
      expect(head.status).toBe(101)
      expect(head.headers.slice(-3)).toEqual(headers)
    })
  )

  it.live.each([
    ["superchat, chat", "chat"],
    ["superchat", "superchat"],
    ["graphql", undefined],
    [undefined, undefined]
  ] as const)("of %s it chooses the endpoint's favourite, %s", ([offered, chosen]) =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve({ subprotocols: ["chat", "superchat"] }, tell)
      const { head, peer } = yield* ask(server.port, { "Sec-WebSocket-Protocol": offered })
      expect(head.status).toBe(101)
      expect(head.header("Sec-WebSocket-Protocol")).toBe(chosen)
      expect(textOf(yield* peer.frame)).toBe(JSON.stringify([undefined, chosen]))
    })
  )

  it.live("may choose a subprotocol itself", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve(
        {
          subprotocols: ["chat"],
          handshake: () => Effect.succeed(Endpoint.accept("a value", { subprotocol: "superchat" }))
        },
        tell
      )
      const { head, peer } = yield* ask(server.port, { "Sec-WebSocket-Protocol": "chat, superchat" })
      expect(head.header("Sec-WebSocket-Protocol")).toBe("superchat")
      expect(textOf(yield* peer.frame)).toBe('["a value","superchat"]')
    })
  )

  it.live("gives each of two connections at once its own", () =>
    Effect.gen(function* () {
      const waiting: Array<() => void> = []
      const handshake = (request: UpgradeRequest) =>
        Effect.callback<Endpoint.Accepted<string | undefined>>((resume) => {
          waiting.push(() => resume(Effect.succeed(Endpoint.accept(request.header("X-User")))))
        })
      const server = yield* NodeWebSocketServer.serve({ handshake }, (connection) =>
        Stream.runForEach(connection.messages, () => connection.send(connection.handshake ?? ""))
      )
      const first = yield* RawPeer.connect(server.port)
      const second = yield* RawPeer.connect(server.port)
      first.send(RawPeer.upgradeRequest("/", { "X-User": "first" }))
      yield* eventually(() => waiting.length === 1)
      second.send(RawPeer.upgradeRequest("/", { "X-User": "second" }))
      yield* eventually(() => waiting.length === 2)
      for (const answer of waiting.toReversed()) answer()
      for (const [peer, name] of [
        [first, "first"],
        [second, "second"]
      ] as const) {
        expect((yield* peer.head).status).toBe(101)
        peer.sendFrame(1, "who?")
        expect(textOf(yield* peer.frame)).toBe(name)
      }
      expect(server.connections()).toBe(2)
    })
  )
})

describe("a handshake that refuses", () => {
  it.live("sends its status, its fields and its body", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve({ handshake: demandToken }, tell)
      const { head, peer } = yield* ask(server.port)
      expect(head.start).toBe("HTTP/1.1 401 Unauthorized")
      expect(head.headers).toEqual([
        ["Connection", "close"],
        ["Content-Length", "11"],
        ["WWW-Authenticate", "Bearer"],
        ["Content-Type", "application/json"]
      ])
      expect((yield* peer.rest).toString()).toBe('{"no":"ü"}')
      yield* eventually(() => server.connections() === 0)
    })
  )

  it.live.each([
    ["dies", () => Effect.die(new Error("secret"))],
    [
      "accepts with a field that cannot be sent",
      () => Effect.succeed(Endpoint.accept(1, { headers: [["a", "b\r\nc: d"]] }))
    ],
    ["accepts with a subprotocol nobody offered", () => Effect.succeed(Endpoint.accept(1, { subprotocol: "chat" }))],
    ["refuses with a status that is none", () => Endpoint.refuse(101)]
  ] as const)("that %s: 500 to the client, who learns nothing, and the reason to the log", ([name, handshake]) =>
    logged((entries) =>
      Effect.gen(function* () {
        const server = yield* NodeWebSocketServer.serve({ handshake }, tell)
        const { head, peer } = yield* ask(server.port)
        expect(head.status).toBe(500)
        expect((yield* peer.rest).toString()).toBe("internal server error\n")
        if (!name.startsWith("refuses")) expect(entries.map(({ level }) => level)).toContain("Error")
        yield* eventually(() => server.connections() === 0)
      })
    )
  )

  it.live("when it takes too long: 503, and it is interrupted", () =>
    Effect.gen(function* () {
      let interrupted = false
      const handshake = () =>
        Effect.onInterrupt(Effect.never, () =>
          Effect.sync(() => {
            interrupted = true
          })
        )
      const server = yield* NodeWebSocketServer.serve({ handshake, handshakeTimeout: "30 millis" }, tell)
      const { head, peer } = yield* ask(server.port)
      expect(head.status).toBe(503)
      yield* peer.rest
      expect(interrupted).toBe(true)
      yield* eventually(() => server.connections() === 0)
    })
  )

  it.live.each([
    ["ends", (peer: RawPeer.RawPeer) => peer.socket.end()],
    ["resets", (peer: RawPeer.RawPeer) => peer.reset()]
  ] as const)("is interrupted when the client %s meanwhile, and nothing is left", ([_how, leave]) =>
    countingFibers((alive) =>
      logged((entries) =>
        Effect.gen(function* () {
          const asked: Array<string> = []
          const handshake = () =>
            Effect.suspend(() => {
              asked.push("asked")
              return Effect.onInterrupt(Effect.never, () => Effect.sync(() => asked.push("interrupted")))
            })
          const server = yield* NodeWebSocketServer.serve({ handshake }, tell)
          yield* settled
          const before = alive.fibers
          const peer = yield* RawPeer.connect(server.port)
          peer.send(RawPeer.upgradeRequest())
          yield* eventually(() => asked.length === 1)
          expect(server.connections()).toBe(1)
          leave(peer)
          yield* eventually(() => server.connections() === 0)
          expect(asked).toEqual(["asked", "interrupted"])
          yield* eventually(() => alive.fibers === before)
          expect(entries.filter(({ level }) => level === "Error")).toEqual([])
        })
      )
    )
  )

  it.live("that cannot be interrupted does not keep a client that was told to go", () =>
    Effect.gen(function* () {
      let finish: (() => void) | undefined
      const handshake = () =>
        Effect.uninterruptible(
          Effect.callback<Endpoint.Accepted<undefined>>((resume) => {
            finish = () => resume(Effect.succeed(Endpoint.accept(undefined)))
          })
        )
      const server = yield* NodeWebSocketServer.serve({ handshake }, tell)
      const peer = yield* RawPeer.connect(server.port)
      peer.send(RawPeer.upgradeRequest())
      yield* eventually(() => finish !== undefined)
      peer.reset()
      yield* settled
      finish!()
      yield* eventually(() => server.connections() === 0)
      const exit = yield* Effect.exit(start(RawPeer.open(server.port)))
      expect(Exit.isSuccess(exit)).toBe(true)
    })
  )
})
