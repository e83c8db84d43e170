/** What a page has to load: no client is over its budget, and docs/size.md says what each of them weighs. */
import { readFileSync } from "node:fs"
import { expect, it } from "vitest"
import { type Bundle, bundleAll, isOver, kB } from "../../bench/size/bundle.ts"
import { clients } from "../../bench/size/clients.ts"
import * as Console from "../../bench/size/console.ts"
import { table } from "../../bench/size/page.ts"
import { root } from "../support/markdown.ts"

const bundles: ReadonlyArray<Bundle> = await bundleAll()

const page = readFileSync(`${root}docs/size.md`, "utf8")

/** What the page says that a client has, in kB gzipped. */
const said = (title: string): number => {
  const [, kB] =
    page
      .split("\n")
      .find((line) => line.startsWith(`| ${title} `))
      ?.match(/\| +([\d.]+) +\|/) ?? []
  return Number(kB)
}

it.each(bundles)("$client.name is within its budget", (bundle) => {
  expect(isOver(bundle) ? table([bundle]) : "within").toBe("within")
})

it("the budgets are no more than 3 % above what there is, or they would hold nothing", () => {
  const loose = bundles.filter(({ client: { budget }, gzipped }) => budget !== undefined && kB(gzipped) * 1.03 < budget)
  expect(loose.map(({ client, gzipped }) => [client.name, kB(gzipped)])).toEqual([])
})

it("all that is ours has a budget", () => {
  expect(clients.filter(({ budget }) => budget === undefined).map(({ name }) => name)).toEqual(["effect", "socketIo"])
})

it.each(bundles)("docs/size.md has $client.name, within 2 %", ({ client, gzipped }) => {
  expect(Math.abs(said(client.title) / kB(gzipped) - 1)).toBeLessThan(0.02)
})

/** The sources that have bytes in a client. */
const sourcesOf = (name: string): ReadonlyArray<string> =>
  bundles.find(({ client }) => client.name === name)!.sources.map(([source]) => source)

it("a client without Schema has nothing of it", () => {
  const schema = /effect\/dist\/(internal\/schema|Schema)|messaging\/Schema/
  expect(sourcesOf("client").filter((source) => schema.test(source))).toEqual([])
  expect(sourcesOf("schema").filter((source) => schema.test(source)).length).toBeGreaterThan(3)
})

it("no client has what only a server, or Node.js, needs", () => {
  const servers = /^node|Handshake\.ts|HttpHead\.ts|PerMessageDeflate|ContractDocument|SessionMetrics/
  expect(clients.flatMap(({ name }) => sourcesOf(name)).filter((source) => servers.test(source))).toEqual([])
})

it("the page of the hub is within its budget, which is no more than 4 % above, and docs/size.md has it", () => {
  expect(kB(Console.gzipped())).toBeLessThanOrEqual(Console.budget)
  expect(kB(Console.gzipped()) * 1.04).toBeGreaterThan(Console.budget)
  const [, said] = /^\| all that it loads +\| +\d+ \| +[\d.]+ \| +([\d.]+) \|/m.exec(page) ?? []
  expect(Math.abs(Number(said) / kB(Console.gzipped()) - 1)).toBeLessThan(0.02)
})
