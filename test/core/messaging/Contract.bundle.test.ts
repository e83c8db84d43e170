/** What of Effect is in the bundle of a page that has a contract: nothing of its schemas, unless there is one. */
import { gzipSync } from "node:zlib"
import { rolldown } from "rolldown"
import { expect, it } from "vitest"

const root = new URL("../../..", import.meta.url).pathname

const entry = `${root}entry.ts`

/** What a page loads that has this program, and the modules of which anything is left in it. */
const bundle = async (program: string) => {
  const build = await rolldown({
    input: entry,
    cwd: root,
    platform: "browser",
    logLevel: "silent",
    plugins: [
      {
        name: "program",
        resolveId: (id) => (id === entry ? entry : undefined),
        load: (id) => (id === entry ? program : undefined)
      }
    ]
  })
  const { output } = await build.generate({ format: "esm", minify: true })
  await build.close()
  const [{ code, modules }] = output
  const left = Object.entries(modules).flatMap(([id, { renderedLength }]) => (renderedLength > 0 ? [id] : []))
  return { gzip: gzipSync(code).length, left }
}

const contract = './packages/core/src/messaging/Contract.ts"'

const isSchema = (id: string) => /effect\/dist\/(internal\/schema|Schema)|messaging\/Schema/.test(id)

it("a contract of Standard Schemas brings no code of effect/Schema", async () => {
  const { gzip, left } = await bundle(`
    import * as Contract from "${contract}
    import * as v from "valibot"
    const Line = v.object({ text: v.string() })
    const Chat = Contract.fromStandard("chat", { commands: { say: Line }, requests: { ask: { payload: Line } } })
    console.log(Chat.hash, Contract.namespace(Contract.merge(Chat, Contract.fromStandard("x", {})), "a").says)
  `)
  expect(left.filter(isSchema)).toEqual([])
  expect(left.some((id) => id.endsWith("messaging/Contract.ts"))).toBe(true)
  expect(gzip).toBeLessThan(10_000)
})

it("one of Effect's schemas brings it, so that its absence is seen", async () => {
  const { gzip, left } = await bundle(`
    import * as Contract from "${contract}
    import * as Schema from "effect/Schema"
    console.log(Contract.make("chat", { commands: { say: Schema.String } }).hash)
  `)
  expect(left.filter(isSchema).length).toBeGreaterThan(3)
  expect(left.filter((id) => /ContractDocument|ContractSchemas|SchemaRepresentation/.test(id))).toEqual([])
  expect(gzip).toBeGreaterThan(15_000)
})
