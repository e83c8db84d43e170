/** docs/conformance.md does not go stale: every sentence of ours has a test, and the page says what is so now. */
import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { sectionOf } from "./clauses.ts"
import { specifications } from "./specifications.ts"
import { claims, document, render, untested } from "./table.ts"

describe.each(specifications.map((specification) => [specification.name, specification] as const))(
  "%s",
  (_, specification) => {
    const { clauses, folder, sections } = specification
    const claimed = claims(specification)

    it("an id is a section and a number, in the order of the specification, and no two are the same", () => {
      const expected = sections.flatMap(([section]) =>
        clauses.filter(({ id }) => sectionOf(id) === section).map((_, i) => `${section}-${i + 1}`)
      )
      expect(clauses.map(({ id }) => id)).toEqual(expected)
    })

    it("a sentence quotes a demand, but for those that state what is done", () => {
      const demand = /\b(MUST|SHALL|REQUIRED|must)\b|_Fail the WebSocket Connection_/
      const wrong = clauses.filter(({ stated, text }) => demand.test(text) === stated)
      expect(wrong.map(({ id }) => id)).toEqual([])
    })

    it("every sentence of ours has a test", () => {
      expect(untested(specification).map(({ id, text }) => `${id} ${text}`)).toEqual([])
    })

    it("every test names a sentence of ours, and says in a literal what it shows", () => {
      const ours = new Set(clauses.filter(({ notOurs }) => notOurs === undefined).map(({ id }) => id))
      expect(claimed.filter(({ id, what }) => !ours.has(id) || what === "")).toEqual([])
    })

    it("no test is skipped", () => {
      for (const file of new Set(claimed.map(({ file }) => file))) {
        const source = readFileSync(new URL(file, folder), "utf8")
        expect(/\.(skip|todo|only|fails|skipIf|runIf)\b/.exec(source), file).toBeNull()
      }
    })
  }
)

it("docs/conformance.md is what `npm run conformance` writes", () => {
  expect(readFileSync(document, "utf8")).toBe(render())
})
