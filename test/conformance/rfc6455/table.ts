/**
 * docs/conformance.md, made from the sentences in ./clauses.ts and the tests that claim them.
 * `npm run conformance` writes it; ./table.test.ts fails when it is out of date.
 */
import { readdirSync, readFileSync } from "node:fs"
import { type Clause, clauses, sectionOf, sections } from "./clauses.ts"

const folder = new URL("./", import.meta.url)

export const document = new URL("../../../docs/conformance.md", import.meta.url)

/** A call of `clause` in a test file. */
export interface Claim {
  readonly file: string
  readonly id: string
  readonly what: string
}

/** Every call of `clause`; one whose id or title is not a literal has an empty id, and belongs to no sentence. */
export const claims: ReadonlyArray<Claim> = readdirSync(folder)
  .filter((file) => file.endsWith(".test.ts"))
  .sort((a, b) => a.localeCompare(b, "en", { numeric: true }))
  .flatMap((file) => {
    const calls = readFileSync(new URL(file, folder), "utf8").matchAll(
      /^ *clause(?:\.\w+)?\((?:\s*"([^"\\]+)",\s*"([^"\\]+)",)?/gm
    )
    return [...calls].map(([, id = "", what = ""]) => ({ file, id, what }))
  })

const claimsOf = (clause: Clause) => claims.filter((claim) => claim.id === clause.id)

export const untested = clauses.filter((clause) => clause.notOurs === undefined && claimsOf(clause).length === 0)

const roles = { client: "the client", server: "the server", both: "client and server" }

const row = (clause: Clause): string => {
  const first = `- **${clause.id}**, ${roles[clause.role]}: “${clause.text}”`
  if (clause.notOurs !== undefined) return `${first}\n  - _Not ours_: ${clause.notOurs}.`
  const tests = claimsOf(clause).map(({ file, what }) => `  - [${what}](../test/conformance/rfc6455/${file})`)
  return [first, ...(clause.left === undefined ? [] : [`  - _Left to the program_: ${clause.left}.`]), ...tests].join(
    "\n"
  )
}

const ofSection = (section: string) => clauses.filter((clause) => sectionOf(clause.id) === section)

const sum = (some: ReadonlyArray<Clause>) => {
  const kept = some.filter(({ left, notOurs }) => notOurs === undefined && left === undefined)
  const leftToPrograms = some.filter(({ left }) => left !== undefined)
  const notOurs = some.filter(({ notOurs }) => notOurs !== undefined)
  return [some.length, kept.length, leftToPrograms.length, notOurs.length, some.flatMap(claimsOf).length]
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

export const render = (): string => {
  const [all, kept, leftToPrograms, , tests] = sum(clauses)
  const summary = table([
    ["Section", "Sentences", "Kept", "Left to programs", "Not ours", "Tests"],
    ...sections.map(([section, title]) => [`${section} ${title}`, ...sum(ofSection(section)).map(String)]),
    ["All", ...sum(clauses).map(String)]
  ])
  const body = sections.map(([section, title]) => `## ${section} ${title}\n\n${ofSection(section).map(row).join("\n")}`)
  return `# Conformance to RFC 6455

Every sentence of RFC 6455 that says MUST, MUST NOT, SHALL or REQUIRED, or that makes an endpoint _Fail the WebSocket
Connection_, and the few that demand with a small “must”, each with the tests that show what Millrace does about it: ${all}
sentences, ${kept} that it keeps, ${tests} tests. Each test names what it shows; many run for several inputs and for both roles. Frames
in them are bytes written by hand, requests and responses are lines of text.

This page is made by \`npm run conformance\` from the sentences and from the test files. A test fails when a sentence has
neither a test nor a reason, and when this page is not what would be made now.

**Covered**: sections 3 to 11, in full, for a client and for a server. ${leftToPrograms} sentences are left to the program: whether it
opens several connections to one address at the same time (4.1). Others are not ours, and each of them says why:
they are for browsers, proxies, intermediaries, authors of extensions, programs with a user interface.

**Not covered**: SHOULD and MAY; what 11.4 to 11.6 ask of those who register names; RFC 7692 (compression), RFC 8441
(WebSockets over HTTP/2), and the WebSocket of browsers, which is the browser's own. A test here is an example, not a
proof: the codecs also have properties over arbitrary input under \`test/core\`.

${summary}

${body.join("\n\n")}
`
}
