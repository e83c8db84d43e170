/** `EventStream` against the prose of the standard, over any bytes, however they are cut; and what is printed, read back. */
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as EventStream from "@millrace/core/codec/EventStream"
import * as Lines from "@millrace/core/codec/EventStreamLines"
import { interpret, limits, type Outcome, stream } from "../../support/eventStream.ts"
import { concat } from "../../support/frames.ts"
import { cut, utf8 } from "../../support/wire.ts"

/** All that came of the chunks. */
const pushAll = (chunks: ReadonlyArray<Uint8Array>, options: EventStream.Options): Outcome => {
  const parser = EventStream.makeParser({ comments: true, ...options })
  const all = chunks.map((chunk) => {
    const bytes = Uint8Array.from(chunk)
    const parsed = parser.push(bytes)
    bytes.fill(0x61) // what was pushed belongs to whoever pushed it
    return parsed
  })
  expect(all.filter(({ violation }) => violation !== undefined).length).toBeLessThanOrEqual(1)
  const violation = all.find((parsed) => parsed.violation !== undefined)?.violation
  if (violation !== undefined) {
    expect(violation.limit).toBe(violation.over === "line" ? options.maxLineBytes : options.maxEventBytes)
  }
  return {
    events: all.flatMap(({ events }) => events),
    lastEventId: all.at(-1)?.lastEventId ?? options.lastEventId ?? "",
    retry: all.findLast(({ retry }) => retry !== undefined)?.retry,
    comments: all.flatMap(({ comments }) => comments),
    over: violation?.over
  }
}

describe("EventStream.Parser", () => {
  it("says what the standard says, of any bytes cut anywhere, up to the limits", () => {
    const seen = { events: 0, line: 0, event: 0 }
    fc.assert(
      fc.property(
        stream,
        fc.array(fc.nat(), { maxLength: 12 }),
        limits,
        fc.constantFrom("", "7"),
        (bytes, at, max, id) => {
          const expected = interpret(bytes, max, id)
          expect(pushAll(cut(bytes, at), { ...max, lastEventId: id })).toEqual(expected)
          seen.events += expected.events.length
          if (expected.over !== undefined) seen[expected.over]++
        }
      ),
      { numRuns: 5000 }
    )
    // The streams do reach what they are to test.
    expect(seen.events).toBeGreaterThan(2000)
    expect(seen.line).toBeGreaterThan(300)
    expect(seen.event).toBeGreaterThan(100)
  })

  it("says the same byte by byte", () => {
    fc.assert(
      fc.property(stream, limits, (bytes, max) => {
        const bytewise = Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))
        expect(pushAll(bytewise, max)).toEqual(interpret(bytes, max))
      }),
      { numRuns: 1000 }
    )
  })

  it("says the same of lines that are long, and where they are cut", () => {
    const place = fc.oneof(fc.nat({ max: 600 }), fc.constantFrom(15, 16, 17, 31, 32, 33, 255, 256, 257))
    const filler = fc.constantFrom("x", "\t", "é", "\u0000", "\u000b", "\u000e", "\u008a\u010d")
    fc.assert(
      fc.property(
        fc.array(fc.tuple(stream, filler, place), { maxLength: 4 }),
        fc.array(fc.nat(), { maxLength: 3 }),
        limits,
        (parts, at, max) => {
          const bytes = concat(
            parts.flatMap(([lines, filling, length]) => [lines, utf8(`data:${filling.repeat(length)}`)])
          )
          expect(pushAll(cut(bytes, at), max)).toEqual(interpret(bytes, max))
        }
      ),
      { numRuns: 1000 }
    )
  })

  it("says the same of a chunk that is more than is searched at once", () => {
    const seen = { events: 0, retry: 0, comments: 0, over: 0 }
    fc.assert(
      fc.property(
        stream,
        stream,
        fc.nat({ max: 60 }),
        fc.constantFrom("x\n", "é\r\n", "€\r"),
        limits,
        (before, after, back, filler, max) => {
          const fill = (length: number) => utf8(filler.repeat(Math.ceil(length / 4))).subarray(0, length)
          // The second stream begins near the end of the first piece, most often before it.
          const space = fill(Math.max(0, Lines.mostBytes - before.length - back))
          const bytes = concat([before, utf8("\n"), space, after, fill(10)])
          const expected = interpret(bytes, max)
          expect(pushAll([bytes], max)).toEqual(expected)
          seen.events += expected.events.length
          seen.comments += expected.comments.length
          if (expected.retry !== undefined) seen.retry++
          if (expected.over !== undefined) seen.over++
        }
      ),
      { numRuns: 200 }
    )
    expect(Math.min(...Object.values(seen))).toBeGreaterThan(0)
  })
})

