/** RFC 6455 section 3 and the registrations of its schemes in 11.1: what becomes of a URI on the wire. */
import * as http from "node:http"
import * as https from "node:https"
import type { LookupFunction } from "node:net"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import { selfSigned } from "../../support/certificate.ts"
import { clause } from "./clause.ts"
import { valuesOf } from "./handshake.ts"
import { connect, listen } from "./loopback.ts"

/** Every name is a name of this machine. */
const lookup: LookupFunction = (_name, options, done) => {
  if (options.all === true) done(null, [{ address: "127.0.0.1", family: 4 }])
  else done(null, "127.0.0.1", 4)
}

clause.live("3-1", "a URI with a fragment is refused, be it empty, and nothing is dialled", () =>
  Effect.gen(function* () {
    const server = yield* listen()
    for (const fragment of ["#top", "#"]) {
      const error = yield* Effect.flip(NodeWebSocket.open(`ws://127.0.0.1:${server.port}/chat${fragment}`))
      expect(error.reason._tag).toBe("InvalidUrl")
    }
    expect(server.peers).toEqual([])
  })
)

clause.live("3-2", "an escaped # stays as it is, in the path and in the query", () =>
  Effect.gen(function* () {
    const server = yield* listen()
    const { head } = yield* connect(server, `ws://127.0.0.1:${server.port}/a%23b?c=%23d`)
    expect(head[0]).toBe("GET /a%23b?c=%23d HTTP/1.1")
  })
)

clause.live("11.1.1-1", "a host outside ASCII is sent in punycode", () =>
  Effect.gen(function* () {
    const server = yield* listen()
    const agent = new http.Agent({ lookup })
    const { head } = yield* connect(server, `ws://bücher.example:${server.port}/`, { agent })
    expect(valuesOf(head, "Host")).toEqual([`xn--bcher-kva.example:${server.port}`])
  })
)

clause.live("11.1.1-2", "a path and a query outside ASCII are sent percent-encoded, as UTF-8", () =>
  Effect.gen(function* () {
    const server = yield* listen()
    const { head } = yield* connect(server, `ws://127.0.0.1:${server.port}/café au lait?a=€`)
    expect(head[0]).toBe("GET /caf%C3%A9%20au%20lait?a=%E2%82%AC HTTP/1.1")
  })
)

clause.live("11.1.2-1", "a host outside ASCII is sent in punycode, in TLS too", () =>
  Effect.gen(function* () {
    const certificate = selfSigned("xn--bcher-kva.example")
    let named: string | undefined
    const server = yield* listen({
      ...certificate,
      SNICallback: (name, done) => {
        named = name
        done(null)
      }
    })
    const agent = new https.Agent({ lookup })
    const url = `wss://bücher.example:${server.port}/`
    const { head } = yield* connect(server, url, { agent, tls: { ca: certificate.cert } })
    expect(valuesOf(head, "Host")).toEqual([`xn--bcher-kva.example:${server.port}`])
    expect(named).toBe("xn--bcher-kva.example")
  })
)

clause.live("11.1.2-2", "a path and a query outside ASCII are sent percent-encoded, as UTF-8", () =>
  Effect.gen(function* () {
    const certificate = selfSigned("localhost")
    const server = yield* listen(certificate)
    const url = `wss://127.0.0.1:${server.port}/café?a=€`
    const { head } = yield* connect(server, url, { tls: { ca: certificate.cert } })
    expect(head[0]).toBe("GET /caf%C3%A9?a=%E2%82%AC HTTP/1.1")
  })
)
