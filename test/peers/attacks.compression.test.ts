/**
 * What compression lets a peer do with a few bytes, done to the process that people run. It is closed with the code that
 * is its due, the server serves everybody else, and takes no more memory than a message of the greatest length.
 */
import { afterEach, assert, describe, it } from "@effect/vitest"
import * as zlib from "node:zlib"
import * as Effect from "effect/Effect"
import { server, shared } from "../support/command.ts"
import { counting, encode } from "../support/frames.ts"
import * as memory from "../support/memory.ts"
import * as RawPeer from "../support/RawPeer.ts"

const mebibyte = 1 << 20

/** Messages of at most 1 MiB. */
const hub = shared(server("serve", "--deflate"))
const echo = shared(server("echo", "--deflate", "--max-message", "1MiB"))

afterEach(() => {
  assert.deepStrictEqual([echo().command.stderr, hub().command.stderr], ["", ""])
})

const open = (port: number, path = "/", offer = "permessage-deflate") =>
  Effect.gen(function* () {
    const peer = yield* RawPeer.open(port, path, { "Sec-WebSocket-Extensions": offer })
    return peer
  })

/** Frames as a client sends them, compressed where `rsv` is 4. */
const masked = (opcode: 0 | 1 | 2 | 9, payload: Uint8Array, { fin = true, rsv = 4 } = {}) =>
  encode({ fin, rsv, opcode, payload }, 0x01020304)

/** One message by itself: RFC 7692 section 7.2.1. */
const deflated = (bytes: Uint8Array, dictionary?: Uint8Array) =>
  zlib.deflateRawSync(bytes, { finishFlush: zlib.constants.Z_SYNC_FLUSH, level: 9, dictionary }).subarray(0, -4)

/** A gibibyte of zeros in a little more than a mebibyte. */
const bomb = () => {
  const unit = zlib.deflateRawSync(new Uint8Array(16 * mebibyte), {
    finishFlush: zlib.constants.Z_FULL_FLUSH,
    level: 9
  })
  return Buffer.alloc(unit.length * 64, unit)
}

/** Fails when the attack takes more memory than an honest message and what a collector may leave lying about. */
const cheaply = <A, E, R>(pid: number, attack: Effect.Effect<A, E, R>, mebibytes = 64) =>
  Effect.gen(function* () {
    if (memory.isMeasured) memory.resetPeak(pid)
    const before = memory.isMeasured ? memory.peak(pid) : 0
    const result = yield* attack
    const taken = memory.isMeasured ? memory.peak(pid) - before : 0
    assert.isBelow(taken, mebibytes * mebibyte, `it took ${Math.round(taken / mebibyte)} MiB`)
    return result
  })

const attack = (parts: (payload: Buffer) => ReadonlyArray<Uint8Array>, offer?: string) =>
  Effect.gen(function* () {
    const { command, port } = echo()
    const peer = yield* open(port, "/", offer)
    const all = parts(bomb().subarray(0, mebibyte))
    yield* cheaply(
      command.process.pid!,
      Effect.gen(function* () {
        for (const part of all) peer.send(part)
        assert.strictEqual(yield* peer.closeCode, 1009)
      })
    )
    const other = yield* open(port)
    other.send(masked(1, deflated(Buffer.from("still here"))))
    assert.isAbove((yield* other.frame).payload.length, 0)
  })

