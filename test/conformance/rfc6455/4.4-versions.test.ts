/** RFC 6455 section 4.4: versions of the protocol. */
import { expect } from "vitest"
import { clause } from "./clause.ts"
import { answer, asking, replacing, statusOf, valuesOf } from "./handshake.ts"

clause.each(
  "4.4-1",
  "every refusal for the version says which version the server speaks",
  [
    ["25, as in the example", "25", 426],
    ["12, a draft", "12", 426],
    ["not a version", "latest", 400],
    ["two versions", "25, 13", 400]
  ],
  (_, version, status) => {
    const answered = answer(replacing(asking, `Sec-WebSocket-Version: ${version}`))
    expect(statusOf(answered)).toBe(status)
    expect(valuesOf(answered, "Sec-WebSocket-Version")).toEqual(["13"])
  }
)

clause("4.4-1", "a client that comes again with that version is accepted", () => {
  const [version] = valuesOf(answer(replacing(asking, "Sec-WebSocket-Version: 25")), "Sec-WebSocket-Version")
  expect(statusOf(answer(replacing(asking, `Sec-WebSocket-Version: ${version}`)))).toBe(101)
})
