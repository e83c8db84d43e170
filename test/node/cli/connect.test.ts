/** `millrace connect` as a process, against servers that do what the test says. */
import { createHash } from "node:crypto"
import { once } from "node:events"
import * as https from "node:https"
import type { AddressInfo } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { selfSigned } from "../../support/certificate.ts"
import { run, start } from "../../support/command.ts"
import { settled } from "../../support/eventually.ts"
import { encode, frame } from "../../support/frames.ts"
import { nobodysPort } from "../../support/nobodysPort.ts"
import * as RawPeer from "../../support/RawPeer.ts"

const echo = NodeWebSocketServer.serve({ limits: { maxMessageBytes: 16 << 20 } }, (connection) =>
  Stream.runForEach(connection.messages, connection.send)
)

const acceptOf = (key: string | undefined) =>
  createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64")

const opening = (accept: string, more = "") =>
  `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${more}\r\n`

const closeBody = (code: number, reason = "") => Buffer.from([code >> 8, code & 255, ...Buffer.from(reason)])

/** The command, and the other end of its connection. */
const connected = (...flags: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { port, accept } = yield* RawPeer.listen
    const command = yield* start("connect", `ws://127.0.0.1:${port}/`, ...flags)
    const peer = yield* accept
    const head = yield* peer.head
    peer.send(opening(acceptOf(head.header("Sec-WebSocket-Key"))))
    yield* command.reports(/connected to .*\n/)
    return { command, peer, head }
  })

/** What it says after it has connected. */
const farewell = (stderr: string) => stderr.replace(/^millrace: connected to [^\n]*; Ctrl-D ends it\n/, "")

