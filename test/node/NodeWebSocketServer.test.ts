/** Servers, and what else lives on them. */
import * as http from "node:http"
import * as net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as WebSocket from "@millrace/core/connection/WebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { WebSocket as Ws, WebSocketServer } from "ws"
import { eventually } from "../support/eventually.ts"
import { logged } from "../support/logged.ts"
import * as RawPeer from "../support/RawPeer.ts"

const textOf = (frame: { readonly payload: Uint8Array }) => Buffer.from(frame.payload).toString()

const echo = (connection: WebSocket.WebSocket<unknown>) => Stream.runForEach(connection.messages, connection.send)

const say = (text: string) => (connection: WebSocket.WebSocket<unknown>) =>
  Effect.andThen(connection.send(text), Effect.never)

/** For peers that will not answer a Close. */
const brief = { limits: { closeTimeout: "50 millis" } } as const

/** A server of the application's own, with a route. */
const application = Effect.gen(function* () {
  const server = http.createServer((request, response) => {
    response.setHeader("X-Route", "plain")
    response.end(`${request.method} ${request.url}`)
  })
  const { port } = yield* NodeWebSocketServer.listen(server, {})
  return { server, port }
})

const statusOf = (port: number, target: string, fields?: Readonly<Record<string, string | undefined>>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const peer = yield* RawPeer.connect(port)
      peer.send(RawPeer.upgradeRequest(target, fields))
      return (yield* peer.head).status
    })
  )

