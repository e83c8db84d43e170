/** RFC 6455 sections 5.3 and 4.1: where masking keys and nonces come from. */
import { randomBytes, randomFillSync } from "node:crypto"
import * as Effect from "effect/Effect"
import { expect, vi } from "vitest"
import { hex } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { read } from "./endpoint.ts"
import { valuesOf } from "./handshake.ts"
import { connect, listen } from "./loopback.ts"

// The strong source of entropy that Node.js has. What is drawn from it is as it was, and is written down.
vi.mock("node:crypto", async (importOriginal) => {
  const original = await importOriginal<typeof import("node:crypto")>()
  return { ...original, randomFillSync: vi.fn(original.randomFillSync), randomBytes: vi.fn(original.randomBytes) }
})

const count = 5000

/** The keys of that many frames, as a server sees them. */
const keysOf = (messages: number) =>
  Effect.gen(function* () {
    const server = yield* listen()
    const { peer, head, connection } = yield* connect(server)
    yield* connection.sendAll(Array.from({ length: messages }, () => "hi"))
    const frames = read(hex(yield* peer.frames(messages * 8)))
    return { head, keys: frames.map(({ key }) => key ?? "") }
  })

clause.live("5.3-2", "five thousand frames have five thousand keys", () =>
  Effect.gen(function* () {
    const { keys } = yield* keysOf(count)
    expect(keys).toHaveLength(count)
    // Of so many 32-bit numbers drawn at random two are the same in one run of 344; three pairs in one of 10^8.
    expect(new Set(keys).size).toBeGreaterThan(count - 3)
  })
)

clause.live("5.3-3", "every key was drawn from the random numbers of node:crypto, in their order", () =>
  Effect.gen(function* () {
    const { keys } = yield* keysOf(count)
    const drawn = vi
      .mocked(randomFillSync)
      .mock.calls.flatMap(([target]) => (ArrayBuffer.isView(target) ? [target] : []))
    // The buffer is filled again and again: the last key stands in it still.
    const last = hex(keys.at(-1)!)
    const inBuffer = drawn.some((view) => {
      const numbers = view as unknown as ArrayLike<number>
      return Array.from(numbers).includes((last[0]! << 24) | (last[1]! << 16) | (last[2]! << 8) | last[3]!)
    })
    expect(inBuffer).toBe(true)
    expect(drawn.length).toBeGreaterThanOrEqual(Math.floor((count * 4) / drawn[0]!.byteLength))
  })
)

clause.live("5.3-3", "no bit of a key tells anything of the next", () =>
  Effect.gen(function* () {
    const { keys } = yield* keysOf(count)
    const numbers = keys.map((key) => Number.parseInt(key.replaceAll(" ", ""), 16))
    for (let bit = 0; bit < 32; bit++) {
      const isSet = (n: number) => Math.floor(n / 2 ** bit) % 2
      const ones = numbers.reduce((sum, n) => sum + isSet(n), 0)
      const changes = numbers.slice(1).reduce((sum, n, i) => sum + (isSet(n) ^ isSet(numbers[i]!)), 0)
      // Within six standard deviations of the half, which chance leaves once in eight million runs.
      expect(Math.abs(ones - count / 2), `bit ${bit}`).toBeLessThan(3 * Math.sqrt(count))
      expect(Math.abs(changes - count / 2), `bit ${bit}`).toBeLessThan(3 * Math.sqrt(count))
    }
  })
)

clause.live("4.1-22", "the nonce is 16 bytes drawn from the random numbers of node:crypto", () =>
  Effect.gen(function* () {
    const { head } = yield* keysOf(1)
    const drawn = vi
      .mocked(randomBytes)
      .mock.results.map(({ value }) => (value as unknown as Buffer).toString("base64"))
    expect(drawn).toContain(valuesOf(head, "Sec-WebSocket-Key")[0])
  })
)
