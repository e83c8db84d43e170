/** Event sources on `node:http`: what is sent, over what, and what its failures look like. */
import * as http from "node:http"
import { connect, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { TLSSocket } from "node:tls"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Scheduler from "effect/Scheduler"
import * as Stream from "effect/Stream"
import * as NodeEventSource from "@millrace/node/NodeEventSource"
import * as bare from "../support/bareServer.ts"
import { selfSigned } from "../support/certificate.ts"
import { start } from "../support/connection.ts"
import { dataOf } from "../support/eventSource.ts"
import { eventually, settled } from "../support/eventually.ts"
import { backTo, countingFibers, resources } from "../support/leaks.ts"
import * as RawPeer from "../support/RawPeer.ts"

/** The end of the response is the end. */
const reconnect = Schedule.recurs(0)

const collect = (url: string, options: NodeEventSource.Options = {}) =>
  Effect.map(Stream.runCollect(NodeEventSource.stream(url, { reconnect, ...options })), dataOf)

const failure = (url: string, options: NodeEventSource.Options = {}) =>
  Effect.map(Effect.flip(collect(url, options)), ({ reason }) => reason)

const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"

describe("the request", () => {
  it.live("asks for no cache, for no coding, and for one connection alone", () =>
    Effect.gen(function* () {
      const server = yield* bare.listen((_, response) => bare.stream(response, "data\n\n").end())
      yield* collect(`${server.url}/a%20b?c=d&e`)
      const [{ headers, url } = { headers: {}, url: "" }] = server.asked
      expect(url).toBe("/a%20b?c=d&e")
      expect(headers).toEqual({
        host: `127.0.0.1:${server.port}`,
        accept: "text/event-stream",
        "cache-control": "no-cache",
        connection: "close"
      })
    })
  )

  it.live("has each header as it was given, those that come twice as well, and its own word on caches", () =>
    Effect.gen(function* () {
      const server = yield* bare.listen((_, response) => bare.stream(response).end())
      const headers = [
        ["X-Name", "1"],
        ["x-name", "2"],
        ["Cache-Control", "only-if-cached"],
        ["X-Latin", "é"]
      ] as const
      yield* collect(server.url, { headers })
      const { rawHeaders } = server.asked[0]!
      const values = (name: string) => rawHeaders.filter((_, i) => rawHeaders[i - 1]?.toLowerCase() === name)
      expect(values("x-name")).toEqual(["1", "2"])
      expect(values("cache-control")).toEqual(["only-if-cached"])
      expect(values("x-latin")).toEqual(["é"])
    })
  )

  it.live("of a method with a body says how long it is", () =>
    Effect.gen(function* () {
      const bodies: Array<Promise<string>> = []
      const server = yield* bare.listen((request, response) => {
        bodies.push(bare.bodyOf(request))
        bare.stream(response).end()
      })
      yield* collect(server.url, { method: "QUERY", body: "été", headers: { "Content-Type": "text/plain" } })
      expect(server.asked[0]?.headers["content-length"]).toBe("5")
      expect(yield* Effect.promise(() => bodies[0]!)).toBe("été")
    })
  )
})

/** An agent for which every host is that port. */
class Elsewhere extends http.Agent {
  private readonly port: number

  constructor(port: number) {
    super()
    this.port = port
  }

  override createConnection(): Socket {
    return connect({ port: this.port, host: "127.0.0.1" })
  }
}

describe("the way there", () => {
  it.live("is an agent's, when there is one", () =>
    Effect.gen(function* () {
      const server = yield* bare.listen((_, response) => bare.stream(response, "data: 1\n\n").end())
      const agent = new Elsewhere(server.port)
      expect(yield* collect("http://nowhere.invalid/", { agent })).toEqual(["1"])
      expect(server.asked[0]?.headers.host).toBe("nowhere.invalid")
    })
  )

  it.live("is a unix socket, when there is one, which a redirect to another origin leaves", () =>
    Effect.gen(function* () {
      const other = yield* bare.listen((_, response) => bare.stream(response, "data: there\n\n").end())
      const socketPath = join(tmpdir(), `millrace-${process.pid}-${other.port}.sock`)
      const server = yield* bare.listen(
        (request, response) => {
          if (request.url === "/here") bare.stream(response, `data: ${request.headers.host}\n\n`).end()
          else response.writeHead(302, { Location: request.url === "/a" ? "/here" : other.url }).end()
        },
        { socketPath }
      )
      expect(yield* collect("http://inside/a", { socketPath })).toEqual(["inside"])
      expect(yield* collect("http://inside/b", { socketPath })).toEqual(["there"])
      expect(server.asked.length).toBe(3)
    })
  )

  it.live("is TLS with a certificate that is verified, and one of ours that no other origin sees", () =>
    Effect.gen(function* () {
      const certificate = selfSigned("localhost")
      const ours = selfSigned("client")
      const seen: Array<string> = []
      const tls = { ...certificate, requestCert: true, rejectUnauthorized: false }
      const note = ({ socket }: http.IncomingMessage) => {
        seen.push(String((socket as TLSSocket).getPeerCertificate().subject?.CN))
      }
      const onOther: bare.Handle = (request, response) => {
        note(request)
        bare.stream(response, "data: there\n\n").end()
      }
      const other = yield* bare.listen(onOther, { tls })
      const onRequest: bare.Handle = (request, response) => {
        note(request)
        response.writeHead(302, { Location: other.url }).end()
      }
      const server = yield* bare.listen(onRequest, { tls })
      const url = `https://localhost:${server.port}/`
      const untrusted = yield* failure(url)
      expect([untrusted._tag, untrusted.message]).toEqual([
        "NetworkError",
        expect.stringContaining("self-signed certificate")
      ])
      expect(yield* collect(url, { tls: { ca: certificate.cert, cert: ours.cert, key: ours.key } })).toEqual(["there"])
      expect(seen).toEqual(["Millrace tests", "undefined"])
    })
  )

  it.live("is not from TLS to none", () =>
    Effect.gen(function* () {
      const certificate = selfSigned("localhost")
      const plain = yield* bare.listen((_, response) => bare.stream(response).end())
      const server = yield* bare.listen((_, response) => response.writeHead(307, { Location: plain.url }).end(), {
        tls: certificate
      })
      const reason = yield* failure(server.url, { tls: { ca: certificate.cert } })
      expect(reason.message).toBe("the server answered with status 307: it redirects to a URL without TLS")
      expect(plain.asked.length).toBe(0)
    })
  )

  it.live("cannot be had with options that Node.js does not take: the caller's fault", () =>
    Effect.gen(function* () {
      const reason = yield* failure("https://127.0.0.1:1/", { tls: { ca: "none", cert: "none" } })
      expect(reason._tag).toBe("InvalidRequest")
    })
  )
})

describe("a response", () => {
  it.live.each([
    ["without a length, to the end of the connection", `${head}\r\ndata: 1\n\ndata: 2\n\nda`],
    ["with a length", `${head}Content-Length: 18\r\n\r\ndata: 1\n\ndata: 2\n\n`],
    [
      "in chunks, cut anywhere",
      `${head}Transfer-Encoding: chunked\r\n\r\n3\r\ndat\r\nf\r\na: 1\n\ndata: 2\n\n\r\n0\r\n\r\n`
    ],
    ["behind informational ones", `HTTP/1.1 103 Early Hints\r\n\r\n${head}\r\ndata: 1\n\ndata: 2\n\n`]
  ] as const)("%s is read, and ends in order", ([, answer]) =>
    Effect.gen(function* () {
      const { accept, port } = yield* RawPeer.listen
      const reading = yield* start(collect(`http://127.0.0.1:${port}/`))
      const peer = yield* accept
      yield* peer.head
      peer.send(answer)
      peer.socket.end()
      expect(yield* Fiber.join(reading)).toEqual(["1", "2"])
    })
  )

  it.live.each([
    ["is reset before it has begun", "", true, /ECONNRESET|socket hang up/],
    ["ends before it has begun", "", false, /socket hang up/],
    ["is no HTTP", "SSH-2.0-OpenSSH\r\n\r\n", false, /Parse Error/],
    ["has a head without an end", `${head}X: ${"x".repeat(100_000)}`, false, /Header overflow|Parse Error/],
    ["is shorter than it said", `${head}Content-Length: 100\r\n\r\ndata: 1\n\n`, false, /aborted/],
    [
      "breaks off between two chunks",
      `${head}Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n`,
      false,
      /aborted/
    ],
    ["is reset in the middle", `${head}\r\ndata: 1\n\n`, true, /ECONNRESET|aborted/]
  ] as const)("that %s is a failure of the network", ([, answer, reset, message]) =>
    Effect.gen(function* () {
      const { accept, port } = yield* RawPeer.listen
      const seen: Array<string> = []
      const events = NodeEventSource.stream(`http://127.0.0.1:${port}/`, { reconnect })
      const reading = yield* start(
        Effect.flip(Stream.runForEach(events, ({ data }) => Effect.sync(() => seen.push(data))))
      )
      const peer = yield* accept
      yield* peer.head
      peer.send(answer)
      const hasEvent = answer.includes("data: 1")
      if (hasEvent) yield* eventually(() => seen.length === 1)
      if (reset) peer.reset()
      else peer.socket.end()
      const { reason } = yield* Fiber.join(reading)
      expect([reason._tag, reason.message]).toEqual(["NetworkError", expect.stringMatching(message)])
      expect(seen).toEqual(hasEvent ? ["1"] : [])
    })
  )

  it.live.each([3, 4, 5, 6, 7, 8])("is read also by a fiber that yields every %i operations", (operations) =>
    Effect.gen(function* () {
      let answer: http.ServerResponse | undefined
      const server = yield* bare.listen((_, response) => {
        answer = bare.stream(response, "data: 0\n\n")
      })
      let heard = 0
      const hear = Effect.sync(() => {
        // Each event is sent when the one before was heard, at another moment of the turn.
        const next = () => (heard < 200 ? answer!.write(`data: ${heard}\n\n`) : answer!.end())
        if (++heard % 3 === 0) next()
        else if (heard % 3 === 1) setImmediate(next)
        else queueMicrotask(next)
      })
      yield* NodeEventSource.stream(server.url, { reconnect }).pipe(
        Stream.runForEach(() => hear),
        Effect.provideService(Scheduler.MaxOpsBeforeYield, operations)
      )
      expect(heard).toBe(200)
    })
  )

  it.live("that changes the protocol is cut", () =>
    Effect.gen(function* () {
      const { accept, port } = yield* RawPeer.listen
      const reading = yield* start(failure(`http://127.0.0.1:${port}/`))
      const peer = yield* accept
      yield* peer.head
      peer.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
      expect((yield* Fiber.join(reading)).message).toContain("changed the protocol")
      expect((yield* peer.rest).length).toBe(0)
    })
  )

  it.live("that is mute is given up after openTimeout", () =>
    Effect.gen(function* () {
      const server = yield* bare.listen(() => {})
      const reason = yield* failure(server.url, { openTimeout: "50 millis" })
      expect(reason._tag).toBe("OpenTimeout")
      yield* eventually(() => server.sockets.size === 0)
    })
  )

  it.live("that falls silent is given up after two heartbeats", () =>
    Effect.gen(function* () {
      const server = yield* bare.listen((_, response) => bare.stream(response, "data: 1\n\n"))
      const reason = yield* failure(server.url, { heartbeat: "25 millis" })
      expect(reason._tag).toBe("Silent")
      yield* eventually(() => server.sockets.size === 0)
    })
  )
})

describe("nothing is left behind", () => {
  it.live("by fifty clients that are ended at any moment", () =>
    countingFibers((alive) =>
      Effect.gen(function* () {
        const server = yield* bare.listen((request, response) => {
          const n = server.asked.indexOf(request)
          if (n % 5 === 0) response.destroy()
          else if (n % 5 === 1) response.writeHead(503).end("later")
          else if (n % 5 === 2) bare.stream(response, "retry: 1\ndata: 1\n\n").end()
          else if (n % 5 === 3) bare.stream(response, "data: 1\n\n")
        })
        const before = resources()
        const fibers = alive.fibers
        const clients = yield* Effect.forEach(Array.from({ length: 50 }), () =>
          start(Effect.exit(collect(server.url, { reconnect: Schedule.spaced("1 millis") })))
        )
        for (const client of clients) {
          yield* settled
          yield* Fiber.interrupt(client)
        }
        expect(server.asked.length).toBeGreaterThan(50)
        yield* eventually(() => server.sockets.size === 0)
        yield* backTo(before)
        expect(alive.fibers).toBeLessThanOrEqual(fibers)
      })
    )
  )
})
