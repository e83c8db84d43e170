/** What `--broker` may say. That it does what it says is in `serve.cluster.test.ts`. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { describe, expect, it } from "vitest"
import * as broker from "@millrace/node/cli/broker"

describe("--broker", () => {
  it.each([
    ["memory", "memory"],
    ["redis://localhost", "redis"],
    ["redis://user:pass@host:6380/2", "redis"],
    ["rediss://host", "redis"],
    ["nats://[::1]:4222", "nats"],
    ["tls://host", "nats"]
  ])("%s is %s", (text, kind) => {
    expect(broker.parse(text)?.kind).toBe(kind)
  })

  it.each(["", "Memory", "localhost:6379", "redis", "redis:", "redis://", "http://localhost", "kafka://localhost"])(
    "%j is none",
    (text) => {
      expect(broker.parse(text)).toBeUndefined()
    }
  )
})

it("in memory keeps what it is told to keep, for as long", async () => {
  const values = { broker: broker.parse("memory")!, historySize: 1, historyAge: Option.some(1_000) }
  const made = await Effect.runPromise(Effect.scoped(broker.make(values)))
  expect([made.name, made.isLocal]).toEqual(["memory", true])
})
