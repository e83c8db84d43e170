import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { BrokerError } from "@millrace/core/cluster/BrokerError"
import * as EngineBroker from "@millrace/core/cluster/EngineBroker"
import * as EngineName from "@millrace/core/cluster/EngineName"
import * as Parcel from "@millrace/core/cluster/Parcel"
import * as Message from "@millrace/core/protocol/Message"
import { turn } from "../../support/connection.ts"
import * as FaultyEngine from "../../support/faultyEngine.ts"

describe("a name", () => {
  it("is text that has UTF-8, of so many bytes", () => {
    for (const name of ["", "a", "\0", "𝄞", "\ufffd", "__proto__", "é".repeat(8)]) {
      expect(EngineName.wrong(name, 16)).toBeUndefined()
    }
    for (const name of ["\ud800", "a\udfff", "\udc00\ud800"]) expect(EngineName.wrong(name, 16)).toMatch(/well-formed/)
    for (const name of ["é".repeat(8) + "a", "x".repeat(17), "日".repeat(6)]) {
      expect(EngineName.wrong(name, 16)).toBe("a name of more than 16 bytes")
    }
    expect(EngineName.wrong("x".repeat(EngineName.maxBytes), EngineName.maxBytes)).toBeUndefined()
  })

  it.effect("that cannot be said is refused to whoever says it, and no server hears of it", () =>
    Effect.gen(function* () {
      const server = yield* FaultyEngine.make()
      const engine = { ...server.engine("a"), maxNameBytes: 16 }
      const broker = yield* EngineBroker.make(engine)
      yield* turn
      const { subscribe } = yield* broker.attach({ deliver: () => {}, lost: () => {} })
      const before = server.calls.length
      const parcel = Parcel.make(Message.text("1"))
      for (const name of ["\ud800", "x".repeat(17)]) {
        const calls: ReadonlyArray<Effect.Effect<unknown, BrokerError>> = [
          subscribe(name),
          broker.publish(name, parcel),
          broker.since(["a", name, "b"], undefined),
          broker.cast(name, new Uint8Array()),
          Effect.scoped(broker.hear(name, () => {}))
        ]
        for (const call of calls) expect((yield* Effect.flip(call)).reason._tag).toBe("Rejected")
      }
      expect(server.calls.length).toBe(before)
      expect(broker.status()._tag).toBe("Up")
    })
  )
})
