import { expect, it } from "vitest"
import { Refused } from "@millrace/core/connection/Refused"

const refused = (headers: Refused["headers"]) =>
  new Refused({ status: 503, headers, url: "http://localhost/", body: new Uint8Array(), truncated: false })

it("says for how long the server asks to be left alone, in milliseconds from now", () => {
  const now = Date.UTC(2026, 0, 1)
  expect(refused([["Retry-After", "120"]]).retryAfter(now)).toBe(120_000)
  expect(refused([["retry-after", "Thu, 01 Jan 2026 00:00:30 GMT"]]).retryAfter(now)).toBe(30_000)
  expect(refused([["Retry-After", "soon"]]).retryAfter(now)).toBeUndefined()
  expect(refused([]).retryAfter(now)).toBeUndefined()
})