describe.concurrent("the conversation", () => {
  it.live("sends each line as a message and shows each message as a line, and at Ctrl-D closes with 1000", () =>
    Effect.gen(function* () {
      const { port } = yield* echo
      const command = yield* start("connect", `ws://127.0.0.1:${port}/`)
      yield* command.reports(/^millrace: connected to ws:\/\/127\.0\.0\.1:\d+\/; Ctrl-D ends it\n/)
      command.type("hello\n")
      yield* command.says(/^hello\n$/)
      command.type("été\u2028🌊\r\n\nwithout an end")
      yield* command.says(/^hello\nété\u2028🌊\n\n$/)
      command.typeEnd()
      const { code, stdout, stderr } = yield* command.end
      expect([code, stdout]).toEqual([0, "hello\nété\u2028🌊\n\nwithout an end\n"])
      expect(farewell(stderr)).toBe("millrace: closed with 1000 (normal)\n")
    })
  )

  it.live("shows every answer to what was piped into it, however much it is", () =>
    Effect.gen(function* () {
      const { port } = yield* echo
      const input = Array.from({ length: 50_000 }, (_, i) => `${i}\n`).join("")
      const { code, stdout } = yield* run(["connect", `ws://127.0.0.1:${port}/`], input)
      expect(code).toBe(0)
      expect(stdout === input).toBe(true)
    })
  )

  it.live("sends and shows a line of 5 MB", () =>
    Effect.gen(function* () {
      const { port } = yield* echo
      const input = `${"0123456789".repeat(500_000)}\n`
      const { code, stdout } = yield* run(["connect", `ws://127.0.0.1:${port}/`], input)
      expect([code, stdout === input]).toEqual([0, true])
    })
  )

  it.live("sends headers, subprotocols and binary messages when it is asked to", () =>
    Effect.gen(function* () {
      const { accept, port } = yield* RawPeer.listen
      const flags = ["-H", "Authorization: Bearer a:b", "--header", "X-Two:  2 ", "-s", "b", "--subprotocol", "a", "-b"]
      const command = yield* start("connect", `http://127.0.0.1:${port}/a%20b?c=d`, ...flags)
      const peer = yield* accept
      const head = yield* peer.head
      expect(head.start).toBe("GET /a%20b?c=d HTTP/1.1")
      expect(head.header("Authorization")).toBe("Bearer a:b")
      expect(head.header("X-Two")).toBe("2")
      expect(head.header("Sec-WebSocket-Protocol")).toBe("b, a")
      expect(head.header("Origin")).toBeUndefined()
      peer.send(opening(acceptOf(head.header("Sec-WebSocket-Key")), "Sec-WebSocket-Protocol: a\r\n"))
      yield* command.reports(/, subprotocol a; Ctrl-D ends it\n/)
      command.type("\u00ff\n")
      const { opcode, payload } = yield* peer.frame
      expect([opcode, ...payload]).toEqual([2, 0xc3, 0xbf])
      peer.send(encode(frame(2, Uint8Array.of(0, 1, 254))))
      yield* command.says(/^0x0001fe\n$/)
    })
  )

  it.live("shows no control character of a message, so that a server cannot write to the rest of the terminal", () =>
    Effect.gen(function* () {
      const { command, peer } = yield* connected()
      peer.send(encode(frame(1, Buffer.from("a\u001b[2J\u0000\u007f\u009b1m\ttwo\r\nlines\u2028é"))))
      yield* command.says(/^a\\x1b\[2J\\x00\\x7f\\x9b1m\ttwo\\r\\nlines\u2028é\n$/)
    })
  )

  it.live("takes messages up to --max-message, and closes with 1009 beyond", () =>
    Effect.gen(function* () {
      const { command, peer } = yield* connected("--max-message", "10")
      peer.send(encode(frame(1, Buffer.from("0123456789"))))
      yield* command.says(/^0123456789\n$/)
      peer.send(encode(frame(1, Buffer.from("0123456789a"))))
      expect(yield* peer.closeCode).toBe(1009)
      peer.socket.end()
      const { code, stderr } = yield* command.end
      expect(code).toBe(1)
      expect(farewell(stderr)).toMatch(
        /^millrace: closed with 1009, because the server broke a rule: message too big .*\n$/
      )
    })
  )

  it.live("ends when nobody reads what it shows, as in `millrace connect ... | head -1`", () =>
    Effect.gen(function* () {
      const { command, peer } = yield* connected()
      peer.send(encode(frame(1, Buffer.from("one"))))
      yield* command.says(/^one\n$/)
      command.process.stdout.destroy()
      yield* settled
      peer.send(encode(frame(1, Buffer.from("two"))))
      expect(yield* peer.closeCode).toBe(1001)
      peer.send(encode(frame(8, closeBody(1001))))
      peer.socket.end()
      expect((yield* command.end).code).toBe(0)
    })
  )
})

describe.concurrent("the end of the connection", () => {
  it.live.each(["SIGINT", "SIGTERM"] as const)("by %s is a Close with 1001, and exit code 0", (signal) =>
    Effect.gen(function* () {
      const { command, peer } = yield* connected()
      command.signal(signal)
      expect(yield* peer.closeCode).toBe(1001)
      peer.send(encode(frame(8, closeBody(1001))))
      peer.socket.end()
      const { code, stdout, stderr } = yield* command.end
      expect([code, stdout]).toEqual([0, ""])
      expect(farewell(stderr)).toBe("millrace: closed with 1001 (going away)\n")
    })
  )

  it.live("by a second SIGINT does not wait for the server", () =>
    Effect.gen(function* () {
      const { command, peer } = yield* connected()
      command.signal("SIGINT")
      expect(yield* peer.closeCode).toBe(1001)
      command.signal("SIGINT")
      expect((yield* command.end).code).toBe(130)
    })
  )

  it.live.each([
    [1000, "done", 0, "closed by the server with 1000 (normal) done"],
    [1001, "", 0, "closed by the server with 1001 (going away)"],
    [1011, "oops\u001b[2J", 1, "closed by the server with 1011 (internal error) oops\\x1b[2J"],
    [4000, "", 1, "closed by the server with 4000"]
  ] as const)("by the server with %i %j: exit code %i, and a sentence", ([code, reason, exitCode, sentence]) =>
    Effect.gen(function* () {
      const { command, peer } = yield* connected()
      peer.send(encode(frame(8, closeBody(code, reason))))
      expect(yield* peer.closeCode).toBe(code)
      peer.socket.end()
      const ended = yield* command.end
      expect([ended.code, farewell(ended.stderr)]).toEqual([exitCode, `millrace: ${sentence}\n`])
    })
  )

  it.live("by both at once, the server for a reason of its own: exit code 1, and both are in the sentence", () =>
    Effect.gen(function* () {
      const { command, peer } = yield* connected()
      command.typeEnd("too long")
      yield* peer.frame
      expect(yield* peer.closeCode).toBe(1000)
      peer.send(encode(frame(8, closeBody(1009, "no more than 7"))))
      peer.socket.end()
      const { code, stderr } = yield* command.end
      expect([code, farewell(stderr)]).toEqual([
        1,
        "millrace: closed with 1000 (normal), and by the server with 1009 (message too big) no more than 7\n"
      ])
    })
  )

  it.live("by a Close that says nothing is ordinary", () =>
    Effect.gen(function* () {
      const { command, peer } = yield* connected()
      peer.send(encode(frame(8, new Uint8Array(0))))
      peer.socket.end()
      const { code, stderr } = yield* command.end
      expect([code, farewell(stderr)]).toEqual([0, "millrace: closed by the server without a status (1005)\n"])
    })
  )

  it.live.each([
    ["a reset", (peer: RawPeer.RawPeer) => peer.reset(), /^the connection was lost: .*1006/],
    ["an end without a Close", (peer: RawPeer.RawPeer) => peer.socket.end(), /^the connection was lost: .*1006/],
    [
      "a masked frame",
      (peer: RawPeer.RawPeer) => peer.sendFrame(1, "hello"),
      /^closed with 1002, because the server broke a rule: masked frame from a server \(RFC 6455 5\.1\)$/
    ],
    [
      "text that is not UTF-8",
      (peer: RawPeer.RawPeer) => peer.send(encode(frame(1, Uint8Array.of(0xff)))),
      /^closed with 1007, because the server broke a rule: text is not UTF-8 \(RFC 6455 8\.1\)$/
    ]
  ] as const)("by %s has exit code 1 and a sentence", ([, doIt, sentence]) =>
    Effect.gen(function* () {
      const { command, peer } = yield* connected()
      doIt(peer)
      peer.socket.end()
      const { code, stderr } = yield* command.end
      expect(code).toBe(1)
      expect(farewell(stderr)).toMatch(/^millrace: [^\n]+\n$/)
      expect(farewell(stderr).slice("millrace: ".length).trimEnd()).toMatch(sentence)
    })
  )
})

describe.concurrent("a server that does not open the connection", () => {
  const unauthorized = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 21\r\n\r\nno token\u001b[2J, no entry"

  it.live.each([
    ["401 with a body", unauthorized, "the server answered with status 401: no token\\x1b[2J, no entr"],
    ["404 without one", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "the server answered with status 404"],
    ["a wrong Sec-WebSocket-Accept", opening("AAAAAAAAAAAAAAAAAAAAAAAAAAA="), /Sec-WebSocket-Accept/i],
    ["what is not HTTP", "SSH-2.0-OpenSSH\r\n\r\n", "the answer is not HTTP/1.1"],
    ["nothing", "", /^the server at ws:\S+ ended the connection before it was open$/]
  ] as const)("but answers with %s: a sentence, and exit code 1", ([, answer, sentence]) =>
    Effect.gen(function* () {
      const { accept, port } = yield* RawPeer.listen
      const command = yield* start("connect", `ws://127.0.0.1:${port}/`)
      const peer = yield* accept
      yield* peer.head
      peer.send(answer)
      peer.socket.end()
      const { code, stdout, stderr } = yield* command.end
      expect([code, stdout]).toEqual([1, ""])
      expect(stderr).toMatch(/^millrace: [^\n]+\n$/)
      const said = stderr.slice("millrace: ".length).trimEnd()
      if (typeof sentence === "string") expect(said.startsWith(sentence) ? sentence : said).toBe(sentence)
      else expect(said).toMatch(sentence)
    })
  )

  it.live("or for whose certificate nobody vouches", () =>
    Effect.gen(function* () {
      const server = https.createServer(selfSigned("localhost"))
      yield* Effect.acquireRelease(
        Effect.promise(() => once(server.listen(0, "127.0.0.1"), "listening")),
        () => Effect.sync(() => server.close())
      )
      const url = `wss://127.0.0.1:${(server.address() as AddressInfo).port}/`
      const { code, stderr } = yield* run(["connect", url])
      expect([code, stderr]).toEqual([
        1,
        `millrace: nobody that this machine trusts vouches for the certificate of ${url}; ` +
          "if you do, name the file of its issuer in NODE_EXTRA_CA_CERTS\n"
      ])
    }).pipe(Effect.scoped)
  )

  it.live("or that is not there", () =>
    Effect.gen(function* () {
      const port = nobodysPort
      const { code, stderr } = yield* run(["connect", `ws://127.0.0.1:${port}/`])
      expect([code, stderr]).toEqual([1, `millrace: nobody listens at ws://127.0.0.1:${port}/\n`])
    })
  )
})
