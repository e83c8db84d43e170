import * as Effect from "effect/Effect"
import { expect, describe, it } from "@effect/vitest"
import * as Server from "@millrace/node/brokers/redis/Server"

const info = (changes: Readonly<Record<string, string>> = {}): string =>
  Object.entries({
    redis_version: "7.0.15",
    redis_mode: "standalone",
    run_id: "abc",
    loading: "0",
    maxmemory_policy: "noeviction",
    role: "master",
    master_replid: "def",
    ...changes
  })
    .map(([name, value]) => `${name}:${value}\r\n`)
    .join("# Section\r\n")

describe("what Redis says of itself", () => {
  it.effect("is which server it is, and what it can do", () =>
    Effect.gen(function* () {
      expect(yield* Server.read(info())).toEqual({ run: "abc.def", hasShards: false, evicts: false })
      const other = { redis_mode: "cluster", maxmemory_policy: "volatile-ttl", master_replid: "ghi" }
      expect(yield* Server.read(info(other))).toEqual({ run: "abc.ghi", hasShards: true, evicts: true })
      expect((yield* Server.read(info({ redis_mode: "cluster", redis_version: "6.2.14" }))).hasShards).toBe(false)
    })
  )

  it.effect("is that it cannot be used, or not yet", () =>
    Effect.gen(function* () {
      const cases = [
        [{ redis_version: "6.0.20" }, "Rejected", /6\.0 is older than 6\.2/],
        [{ redis_version: "5.0.3" }, "Rejected", /older/],
        [{ loading: "1" }, "Unavailable", /LOADING/],
        [{ role: "slave" }, "Unavailable", /READONLY/]
      ] as const
      for (const [changes, tag, words] of cases) {
        const { message, reason } = yield* Effect.flip(Server.read(info(changes)))
        expect([reason._tag, message]).toEqual([tag, expect.stringMatching(words)])
      }
      expect((yield* Effect.flip(Server.read("")))._tag).toBe("BrokerError")
    })
  )
})
