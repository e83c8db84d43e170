/** What a host remembers. */
import { describe, expect, it } from "vitest"
import * as Log from "@millrace/node/brokers/workers/Log"

const filled = (length: number, value: number) => new Uint8Array(length).fill(value)

describe("what was appended", () => {
  it.each([0, 1, 200, 512, 513, 5_000])("is kept when its bytes are written over, %i of them", (length) => {
    const log = new Log.Log("e")
    const appended = Array.from({ length: 30 }, (_, i) => {
      const view = filled(length, i)
      log.append("x", view, undefined, 0)
      view.fill(255)
      return filled(length, i)
    })
    expect(log.since("x", { epoch: "e", offset: 0 }, 0).entries.map(({ value }) => value)).toEqual(appended)
  })

  it("keeps no more alive than five times its own length", () => {
    const log = new Log.Log("e")
    for (let i = 0; i < 100; i++) log.append("x", filled(200, i), undefined, 0)
    const { entries } = log.since("x", undefined, 0)
    const buffers = new Set(entries.map(({ value }) => value.buffer))
    const held = [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0)
    expect(held).toBeLessThan(100 * 200 * 1.2)
    // Of one that is left alone: with the 256 bytes that the history counts for each.
    expect(entries[50]!.value.buffer.byteLength).toBeLessThanOrEqual((200 + 256) * 5)
  })

  it("knows the one before it, a repeat, and a key that is too old", () => {
    const log = new Log.Log("e")
    const key = { producer: "p", epoch: 1, sequence: 0 }
    expect(log.append("x", filled(1, 1), key, 0)).toMatchObject({ _tag: "New", offset: 1, previous: 0 })
    expect(log.append("x", filled(1, 1), key, 1)).toEqual({ _tag: "Repeat", offset: 1 })
    expect(log.append("y", filled(1, 1), undefined, 1)).toMatchObject({ _tag: "New", offset: 2, previous: 0 })
    expect(log.append("x", filled(1, 1), { ...key, epoch: 0 }, 1)).toEqual({ _tag: "Stale" })
    expect(log.append("x", filled(1, 1), { ...key, sequence: 1 }, 1)).toMatchObject({ _tag: "New", previous: 1 })
    expect(log.position).toEqual({ epoch: "e", offset: 3 })
  })

  it("is forgotten by its bounds, and a repeat when its window is over", () => {
    const log = new Log.Log("e", { retention: { maxEntries: 2, maxAge: 1_000, repeatWindow: 50 }, maxKeys: 10 })
    const key = { producer: "p", epoch: 1, sequence: 0 }
    for (let i = 0; i < 3; i++) log.append("x", filled(1, i), { ...key, sequence: i }, 0)
    const { entries, gap } = log.since("x", { epoch: "e", offset: 0 }, 0)
    expect([entries.map(({ offset }) => offset), gap]).toEqual([[2, 3], true])
    expect(log.append("x", filled(1, 2), { ...key, sequence: 2 }, 50)).toMatchObject({ _tag: "Repeat" })
    expect(log.append("x", filled(1, 2), { ...key, sequence: 2 }, 51)).toMatchObject({ _tag: "New" })
    expect(log.since("x", { epoch: "e", offset: 3 }, 1_052)).toEqual({ entries: [], gap: true })
  })
})
