/** The pair in memory: what the tests of everything else stand on, held to the contract that sockets are held to. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Transport from "@millrace/core/connection/Transport"
import { concat, toHex } from "../../support/frames.ts"
import { hex } from "../../support/wire.ts"

/** Writes down what a transport tells: `data 01 02`, `drained`, `ended`. */
const listen = (transport: Transport.Transport, onData?: () => void) => {
  const log: Array<string> = []
  const chunks: Array<Uint8Array> = []
  transport.open({
    data: (chunk) => {
      log.push(`data ${toHex(chunk)}`)
      chunks.push(chunk)
      onData?.()
    },
    drained: () => void log.push("drained"),
    ended: (error) => void log.push(error === undefined ? "ended" : "failed")
  })
  return { log, chunks }
}

/** Lets the pair come to rest. */
const rest = () => new Promise((resolve) => setImmediate(resolve))

describe("makePair", () => {
  it("gives the other end what was written, in order, and never in the same step", async () => {
    const [near, far] = Transport.makePair()
    const heard = listen(far)
    near.write(hex("01"))
    near.writeAll([hex("02 03"), hex("04")])
    expect(heard.log).toEqual([])
    await rest()
    expect(heard.log).toEqual(["data 01", "data 02 03", "data 04"])
  })

  it("works both ways at once", async () => {
    const [near, far] = Transport.makePair()
    const [a, b] = [listen(near), listen(far)]
    near.write(hex("01"))
    far.write(hex("02"))
    await rest()
    expect([a.log.sort(), b.log.sort()]).toEqual([
      ["data 02", "drained"],
      ["data 01", "drained"]
    ])
  })

  it("keeps what came before it was opened", async () => {
    const [near, far] = Transport.makePair()
    near.write(hex("01"))
    near.end()
    await rest()
    const heard = listen(far)
    expect(heard.log).toEqual([])
    await rest()
    expect(heard.log).toEqual(["data 01", "ended"])
  })

  it.each([
    ["a Uint8Array", hex("01 02 03")],
    // Its `slice` does not copy.
    ["a Buffer", Buffer.from([1, 2, 3])]
  ])("gives bytes that belong to the receiver: %s", async (_, bytes) => {
    const [near, far] = Transport.makePair()
    const heard = listen(far)
    near.write(bytes)
    bytes[0] = 9
    await rest()
    expect(heard.log).toEqual(["data 01 02 03"])
    heard.chunks[0]!.fill(0)
    expect([...bytes]).toEqual([9, 2, 3])
  })

  it("gives nothing while it is paused, not even the rest of what is there", async () => {
    const [near, far] = Transport.makePair()
    const heard = listen(far, () => far.pause())
    near.write(hex("01"))
    near.write(hex("02"))
    await rest()
    expect(heard.log).toEqual(["data 01"])
    far.resume()
    expect(heard.log).toEqual(["data 01"])
    await rest()
    expect(heard.log).toEqual(["data 01", "data 02"])
  })

  it("counts what the other end has not taken, and says when it has", async () => {
    const [near, far] = Transport.makePair()
    const own = listen(near)
    near.write(hex("01 02 03"))
    near.write(hex("04"))
    expect(near.writableLength).toBe(4)
    await rest()
    expect([near.writableLength, own.log]).toEqual([4, []])
    const heard = listen(far, () => far.pause())
    await rest()
    expect([near.writableLength, own.log, heard.log]).toEqual([1, [], ["data 01 02 03"]])
    far.resume()
    await rest()
    expect([near.writableLength, own.log]).toEqual([0, ["drained"]])
  })
})

describe("the end", () => {
  it("comes after what was written, once, to both ends", async () => {
    const [near, far] = Transport.makePair()
    const [a, b] = [listen(near), listen(far)]
    near.write(hex("01"))
    near.end()
    near.end()
    near.write(hex("02"))
    await rest()
    expect(b.log).toEqual(["data 01", "ended"])
    expect(a.log).toEqual(["drained", "ended"])
    far.write(hex("03"))
    far.end()
    far.destroy()
    await rest()
    expect([a.log.length, b.log.length]).toEqual([2, 2])
  })

  it("waits for a far end that is paused", async () => {
    const [near, far] = Transport.makePair()
    const [a, b] = [listen(near), listen(far)]
    far.pause()
    near.write(hex("01"))
    near.end()
    await rest()
    expect([a.log, b.log]).toEqual([[], []])
    far.resume()
    await rest()
    expect([a.log, b.log]).toEqual([
      ["drained", "ended"],
      ["data 01", "ended"]
    ])
  })

  it("lets what was on its way arrive: our end does not stop what comes to us", async () => {
    const [near, far] = Transport.makePair()
    const [a, b] = [listen(near), listen(far)]
    far.write(hex("01"))
    near.end()
    await rest()
    expect([a.log, b.log.at(-1)]).toEqual([["data 01", "ended"], "ended"])
  })

  it("is at once when it is destroyed, also while paused, and drops what was not read", async () => {
    const [near, far] = Transport.makePair()
    const [a, b] = [listen(near), listen(far)]
    near.pause()
    far.write(hex("01"))
    near.destroy()
    near.destroy()
    await rest()
    expect([a.log, b.log]).toEqual([["ended"], ["ended"]])
  })

  it("ends an end that nobody has opened yet", async () => {
    const [near, far] = Transport.makePair()
    near.destroy()
    await rest()
    const [a, b] = [listen(near), listen(far)]
    await rest()
    expect([a.log, b.log]).toEqual([["ended"], ["ended"]])
  })
})

it("gives every byte once and in order, whatever is paused when", async () => {
  const step = fc.oneof(
    fc.uint8Array({ maxLength: 5 }),
    fc.constantFrom<"pause" | "resume" | "rest">("pause", "resume", "rest")
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const [near, far] = Transport.makePair()
      const [own, heard] = [listen(near), listen(far)]
      const written: Array<Uint8Array> = []
      for (const step of steps) {
        if (step === "pause") far.pause()
        else if (step === "resume") far.resume()
        else if (step === "rest") await rest()
        else {
          near.write(step)
          written.push(step)
        }
        const taken = heard.chunks.reduce((sum, { length }) => sum + length, 0)
        expect(near.writableLength + taken).toBe(concat(written).length)
      }
      far.resume()
      near.end()
      await rest()
      expect(concat(heard.chunks)).toEqual(concat(written))
      expect([heard.log.at(-1), own.log.at(-1)]).toEqual(["ended", "ended"])
    }),
    { numRuns: 100 }
  )
})
