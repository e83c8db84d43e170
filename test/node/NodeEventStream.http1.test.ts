/** Event streams over HTTP/1.1, byte by byte: the chunks are ours, and the rest of the connection is not. */
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as NodeEventStream from "@millrace/node/NodeEventStream"
import { eventually, settled } from "../support/eventually.ts"
import * as RawPeer from "../support/RawPeer.ts"

const listen = (listener: http.RequestListener) =>
  Effect.acquireRelease(
    Effect.callback<http.Server>((resume) => {
      const server = http.createServer(listener)
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )

const portOf = (server: http.Server) => (server.address() as AddressInfo).port

const two = () => Stream.fromIterable([{ data: "ü" }, { data: "2" }])

const get = (target = "/", version = "1.1") => `GET ${target} HTTP/${version}\r\nHost: a\r\n\r\n`

/** What `two` is, in chunks. */
const chunks = "4\r\n: \n\n\r\n13\r\ndata: ü\n\ndata: 2\n\n\r\n0\r\n\r\n"

describe("a response", () => {
  it.live("is in chunks, one for what came together, and leaves the connection for another", () =>
    Effect.gen(function* () {
      const sockets = new Set<object>()
      const server = yield* listen((request, response) => {
        sockets.add(request.socket)
        Effect.runFork(NodeEventStream.respond(request, response, two))
      })
      const peer = yield* RawPeer.connect(portOf(server))
      for (let i = 0; i < 20; i++) {
        peer.send(get())
        assert.strictEqual((yield* peer.head).header("transfer-encoding"), "chunked")
        assert.strictEqual((yield* peer.bytes(Buffer.byteLength(chunks))).toString(), chunks)
      }
      const [socket] = sockets as Set<import("node:net").Socket>
      assert.strictEqual(sockets.size, 1)
      assert.isBelow(socket!.listenerCount("close"), 5)
      assert.isBelow(socket!.listenerCount("drain"), 5)
    })
  )

  it.live("has no chunks for a client of HTTP/1.0, and the end of the connection as its end", () =>
    Effect.gen(function* () {
      const server = yield* listen(
        (request, response) => void Effect.runFork(NodeEventStream.respond(request, response, two))
      )
      const peer = yield* RawPeer.connect(portOf(server))
      peer.send(get("/", "1.0"))
      assert.strictEqual((yield* peer.head).header("transfer-encoding"), undefined)
      assert.strictEqual((yield* peer.rest).toString(), ": \n\ndata: ü\n\ndata: 2\n\n")
    })
  )

  it.live("waits for the answers to what was asked before it", () =>
    Effect.gen(function* () {
      const answers: Array<() => void> = []
      const server = yield* listen((request, response) => {
        if (request.url === "/first") answers.push(() => response.end("first"))
        else Effect.runFork(NodeEventStream.respond(request, response, two))
      })
      const peer = yield* RawPeer.connect(portOf(server))
      peer.send(get("/first") + get("/events") + get("/events"))
      yield* eventually(() => answers.length === 1)
      yield* settled
      answers[0]!()
      assert.strictEqual((yield* peer.head).header("content-length"), "5")
      assert.strictEqual((yield* peer.bytes(5)).toString(), "first")
      for (let i = 0; i < 2; i++) {
        assert.strictEqual((yield* peer.head).header("content-type"), "text/event-stream")
        let text = ""
        while (!text.endsWith("\r\n0\r\n\r\n")) text += (yield* peer.bytes(1)).toString("latin1")
        assert.include(text, Buffer.from("data: ü\n\ndata: 2\n\n").toString("latin1"))
      }
    })
  )

  it.live("goes through a `write` that somebody has put in its place", () =>
    Effect.gen(function* () {
      const written: Array<string> = []
      const server = yield* listen((request, response) => {
        const write = response.write.bind(response)
        response.write = ((chunk: Uint8Array, ...rest: []) => {
          written.push(Buffer.from(chunk).toString())
          return write(chunk, ...rest)
        }) as typeof response.write
        Effect.runFork(NodeEventStream.respond(request, response, two))
      })
      const peer = yield* RawPeer.connect(portOf(server))
      peer.send(get())
      yield* peer.head
      yield* peer.bytes(30)
      assert.strictEqual(written.join(""), ": \n\ndata: ü\n\ndata: 2\n\n")
    })
  )

  it.live("keeps the fields that were set before, and takes more", () =>
    Effect.gen(function* () {
      const server = yield* listen((request, response) => {
        response.setHeader("X-Before", "yes")
        const headers = [
          ["X-More", "too"],
          ["cache-control", "private"]
        ] as const
        Effect.runFork(NodeEventStream.respond(request, response, two, { headers }))
      })
      const peer = yield* RawPeer.connect(portOf(server))
      peer.send(get())
      const { header } = yield* peer.head
      assert.deepStrictEqual([header("x-before"), header("x-more"), header("cache-control")], ["yes", "too", "private"])
    })
  )

  it.live("to a client that has gone already is no failure", () =>
    Effect.gen(function* () {
      let pulled = 0
      let done = false
      const events = () => Stream.fromEffectRepeat(Effect.sync(() => ({ data: `${pulled++}` })))
      const server = yield* listen((request, response) => {
        request.socket.destroy()
        Effect.runFork(
          Effect.tap(NodeEventStream.respond(request, response, events), () => Effect.sync(() => (done = true)))
        )
      })
      const peer = yield* RawPeer.connect(portOf(server))
      peer.send(get())
      yield* peer.rest
      yield* eventually(() => done)
    })
  )
})