describe("attach", () => {
  it.live("leaves the other routes as they are, while WebSockets run and after", () =>
    Effect.gen(function* () {
      const { port, server } = yield* application
      const get = Effect.promise(async () => {
        const response = await fetch(`http://127.0.0.1:${port}/ws?x`, { headers: { connection: "close" } })
        return [response.status, response.headers.get("x-route"), await response.text()]
      })
      const scope = yield* Scope.make()
      yield* NodeWebSocketServer.attach(server, [NodeWebSocketServer.route({ path: "/ws", ...brief }, echo)]).pipe(
        Scope.provide(scope)
      )
      const peer = yield* RawPeer.open(port, "/ws")
      expect(yield* get).toEqual([200, "plain", "GET /ws?x"])
      peer.sendFrame(1, "still here")
      expect(textOf(yield* peer.frame)).toBe("still here")
      yield* Scope.close(scope, Exit.void)
      expect(yield* peer.closeCode).toBe(1001)
      expect(yield* get).toEqual([200, "plain", "GET /ws?x"])
      expect(server.listenerCount("upgrade")).toBe(0)
      // Without endpoints a server ignores `Upgrade`, as before.
      expect(yield* statusOf(port, "/ws")).toBe(200)
    })
  )

  it.live("answers a request for another protocol as the plain request that it also is", () =>
    Effect.gen(function* () {
      const { port, server } = yield* application
      yield* NodeWebSocketServer.attach(server, [NodeWebSocketServer.route({ path: "*" }, echo)])
      const peer = yield* RawPeer.connect(port)
      peer.send(RawPeer.upgradeRequest("/h2", { Upgrade: "h2c", "HTTP2-Settings": "AAMAAABkAAQAoAAAAAIAAAAA" }))
      const head = yield* peer.head
      expect(head.status).toBe(200)
      expect(head.header("X-Route")).toBe("plain")
      expect((yield* peer.rest).toString()).toContain("GET /h2")
    })
  )

  it.live.each([
    [
      "a body",
      (peer: RawPeer.RawPeer) =>
        peer.send(RawPeer.upgradeRequest("/", { Upgrade: "h2c", "Content-Length": "2" }) + "ab")
    ],
    [
      "a second request behind it",
      (peer: RawPeer.RawPeer) => peer.send(RawPeer.upgradeRequest("/", { Upgrade: "h2c" }) + RawPeer.upgradeRequest())
    ]
  ] as const)("refuses one with %s, which cannot be read any more", ([_what, send]) =>
    Effect.gen(function* () {
      const { port, server } = yield* application
      yield* NodeWebSocketServer.attach(server, [NodeWebSocketServer.route({ path: "*" }, echo)])
      const peer = yield* RawPeer.connect(port)
      send(peer)
      expect((yield* peer.head).status).toBe(400)
      yield* peer.rest
    })
  )

  it.live("outlives a client that resets while the plain route answers it", () =>
    Effect.gen(function* () {
      let response: http.ServerResponse | undefined
      const server = http.createServer((_request, given) => {
        response = given
      })
      const { port } = yield* NodeWebSocketServer.listen(server, {})
      yield* NodeWebSocketServer.attach(server, [NodeWebSocketServer.route({ path: "*" }, echo)])
      const peer = yield* RawPeer.connect(port)
      peer.send(RawPeer.upgradeRequest("/", { Upgrade: "h2c" }))
      yield* eventually(() => response !== undefined)
      peer.reset()
      yield* eventually(() => response!.destroyed)
      response!.end("too late")
      yield* RawPeer.open(port)
    })
  )

  it.live("takes several endpoints, several times, each with its own life", () =>
    Effect.gen(function* () {
      const { port, server } = yield* application
      const { route } = NodeWebSocketServer
      const first = yield* NodeWebSocketServer.attach(server, [
        route({ path: "/a" }, say("a")),
        route({ path: "/b" }, say("b"))
      ])
      const scope = yield* Scope.make()
      const second = yield* NodeWebSocketServer.attach(server, [route({ path: "/c", ...brief }, say("c"))]).pipe(
        Scope.provide(scope)
      )
      const peers = yield* Effect.forEach(["/a", "/b", "/c"], (path) => RawPeer.open(port, path))
      for (const [i, text] of ["a", "b", "c"].entries()) expect(textOf(yield* peers[i]!.frame)).toBe(text)
      expect([first.connections(), second.connections()]).toEqual([2, 1])
      yield* Scope.close(scope, Exit.void)
      expect(yield* peers[2]!.closeCode).toBe(1001)
      expect([first.connections(), second.connections()]).toEqual([2, 0])
      expect(yield* statusOf(port, "/c")).toBe(404)
      expect(yield* statusOf(port, "/a?query")).toBe(101)
    })
  )

  it.live("leaves upgrades to another library that listens for them too", () =>
    Effect.gen(function* () {
      const { port, server } = yield* application
      const other = new WebSocketServer({ noServer: true })
      server.on("upgrade", (request, socket, head) => {
        if (request.url !== "/theirs") return
        other.handleUpgrade(request, socket, head, (ws) => ws.send("theirs"))
      })
      yield* NodeWebSocketServer.attach(server, [NodeWebSocketServer.route({ path: "/ours" }, say("ours"))])
      const theirs = yield* RawPeer.open(port, "/theirs")
      const ours = yield* RawPeer.open(port, "/ours")
      expect(textOf(yield* theirs.frame)).toBe("theirs")
      // And nobody has written or ended anything behind it.
      theirs.sendFrame(9, "still there?")
      const pong = yield* theirs.frame
      expect([pong.opcode, textOf(pong)]).toEqual([10, "still there?"])
      expect(textOf(yield* ours.frame)).toBe("ours")
      for (const ws of other.clients) ws.terminate()
    })
  )

  it.live("answers an upgrade that nobody claims with 404, and an end", () =>
    Effect.gen(function* () {
      const { port, server } = yield* application
      const attached = yield* NodeWebSocketServer.attach(server, [NodeWebSocketServer.route({ path: "/ws" }, echo)])
      for (const target of ["/", "/ws/", "/WS", "/%77s", "/__proto__", "http://localhost/other"]) {
        const peer = yield* RawPeer.connect(port)
        peer.send(RawPeer.upgradeRequest(target))
        const head = yield* peer.head
        expect([target, head.status, head.header("Connection")]).toEqual([target, 404, "close"])
        expect((yield* peer.rest).toString()).toBe("no WebSocket here\n")
      }
      expect(attached.connections()).toBe(0)
      expect(yield* statusOf(port, "http://localhost/ws")).toBe(101)
    })
  )
})

