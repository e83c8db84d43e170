/** Packets of Socket.IO: what is printed, read back; and a decoder that takes anything at all, and goes on. */
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Packet from "@millrace/core/interop/socketio/Packet"
import { mutatedText } from "../../../support/engineio.ts"
import { generous, packet } from "../../../support/socketio.ts"

const messages = (sent: Packet.Packet): ReadonlyArray<string | Uint8Array> => {
  const { attachments, text } = Result.getOrThrow(Packet.encode(sent, generous))
  return [text, ...attachments]
}

/** What somebody else may send: messages of packets, some changed, left out or doubled, and some of anything. */
const history = fc.array(
  fc.oneof(
    packet.map(messages),
    fc.tuple(packet.map(messages), fc.nat()).map(([all, at]) => all.filter((_, i) => i !== at % all.length)),
    mutatedText(packet.map((sent) => messages(sent)[0] as string)).map((text) => [text]),
    fc.string({ unit: "binary" }).map((text) => [text]),
    fc.uint8Array({ maxLength: 5 }).map((bytes) => [bytes])
  ),
  { maxLength: 6 }
)

describe("Socket.IO's packets", () => {
  it("are decoded as they were encoded, one behind the other", () => {
    let attachments = 0
    fc.assert(
      fc.property(fc.array(packet, { maxLength: 4 }), (sent) => {
        const decoder = Packet.makeDecoder(generous)
        const got = sent.flatMap(messages).map((data) => Result.getOrThrow(decoder.push(data)))
        expect(got.filter((one) => one !== undefined)).toEqual(sent)
        expect(decoder.missing()).toBe(0)
        attachments += got.filter((one) => one === undefined).length
      }),
      { numRuns: 200 }
    )
    expect(attachments).toBeGreaterThan(30)
  })

  it("or a violation are what anything is, and a decoder goes on behind it", () => {
    const seen = { packets: 0, violations: 0 }
    fc.assert(
      fc.property(history, packet, (before, next) => {
        const decoder = Packet.makeDecoder(generous)
        for (const data of before.flat()) {
          const answer = decoder.push(data)
          if (Result.isFailure(answer)) {
            expect(answer.failure).toBeInstanceOf(Packet.SocketIoViolation)
            expect(decoder.missing()).toBe(0)
            seen.violations++
          } else if (answer.success !== undefined) {
            // What was taken can be said, and is the same.
            const again = Packet.makeDecoder(generous)
            const said = Packet.encode(answer.success, generous)
            if (Result.isFailure(said)) expect(said.failure.detail).toContain("placeholder beside bytes")
            else
              expect(
                messages(answer.success)
                  .map((one) => again.push(one))
                  .at(-1)
              ).toEqual(answer)
            seen.packets++
          }
        }
        // Whoever waits for attachments is told to wait no more.
        if (decoder.missing() > 0) expect(Result.isFailure(decoder.push("0"))).toBe(true)
        expect(
          messages(next)
            .map((one) => decoder.push(one))
            .at(-1)
        ).toEqual(Result.succeed(next))
      }),
      { numRuns: 300 }
    )
    expect(Math.min(seen.packets, seen.violations)).toBeGreaterThan(100)
  })
})
