import type { Asking } from "@millrace/node/session/Asking"
import { KeptRequest } from "@millrace/node/session/KeptRequest"
import { describe, expect, it } from "vitest"

const asked = (headers: Asking["headers"] = [], query = ""): Asking => ({
  path: "/socket.io/",
  query: new URLSearchParams(query),
  headers,
  header: () => undefined,
  remoteAddress: "127.0.0.1"
})

describe("a request that is kept", () => {
  it("says what it was asked with", () => {
    const headers = [
      ["Host", "a.example:8080"],
      ["X-Empty", ""],
      ["x-colons", "a:b: c"]
    ] as const
    const kept = new KeptRequest(asked(headers, "EIO=4&token=a%26b+c"))
    expect(kept.path).toBe("/socket.io/")
    expect(kept.remoteAddress).toBe("127.0.0.1")
    expect(kept.headers).toEqual(headers)
    expect([...kept.query]).toEqual([
      ["EIO", "4"],
      ["token", "a&b c"]
    ])
  })

  it("finds a field whatever its case, and joins those that came more than once", () => {
    const kept = new KeptRequest(
      asked([
        ["accept", "a"],
        ["Cookie", "a=1"],
        ["Accept", "b"],
        ["cookie", "b=2"]
      ])
    )
    expect(kept.header("ACCEPT")).toBe("a, b")
    expect(kept.header("Cookie")).toBe("a=1; b=2")
    expect(kept.header("Origin")).toBeUndefined()
    expect(new KeptRequest(asked()).headers).toEqual([])
  })
})
