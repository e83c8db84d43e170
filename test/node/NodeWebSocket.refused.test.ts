/** A server that says no, or "over there". */
import * as http from "node:http"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpHeaders from "@millrace/core/codec/HttpHeaders"
import { OpenError } from "@millrace/core/connection/OpenError"
import { Refused } from "@millrace/core/connection/Refused"
import * as Endpoint from "@millrace/node/Endpoint"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { selfSigned } from "../support/certificate.ts"
import { eventually } from "../support/eventually.ts"
import * as RawPeer from "../support/RawPeer.ts"

const refused = (url: string, options?: NodeWebSocket.Options) =>
  NodeWebSocket.open(url, options).pipe(
    Effect.scoped,
    Effect.flip,
    Effect.map(({ reason }) => {
      if (!(reason instanceof Refused)) throw new Error(`not refused: ${reason}`)
      return reason
    })
  )

/** A server that answers every request with what it is given, and keeps what it was asked. */
const answering = (answer: (request: http.IncomingMessage, response: http.ServerResponse) => void) =>
  Effect.gen(function* () {
    const asked: Array<http.IncomingMessage> = []
    const server = http.createServer((request, response) => {
      asked.push(request)
      answer(request, response)
    })
    const { port } = yield* NodeWebSocketServer.listen(server, {})
    return { url: `ws://127.0.0.1:${port}`, asked, server }
  })

const echoing = NodeWebSocketServer.serve({}, () => Effect.never)

describe("a refusal", () => {
  it.live("has its status, its fields and its body, and can be caught by its tag", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve(
        { handshake: () => Endpoint.refuse(429, { headers: [["Retry-After", "7"]], body: "slower, bitte schön" }) },
        () => Effect.never
      )
      const reason = yield* refused(server.url)
      expect(reason.status).toBe(429)
      expect(HttpHeaders.combined(reason.headers, "retry-after")).toBe("7")
      expect(reason.text).toBe("slower, bitte schön")
      expect(reason.truncated).toBe(false)
      expect(reason.message).toBe("the server answered with status 429")
      const caught = yield* NodeWebSocket.open(server.url).pipe(
        Effect.as("open"),
        Effect.catchReason("OpenError", "Refused", ({ status, text }) => Effect.succeed(`${status} ${text}`)),
        Effect.scoped
      )
      expect(caught).toBe("429 slower, bitte schön")
    })
  )

  it.live("may be a success that is no upgrade", () =>
    Effect.gen(function* () {
      const { url } = yield* answering((_request, response) => response.end("a page"))
      expect((yield* refused(url)).status).toBe(200)
    })
  )

  it.live.each([
    [65_536, false],
    [65_537, true],
    [10_000_000, true]
  ] as const)("of %i bytes is kept up to 64 KiB", ([length, truncated]) =>
    Effect.gen(function* () {
      const { server, url } = yield* answering((_request, response) => {
        response.writeHead(403)
        response.end(Buffer.alloc(length, "x"))
      })
      const reason = yield* refused(url)
      expect([reason.body.length, reason.truncated]).toEqual([65_536, truncated])
      // The rest is not waited for, and the socket is gone.
      yield* Effect.callback<void>((resume) => {
        const look = () =>
          server.getConnections((_error, count) => (count === 0 ? resume(Effect.void) : setImmediate(look)))
        look()
      })
    })
  )

  it.live("without an end is told with what there is of it when the time is over, or the socket", () =>
    Effect.gen(function* () {
      const server = yield* RawPeer.listen
      const url = `ws://127.0.0.1:${server.port}`
      const head = "HTTP/1.1 401 No\r\nContent-Length: 100\r\n\r\nbecause"
      for (const leave of [
        undefined,
        (peer: RawPeer.RawPeer) => peer.socket.end(),
        (peer: RawPeer.RawPeer) => peer.reset()
      ]) {
        const [reason] = yield* Effect.all(
          [
            refused(url, { handshakeTimeout: "200 millis" }),
            Effect.gen(function* () {
              const peer = yield* server.accept
              yield* peer.head
              peer.send(head)
              yield* eventually(() => peer.socket.writableLength === 0)
              leave?.(peer)
            })
          ],
          { concurrency: 2 }
        )
        expect([reason.status, reason.truncated]).toEqual([401, true])
        expect("because".startsWith(reason.text)).toBe(true)
      }
    })
  )
})

const secrets = {
  Authorization: "Bearer x",
  cookie: "a=1",
  "Proxy-Authorization": "Basic x",
  "X-Api-Key": "x",
  "User-Agent": "kept"
}

