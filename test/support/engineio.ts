/** Packets of Engine.IO, and what becomes of text on its way. */
import * as Result from "effect/Result"
import * as fc from "fast-check"
import * as Packet from "@millrace/core/interop/engineio/Packet"

/** Text that survives UTF-8. */
const text = fc.oneof(
  { weight: 4, arbitrary: fc.string({ unit: "binary", maxLength: 12 }) },
  { weight: 1, arbitrary: fc.constantFrom("b", "0", "probe", "é€😀", '{"sid":"a"}', "\u0000", "\ufeff") }
)

const bytes = fc.uint8Array({ maxLength: 12 })

/** Any packet, as a WebSocket carries it. */
export const packet: fc.Arbitrary<Packet.Packet> = fc.oneof(
  fc.constantFrom<Packet.Packet>({ _tag: "Close" }, { _tag: "Upgrade" }, { _tag: "Noop" }),
  fc.record({ _tag: fc.constantFrom("Open" as const, "Ping" as const, "Pong" as const), data: text }),
  fc.record({ _tag: fc.constant("Message" as const), data: fc.oneof(text, bytes) })
)

/** Packets that the body of a poll can carry. */
export const packets = fc.array(packet.filter(Packet.isPollable), { minLength: 1, maxLength: 6 })

/** A body. */
export const payloadText = packets.map((sent) => Result.getOrThrow(Packet.encodePayload(sent)))

const scraps = ["", "\u001e", "b", "4", "-", ",", "/", "?", "[", "]", "{", "}", '"', "\\", "0", "9", "e", " ", "é", "="]

/** Text of which parts have been left out, doubled or replaced. */
export const mutatedText = (of: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .tuple(of, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 3 }), fc.constantFrom(...scraps)), { maxLength: 3 }))
    .map(([whole, changes]) => {
      let changed = whole
      for (const [where, length, scrap] of changes) {
        const at = where % (changed.length + 1)
        changed = changed.slice(0, at) + scrap + changed.slice(at + length)
      }
      return changed
    })
