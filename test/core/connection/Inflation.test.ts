/** Compressed conversations, as they would be without compression: RFC 7692 section 7.2. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Deflate from "@millrace/core/connection/Deflate"
import * as Inflation from "@millrace/core/connection/Inflation"
import type * as Recording from "@millrace/core/protocol/Recording"
import { deflate } from "../../support/compression.ts"
import { end, frame, of, text } from "../../support/recordings.ts"
import { hex, utf8 } from "../../support/wire.ts"

const inflate = (recording: Recording.Recording, maxMessageBytes?: number) =>
  Effect.provideService(Inflation.inflate(recording, { maxMessageBytes }), Deflate.Deflate, deflate)

const reasonOf = (recording: Recording.Recording, most?: number) => Effect.flip(inflate(recording, most))

/** "Hello" as RFC 7692 section 7.2.3.2 prints it, and again with the window that it leaves behind. */
const [hello, again] = [hex("f2 48 cd c9 c9 07 00"), hex("f2 00 11 00 00")]

const compressed = (from: "client" | "server", payload: Uint8Array, more?: Partial<Recording.Recorded>) =>
  frame(from, "text", payload, { rsv: 4, ...more })

describe("inflate", () => {
  it.effect("gives each message as it was before, with what those before it left behind, for each side", () =>
    Effect.gen(function* () {
      const recording = of(
        compressed("client", hello),
        compressed("server", hello),
        text("client", "as it is"),
        text("client", "of another extension", { rsv: 2 }),
        compressed("client", again),
        compressed("server", again)
      )
      expect((yield* inflate(recording)).entries).toEqual([
        text("client", "Hello"),
        text("server", "Hello"),
        text("client", "as it is"),
        text("client", "of another extension", { rsv: 2 }),
        text("client", "Hello"),
        text("server", "Hello")
      ])
    })
  )

  it.effect("gives fragments as one, where the last of them was, and leaves alone what came in between", () =>
    Effect.gen(function* () {
      const recording = of(
        compressed("client", hello.subarray(0, 3), { fin: false, rsv: 6 }),
        frame("client", "ping", ""),
        text("server", "a"),
        frame("client", "continuation", hello.subarray(3), { t: 5 }),
        end
      )
      expect((yield* inflate(recording)).entries).toEqual([
        frame("client", "ping", ""),
        text("server", "a"),
        text("client", "Hello", { t: 5, rsv: 2 }),
        end
      ])
    })
  )

  it.effect("leaves what has no end as it is, before the end of the transport", () =>
    Effect.gen(function* () {
      const first = compressed("client", hello, { fin: false })
      const second = frame("client", "continuation", hex("00"), { torn: 3 })
      const close = frame("server", "close", "")
      expect((yield* inflate(of(first, second, close, end))).entries).toEqual([close, first, second, end])
      expect((yield* inflate(of(first, second, close))).entries).toEqual([close, first, second])
    })
  )

  it.effect("fails for what was cut, is corrupt or is too long", () =>
    Effect.gen(function* () {
      const cut = of(text("client", "a", { cut: 1 }), compressed("client", hello, { cut: 1 }))
      expect(yield* reasonOf(cut)).toMatchObject({ _tag: "Unplayable", entry: 1 })
      expect(yield* reasonOf(of(compressed("client", utf8("xx"))))).toMatchObject({ _tag: "CorruptData" })
      expect(yield* reasonOf(of(compressed("client", hello)), 4)).toMatchObject({ _tag: "TooLong", maxBytes: 4 })
      const bomb = yield* deflate.deflate(new Uint8Array(1_048_577), { windowBits: 15, dictionary: undefined })
      expect(yield* reasonOf(of(compressed("client", bomb)))).toMatchObject({ maxBytes: 1_048_576 })
    })
  )
})
