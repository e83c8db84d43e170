/**
 * `npm run size`: bundles the clients of a page, says what each of them and the page of the hub weigh, and ends with 1 when one is over its
 * budget. A target that is missed is said and is no failure.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { bundleAll, isOver } from "./bundle.ts"
import { clients } from "./clients.ts"
import * as Console from "./console.ts"
import { page, sources, table } from "./page.ts"

const usage = `npm run size -- [options]

  --sources NAME  prints which sources the bytes of one of the programs are of, the largest first
  --write         writes docs/size.md

Programs: ${clients.map(({ name }) => name).join(", ")}`

const document = join(import.meta.dirname, "../../docs/size.md")

const { values } = parseArgs({
  options: {
    sources: { type: "string" },
    write: { type: "boolean", default: false },
    help: { type: "boolean", default: false }
  }
})

if (values.help) {
  console.log(usage)
} else {
  const bundles = await bundleAll()
  console.log(table(bundles))
  console.log(`\n${Console.table()}`)
  if (values.sources !== undefined) {
    const one = bundles.find(({ client }) => client.name === values.sources)
    if (one === undefined) throw new Error(`there is no program "${values.sources}"\n\n${usage}`)
    console.log(`\n${sources(one, Infinity)}`)
  }
  if (values.write) writeFileSync(document, page(bundles))
  const over = bundles.filter(isOver).map(({ client: { title } }) => title)
  if (Console.isOver()) over.push("the page of the hub (bench/size/console.ts)")
  if (over.length > 0) {
    console.error(`\nmore than the budget has: ${over.join("; ")}. See bench/size/clients.ts`)
    process.exitCode = 1
  }
}
