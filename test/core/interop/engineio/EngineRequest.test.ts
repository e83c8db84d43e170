import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as EngineRequest from "@millrace/core/interop/engineio/EngineRequest"

const parse = (method: string, query: string, isUpgrade = false) => {
  const parsed = EngineRequest.parse(method, new URLSearchParams(query), isUpgrade)
  return Result.isSuccess(parsed) ? parsed.success : parsed.failure.code
}

const named = (sid: string) => ({ transport: "polling", sid })

describe("a request", () => {
  it("is for a new session, or for one that it names", () => {
    expect(parse("GET", "EIO=4&transport=polling")).toEqual({ transport: "polling", sid: undefined })
    expect(parse("GET", "EIO=4&transport=websocket", true)).toEqual({ transport: "websocket", sid: undefined })
    expect(parse("GET", "EIO=4&transport=polling&sid=a&t=abc")).toEqual(named("a"))
    expect(parse("POST", "EIO=4&transport=polling&sid=a")).toEqual(named("a"))
    expect(parse("GET", "EIO=4&transport=websocket&sid=a", true)).toEqual({ transport: "websocket", sid: "a" })
    expect(parse("GET", `EIO=4&transport=polling&sid=${"x".repeat(160)}`)).toEqual(named("x".repeat(160)))
  })

  it.each([
    "constructor",
    "__proto__",
    "toString",
    "hasOwnProperty",
    "prototype",
    "POLLING",
    "polling ",
    "",
    "webtransport"
  ])("goes over nothing that is called %j", (transport) => {
    for (const isUpgrade of [false, true]) {
      for (const sid of ["", "&sid=a"]) {
        expect(parse("GET", `EIO=4&transport=${encodeURIComponent(transport)}${sid}`, isUpgrade)).toBe(0)
      }
    }
  })

  it("has no name of a session that is empty, or longer than 160 characters", () => {
    expect(parse("GET", "EIO=4&transport=polling&sid=")).toBe(1)
    expect(parse("GET", `EIO=4&transport=polling&sid=${"x".repeat(161)}`)).toBe(1)
  })

  it("opens a session by GET alone, and in this revision alone", () => {
    for (const method of ["POST", "PUT", "HEAD", "get", ""]) {
      expect(parse(method, "EIO=4&transport=polling")).toBe(2)
    }
    for (const version of ["EIO=3", "EIO=", "EIO=04", "EIO=4.0", "EIO=5", "EIO=__proto__", "", "EIO=3&EIO=4"]) {
      expect(parse("GET", `${version}&transport=polling`)).toBe(5)
    }
    // What the old revision had for browsers that could do nothing else is not answered as script.
    expect(parse("GET", "EIO=3&transport=polling&j=0&b64=1")).toBe(5)
    expect(parse("GET", "EIO=4&transport=polling&j=0&b64=1")).toEqual({ transport: "polling", sid: undefined })
  })

  it("asks for a WebSocket where it says so, and nowhere else", () => {
    for (const sid of ["", "&sid=a"]) {
      expect(parse("GET", `EIO=4&transport=polling${sid}`, true)).toBe(3)
      expect(parse("GET", `EIO=4&transport=websocket${sid}`, false)).toBe(3)
    }
  })

  it("says each thing once: of two the first counts", () => {
    expect(parse("GET", "EIO=4&transport=polling&transport=constructor&sid=a&sid=b")).toEqual(named("a"))
    expect(parse("GET", "EIO=4&transport=constructor&transport=polling")).toBe(0)
  })

  it("is one of these or refused, whatever it says", () => {
    const word = fc.oneof(
      fc.constantFrom("polling", "websocket", "constructor", "__proto__", "4", "3", "a", ""),
      fc.string({ maxLength: 70 })
    )
    const query = fc.array(
      fc.tuple(fc.oneof(fc.constantFrom("EIO", "transport", "sid", "__proto__"), fc.string()), word)
    )
    let taken = 0
    fc.assert(
      fc.property(fc.constantFrom("GET", "POST", "HEAD"), query, fc.boolean(), (method, pairs, isUpgrade) => {
        const parsed = parse(method, String(new URLSearchParams(pairs as Array<[string, string]>)), isUpgrade)
        if (typeof parsed === "number") expect([0, 1, 2, 3, 5]).toContain(parsed)
        else {
          taken++
          expect(parsed.transport).toBe(isUpgrade ? "websocket" : "polling")
          expect(parsed.sid?.length ?? 1).toBeGreaterThan(0)
        }
      }),
      { numRuns: 3_000 }
    )
    expect(taken).toBeGreaterThan(5)
  })
})

describe("a refusal", () => {
  it("is said by the codes of the protocol, and by 403 where somebody may not", () => {
    const said = ([0, 1, 2, 3, 4, 5] as const).map((code) => {
      const { json, status } = new EngineRequest.EngineRefusal({ code })
      return [status, json]
    })
    expect(said).toEqual([
      [400, '{"code":0,"message":"Transport unknown"}'],
      [400, '{"code":1,"message":"Session ID unknown"}'],
      [400, '{"code":2,"message":"Bad handshake method"}'],
      [400, '{"code":3,"message":"Bad request"}'],
      [403, '{"code":4,"message":"Forbidden"}'],
      [400, '{"code":5,"message":"Unsupported protocol version"}']
    ])
    expect(new EngineRequest.EngineRefusal({ code: 4, detail: 'not "you"' }).json).toBe(
      '{"code":4,"message":"not \\"you\\""}'
    )
  })
})
