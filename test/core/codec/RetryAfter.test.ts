import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as RetryAfter from "@millrace/core/codec/RetryAfter"

/** Sun, 06 Nov 1994 08:49:37 GMT, the time that RFC 9110 section 5.6.7 writes in three ways. */
const then = Date.UTC(1994, 10, 6, 8, 49, 37)

const read = (value: string, now = then) => RetryAfter.read([["retry-after", value]], now)

/** With the first of January of a year in two digits. */
const waitUntil = (year: string, now: number) => read(`Monday, 01-Jan-${year} 00:00:00 GMT`, now)

const yearsUntil = (from: number, to: number) => Date.UTC(to, 0) - Date.UTC(from, 0)

describe("RFC 9110 10.2.3: Retry-After", () => {
  it("is a number of seconds", () => {
    expect(read("120")).toBe(120_000)
    expect(read("0")).toBe(0)
    expect(read(" 007\t")).toBe(7_000)
    expect(read("9".repeat(400))).toBe(Infinity)
  })

  it.each(["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"])(
    "5.6.7: is a date: %s",
    (date) => {
      expect(read(date)).toBe(0)
      expect(read(date, then - 90_000)).toBe(90_000)
      expect(read(date, then + 1)).toBe(0)
    }
  )

  it("the RFC's own example", () => {
    expect(read("Fri, 31 Dec 1999 23:59:59 GMT", Date.UTC(1999, 11, 31, 23, 58))).toBe(119_000)
  })

  it("5.6.7: two digits of a year that appear to be more than 50 years ahead are in the past", () => {
    expect(waitUntil("70", Date.UTC(2020, 0))).toBe(yearsUntil(2020, 2070))
    expect(waitUntil("71", Date.UTC(2020, 0))).toBe(0)
    expect(waitUntil("19", Date.UTC(2020, 0))).toBe(0)
    expect(waitUntil("02", Date.UTC(1999, 0))).toBe(yearsUntil(1999, 2002))
    expect(waitUntil("99", Date.UTC(1999, 0))).toBe(0)
  })

  it("a leap second is the next one, and a day is one that there is", () => {
    expect(read("Sat, 31 Dec 2016 23:59:60 GMT", Date.UTC(2016, 11, 31))).toBe(86_400_000)
    expect(read("Thu, 29 Feb 2024 00:00:00 GMT", Date.UTC(2024, 1, 28))).toBe(86_400_000)
    expect(read("Wed, 29 Feb 2023 00:00:00 GMT", 0)).toBeUndefined()
    expect(read("Mon, 31 Apr 2023 00:00:00 GMT", 0)).toBeUndefined()
    expect(read("Mon, 00 Apr 2023 00:00:00 GMT", 0)).toBeUndefined()
    expect(read("Mon, 03 Apr 2023 24:00:00 GMT", 0)).toBeUndefined()
    expect(read("Mon, 03 Apr 2023 23:60:00 GMT", 0)).toBeUndefined()
    expect(read("Mon, 03 Apr 2023 23:59:61 GMT", 0)).toBeUndefined()
  })

  it.each([
    "",
    "-1",
    "+1",
    "1.5",
    "1e3",
    "Infinity",
    "soon",
    "120, 60",
    "2026-01-01T00:00:00Z",
    "Sun, 6 Nov 1994 08:49:37 GMT",
    "Sun, 06 nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 08:49:37",
    "Sun, 06 Nov 1994 08:49:37 UTC",
    "Sun, 06 Nov 1994 08:49:37 GMT+1",
    "Sun, 06 Nov 94 08:49:37 GMT",
    "Sunday, 06-Nov-1994 08:49:37 GMT",
    "Day, 06 Nov 1994 08:49:37 GMT",
    "Sun Nov 6 08:49:37 1994"
  ])("nothing else: %j", (value) => {
    expect(read(value)).toBeUndefined()
  })

  it("is absent, or the last of several", () => {
    expect(RetryAfter.read([], then)).toBeUndefined()
    expect(RetryAfter.read([["Retry-After-X", "5"]], then)).toBeUndefined()
    expect(
      RetryAfter.read(
        [
          ["Retry-After", "5"],
          ["RETRY-AFTER", "7"]
        ],
        then
      )
    ).toBe(7_000)
  })

  it("reads every second as it is printed", () => {
    const second = fc.integer({ min: 0, max: Date.UTC(9999, 11, 31, 23, 59, 59) / 1000 })
    fc.assert(
      fc.property(second, second, (at, now) => {
        expect(read(new Date(at * 1000).toUTCString(), now * 1000)).toBe(Math.max(0, at - now) * 1000)
      })
    )
  })

  it("answers any value with a time or none", () => {
    const unit = fc.constantFrom(..."0123456789 :,-", "Sun", "Sunday", "Nov", "GMT", "06")
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 30 }), fc.maxSafeInteger(), (value, now) => {
        const wait = read(value, now)
        expect(wait === undefined || wait >= 0).toBe(true)
      })
    )
  })
})
