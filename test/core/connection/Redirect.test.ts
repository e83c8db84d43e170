/** Where redirects lead, and that nothing which was meant for one origin is told to another. */
import * as fc from "fast-check"
import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import type { Request } from "@millrace/core/connection/Fetch"
import * as Redirect from "@millrace/core/connection/Redirect"
import { utf8 } from "../../support/wire.ts"

const asked: Request = {
  method: "GET",
  url: "https://example.com/a/b?c=d",
  headers: [
    ["Accept", "text/event-stream"],
    ["Last-Event-ID", "7"],
    ["Authorization", "Bearer secret"],
    ["COOKIE", "session=secret"],
    ["Proxy-Authorization", "Basic secret"],
    ["X-Api-Key", "secret"]
  ],
  body: undefined,
  credentials: true
}

const follow = (location: string, status = 302, request: Partial<Request> = {}) =>
  Redirect.follow({ ...asked, ...request }, status, location)

const followed = (...given: Parameters<typeof follow>) => Result.getOrThrow(follow(...given))

describe("a redirect to the same origin", () => {
  it.each([
    ["/e", "https://example.com/e"],
    ["e?f", "https://example.com/a/e?f"],
    ["?g", "https://example.com/a/b?g"],
    ["//EXAMPLE.com:443/h", "https://example.com/h"],
    ["https://example.com/i#fragment", "https://example.com/i"]
  ])("to %s leads to %s, with everything that was told", (location, url) => {
    expect(followed(location)).toEqual({ ...asked, url })
  })
})

describe("a redirect to another origin", () => {
  it.each(["https://example.org/", "https://example.com:8443/", "//www.example.com/", "https://example.com./"])(
    "such as %s is told what any page could say, and no credentials",
    (location) => {
      const { credentials, headers } = followed(location)
      expect(headers).toEqual([
        ["Accept", "text/event-stream"],
        ["Last-Event-ID", "7"]
      ])
      expect(credentials).toBe(false)
    }
  )

  it("has left out what it has left out, also when the way leads back", () => {
    const away = followed("https://example.org/")
    const on = followed("/b", 302, away)
    const back = followed("https://example.com/", 302, on)
    for (const { credentials, headers } of [on, back]) expect([headers.length, credentials]).toEqual([2, false])
  })

  it("is told nothing of any header that is not known to be harmless", () => {
    const token = fc.string({ unit: fc.constantFrom(..."abcdefghijklmnopqrstuvwxyzABC-_!0"), minLength: 1 })
    const harmless = /^(accept|accept-language|content-language|content-type|last-event-id|user-agent)$/i
    fc.assert(
      fc.property(fc.array(fc.tuple(token, fc.constant("secret"))), (headers) => {
        const told = followed("https://example.org/", 307, { headers }).headers
        expect(told).toEqual(headers.filter(([name]) => harmless.test(name)))
      })
    )
  })
})

describe("a redirect that is not followed", () => {
  it.each([
    ["http://example.com/", "it redirects to a URL without TLS"],
    ["https://ada:secret@example.com/", "it redirects to a URL with a user"],
    ["https://", "it redirects to no URL"],
    ["file:///etc/passwd", "it redirects to a URL that is not HTTP"],
    ["javascript:alert(1)", "it redirects to a URL that is not HTTP"]
  ])("is one to %s", (location, why) => {
    expect(follow(location)).toEqual(Result.fail(why))
  })

  it("is none from http: to https:, or from http: to http:", () => {
    expect(followed("https://example.com/", 302, { url: "http://example.com/" }).credentials).toBe(false)
    expect(followed("/b", 302, { url: "http://example.com/" }).url).toBe("http://example.com/b")
  })
})

describe("the method", () => {
  const body = utf8("hello") as Uint8Array<ArrayBuffer>
  const headers = [
    ["Content-Type", "text/plain"],
    ["content-language", "en"],
    ["Content-Length", "5"],
    ["X-Api-Key", "secret"]
  ] as const

  it.each([301, 302, 303])("of a POST is GET after %i, without the body and what describes it", (status) => {
    const next = followed("/b", status, { method: "POST", body, headers })
    expect([next.method, next.body, next.headers]).toEqual(["GET", undefined, [["X-Api-Key", "secret"]]])
  })

  it.each([307, 308])("of a POST stays after %i, with the body and its type, also to another origin", (status) => {
    for (const location of ["/b", "https://example.org/"]) {
      const next = followed(location, status, { method: "POST", body, headers })
      expect([next.method, next.body]).toEqual(["POST", body])
      expect(next.headers).toContainEqual(["Content-Type", "text/plain"])
    }
  })
})
