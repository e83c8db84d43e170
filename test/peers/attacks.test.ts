/**
 * What has brought other servers down, done to the processes that people run. The server goes on, serves everybody else
 * meanwhile, and takes no more memory than it would for an honest client; how long it takes is not measured.
 */
import { afterEach, assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type Server, server, shared } from "../support/command.ts"
import { eventually, settled } from "../support/eventually.ts"
import { counting, encode, frame, read } from "../support/frames.ts"
import * as HubClient from "../support/hubClient.ts"
import * as memory from "../support/memory.ts"
import * as RawPeer from "../support/RawPeer.ts"
import { hex } from "../support/wire.ts"

const mebibyte = 1 << 20

/** A few seconds' worth of frames that say nothing. */
const fragments = 2_000_000

/** What a garbage collector may need besides, on a busy machine: each attack, if it worked, would take twice as much. */
const slack = 96 * mebibyte

/** Runs an attack, and fails when the server takes more than so many bytes on top of what it had. */
const within = <A, E, R>({ command }: Server, bytes: number, attack: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const pid = command.process.pid!
    if (memory.isMeasured) memory.resetPeak(pid)
    const before = memory.isMeasured ? memory.peak(pid) : 0
    const result = yield* attack
    const taken = memory.isMeasured ? memory.peak(pid) - before : 0
    assert.isBelow(taken, bytes, `it took ${Math.round(taken / mebibyte)} MiB`)
    return result
  })

/** Somebody else gets an answer. */
const stillServes = ({ port }: Server) =>
  Effect.scoped(
    Effect.gen(function* () {
      const peer = yield* RawPeer.open(port, "/ws")
      peer.sendFrame(9, "alive?")
      let seen = yield* peer.frame
      while (seen.opcode !== 10) seen = yield* peer.frame
      assert.strictEqual(Buffer.from(seen.payload).toString(), "alive?")
    })
  )

/** Waits until the server takes nothing more of what the peer has sent, although somebody else is served. */
const stuck = (target: Server, { socket }: RawPeer.RawPeer) =>
  Effect.gen(function* () {
    for (let quiet = 0, left = socket.writableLength; quiet < 5;) {
      yield* settled
      yield* stillServes(target)
      quiet = socket.writableLength === left ? quiet + 1 : 0
      left = socket.writableLength
    }
    assert.isAbove(socket.writableLength, 0, "the peer did not have to wait")
  })

/** One frame again and again. */
const repeated = (bytes: Uint8Array, times: number) => Buffer.alloc(bytes.length * times, bytes)

const masked = (opcode: number, payload: Uint8Array | string, fin = true) =>
  encode(frame(opcode as 0, typeof payload === "string" ? Buffer.from(payload) : payload, fin), 0x01020304)

const echo = shared(server("echo"))
const hub = shared(server("serve"))

// Nothing of this is worth a word to whoever runs the server.
afterEach(() => {
  assert.deepStrictEqual([echo().command.stderr, hub().command.stderr], ["", ""])
})

