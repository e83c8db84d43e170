/**
 * docs/conformance.md, made from the sentences of each specification and the tests that claim them.
 * `npm run conformance` writes it; ./table.test.ts fails when it is out of date.
 */
import { readdirSync, readFileSync } from "node:fs"
import { type Clause, sectionOf, type Specification } from "./clauses.ts"
import { specifications } from "./specifications.ts"

export const document = new URL("../../docs/conformance.md", import.meta.url)

/** A call of `clause` in a test file. */
export interface Claim {
  readonly file: string
  readonly id: string
  readonly what: string
}

/** Every call of `clause`; one whose id or title is not a literal has an empty id, and belongs to no sentence. */
export const claims = ({ folder }: Specification): ReadonlyArray<Claim> =>
  readdirSync(folder)
    .filter((file) => file.endsWith(".test.ts"))
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true }))
    .flatMap((file) => {
      const calls = readFileSync(new URL(file, folder), "utf8").matchAll(
        /^ *clause(?:\.\w+)?\((?:\s*"([^"\\]+)",\s*"([^"\\]+)",)?/gm
      )
      return [...calls].map(([, id = "", what = ""]) => ({ file, id, what }))
    })

export const untested = (specification: Specification): ReadonlyArray<Clause> => {
  const claimed = new Set(claims(specification).map(({ id }) => id))
  return specification.clauses.filter(({ id, notOurs }) => notOurs === undefined && !claimed.has(id))
}

const roles = { client: "the client", server: "the server", both: "client and server" }

const row = (clause: Clause, claims: ReadonlyArray<Claim>, folder: string): string => {
  const first = `- **${clause.id}**, ${roles[clause.role]}: “${clause.text}”`
  if (clause.notOurs !== undefined) return `${first}\n  - _Not ours_: ${clause.notOurs}.`
  const tests = claims
    .filter(({ id }) => id === clause.id)
    .map(({ file, what }) => `  - [${what}](../test/conformance/${folder}/${file})`)
  return [first, ...(clause.left === undefined ? [] : [`  - _Left to the program_: ${clause.left}.`]), ...tests].join(
    "\n"
  )
}

const columns = ["Sentences", "Kept", "Left to programs", "Not ours", "Tests"]

/** What the columns say of some sentences. */
const sum = (clauses: ReadonlyArray<Clause>, claims: ReadonlyArray<Claim>): ReadonlyArray<number> => {
  const ids = new Set(clauses.map(({ id }) => id))
  const left = clauses.filter(({ left }) => left !== undefined).length
  const notOurs = clauses.filter(({ notOurs }) => notOurs !== undefined).length
  const tests = claims.filter(({ id }) => ids.has(id)).length
  return [clauses.length, clauses.length - left - notOurs, left, notOurs, tests]
}

/** Padded as a formatter would. */
const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0)))
  const line = (cells: ReadonlyArray<string>) =>
    `| ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join(" | ")} |`
  const rule = `| ${widths.map((width, column) => (column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`
  const [head = [], ...body] = rows
  return [line(head), rule, ...body.map(line)].join("\n")
}

/** Broken into lines of at most 120 characters. */
const wrap = (paragraph: string): string => paragraph.replaceAll(/(?=.{121})(.{1,120}) /g, "$1\n")

const part = (specification: Specification): string => {
  const { about, clauses, folder, name, sections, title } = specification
  const all = claims(specification)
  const path = folder.pathname.split("/").at(-2) ?? ""
  const ofSection = (section: string) => clauses.filter(({ id }) => sectionOf(id) === section)
  const summary = table([
    ["Section", ...columns],
    ...sections.map(([section, title]) => [`${section} ${title}`, ...sum(ofSection(section), all).map(String)]),
    ["All", ...sum(clauses, all).map(String)]
  ])
  const body = sections.map(
    ([section, title]) =>
      `### ${section} ${title}\n\n${ofSection(section)
        .map((clause) => row(clause, all, path))
        .join("\n")}`
  )
  return [`## ${name}: ${title}`, ...about.map(wrap), summary, ...body].join("\n\n")
}

export const render = (): string => {
  const summary = table([
    ["Specification", ...columns],
    ...specifications.map((specification) => [
      `${specification.name}: ${specification.title}`,
      ...sum(specification.clauses, claims(specification)).map(String)
    ])
  ])
  return `# Conformance

What the specifications demand, sentence by sentence, each with the tests that show what Millrace does about it. Each
test names what it shows; many run for several inputs and for both roles. Frames in them are bytes written by hand,
requests and responses are lines of text.

This page is made by \`npm run conformance\` from the sentences and from the test files. A test fails when a sentence has
neither a test nor a reason, and when this page is not what would be made now. A test here is an example, not a proof:
the codecs also have properties over arbitrary input under \`test/core\`.

${summary}

${specifications.map(part).join("\n\n")}
`
}
