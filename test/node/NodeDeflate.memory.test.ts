/** What a connection with compression costs while nothing is sent on it, as docs/guides/compression.md has it. */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { describe, expect, it } from "vitest"
import type { Coder } from "@millrace/core/connection/Extension"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import { now, outgoing, text } from "../support/compression.ts"
import { utf8 } from "../support/wire.ts"

setFlagsFromString("--expose-gc")
const gc = runInNewContext("gc") as () => void

/** Bytes in use: of objects, and of the buffers that they hold. */
const used = async () => {
  for (let times = 0; times < 4; times++) {
    gc()
    await new Promise((resolve) => setImmediate(resolve))
  }
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return { arrayBuffers, heapUsed }
}

const message = text(1_024)

/** The same for all: nothing in it refers to what was before. */
const received = now(
  NodeDeflate.compression()
    .accept([{ name: "permessage-deflate", params: [] }])!
    .makeCoder()
    .encode(outgoing(message))
).payload

const exchange = (coder: Coder) => {
  now(coder.encode(outgoing(message))).written?.()
  now(coder.decode(received, 4, 2_000))
}

const exchangeMuch = (coder: Coder) => {
  for (let times = 0; times < 40; times++) exchange(coder)
}

/** What one of many coders holds when something was done with each, in bytes. */
const held = async (options: NodeDeflate.CompressionOptions, use: (coder: Coder) => void, count = 1_000) => {
  const extension = NodeDeflate.compression(options)
  const accepted = extension.accept([{ name: extension.name, params: [["client_max_window_bits", undefined]] }])!
  // What is made only once, by those who come first.
  for (let times = 0; times < 50; times++) use(accepted.makeCoder())
  const before = await used()
  const coders = Array.from({ length: count }, accepted.makeCoder)
  coders.forEach(use)
  const after = await used()
  expect(coders.length).toBe(count)
  return {
    windows: (after.arrayBuffers - before.arrayBuffers) / count,
    objects: (after.heapUsed - before.heapUsed) / count
  }
}

describe("the memory of a connection", () => {
  it("is next to nothing before there is a message", async () => {
    const { objects, windows } = await held({}, () => {})
    expect(windows).toBeLessThan(10)
    expect(objects).toBeLessThan(120)
  })

  it("is 2 KiB and a few small objects after a message of 1 KiB in each direction", async () => {
    const { objects, windows } = await held({}, exchange)
    expect(windows).toBeGreaterThan(2_000)
    expect(windows).toBeLessThan(2_100)
    expect(objects).toBeLessThan(900)
  })

  it.each([
    ["8 KiB and 32 KiB", 40, {}],
    ["8 KiB each", 16, { server: { clientMaxWindowBits: 13 } }],
    ["8 KiB", 8, { server: { clientNoContextTakeover: true } }],
    ["nothing", 0, { server: { clientNoContextTakeover: true, serverNoContextTakeover: true } }]
  ] as const)("is %s at most, by what was agreed on", async (_, kibibytes, options) => {
    const { windows } = await held(options, exchangeMuch, 100)
    expect(Math.abs(windows / 1_024 - kibibytes)).toBeLessThan(0.5)
  })

  it("is some references after many broadcasts, however long they are", async () => {
    const lengths = [10_000, 100_000, ...Array.from({ length: 200 }, (_, i) => i)]
    const broadcasts = lengths.map((length) => outgoing(utf8(text(length))))
    const { objects, windows } = await held({}, ({ shared }) =>
      broadcasts.forEach((message) => shared!.written(message))
    )
    expect(windows).toBeLessThan(50)
    expect(objects).toBeLessThan(600)
  })
})
