/** `millrace echo` as a process: what it sends back, and how it ends. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { run, server, shared } from "../../support/command.ts"
import { counting, encode, frame } from "../../support/frames.ts"
import * as RawPeer from "../../support/RawPeer.ts"

const normal = Uint8Array.of(0x03, 0xe8)

describe("millrace echo", () => {
  const echo = shared(server("echo"))

  it.live("says in one line where it listens", () =>
    Effect.sync(() => {
      const { command, port } = echo()
      expect(command.stdout).toBe(`millrace: echoing at ws://127.0.0.1:${port}/; Ctrl-C ends it\n`)
      expect(command.stderr).toBe("")
    })
  )

  it.live.each(["/", "/some/path?with=query", "/%F0%9F%8C%8A"])(
    "at %s sends text back as text, binary as binary",
    (path) =>
      Effect.gen(function* () {
        const peer = yield* RawPeer.open(echo().port, path)
        peer.sendFrame(1, "été 🌊")
        peer.sendFrame(2, Uint8Array.of(0, 255, 128))
        peer.sendFrame(1, "")
        peer.sendFrame(2, "")
        const seen = []
        for (let i = 0; i < 4; i++) {
          const { fin, opcode, payload } = yield* peer.frame
          seen.push([fin, opcode, Buffer.from(payload).toString("latin1")])
        }
        expect(seen).toEqual([
          [true, 1, Buffer.from("été 🌊").toString("latin1")],
          [true, 2, "\u0000\u00ff\u0080"],
          [true, 1, ""],
          [true, 2, ""]
        ])
        peer.sendFrame(8, normal)
        expect(yield* peer.closeCode).toBe(1000)
        expect((yield* peer.rest).length).toBe(0)
      })
  )

  it.live.each(["https://elsewhere.example", "null", "nonsense"])("lets in a page of any origin: %s", (origin) =>
    Effect.gen(function* () {
      const peer = yield* RawPeer.open(echo().port, "/", { Origin: origin })
      peer.sendFrame(1, "hello")
      expect(Buffer.from((yield* peer.frame).payload).toString()).toBe("hello")
    })
  )

  it.live("takes a message in any number of fragments, and sends it back in one", () =>
    Effect.gen(function* () {
      const peer = yield* RawPeer.open(echo().port)
      const fragments = 50_000 // three times as many as other endpoints take
      const one = encode(frame(0, Uint8Array.of(0x78), false), 1)
      peer.send(encode(frame(1, new Uint8Array(0), false), 1))
      peer.send(Buffer.concat(Array.from({ length: fragments }, () => one)))
      peer.send(encode(frame(0, new Uint8Array(0)), 1))
      const { opcode, payload } = yield* peer.frame
      expect([opcode, payload.length, payload.every((byte) => byte === 0x78)]).toEqual([1, fragments, true])
    })
  )

  it.live("sends 8 MiB back, byte for byte", () =>
    Effect.gen(function* () {
      const peer = yield* RawPeer.open(echo().port)
      const sent = counting(8 << 20)
      peer.sendFrame(2, sent)
      const { payload } = yield* peer.frame
      expect(Buffer.compare(payload, sent)).toBe(0)
    })
  )

  it.live("answers what comes right before a Close, before it answers the Close", () =>
    Effect.gen(function* () {
      const peer = yield* RawPeer.open(echo().port)
      const messages = Array.from({ length: 100 }, (_, i) => encode(frame(1, Buffer.from(`message ${i}`)), i))
      peer.send(Buffer.concat([...messages, encode(frame(8, normal), 7)]))
      for (let i = 0; i < 100; i++) expect(Buffer.from((yield* peer.frame).payload).toString()).toBe(`message ${i}`)
      expect(yield* peer.closeCode).toBe(1000)
    })
  )

  it.live("answers a plain request with 426", () =>
    Effect.gen(function* () {
      const peer = yield* RawPeer.connect(echo().port)
      peer.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
      const head = yield* peer.head
      expect([head.status, head.header("Upgrade")]).toEqual([426, "websocket"])
    })
  )

  it.live("is refused a port that is in use, in one sentence", () =>
    Effect.gen(function* () {
      const { port } = echo()
      const { code, stdout, stderr } = yield* run(["echo", "--port", `${port}`])
      expect([code, stdout]).toEqual([1, ""])
      expect(stderr).toBe(`millrace: 127.0.0.1:${port} is in use already; choose another with --host and --port\n`)
    })
  )
})

describe("--max-message", () => {
  const echo = shared(server("echo", "--max-message", "1 KiB"))

  it.live("is the longest message that is taken; one byte more is answered with 1009", () =>
    Effect.gen(function* () {
      const peer = yield* RawPeer.open(echo().port)
      peer.sendFrame(2, counting(1_024))
      expect((yield* peer.frame).payload.length).toBe(1_024)
      // The header alone is enough, and the rest need not come.
      peer.send(encode(frame(2, counting(1_025)), 5).subarray(0, 8))
      expect(yield* peer.closeCode).toBe(1009)
    })
  )

  it.live("counts over all fragments", () =>
    Effect.gen(function* () {
      const peer = yield* RawPeer.open(echo().port)
      peer.send(encode(frame(2, counting(1_000), false), 5))
      peer.send(encode(frame(0, counting(25)), 5))
      expect(yield* peer.closeCode).toBe(1009)
    })
  )
})

describe.concurrent("a signal", () => {
  it.live.each(["SIGINT", "SIGTERM"] as const)(
    "%s closes every connection with 1001, and the exit code is 0",
    (signal) =>
      Effect.gen(function* () {
        const { command, port } = yield* server("echo")
        const peers = []
        for (let i = 0; i < 3; i++) peers.push(yield* RawPeer.open(port))
        command.signal(signal)
        for (const peer of peers) {
          expect(yield* peer.closeCode).toBe(1001)
          peer.sendFrame(8, Uint8Array.of(0x03, 0xe9))
          yield* peer.rest
        }
        expect(yield* command.end).toMatchObject({ code: 0, stderr: "" })
      })
  )

  it.live("is not held up by a client that does not answer; a second one ends it at once", () =>
    Effect.gen(function* () {
      const patient = yield* server("echo")
      const hasty = yield* server("echo")
      const mute = yield* RawPeer.open(patient.port)
      const other = yield* RawPeer.open(hasty.port)
      const started = performance.now()
      patient.command.signal("SIGINT")
      hasty.command.signal("SIGINT")
      expect(yield* mute.closeCode).toBe(1001)
      expect(yield* other.closeCode).toBe(1001)
      hasty.command.signal("SIGINT")
      expect((yield* hasty.command.end).code).toBe(130)
      // The first is still waiting for an answer, for 5 seconds, and a busy machine may take a while.
      expect((yield* patient.command.end).code).toBe(0)
      expect(performance.now() - started).toBeLessThan(20_000)
    })
  )

  it.live("ends it, and whoever has not finished a request", () =>
    Effect.gen(function* () {
      const { command, port } = yield* server("echo")
      const idle = yield* RawPeer.connect(port)
      const half = yield* RawPeer.connect(port)
      half.send("GET / HTTP/1.1\r\nHost: ")
      // Who connects last is accepted last.
      yield* RawPeer.open(port).pipe(Effect.tap((peer) => Effect.sync(() => peer.sendFrame(8, normal))))
      command.signal("SIGINT")
      yield* idle.rest
      yield* half.rest
      expect((yield* command.end).code).toBe(0)
    })
  )
})

it.live("an address that another program has is refused", () =>
  Effect.acquireUseRelease(
    Effect.promise(
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve) => {
          const other = createServer().listen(0, "127.0.0.1", () => resolve(other))
        })
    ),
    (other) =>
      Effect.map(run(["serve", "--port", `${(other.address() as AddressInfo).port}`]), ({ code, stderr }) => {
        expect(code).toBe(1)
        expect(stderr).toMatch(/^millrace: 127\.0\.0\.1:\d+ is in use already; choose another[^\n]+\n$/)
      }),
    (other) => Effect.sync(() => other.close())
  )
)
