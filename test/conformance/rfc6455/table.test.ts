/** docs/conformance.md does not go stale: every sentence of ours has a test, and the page says what is so now. */
import { readFileSync } from "node:fs"
import { expect, it } from "vitest"
import { clauses, sectionOf, sections } from "./clauses.ts"
import { claims, document, render, untested } from "./table.ts"

it("an id is a section and a number, in the order of the RFC, and no two are the same", () => {
  const expected = sections.flatMap(([section]) =>
    clauses.filter(({ id }) => sectionOf(id) === section).map((_, i) => `${section}-${i + 1}`)
  )
  expect(clauses.map(({ id }) => id)).toEqual(expected)
})

it("a sentence quotes a demand", () => {
  const demand = /\b(MUST|SHALL|REQUIRED|must)\b|_Fail the WebSocket Connection_/
  expect(clauses.filter(({ text }) => !demand.test(text))).toEqual([])
})

it("every sentence of ours has a test", () => {
  expect(untested.map(({ id, text }) => `${id} ${text}`)).toEqual([])
})

it("every test names a sentence of ours, and says in a literal what it shows", () => {
  const ours = new Set(clauses.filter(({ notOurs }) => notOurs === undefined).map(({ id }) => id as string))
  expect(claims.filter(({ id, what }) => !ours.has(id) || what === "")).toEqual([])
})

it("no test is skipped", () => {
  for (const { file } of claims) {
    const source = readFileSync(new URL(file, import.meta.url), "utf8")
    expect(/\.(skip|todo|only|fails|skipIf|runIf)\b/.exec(source), file).toBeNull()
  }
})

it("docs/conformance.md is what `npm run conformance` writes", () => {
  expect(readFileSync(document, "utf8")).toBe(render())
})