describe.runIf(memory.isMeasured)("frames, with memory measured", () => {
  it.live("100 messages of 64 MiB that are announced and never come take nothing", () =>
    within(
      echo(),
      slack,
      Effect.gen(function* () {
        for (let i = 0; i < 100; i++) {
          const peer = yield* RawPeer.open(echo().port)
          // A header and the first bytes of what it promises.
          peer.send(Buffer.concat([hex("82 ff 00 00 00 00 04 00 00 00 01 02 03 04"), counting(100)]))
        }
        yield* stillServes(echo())
      })
    )
  )

  it.live("what follows a message that is too long is not kept", () =>
    within(
      hub(),
      slack,
      Effect.gen(function* () {
        const { peer } = yield* HubClient.connect(hub().port)
        peer.send(masked(1, new Uint8Array(mebibyte + 1)).subarray(0, 14))
        assert.strictEqual(yield* peer.closeCode, 1009)
        const more = Buffer.alloc(mebibyte)
        for (let i = 0; i < 192; i++) peer.send(more)
        yield* stillServes(hub())
        peer.socket.destroy()
      })
    )
  )

  it.live.each([
    ["empty", 0],
    ["of one byte", 1]
  ] as const)("a message in two million fragments, each %s, leaves nothing of them but the bytes", ([, length]) =>
    within(
      echo(),
      // V8 lets some 200 MiB of garbage lie before it collects; to keep a hundred bytes a fragment would be as much again.
      320 * mebibyte,
      Effect.gen(function* () {
        const peer = yield* RawPeer.open(echo().port)
        peer.send(masked(2, "", false))
        for (let i = 0; i < 8; i++) peer.send(repeated(masked(0, new Uint8Array(length), false), fragments / 8))
        peer.send(masked(0, ""))
        assert.strictEqual((yield* peer.frame).payload.length, length * fragments)
      })
    )
  )

  it.live(
    "a million pings of a peer that does not read are answered as far as there is room, and the newest at last",
    () =>
      within(
        echo(),
        slack,
        Effect.gen(function* () {
          const peer = yield* RawPeer.open(echo().port)
          peer.socket.removeAllListeners("data").pause()
          const pings = repeated(masked(9, counting(125)), 10_000)
          for (let i = 0; i < 100; i++) peer.send(pings)
          peer.send(masked(9, "the newest"))
          yield* eventually(() => peer.socket.writableLength === 0, 20_000)
          yield* stillServes(echo())
          const newest = Buffer.from("\u008a\u000athe newest", "latin1")
          const received = yield* Effect.callback<Buffer>((resume) => {
            const chunks: Array<Buffer> = []
            peer.socket.on("data", (chunk: Buffer) => {
              chunks.push(chunk)
              if (Buffer.concat(chunks.slice(-2)).subarray(-newest.length).equals(newest)) {
                resume(Effect.succeed(Buffer.concat(chunks)))
              }
            })
            peer.socket.resume()
          })
          const pongs = read(received).slice(0, -1)
          assert.isTrue(pongs.every(({ opcode, payload }) => opcode === 10 && payload.length === 125))
          assert.isBelow(pongs.length, 1_000_000)
        })
      )
  )

  it.live("a peer that sends 192 MiB and does not read has to wait, and gets all of it when it does", () =>
    within(
      echo(),
      slack,
      Effect.gen(function* () {
        const peer = yield* RawPeer.connect(echo().port)
        peer.send(RawPeer.upgradeRequest())
        yield* peer.head
        peer.socket.removeAllListeners("data").pause()
        const one = masked(2, counting(65_536))
        const messages = 3_072
        for (let i = 0; i < messages; i++) peer.send(one)
        yield* stuck(echo(), peer)
        const expected = messages * (10 + 65_536)
        yield* Effect.callback<void>((resume) => {
          let received = 0
          peer.socket.on("data", (chunk: Buffer) => {
            received += chunk.length
            if (received === expected) resume(Effect.void)
          })
          peer.socket.resume()
        })
      })
    )
  )

  it.live("nonsense that is not read does not pile up the answers to it", () =>
    within(
      hub(),
      slack,
      Effect.gen(function* () {
        const { peer } = yield* HubClient.connect(hub().port)
        peer.socket.pause()
        const nonsense = repeated(masked(1, "x"), 100_000)
        for (let i = 0; i < 100; i++) peer.send(nonsense)
        yield* stuck(hub(), peer)
        peer.socket.destroy()
      })
    )
  )

  it.live("20 subscribers that do not read cost no more than their outboxes, and lose their place", () =>
    within(
      hub(),
      slack + 20 * mebibyte,
      Effect.gen(function* () {
        const slow = []
        for (let i = 0; i < 20; i++) {
          const client = yield* HubClient.connect(hub().port)
          yield* HubClient.subscribe(client, "storm")
          client.peer.socket.pause()
          slow.push(client)
        }
        const ada = yield* HubClient.connect(hub().port)
        const data = "x".repeat(500_000)
        let receivers: unknown = 20
        for (let id = 0; receivers !== 0 && id < 100; id++) {
          ada.say({ type: "publish", topic: "storm", data, id })
          receivers = (yield* ada.hear)["receivers"]
        }
        assert.strictEqual(receivers, 0)
        for (const { peer } of slow) peer.socket.destroy()
      })
    )
  )

  it.live("arrays a million deep are refused without being built", () =>
    within(
      hub(),
      slack,
      Effect.gen(function* () {
        const client = yield* HubClient.connect(hub().port)
        for (let i = 0; i < 10; i++) {
          client.say("[".repeat(1_000_000))
          assert.strictEqual((yield* client.hear)["code"], "too-deep")
        }
      })
    )
  )
})

