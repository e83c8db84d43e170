import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Origin from "@millrace/core/codec/Origin"
import { failureOf } from "../../support/handshake.ts"

const allow = (...origins: ReadonlyArray<string>) => Result.getOrThrow(Origin.allow(origins))

const permitsSame = (origin: string | undefined, host: string, scheme?: "http" | "https") =>
  Origin.permits(Origin.sameOrigin, origin, { host, scheme })

describe("Origin.parse", () => {
  it.each([
    ["https://example.com", "https", "example.com", 443],
    ["HTTPS://Example.COM", "https", "example.com", 443],
    ["http://example.com:8080", "http", "example.com", 8080],
    ["http://localhost:0", "http", "localhost", 0],
    ["http://127.0.0.1:65535", "http", "127.0.0.1", 65535],
    ["http://[::1]:3000", "http", "[::1]", 3000],
    ["https://[2001:DB8::1]", "https", "[2001:db8::1]", 443],
    ["https://example.com.", "https", "example.com.", 443],
    ["https://xn--bcher-kva.example", "https", "xn--bcher-kva.example", 443],
    ["http://my_service:80", "http", "my_service", 80],
    ["wss://example.com", "wss", "example.com", 443],
    ["chrome-extension://abcdefghijklmnop", "chrome-extension", "abcdefghijklmnop", undefined]
  ])("RFC 6454 6.2: %s", (text, scheme, host, port) => {
    expect(Origin.parse(text)).toEqual({ scheme, host, port })
  })

  it.each([
    "null",
    "",
    "*",
    "https://",
    "https:",
    "//example.com",
    "example.com",
    "https://example.com/",
    "https://example.com/path",
    "https://example.com?query",
    "https://example.com#fragment",
    "https://user@example.com",
    "https://user:pass@example.com",
    "https://example.com@evil.example",
    "https://example.com\\.evil.example",
    "https://example.com https://evil.example",
    "https://example.com,https://evil.example",
    " https://example.com",
    "https://example.com ",
    "https://example.com\r\n",
    "https://exam\u0000ple.com",
    "https://example.com:",
    "https://example.com:-1",
    "https://example.com:0443",
    "https://example.com:65536",
    "https://example.com:443443",
    "https://example.com:4a",
    "https://example.com:80:80",
    "https://example..com",
    "https://.example.com",
    "https://example.com..",
    "https://.",
    "https://*.example.com",
    "https://b\u00fccher.example",
    "https://example\u3002com",
    "https://e\u212aample.com",
    "https://%65xample.com",
    "https://::1",
    "https://[::1",
    "https://[::1]evil.example",
    "https://[]",
    "https://[example.com]",
    "https://[::1%25eth0]",
    "1https://example.com",
    "ht tps://example.com",
    "://example.com",
    `https://${"a.".repeat(128)}com`
  ])("%j is no origin", (text) => {
    expect(Origin.parse(text)).toBeUndefined()
  })
})

describe("Origin.parseAuthority, RFC 9110 7.2", () => {
  it.each([
    ["server.example.com", "server.example.com", undefined],
    ["Server.Example.com:8443", "server.example.com", 8443],
    ["example.com:", "example.com", undefined],
    ["[::1]", "[::1]", undefined]
  ])("%s", (text, host, port) => {
    expect(Origin.parseAuthority(text)).toEqual({ host, port })
  })

  it.each(["", ":80", "a/b", "a@b", "a b", "a,b", "a?b", "a#b", "a\\b", "http://a", "a:b"])("%j is none", (text) => {
    expect(Origin.parseAuthority(text)).toBeUndefined()
  })
})

describe("Origin.sameOrigin, RFC 6455 10.2", () => {
  it.each([
    ["no origin: not a browser", undefined, "example.com"],
    ["the same", "https://example.com", "example.com"],
    ["the same over http", "http://example.com", "example.com"],
    ["another case", "https://EXAMPLE.com", "example.COM"],
    ["the same port", "http://localhost:5173", "localhost:5173"],
    ["the port that https implies", "https://example.com", "example.com:443"],
    ["the port that https implies, spelled out by the page", "https://example.com:443", "example.com"],
    ["a trailing dot on both", "https://example.com.", "example.com."],
    ["punycode", "https://xn--bcher-kva.example", "xn--bcher-kva.example"],
    ["IPv6", "http://[::1]:8080", "[::1]:8080"]
  ])("lets in: %s", (_, origin, host) => {
    expect(permitsSame(origin, host)).toBe(true)
  })

  it.each([
    ["null", "null", "example.com"],
    ["an empty origin", "", "example.com"],
    ["a suffix", "https://example.com.evil", "example.com"],
    ["a prefix", "https://evilexample.com", "example.com"],
    ["a subdomain", "https://a.example.com", "example.com"],
    ["the parent", "https://example.com", "a.example.com"],
    ["another port", "https://example.com:8443", "example.com"],
    ["another port of ours", "https://example.com", "example.com:8443"],
    ["the port of another scheme", "https://example.com:80", "example.com"],
    ["the port of another scheme on our side", "http://example.com", "example.com:443"],
    ["a trailing dot", "https://example.com.", "example.com"],
    ["user information", "https://example.com@evil.example", "example.com"],
    ["a path", "https://example.com/", "example.com"],
    ["two origins", "https://example.com https://example.com", "example.com"],
    ["a name outside ASCII", "https://b\u00fccher.example", "xn--bcher-kva.example"],
    ["a scheme without a port", "chrome-extension://example", "example"],
    ["file", "file://", "example.com"],
    ["a Host that is none", "https://example.com", "example.com/"]
  ])("keeps out: %s", (_, origin, host) => {
    expect(permitsSame(origin, host)).toBe(false)
  })

  it("compares the scheme where it is known", () => {
    expect(permitsSame("https://example.com", "example.com", "https")).toBe(true)
    expect(permitsSame("http://example.com", "example.com", "https")).toBe(false)
    expect(permitsSame("https://example.com", "example.com", "http")).toBe(false)
  })
})

