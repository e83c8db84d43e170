/** Action Cable: what is printed, read back; and any text at all, read. */
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Packet from "@millrace/core/interop/actioncable/Packet"
import * as ReservedName from "@millrace/core/codec/ReservedName"
import { mutatedText } from "../../../support/engineio.ts"

const extended = { extended: true }

const name = fc.oneof(fc.string({ unit: "binary", maxLength: 12 }), fc.constantFrom('{"channel":"A"}', "toString", "é"))
const id = fc.string({ minLength: 1, maxLength: 8 })

/** JSON as it comes out of a parser. */
const json = fc
  .jsonValue({ maxDepth: 3 })
  .filter((value) => !/"(__proto__|constructor|prototype)":/.test(JSON.stringify(value)))
  .map((value): unknown => JSON.parse(JSON.stringify(value)))

const key = fc.string({ minLength: 1, maxLength: 6 }).filter((text) => !ReservedName.is(text))

const data = fc.dictionary(
  key.filter((text) => text !== "action"),
  json,
  { maxKeys: 3, noNullPrototype: true }
)

const history = fc.record({
  since: fc.option(fc.nat(), { nil: undefined }),
  streams: fc
    .uniqueArray(fc.tuple(key, fc.record({ epoch: id, offset: fc.maxSafeNat() })), {
      selector: ([stream]) => stream,
      maxLength: 3
    })
    .map((all) => new Map(all))
})

const tag = <T extends string>(_tag: T) => fc.constant(_tag)

const command: fc.Arbitrary<Packet.Command> = fc.oneof(
  fc.record({ _tag: tag("Subscribe"), identifier: name, history: fc.option(history, { nil: undefined }) }),
  fc.record({ _tag: fc.constantFrom("Unsubscribe" as const, "Leave" as const), identifier: name }),
  fc.record({ _tag: tag("Perform"), identifier: name, action: id, data }),
  fc.record({ _tag: tag("History"), identifier: name, history }),
  fc.record({ _tag: tag("Pong") }),
  fc.record({ _tag: tag("Whisper"), identifier: name, data: json }),
  fc.record({ _tag: tag("Join"), identifier: name, id, info: json }),
  fc.record({ _tag: tag("Presence"), identifier: name, records: fc.boolean() })
)

const present = fc.record({ id, info: json })

const presence: fc.Arbitrary<Packet.PresenceEvent["event"]> = fc.oneof(
  fc.record({ type: tag("join"), id, info: json }),
  fc.record({ type: tag("leave"), id }),
  fc.record({
    type: tag("info"),
    total: fc.nat(),
    records: fc.option(fc.array(present, { maxLength: 3 }), { nil: undefined })
  }),
  fc.record({ type: tag("error") })
)

const transmission: fc.Arbitrary<Packet.Transmission> = fc.oneof(
  fc.record({
    _tag: tag("Welcome"),
    sid: fc.option(id, { nil: undefined }),
    restored: fc.option(fc.array(name, { maxLength: 3 }), { nil: undefined })
  }),
  fc.record({ _tag: tag("Ping"), time: fc.option(fc.nat(), { nil: undefined }) }),
  fc.record({
    _tag: fc.constantFrom(
      "ConfirmSubscription" as const,
      "RejectSubscription" as const,
      "ConfirmHistory" as const,
      "RejectHistory" as const
    ),
    identifier: name
  }),
  fc.record({
    _tag: tag("Message"),
    identifier: name,
    message: json,
    position: fc.option(fc.record({ stream: name, epoch: id, offset: fc.maxSafeNat() }), { nil: undefined })
  }),
  fc.record({ _tag: tag("Disconnect"), reason: fc.option(id, { nil: undefined }), reconnect: fc.boolean() }),
  fc.record({ _tag: tag("PresenceEvent"), identifier: name, event: presence })
)

const written = (said: Packet.Command) => Result.getOrThrow(Packet.encodeCommand(said))
const transmitted = (said: Packet.Transmission) => Result.getOrThrow(Packet.encodeTransmission(said))

/** Some that is right, much that is nearly right, and some that is nothing. */
const noise = (right: fc.Arbitrary<string>) =>
  fc.oneof(fc.string({ unit: "binary" }), fc.json(), right, mutatedText(right), mutatedText(right))

/** JSON can say -0, also as a number that is too small, and JSON.stringify cannot. */
const positive = (value: unknown): unknown => {
  if (Object.is(value, -0)) return 0
  if (Array.isArray(value)) return value.map(positive)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, positive(each)]))
}

describe("Action Cable", () => {
  it("has commands that are decoded as they were encoded", () => {
    fc.assert(
      fc.property(command, (said) => {
        expect(Packet.decodeCommand(written(said), extended)).toEqual(Result.succeed(said))
      })
    )
  })

  it("has transmissions that are decoded as they were encoded", () => {
    fc.assert(
      fc.property(transmission, (said) => {
        expect(Packet.decodeTransmission(transmitted(said), extended)).toEqual(Result.succeed(said))
      })
    )
  })

  it("has identifiers that say what they were made of", () => {
    const params = fc.dictionary(
      key.filter((text) => text !== "channel"),
      json,
      { maxKeys: 3, noNullPrototype: true }
    )
    fc.assert(
      fc.property(fc.record({ channel: id, params }), (what) => {
        const made = Result.getOrThrow(Packet.printIdentifier(what))
        expect(Packet.parseIdentifier(made)).toEqual(Result.succeed(what))
      })
    )
  })

  it("makes a command or a violation of any text, and says again what it has taken", () => {
    const seen = { taken: 0, refused: 0 }
    fc.assert(
      fc.property(noise(command.map(written)), fc.boolean(), (text, isExtended) => {
        const answer = Packet.decodeCommand(text, { extended: isExtended })
        if (Result.isFailure(answer)) {
          expect(answer.failure).toBeInstanceOf(Packet.CableViolation)
          seen.refused++
        } else {
          const again = Packet.decodeCommand(written(answer.success), { extended: isExtended })
          expect(positive(Result.getOrThrow(again))).toEqual(positive(answer.success))
          seen.taken++
        }
      }),
      { numRuns: 1000 }
    )
    expect(Math.min(seen.taken, seen.refused)).toBeGreaterThan(100)
  })

  it("makes a transmission or a violation of any text, and says again what it has taken", () => {
    const seen = { taken: 0, refused: 0 }
    fc.assert(
      fc.property(noise(transmission.map(transmitted)), fc.boolean(), (text, isExtended) => {
        const answer = Packet.decodeTransmission(text, { extended: isExtended })
        if (Result.isFailure(answer)) {
          expect(answer.failure).toBeInstanceOf(Packet.CableViolation)
          seen.refused++
        } else {
          const again = Packet.decodeTransmission(transmitted(answer.success), { extended: isExtended })
          expect(positive(Result.getOrThrow(again))).toEqual(positive(answer.success))
          seen.taken++
        }
      }),
      { numRuns: 1000 }
    )
    expect(Math.min(seen.taken, seen.refused)).toBeGreaterThan(100)
  })
})
