/** The outbox: frames encoded one behind the other into blocks that all share, one write at the end of the turn. */
import * as fc from "fast-check"
import { describe, expect, it, vi } from "vitest"
import { Chunks } from "@millrace/core/codec/Chunks"
import * as Frame from "@millrace/core/codec/Frame"
import { Outbox, type Owner } from "@millrace/core/connection/Outbox"
import { concat, counting, encode, frame, key, read, toHex } from "../../support/frames.ts"
import { TestTransport } from "../../support/TestTransport.ts"
import { utf8 } from "../../support/wire.ts"

const nobody: Owner = { flushed: () => {}, broken: () => {} }

const make = (maskingKey?: () => number, owner = nobody) => {
  const far = new TestTransport()
  return { far, outbox: new Outbox(far, maskingKey, owner) }
}

const text = (payload: string) => ({ ...frame(Frame.Opcode.text, utf8(payload)), payload })

const binary = (payload: Uint8Array) => frame(Frame.Opcode.binary, payload)

const endOfTurn = () => Promise.resolve()

/** Keys that differ from frame to frame. */
const counter = () => {
  let last = 0x01020304
  return () => (last = (last * 5 + 0x11223344) >>> 0)
}

describe("a turn", () => {
  it("writes nothing before its end, and then everything at once", async () => {
    const { far, outbox } = make()
    outbox.append(text("a"))
    outbox.append(binary(counting(2)))
    outbox.append(text("b"))
    expect([far.writes.length, outbox.length]).toEqual([0, 3 + 4 + 3])
    await endOfTurn()
    expect(far.log).toEqual(["write 81 01 61 82 02 00 07 81 01 62"])
    expect(outbox.length).toBe(0)
    await endOfTurn()
    expect(far.writes.length).toBe(1)
  })

  it("is one write, also of frames that go as they are between others", async () => {
    const { far, outbox } = make()
    const shared = encode(binary(counting(3)))
    const long = counting(5000)
    outbox.append(text("a"))
    outbox.appendEncoded(shared)
    outbox.append(binary(long))
    outbox.append(text("b"))
    expect(outbox.length).toBe(3 + 5 + 5004 + 3)
    await endOfTurn()
    expect(far.writes.length).toBe(1)
    expect(far.frames.map(({ payload }) => payload)).toEqual([utf8("a"), counting(3), long, utf8("b")])
    expect(far.writes[0]).toContain(shared)
    expect(far.writes[0]).toContain(long)
  })

  it("passes a message on in the pieces in which it came, which nobody joins", async () => {
    const { far, outbox } = make()
    const chunks = new Chunks()
    const pieces = [counting(3000), counting(4000), counting(600)]
    for (const piece of pieces) chunks.push(piece)
    const join = vi.spyOn(chunks, "join")
    outbox.append({ ...binary(new Uint8Array(0)), payload: chunks })
    await endOfTurn()
    expect(far.writes[0]).toEqual([Uint8Array.of(0x82, 126, 7600 >> 8, 7600 & 0xff), ...pieces])
    for (const piece of pieces) expect(far.writes[0]).toContain(piece)
    expect(join).not.toHaveBeenCalled()
  })

  it("joins the pieces of what is short, and of what a client has to mask", async () => {
    for (const lengths of [
      [600, 700],
      [3000, 4000]
    ]) {
      const chunks = new Chunks()
      for (const length of lengths) chunks.push(counting(length))
      const whole = concat(lengths.map(counting))
      const { far, outbox } = make(() => 0x01020304)
      outbox.append({ ...binary(new Uint8Array(0)), payload: chunks })
      await endOfTurn()
      expect(read(concat(far.writes.flat()))).toMatchObject([{ payload: whole }])
    }
  })

  it("ends when the transport says so, for all transports of its kind at once and for no other", async () => {
    let end: (() => void) | undefined
    let asked = 0
    const atEndOfTurn = (callback: () => void) => {
      asked++
      end = callback
    }
    const ending = () => {
      const far = Object.assign(new TestTransport(), { atEndOfTurn })
      return { far, outbox: new Outbox(far, undefined, nobody) }
    }
    const [a, b] = [ending(), ending()]
    const other = make()
    for (const { outbox } of [a, b, a, other]) outbox.append(text("x"))
    await endOfTurn()
    expect([a, b, other].map(({ far }) => far.writes.length)).toEqual([0, 0, 1])
    expect(asked).toBe(1)
    end?.()
    expect([a, b].map(({ far }) => far.log)).toEqual([["write 81 01 78 81 01 78"], ["write 81 01 78"]])
    a.outbox.append(text("y"))
    expect(asked).toBe(2)
  })

  it("is one write for each of many outboxes whose frames lie in the same block", async () => {
    const [a, b, c] = [make(), make(), make()]
    for (let i = 0; i < 100; i++) {
      a.outbox.append(text(`a${i}`))
      b.outbox.append(text(`b${i}`))
      if (i % 10 === 0) c.outbox.append(text(`c${i}`))
      if (i % 7 === 0) a.outbox.append(text(`A${i}`))
    }
    await endOfTurn()
    const texts = (end: ReturnType<typeof make>) =>
      end.far.frames.map(({ payload }) => new TextDecoder().decode(payload))
    expect([a, b, c].map(({ far }) => far.writes.length)).toEqual([1, 1, 1])
    expect(texts(b)).toEqual(Array.from({ length: 100 }, (_, i) => `b${i}`))
    expect(texts(c)).toEqual(Array.from({ length: 10 }, (_, i) => `c${i * 10}`))
    expect(texts(a)).toEqual(
      Array.from({ length: 100 }, (_, i) => (i % 7 === 0 ? [`a${i}`, `A${i}`] : [`a${i}`])).flat()
    )
  })

  it("can be cut short, and goes on", async () => {
    const { far, outbox } = make()
    outbox.append(text("a"))
    outbox.flush()
    outbox.flush()
    expect(far.log).toEqual(["write 81 01 61"])
    outbox.append(text("b"))
    await endOfTurn()
    expect(far.log).toEqual(["write 81 01 61", "write 81 01 62"])
  })

  it("counts with what the transport has not written", async () => {
    const { far, outbox } = make()
    far.stall()
    outbox.append(text("abc"))
    expect(outbox.length).toBe(5)
    await endOfTurn()
    outbox.append(text("d"))
    expect(outbox.length).toBe(8)
    far.drain()
    expect(outbox.length).toBe(3)
  })

  it("ends for the others also when one transport throws", async () => {
    const told: Array<unknown> = []
    const owner = (name: string): Owner => ({
      flushed: () => told.push(`${name} flushed`),
      broken: (defect) => told.push(defect)
    })
    const broken = make(undefined, owner("broken"))
    const sound = make(undefined, owner("sound"))
    const error = new Error("the transport is broken")
    broken.far.broken = error
    broken.outbox.append(text("a"))
    sound.outbox.append(text("b"))
    await endOfTurn()
    expect(told).toEqual([error, "sound flushed"])
    expect(toHex(sound.far.sent)).toBe("81 01 62")
    sound.outbox.append(text("c"))
    await endOfTurn()
    expect(toHex(sound.far.sent)).toBe("81 01 62 81 01 63")
  })
})