/** Strings of all kinds, and those that break out of a line, or into the next. */
const anyString = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({
    unit: fc.constantFrom("a", " ", ":", "\r", "\n", "\u0000", "\ufeff", "\ud800", "\udc00", "é", "😀", "\u2028")
  }),
  fc.constantFrom(
    "",
    " ",
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "\ndata: injected\n\n",
    "\rid: 1",
    "\r\n\r\nevent: x\r\ndata:\r\n\r\n"
  )
)

const optional = <A>(arbitrary: fc.Arbitrary<A>) => fc.option(arbitrary, { nil: undefined, freq: 3 })

const printable: fc.Arbitrary<EventStream.Printable> = fc.record({
  data: optional(anyString),
  event: optional(anyString),
  id: optional(anyString),
  retry: optional(fc.oneof(fc.nat(), fc.maxSafeInteger(), fc.double(), fc.constantFrom(-0, -1, 2 ** 53, 1e21)))
})

/** As data arrives: every end of a line is LF, and what is no character is U+FFFD. */
const arriving = (data: string) => new TextDecoder().decode(utf8(`x${data.replaceAll(/\r\n|\r/g, "\n")}`)).slice(1)

describe("EventStream.print", () => {
  it("gives what is read back as the same event, by us and by the standard, or a refusal", () => {
    let printed = 0
    fc.assert(
      fc.property(fc.array(printable, { maxLength: 4 }), fc.array(fc.nat(), { maxLength: 4 }), (list, at) => {
        const accepted = list.filter((one) => Result.isSuccess(EventStream.encode(one)))
        const bytes = concat(accepted.map((one) => Result.getOrThrow(EventStream.encode(one))))
        let id = ""
        const events = accepted.flatMap((one): ReadonlyArray<EventStream.Event> => {
          id = one.id ?? id
          return one.data === undefined ? [] : [{ event: one.event ?? "message", data: arriving(one.data), id }]
        })
        const last = accepted.findLast((one) => one.retry !== undefined)?.retry
        const retry = last === undefined ? undefined : last + 0 // -0 is 0
        const expected = { events, lastEventId: id, retry, comments: [], over: undefined }
        expect(pushAll(cut(bytes, at), EventStream.defaultLimits)).toEqual(expected)
        expect(interpret(bytes, EventStream.defaultLimits)).toEqual(expected)
        printed += accepted.length
      }),
      { numRuns: 5000 }
    )
    expect(printed).toBeGreaterThan(1000)
  })

  it("refuses only what would not arrive as it is", () => {
    fc.assert(
      fc.property(anyString, anyString, (name, id) => {
        const line = /^(?![^]*[\r\n])[^]*$/
        const isWhole = (text: string) => arriving(text) === text && line.test(text)
        expect(Result.isSuccess(EventStream.print({ data: "", event: name }))).toBe(isWhole(name) && name !== "")
        expect(Result.isSuccess(EventStream.print({ id }))).toBe(isWhole(id) && !id.includes("\u0000"))
        expect(Result.isSuccess(EventStream.print({ data: name }))).toBe(true)
      }),
      { numRuns: 3000 }
    )
  })

  it("gives comments that are nothing else, whatever they hold", () => {
    fc.assert(
      fc.property(anyString, (comment) => {
        const bytes = utf8(`${EventStream.printComment(comment)}data: after\n\n`)
        const { comments, events } = EventStream.parse(bytes, { comments: true })
        expect(events).toEqual([{ event: "message", data: "after", id: "" }])
        expect(comments.join("\n")).toBe(arriving(comment))
      }),
      { numRuns: 2000 }
    )
  })
})