describe("Origin.sameOriginOr", () => {
  it("lets in its own pages, and those of the others as they are at the time", () => {
    const others: Array<Origin.Origin> = []
    const policy = Origin.sameOriginOr(() => others)
    const may = (origin: string | undefined) => Origin.permits(policy, origin, { host: "one.example" })
    expect([may("https://one.example"), may(undefined), may("https://two.example")]).toEqual([true, true, false])
    others.push(Origin.parse("https://two.example")!)
    expect(may("https://two.example")).toBe(true)
    for (const origin of ["http://two.example", "https://two.example:444", "https://a.two.example", "null"]) {
      expect([origin, may(origin)]).toEqual([origin, false])
    }
  })
})

describe("Origin.allow", () => {
  const policy = allow("https://example.com", "http://localhost:5173", "https://*.apps.example.net", "app://local")
  const permits = (origin: string | undefined) => Origin.permits(policy, origin, { host: "api.example.org" })

  it.each([
    undefined,
    "https://example.com",
    "https://EXAMPLE.com:443",
    "http://localhost:5173",
    "https://a.apps.example.net",
    "https://b.a.apps.example.net",
    "app://local"
  ])("lets in %s", (origin) => {
    expect(permits(origin)).toBe(true)
  })

  it.each([
    "null",
    "https://api.example.org",
    "http://example.com",
    "https://example.com:8443",
    "https://example.com.",
    "https://example.com.evil",
    "https://www.example.com",
    "https://apps.example.net",
    "https://evilapps.example.net",
    "https://a.apps.example.net.evil",
    "https://a.apps.example.net.",
    "https://a.apps.example.net:444",
    "http://a.apps.example.net",
    "https://.apps.example.net",
    "https://evil.example/.apps.example.net",
    "https://evil.example?.apps.example.net",
    "http://localhost",
    "app://local:1"
  ])("keeps out %s", (origin) => {
    expect(permits(origin)).toBe(false)
  })

  it.each([
    "null",
    "*",
    "https://*",
    "https://*.com",
    "https://*.com.",
    "https://*.0.0.1",
    "https://*.[::1.2]",
    "https://*.*.example.com",
    "https://a.*.example.com",
    "https://*example.com",
    "https://example.com/",
    "https://b\u00fccher.example",
    "example.com"
  ])("the caller may not list %s", (origin) => {
    expect(failureOf(Origin.allow(["https://example.com", origin]))).toMatchObject({ _tag: "InvalidOrigin", origin })
  })

  it("an empty list keeps out every page", () => {
    expect(Origin.permits(allow(), "https://example.com", { host: "example.com" })).toBe(false)
  })
})

describe("Origin.permits", () => {
  it("any lets in what is no origin, too", () => {
    expect(Origin.permits(Origin.any, "null", { host: "x" })).toBe(true)
  })

  it("an origin that is let in is one that was listed, whatever is wrapped around it", () => {
    const piece = fc.constantFrom(
      "https",
      "http",
      "://",
      ":",
      "example.com",
      ".",
      "evil",
      "@",
      "/",
      "443",
      "*.",
      "[",
      "]"
    )
    const policy = allow("https://example.com", "https://*.example.com")
    let permitted = 0
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 5 }), fc.constantFrom("https://", ""), (pieces, start) => {
        const origin = start + pieces.join("")
        if (!Origin.permits(policy, origin, { host: "x" })) return
        permitted++
        const url = new URL(origin)
        expect(url.protocol).toBe("https:")
        expect(url.port).toBe("")
        expect(url.hostname === "example.com" || url.hostname.endsWith(".example.com")).toBe(true)
      }),
      { numRuns: 20_000 }
    )
    expect(permitted).toBeGreaterThan(20)
  })
})