describe("a frame", () => {
  it.each([1, 2, 3, 4])(
    "of text is right around the lengths where the header changes: %i bytes a character",
    async (size) => {
      const unit = ["", "a", "é", "€", "😀"][size]!
      const around = (bytes: number) => [-2, -1, 0, 1, 2].map((off) => Math.floor(bytes / size) + off)
      const counts = [
        0,
        1,
        31,
        32,
        41,
        42,
        43,
        62,
        63,
        64,
        ...around(125),
        ...around(4096),
        ...around(12_288),
        ...around(65_536)
      ]
      for (const maskingKey of [undefined, counter()]) {
        const { far, outbox } = make(maskingKey)
        const sent = counts.flatMap((count) => [unit.repeat(count), `${"x".repeat(count % 7)}${unit.repeat(count)}`])
        for (const payload of sent) outbox.append(text(payload))
        await endOfTurn()
        const got = far.frames.map(({ payload }) => new TextDecoder("utf-8", { fatal: true }).decode(payload))
        expect(got).toEqual(sent)
        // In the shortest form, which a reader does not show.
        const plain = sent.map((payload, i) => encode(frame(Frame.Opcode.text, utf8(payload)), far.frames[i]!.key))
        expect(toHex(far.sent)).toBe(toHex(concat(plain)))
      }
    },
    60_000
  )

  it("of text has U+FFFD for lone surrogates", async () => {
    const { far, outbox } = make()
    outbox.append(text("a\ud800b"))
    outbox.append(text("\udc00".repeat(42)))
    await endOfTurn()
    expect(far.frames.map(({ payload }) => new TextDecoder().decode(payload))).toEqual([
      "a\ufffdb",
      "\ufffd".repeat(42)
    ])
  })

  it("that is long goes by reference, and is not written into", async () => {
    const { far, outbox } = make()
    const long = counting(4097)
    outbox.append(binary(long))
    await endOfTurn()
    expect(far.writes[0]!.some((chunk) => chunk === long)).toBe(true)
    const client = make(counter())
    client.outbox.append(binary(long))
    await endOfTurn()
    expect(client.far.frames[0]!.payload).toEqual(counting(4097))
    expect(long).toEqual(counting(4097))
  })

  it("that is short is copied when it is taken, so that the bytes may change in the same turn", async () => {
    const { far, outbox } = make()
    const bytes = counting(4096)
    outbox.append(binary(bytes))
    bytes.fill(0)
    await endOfTurn()
    expect(far.frames[0]!.payload).toEqual(counting(4096))
  })

  it("of a client is masked with the next key, each with its own, long or short", async () => {
    const keys = [0x01020304, 0xfffefdfc, 0x80000000, 7, 0]
    const { far, outbox } = make(() => keys.shift()!)
    for (const payload of ["a", "b", "c".repeat(5000), "é".repeat(63), ""]) outbox.append(text(payload))
    await endOfTurn()
    expect(far.frames.map(({ key }) => key)).toEqual([0x01020304, 0xfffefdfc, 0x80000000, 7, 0])
    expect(keys).toEqual([])
  })

  it("is right at the end of a block, and its bytes never change again", async () => {
    const outboxes = [make(), make(counter())]
    const snapshots: Array<readonly [Uint8Array, Uint8Array]> = []
    const payloads: Array<ReadonlyArray<Uint8Array>> = []
    for (let turn = 0; turn < 60; turn++) {
      const sent = Array.from({ length: 9 }, (_, i) => counting((turn * 397 + i * 911) % 4100))
      payloads.push(sent)
      for (const payload of sent) for (const { outbox } of outboxes) outbox.append(binary(payload))
      await endOfTurn()
      for (const { far } of outboxes)
        snapshots.push(...far.writes.at(-1)!.map((chunk) => [chunk, chunk.slice()] as const))
    }
    for (const [chunk, was] of snapshots) expect(chunk).toEqual(was)
    for (const { far } of outboxes) expect(far.frames.map(({ payload }) => payload)).toEqual(payloads.flat())
  })

  it("of any kind, in any order, in any number of turns, is what section 5.2 draws", async () => {
    const payload = fc.oneof(
      fc.string({ unit: "binary", maxLength: 200 }),
      fc
        .constantFrom(42, 63, 125, 126, 1366, 4096, 4097)
        .chain((n) => fc.constantFrom("a", "é", "€").map((c) => c.repeat(n))),
      fc.uint8Array({ maxLength: 200 }),
      fc.constantFrom(125, 126, 4096, 4097, 65_535, 65_536).map(counting)
    )
    const step = fc.oneof(payload, payload, fc.constant(endOfTurn))
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), fc.option(key, { nil: undefined }), async (steps, key) => {
        const { far, outbox } = make(key === undefined ? undefined : () => key)
        const right: Array<Uint8Array> = []
        for (const step of steps) {
          if (step === endOfTurn) await endOfTurn()
          else if (typeof step === "string") {
            outbox.append(text(step))
            right.push(encode(frame(Frame.Opcode.text, utf8(step)), key))
          } else if (step instanceof Uint8Array) {
            outbox.append(binary(step))
            right.push(encode(binary(step), key))
          }
        }
        await endOfTurn()
        expect(Buffer.compare(far.sent, concat(right))).toBe(0)
      }),
      { numRuns: 200 }
    )
  })
})

it("keeps no block alive for a peer that does not read, however much is sent to others", async () => {
  const stalled = make()
  const busy = make()
  stalled.far.stall()
  for (let turn = 0; turn < 100; turn++) {
    stalled.outbox.append(text("tick"))
    for (let i = 0; i < 20; i++) busy.outbox.append(binary(counting(4000)))
    await endOfTurn()
  }
  const buffers = new Set(stalled.far.writes.flat().map(({ buffer }) => buffer))
  const kept = [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0)
  expect(kept).toBeLessThan(65_536 + 100 * 64)
  expect(read(stalled.far.sent)).toHaveLength(100)
})