describe("a redirect", () => {
  it.live("is a refusal that says where to", () =>
    Effect.gen(function* () {
      const target = yield* echoing
      const { url } = yield* answering((_request, response) =>
        response.writeHead(302, { Location: target.url }).end("over there")
      )
      const reason = yield* refused(url)
      expect(reason.status).toBe(302)
      expect(HttpHeaders.combined(reason.headers, "Location")).toBe(target.url)
      expect(reason.text).toBe("over there")
      expect(target.connections()).toBe(0)
    })
  )

  it.live.each([301, 302, 303, 307, 308])("%i is followed when that is wanted, relative to where it was", (status) =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve(
        {
          handshake: ({ client: { target } }) =>
            target === "/b?c=d"
              ? Effect.succeed(Endpoint.accept(undefined))
              : Endpoint.refuse(status, { headers: [["Location", "../b?c=d#part"]] })
        },
        () => Effect.never
      )
      const connection = yield* NodeWebSocket.open(`${server.url}/x/a`, {
        maxRedirects: 1,
        limits: { closeTimeout: "50 millis" }
      })
      expect(connection.handshake.url).toBe(`${server.url}/b?c=d`)
    })
  )

  it.live("to the same origin keeps all fields, to another only those that any page could send", () =>
    Effect.gen(function* () {
      const target = yield* answering((_request, response) => response.writeHead(404).end())
      const { asked, url } = yield* answering((request, response) =>
        response.writeHead(307, { Location: request.url === "/a" ? "/b" : `${target.url}/c` }).end()
      )
      const reason = yield* refused(`${url}/a`, { headers: secrets, maxRedirects: 5 })
      expect(reason.status).toBe(404)
      expect(asked.map(({ url }) => url)).toEqual(["/a", "/b"])
      for (const { headers } of asked) {
        expect(headers).toMatchObject({
          authorization: "Bearer x",
          cookie: "a=1",
          "proxy-authorization": "Basic x",
          "x-api-key": "x"
        })
      }
      const [{ headers }] = target.asked as [http.IncomingMessage]
      expect([headers.authorization, headers.cookie, headers["proxy-authorization"]]).toEqual([
        undefined,
        undefined,
        undefined
      ])
      expect([headers["x-api-key"], headers["user-agent"]]).toEqual([undefined, "kept"])
      expect(headers.host).toBe(target.url.slice("ws://".length))
      expect(headers["sec-websocket-key"]).not.toBe(asked[0]!.headers["sec-websocket-key"])
    })
  )

  it.live("does not bring a secret back by way of the origin that it came from", () =>
    Effect.gen(function* () {
      const first = yield* answering((request, response) =>
        request.url === "/a"
          ? response.writeHead(307, { Location: `${second.url}/b` }).end()
          : response.writeHead(404).end()
      )
      const second: { readonly url: string } = yield* answering((_request, response) =>
        response.writeHead(307, { Location: `${first.url}/c` }).end()
      )
      const { status, url } = yield* refused(`${first.url}/a`, { headers: secrets, maxRedirects: 5 })
      expect([status, url]).toEqual([404, `${first.url}/c`])
      expect(first.asked.map(({ headers }) => headers.authorization)).toEqual(["Bearer x", undefined])
    })
  )

  it.live("is followed as often as was said, and no more", () =>
    Effect.gen(function* () {
      const { asked, url } = yield* answering((_request, response) => response.writeHead(302, { Location: "/" }).end())
      const reason = yield* refused(url, { maxRedirects: 3 })
      expect(asked.length).toBe(4)
      expect([reason.status, reason.message]).toEqual([302, "the server answered with status 302: too many redirects"])
    })
  )

  it.live("from wss: to ws: is not followed", () =>
    Effect.gen(function* () {
      const certificate = selfSigned("localhost")
      const target = yield* echoing
      const server = yield* NodeWebSocketServer.serve(
        { tls: certificate, handshake: () => Endpoint.refuse(302, { headers: [["Location", target.url]] }) },
        () => Effect.never
      )
      const reason = yield* refused(server.url, { maxRedirects: 1, tls: { ca: certificate.cert } })
      expect(reason.detail).toBe("it redirects to a URL without TLS")
      expect(target.connections()).toBe(0)
    })
  )

  it.live("does not show a client's certificate to another origin", () =>
    Effect.gen(function* () {
      const [ours, client] = [selfSigned("localhost"), selfSigned("client")]
      const shown: Array<unknown> = []
      const target = yield* NodeWebSocketServer.serve(
        {
          tls: { ...ours, requestCert: true, rejectUnauthorized: false },
          handshake: ({ socket }) => {
            shown.push(Object.keys((socket as import("node:tls").TLSSocket).getPeerCertificate() ?? {}).length)
            return Effect.succeed(Endpoint.accept(undefined))
          }
        },
        () => Effect.never
      )
      const server = yield* NodeWebSocketServer.serve(
        { tls: ours, handshake: () => Endpoint.refuse(302, { headers: [["Location", target.url]] }) },
        () => Effect.never
      )
      const tls = { ca: ours.cert, cert: client.cert, key: client.key }
      const options = { tls, limits: { closeTimeout: "50 millis" } } as const
      yield* Effect.scoped(NodeWebSocket.open(target.url, options))
      const followed = yield* NodeWebSocket.open(server.url, { ...options, maxRedirects: 1 })
      expect(followed.handshake.url).toBe(`${target.url}/`)
      expect(shown).toEqual([expect.any(Number), 0])
      expect(shown[0]).toBeGreaterThan(0)
    })
  )

  it.live.each([
    [undefined, "it redirects to no URL"],
    ["http://[", "it redirects to no URL"],
    ["ftp://localhost/", "it redirects to a URL that cannot be opened: its scheme is neither ws: nor wss:"],
    ["ws+unix:/var/run/docker.sock:/", "it redirects to a unix socket"],
    ["http://a:b@localhost/", "it redirects to a URL with a user"]
  ] as const)("to %s is a refusal", ([location, detail]) =>
    Effect.gen(function* () {
      const { url } = yield* answering((_request, response) =>
        response.writeHead(302, location === undefined ? {} : { Location: location }).end()
      )
      const reason = yield* refused(url, { maxRedirects: 1 })
      expect(reason.detail).toBe(detail)
      expect(new OpenError({ reason }).message).toBe(`the server answered with status 302: ${detail}`)
    })
  )
})