describe("a gibibyte of zeros in a mebibyte", () => {
  it.live("in one frame is closed with 1009", () => attack((payload) => [masked(2, payload)]))

  it.live("in fragments is closed with 1009", () =>
    attack((payload) =>
      Array.from({ length: 64 }, (_, at) =>
        masked(at === 0 ? 2 : 0, payload.subarray(at * 16_384, (at + 1) * 16_384), {
          fin: at === 63,
          rsv: at === 0 ? 4 : 0
        })
      )
    )
  )

  it.live("that refers to the message before it is closed with 1009", () =>
    Effect.gen(function* () {
      const { command, port } = echo()
      const peer = yield* open(port)
      const first = new Uint8Array(32_768)
      peer.send(masked(2, deflated(first)))
      assert.strictEqual((yield* peer.frame).opcode, 2)
      yield* cheaply(
        command.process.pid!,
        Effect.gen(function* () {
          peer.send(masked(2, deflated(new Uint8Array(64 * mebibyte), first)))
          assert.strictEqual(yield* peer.closeCode, 1009)
        })
      )
    })
  )

  it.live("in many messages, of which each is just short enough, is inflated no faster than it is read", () =>
    Effect.gen(function* () {
      const { command, port } = hub()
      const peer = yield* open(port, "/ws")
      const one = masked(1, deflated(new Uint8Array(mebibyte).fill(0x20)))
      yield* cheaply(
        command.process.pid!,
        Effect.gen(function* () {
          for (let i = 0; i < 250; i++) peer.send(one)
          peer.send(masked(9, Buffer.from("done"), { rsv: 0 }))
          let seen = yield* peer.frame
          while (seen.opcode !== 10) seen = yield* peer.frame
        }),
        // A quarter of a gibibyte, if it were all there at once.
        160
      )
    })
  )
})

describe("compressed data that is none", () => {
  const good = deflated(Buffer.from("a text of some length, a text of some length"))

  it.live.each([
    ["cut short", good.subarray(0, 10)],
    ["of a kind of block that there is not", Uint8Array.of(0x07)],
    ["with its tail left on and more behind", Buffer.concat([good, Uint8Array.of(0, 0, 0xff, 0xff, 1, 2, 3)])],
    ["from before the beginning", Uint8Array.of(0x02, 0x06, 0x00)],
    ["noise", counting(300)]
  ] as const)("%s is closed with 1007", ([, payload]) =>
    Effect.gen(function* () {
      const peer = yield* open(echo().port)
      peer.send(masked(2, payload))
      assert.strictEqual(yield* peer.closeCode, 1007)
    })
  )

  it.live("text that is not UTF-8 once it is inflated is closed with 1007", () =>
    Effect.gen(function* () {
      const peer = yield* open(echo().port)
      peer.send(masked(1, deflated(Uint8Array.of(0xc3, 0x28))))
      assert.strictEqual(yield* peer.closeCode, 1007)
    })
  )
})

describe("RSV1", () => {
  it.live.each([
    ["on a control frame", [masked(9, Buffer.from("a"))]],
    ["on a continuation", [masked(1, good(), { fin: false }), masked(0, Buffer.alloc(0))]],
    [
      "on an empty continuation of what is not compressed",
      [masked(1, Buffer.from("a"), { fin: false, rsv: 0 }), masked(0, Buffer.alloc(0))]
    ],
    ["together with RSV2", [masked(1, good(), { rsv: 6 })]]
  ] as const)("%s is closed with 1002", ([, parts]) =>
    Effect.gen(function* () {
      const peer = yield* open(echo().port)
      for (const part of parts) peer.send(part)
      assert.strictEqual(yield* peer.closeCode, 1002)
    })
  )

  it.live("where nobody has asked for compression is closed with 1002", () =>
    Effect.gen(function* () {
      const peer = yield* open(echo().port, "/", "x-unknown")
      peer.send(masked(1, good()))
      assert.strictEqual(yield* peer.closeCode, 1002)
    })
  )
})

function good() {
  return deflated(Buffer.from("good"))
}

it.live("empty messages, compressed in either way that peers write them, come back", () =>
  Effect.gen(function* () {
    const peer = yield* open(echo().port)
    for (const empty of [
      Uint8Array.of(0x00),
      new Uint8Array(0),
      Uint8Array.of(0x02, 0x00),
      Uint8Array.of(0x03, 0x00, 0x00)
    ]) {
      peer.send(masked(1, empty))
      const { opcode, payload, rsv } = yield* peer.frame
      const bytes =
        rsv === 4
          ? zlib.inflateRawSync(Buffer.concat([payload, Uint8Array.of(0, 0, 0xff, 0xff)]), { finishFlush: 2 })
          : payload
      assert.deepStrictEqual([opcode, bytes.length], [1, 0])
    }
  })
)