it.live("a message in more than 16,384 fragments is refused with 1008 where there is a limit, empty ones counted", () =>
  Effect.gen(function* () {
    const { peer } = yield* HubClient.connect(hub().port)
    peer.send(masked(1, "", false))
    peer.send(repeated(masked(0, "", false), 16_384))
    assert.strictEqual(yield* peer.closeCode, 1008)
  })
)

/** The head of what a request is answered with. */
const answerTo = (target: Server, request: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const peer = yield* RawPeer.connect(target.port)
      peer.send(request)
      const head = yield* peer.head
      return head
    })
  )

describe("the handshake", () => {
  const request = RawPeer.upgradeRequest("/ws", { "Sec-WebSocket-Protocol": "millrace.v1.json" })

  it.live("can be reset after any of its bytes, before and while it is answered", () =>
    Effect.gen(function* () {
      for (let length = 0; length <= request.length; length++) {
        for (const target of [echo(), hub()]) {
          const peer = yield* RawPeer.connect(target.port)
          peer.socket.write(request.slice(0, length), () => peer.reset())
          yield* peer.rest
        }
      }
      yield* stillServes(echo())
      yield* stillServes(hub())
    })
  )

  it.live("with 2,000 fields, or with more than there is room for, ends nothing but itself", () =>
    Effect.gen(function* () {
      const short = Array.from({ length: 2_000 }, (_, i) => `A${i}: b\r\n`).join("")
      const long = `Cookie: ${"x".repeat(70_000)}\r\n`
      for (const target of [echo(), hub()]) {
        for (const fields of [short, long]) {
          for (const where of [
            (all: string) => all.replace("\r\n", `\r\n${fields}`),
            (all: string) => all.replace(/\r\n$/, `${fields}\r\n`)
          ]) {
            const { status } = yield* answerTo(target, where(request))
            assert.include([101, 400, 431], status)
          }
        }
        yield* stillServes(target)
      }
    })
  )

  it.live("with lists made to be slow to parse is answered like any other", () =>
    Effect.gen(function* () {
      for (const field of [
        `Sec-WebSocket-Protocol: ${"a".repeat(7_000)}${" ".repeat(7_000)}a`,
        `Sec-WebSocket-Protocol: ${",".repeat(14_000)}`,
        `Sec-WebSocket-Protocol: ${"a,".repeat(7_000)}a`,
        `Sec-WebSocket-Extensions: a;b="${"\\c".repeat(7_000)}`,
        `Sec-WebSocket-Extensions: a${";".repeat(14_000)}`,
        `Sec-WebSocket-Extensions: ${"a;b=c,".repeat(2_000)}`,
        `Connection: ${"keep-alive,".repeat(1_200)} Upgrade`,
        `Origin: http://${"a.".repeat(7_000)}`
      ]) {
        const name = field.slice(0, field.indexOf(":") + 1)
        const without = request.split("\r\n").filter((line) => !line.startsWith(name))
        const { status } = yield* answerTo(echo(), [without[0], field, ...without.slice(1)].join("\r\n"))
        assert.include([101, 400], status, field.slice(0, 60))
      }
      yield* stillServes(echo())
    })
  )

  it.live.each([
    "constructor",
    "__proto__; toString=1",
    "permessage-deflate; server_max_window_bits=99999999999999999999",
    "permessage-deflate; server_max_window_bits=-1",
    "permessage-deflate; server_max_window_bits",
    'permessage-deflate; client_max_window_bits="\\1\\5"',
    "permessage-deflate; permessage-deflate=permessage-deflate",
    "permessage-deflate, permessage-deflate; a; a; a"
  ])("that offers %s agrees on no extension", (offer) =>
    Effect.gen(function* () {
      const peer = yield* RawPeer.connect(echo().port)
      peer.send(RawPeer.upgradeRequest("/", { "Sec-WebSocket-Extensions": offer }))
      const head = yield* peer.head
      assert.include([101, 400], head.status)
      assert.isUndefined(head.header("Sec-WebSocket-Extensions"))
      if (head.status === 400) return
      peer.send(hex("c1 80 00 00 00 00"))
      assert.strictEqual(yield* peer.closeCode, 1002)
    })
  )

  it.live("puts nothing of what a client says into a field of the answer", () =>
    Effect.gen(function* () {
      for (const target of ["/ws?name=a%0D%0AX-Evil:%201", "/ws?name=%00", "/ws?__proto__=1&name=%E2%80%A8%0A"]) {
        const head = yield* answerTo(hub(), RawPeer.upgradeRequest(target))
        assert.deepStrictEqual([head.status, head.header("X-Evil")], [400, undefined])
      }
      for (const offered of ["a\u000bb", "a\u0085b", "millrace.v1.json\u007f", "a b", "a\tb"]) {
        const head = yield* answerTo(hub(), RawPeer.upgradeRequest("/ws", { "Sec-WebSocket-Protocol": offered }))
        assert.include([101, 400], head.status)
        assert.isUndefined(head.header("Sec-WebSocket-Protocol"))
      }
      for (const fields of [
        { Origin: "http://a\u0000" },
        { "X-A": "b\rX-Evil: 1" },
        { "X A": "b" },
        { Host: undefined }
      ]) {
        assert.strictEqual((yield* answerTo(hub(), RawPeer.upgradeRequest("/ws", fields))).status, 400)
      }
      const twoHosts = request.replace("\r\n", "\r\nHost: other\r\n")
      assert.strictEqual((yield* answerTo(hub(), twoHosts)).status, 400)
    })
  )

  it.live("with a field whose name only looks like Origin is that of a program", () =>
    Effect.gen(function* () {
      const { status } = yield* answerTo(
        hub(),
        RawPeer.upgradeRequest("/ws", { Sec_WebSocket_Key: "x", X_Origin: "http://a" })
      )
      assert.strictEqual(status, 101)
      const foreign = RawPeer.upgradeRequest("/ws", { Origin: "https://evil.example", X_Origin: "http://localhost" })
      assert.strictEqual((yield* answerTo(hub(), foreign)).status, 403)
      const two = RawPeer.upgradeRequest("/ws", { Origin: "http://localhost\r\nOrigin: https://evil.example" })
      assert.include([400, 403], (yield* answerTo(hub(), two)).status)
    })
  )
})

