/** What a redirect means: where it leads, by which method, and what is told there. */
import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import * as Redirection from "@millrace/core/codec/Redirection"

const names = (fields: Headers) => fields.map(([name]) => name)

const resolve = (from: string, location: string | undefined) =>
  Result.map(Redirection.resolve(new URL(from), location), ({ href }) => href)

it("asks for the same elsewhere with five statuses, and no others", () => {
  const statuses = Array.from({ length: 600 }, (_, status) => status)
  expect(statuses.filter(Redirection.isRedirection)).toEqual([301, 302, 303, 307, 308])
})

it.each<[number, string, string]>([
  [301, "POST", "GET"],
  [302, "POST", "GET"],
  [303, "POST", "GET"],
  [307, "POST", "POST"],
  [308, "POST", "POST"],
  [301, "PUT", "PUT"],
  [302, "PUT", "PUT"],
  [303, "PUT", "GET"],
  [303, "HEAD", "HEAD"],
  [301, "GET", "GET"],
  [303, "GET", "GET"]
])("Fetch, HTTP-redirect fetch: after %d the method %s is %s", (status, method, next) => {
  expect(Redirection.methodAfter(status, method)).toBe(next)
})

describe("the place", () => {
  it.each([
    ["https://a/b/c", "../d?e#f", "https://a/d?e"],
    ["wss://a/b/c", "d", "wss://a/b/d"],
    ["ws://a/b", "https://c/", "https://c/"],
    ["http://a/", "ws://b/", "ws://b/"],
    ["https://a/", "wss://b/", "wss://b/"],
    ["https://a/", "ftp://b/", "ftp://b/"]
  ])("of %s that redirects to %s is %s", (from, location, to) => {
    expect(resolve(from, location)).toEqual(Result.succeed(to))
  })

  it.each([
    ["https://a/", "http://a/", "it redirects to a URL without TLS"],
    ["wss://a/", "http://a/", "it redirects to a URL without TLS"],
    ["wss://a/", "ws://a/", "it redirects to a URL without TLS"],
    ["https://a/", "ws://a/", "it redirects to a URL without TLS"],
    ["http://a/", "http://user@a/", "it redirects to a URL with a user"],
    ["http://a/", "//:password@a/", "it redirects to a URL with a user"],
    ["http://a/", "http://[", "it redirects to no URL"],
    ["http://a/", undefined, "it redirects to no URL"]
  ])("of %s that redirects to %s is none", (from, location, why) => {
    expect(resolve(from, location)).toEqual(Result.fail(why))
  })
})

describe("the fields", () => {
  const headers: Headers = [
    ["aCCept", "text/event-stream"],
    ["Authorization", "Bearer secret"],
    ["Content-Type", "text/plain"],
    ["content-length", "5"],
    ["X-Api-Key", "secret"]
  ]
  it("that others are told are those that any page could send", () => {
    expect(names(Redirection.toldToOthers(headers))).toEqual(["aCCept", "Content-Type"])
  })

  it("of a request without its body do not describe one", () => {
    expect(names(Redirection.withoutBody(headers))).toEqual(["aCCept", "Authorization", "X-Api-Key"])
  })
})
