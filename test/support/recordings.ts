/** Recordings made by hand and at random. */
import * as fc from "fast-check"
import * as Frame from "@millrace/core/codec/Frame"
import type * as Recording from "@millrace/core/protocol/Recording"
import { utf8 } from "./wire.ts"

export const header: Recording.Header = {
  _tag: "Header",
  role: "client",
  url: undefined,
  subprotocol: undefined,
  extensions: undefined,
  start: 0
}

export const of = (...entries: ReadonlyArray<Recording.Entry>): Recording.Recording => ({ header, entries })

type Role = Recording.Recorded["from"]

/** A whole frame, a millisecond or more after the start. */
export const frame = (
  from: Role,
  opcode: keyof typeof Frame.Opcode,
  payload: string | Uint8Array,
  more: Partial<Recording.Recorded> = {}
): Recording.Recorded => ({
  _tag: "Frame",
  t: 1,
  from,
  fin: true,
  rsv: 0,
  opcode: Frame.Opcode[opcode],
  payload: typeof payload === "string" ? utf8(payload) : payload,
  cut: 0,
  torn: 0,
  ...more
})

export const text = (from: Role, payload: string, more?: Partial<Recording.Recorded>): Recording.Recorded =>
  frame(from, "text", payload, more)

export const end: Recording.End = { _tag: "End", t: 9, error: undefined }

const t = fc.oneof(fc.nat(), fc.double({ min: 0, max: 1e9, noNaN: true })).map((n) => n + 0)
const from = fc.constantFrom("client" as const, "server" as const)
const count = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.maxSafeNat() })
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 20 }),
  fc.string({ unit: "grapheme", maxLength: 8 }).map(utf8),
  fc.constantFrom(
    Uint8Array.of(3, 0xe8),
    Uint8Array.of(3, 0xed),
    Uint8Array.of(3, 0xe8, 0xef, 0xbb, 0xbf, 10),
    Uint8Array.of(3)
  )
)
const something = fc.option(fc.string({ unit: "grapheme" }), { nil: undefined })

const entry: fc.Arbitrary<Recording.Entry> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      _tag: fc.constant("Frame" as const),
      t,
      from,
      fin: fc.boolean(),
      rsv: fc.oneof(fc.constant(0), fc.nat({ max: 7 })),
      opcode: fc.constantFrom(...Object.values(Frame.Opcode)),
      payload: bytes,
      cut: fc.nat({ max: 3 }),
      torn: fc.nat({ max: 3 })
    })
  },
  {
    weight: 1,
    arbitrary: fc.record({
      _tag: fc.constant("Raw" as const),
      t,
      from,
      bytes,
      cut: fc.nat({ max: 3 }),
      violation: something
    })
  },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Ended" as const), t, from, abruptly: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Omitted" as const), t, bytes: count }) }
)

/** Any recording, of frames that no end would send, too. */
export const any: fc.Arbitrary<Recording.Recording> = fc
  .tuple(
    fc.record({
      _tag: fc.constant("Header" as const),
      role: from,
      url: something,
      subprotocol: something,
      extensions: something,
      start: fc.maxSafeNat()
    }),
    fc.array(entry, { maxLength: 8 }),
    fc.option(fc.record({ _tag: fc.constant("End" as const), t, error: something }), { nil: undefined })
  )
  .map(([header, entries, end]) => ({ header, entries: end === undefined ? entries : [...entries, end] }))