describe("serve", () => {
  it.live("talks to ws, in both directions", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve({ path: "/echo" }, echo)
      const received = yield* Effect.callback<string>((resume) => {
        const client = new Ws(`${server.url}/echo`)
        client.on("open", () => client.send("héllo"))
        client.on("message", (data: Buffer) => {
          client.close()
          resume(Effect.succeed(data.toString()))
        })
      })
      expect(received).toBe("héllo")
      yield* eventually(() => server.connections() === 0)
    })
  )

  it.live("tells a browser that is no WebSocket where it is", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve({ path: "/echo" }, echo)
      const get = (path: string) => Effect.promise(() => fetch(`http://127.0.0.1:${server.port}${path}`))
      const there = yield* get("/echo")
      expect([there.status, there.headers.get("upgrade")]).toEqual([426, "websocket"])
      expect((yield* get("/other")).status).toBe(404)
      expect(yield* statusOf(server.port, "/other")).toBe(404)
    })
  )

  it.live("listens on this machine only, unless told otherwise", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve({}, echo)
      expect(server.host).toBe("127.0.0.1")
      expect(server.url).toBe(`ws://127.0.0.1:${server.port}`)
      const everywhere = yield* NodeWebSocketServer.serve({ host: "::" }, echo)
      expect(everywhere.url).toBe(`ws://[::]:${everywhere.port}`)
    })
  )

  it.live("on a unix socket", () =>
    Effect.gen(function* () {
      const socketPath = join(tmpdir(), `millrace-${process.pid}-${Math.random().toString(36).slice(2)}.sock`)
      const server = yield* NodeWebSocketServer.serve({ socketPath }, echo)
      expect(server.url).toBe(`ws+unix:${socketPath}`)
      const peer = yield* RawPeer.over(net.connect(socketPath))
      peer.send(RawPeer.upgradeRequest())
      expect((yield* peer.head).status).toBe(101)
      peer.sendFrame(1, "x")
      expect(textOf(yield* peer.frame)).toBe("x")
    })
  )

  it.live("says in a sentence why it cannot listen", () =>
    Effect.gen(function* () {
      const { port } = yield* NodeWebSocketServer.serve({}, echo)
      const fail = (options: NodeWebSocketServer.ListenOptions) =>
        Effect.flip(Effect.scoped(NodeWebSocketServer.serve(options, echo)))
      const taken = yield* fail({ port })
      expect([taken._tag, taken.code]).toEqual(["ListenError", "EADDRINUSE"])
      expect(taken.message).toBe(`127.0.0.1:${port} is in use already`)
      expect((yield* fail({ host: "192.0.2.1" })).message).toBe("192.0.2.1:0 is no address of this machine")
      expect((yield* fail({ port: 70_000 })).message).toMatch(/^cannot listen on 127\.0\.0\.1:70000: /)
      expect((yield* fail({ socketPath: "/nowhere/at/all.sock" })).message).toMatch(/^\/nowhere\/at\/all\.sock /)
    })
  )

  it.live("logs what goes wrong with a server that listens, and leaves no listener behind", () =>
    logged((entries) =>
      Effect.gen(function* () {
        const server = http.createServer()
        const scope = yield* Scope.make()
        yield* NodeWebSocketServer.listen(server, {}).pipe(Scope.provide(scope))
        server.emit("error", new Error("too many open files"))
        expect(entries.map(({ level }) => level)).toEqual(["Error"])
        yield* Scope.close(scope, Exit.void)
        expect([server.listenerCount("error"), server.listenerCount("connection")]).toEqual([0, 1])
      })
    )
  )

  it("refuses a path that no request can have", () => {
    expect(() => NodeWebSocketServer.route({ path: "chat" }, echo)).toThrow('"chat" is no path')
  })

  it.live("cuts a client that takes too long to send its request", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve({ handshakeTimeout: "300 millis" }, echo)
      const mute = yield* RawPeer.connect(server.port)
      const slow = yield* RawPeer.connect(server.port)
      slow.send("GET / HTTP/1.1\r\nHost:")
      const before = performance.now()
      yield* mute.rest
      yield* slow.rest
      expect(performance.now() - before).toBeLessThan(2_000)
      yield* RawPeer.open(server.port)
    })
  )

  it.live("ends at once although a client that was refused, or somebody else's, stays", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { port, server } = yield* Scope.provide(application, scope)
      yield* NodeWebSocketServer.attach(server, [NodeWebSocketServer.route({ path: "/ws" }, echo)]).pipe(
        Scope.provide(scope)
      )
      const refused = yield* RawPeer.connect(port, { allowHalfOpen: true })
      refused.send(RawPeer.upgradeRequest("/ws", { "Sec-WebSocket-Version": "12" }))
      expect((yield* refused.head).status).toBe(426)
      let foreign: unknown
      server.on("upgrade", (_request, socket) => {
        foreign = socket.on("error", () => {})
      })
      const theirs = yield* RawPeer.connect(port, { allowHalfOpen: true })
      theirs.send(RawPeer.upgradeRequest("/theirs"))
      yield* eventually(() => foreign !== undefined)
      const before = performance.now()
      yield* Scope.close(scope, Exit.void)
      expect(performance.now() - before).toBeLessThan(1_000)
    })
  )
})