describe("many", () => {
  it.live("connections that say nothing keep nobody out", () =>
    Effect.gen(function* () {
      yield* Effect.forEach(Array.from({ length: 500 }), () => RawPeer.connect(hub().port), { concurrency: 50 })
      const half = yield* Effect.forEach(Array.from({ length: 200 }), () => RawPeer.connect(hub().port), {
        concurrency: 50
      })
      for (const peer of half) peer.send("GET /ws HTTP/1.1\r\nHost: lo")
      yield* stillServes(hub())
    })
  )

  it.live("that come, subscribe and vanish leave nothing behind", () =>
    Effect.gen(function* () {
      for (let round = 0; round < 10; round++) {
        const clients = yield* Effect.forEach(
          Array.from({ length: 30 }, (_, i) => i),
          (i) =>
            Effect.gen(function* () {
              const client = yield* HubClient.connect(hub().port)
              for (let n = 0; n < 10; n++) yield* HubClient.subscribe(client, `churn ${round} ${i} ${n}`)
              return client
            }),
          { concurrency: 30 }
        )
        for (const [i, { peer }] of clients.entries()) {
          if (i % 3 === 0) peer.reset()
          else if (i % 3 === 1) peer.socket.end()
          else peer.sendFrame(8, Uint8Array.of(0x03, 0xe8))
        }
        for (const { peer } of clients) yield* peer.rest
      }
      let health: { readonly connections: number; readonly topics: number } | undefined
      const look = Effect.promise(async () => {
        health = (await (await fetch(`http://127.0.0.1:${hub().port}/health`)).json()) as typeof health
      })
      yield* look
      yield* Effect.forkScoped(Effect.forever(look))
      yield* eventually(() => health?.connections === 0 && health.topics === 0, 20_000)
    })
  )
})
