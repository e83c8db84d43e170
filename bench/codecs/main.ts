/** Measures the codec that is named on the command line, alone in its process, as often as it is asked. */
import { setImmediate } from "node:timers/promises"
import { answer } from "../answers.ts"
import { cpu } from "../cpu.ts"
import * as frames from "../load/frames.ts"
import * as profiler from "../profiler.ts"
import type { Open } from "./Codec.ts"

const { open } = (await import(`./${process.argv[2]}.ts`)) as { readonly open: Open }

const chunkSize = 64 * 1024
const small = frames.encode("text", frames.payload(64))
// 32,768 frames of 70 bytes are exactly 35 chunks: every cut of a frame occurs, and the end of one pass fits the next.
const count = 32_768
const stream = Buffer.alloc(count * small.length, small)
const chunks = Array.from({ length: stream.length / chunkSize }, () => Buffer.alloc(chunkSize))

/** CPU nanoseconds to decode, unmask and validate so many 64-byte messages out of chunks of 64 KiB. */
const manyFrames = async (seconds: number): Promise<{ readonly cost: number; readonly count: number }> => {
  let messages = 0
  const codec = open((length) => {
    if (length !== 64) throw new Error(`a message of 64 bytes was decoded as one of ${length}`)
    messages++
  })
  const end = performance.now() + seconds * 1000
  let passes = 0
  let spent = 0
  do {
    for (const [index, chunk] of chunks.entries()) stream.copy(chunk, 0, index * chunkSize)
    const before = cpu()
    for (const chunk of chunks) codec.feed(chunk)
    await setImmediate() // streams finish their writes in the next tick: that belongs to them
    spent += cpu() - before
    passes++
  } while (performance.now() < end)
  if (messages !== passes * count) throw new Error(`${passes * count} messages were fed and ${messages} came out`)
  return { cost: spent * 1000, count: messages }
}

/** CPU microseconds to take in one message of `size` bytes that comes a byte at a time. */
const bytewise = async (size: number): Promise<number> => {
  let got: number | undefined
  const codec = open((length) => {
    got = length
  })
  const bytes = frames.encode("text", frames.payload(size))
  const before = cpu()
  for (let at = 0; at < bytes.length; at++) {
    codec.feed(bytes.subarray(at, at + 1))
    if (at % 1024 === 0) await setImmediate()
  }
  await setImmediate()
  const spent = cpu() - before
  if (got !== size) throw new Error(`a message of ${size} bytes fed byte by byte came out as ${got}`)
  return spent
}

answer({ frames: manyFrames, bytewise, ...profiler })
// The channel keeps this process: nothing else does.
process.channel?.ref()
