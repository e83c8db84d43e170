/** Starting a server: where it may listen, and with whom. */
import * as net from "node:net"
import { describe, expect, it } from "@effect/vitest"
import * as Listen from "@millrace/node/Listen"
import * as Effect from "effect/Effect"

describe("a port", () => {
  it.live("is for one server alone", () =>
    Effect.gen(function* () {
      const { port } = yield* Listen.listen(net.createServer(), {})
      const error = yield* Effect.flip(Listen.listen(net.createServer(), { port }))
      expect([error.code, error.message]).toEqual(["EADDRINUSE", `127.0.0.1:${port} is in use already`])
    }).pipe(Effect.scoped)
  )

  it.live.skipIf(process.platform !== "linux")("is shared by those who all say so, and by no others", () =>
    Effect.gen(function* () {
      const { port } = yield* Listen.listen(net.createServer(), { reusePort: true })
      expect(yield* Listen.listen(net.createServer(), { port, reusePort: true })).toMatchObject({ port })
      expect((yield* Effect.flip(Listen.listen(net.createServer(), { port }))).code).toBe("EADDRINUSE")
    }).pipe(Effect.scoped)
  )
})
