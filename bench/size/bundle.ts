/** What a page has to load for a client: bundled by rolldown as a site would be, minified, gzipped. */
import { SourceMap } from "node:module"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { rolldown } from "rolldown"
import { type Client, clients } from "./clients.ts"

/** Where bytes come from. */
export type Part = "Effect" | "Millrace" | "the rest"

export interface Bundle {
  readonly client: Client
  /** Bytes of the module, minified. */
  readonly minified: number
  /** The same gzipped at level 9. */
  readonly gzipped: number
  /** Minified bytes of each source, the most first. Names begin with that of the package. */
  readonly sources: ReadonlyArray<readonly [name: string, bytes: number]>
}

/** What a bundler adds comes from nowhere. */
const nameOf = (source: string | undefined): string =>
  source?.replace(/^.*\/(?:node_modules|packages)\//, "") ?? "the bundler"

/** Which source each byte was made of, as the source map has it. */
const sourcesOf = (code: string, map: ConstructorParameters<typeof SourceMap>[0]): Bundle["sources"] => {
  const sourceMap = new SourceMap(map)
  const bytes = new Map<string, number>()
  code.split("\n").forEach((line, row) => {
    for (let column = 0; column < line.length; column++) {
      const entry = sourceMap.findEntry(row, column)
      const name = nameOf("originalSource" in entry ? entry.originalSource : undefined)
      bytes.set(name, (bytes.get(name) ?? 0) + 1)
    }
  })
  return [...bytes].sort(([, one], [, other]) => other - one)
}

export const bundle = async (client: Client): Promise<Bundle> => {
  const build = await rolldown({
    input: join(import.meta.dirname, "clients", `${client.name}.ts`),
    platform: "browser",
    // Our packages as they are here, without being built first.
    resolve: { conditionNames: ["@millrace/source", "browser", "import", "default"] },
    logLevel: "warn"
  })
  const { output } = await build.generate({ format: "esm", minify: true, sourcemap: "hidden" })
  await build.close()
  const [{ code, map }] = output
  if (map === null) throw new Error(`${client.name}: no source map`)
  return {
    client,
    minified: Buffer.byteLength(code),
    gzipped: gzipSync(code, { level: 9 }).length,
    sources: sourcesOf(code, map as never)
  }
}

/** All of them, in their order. */
export const bundleAll = (): Promise<ReadonlyArray<Bundle>> => Promise.all(clients.map(bundle))

/** The packages whose bytes are told apart. */
const parts: ReadonlyArray<readonly [Part, RegExp]> = [
  ["Effect", /^effect\//],
  ["Millrace", /^(?:@millrace\/)?(?:core|browser)\//]
]

/** What share of the minified bytes each part has, of 1. */
export const shares = ({ sources }: Bundle): ReadonlyMap<Part, number> => {
  const total = sources.reduce((sum, [, bytes]) => sum + bytes, 0)
  const shares = new Map<Part, number>()
  for (const [name, bytes] of sources) {
    const part = parts.find(([, pattern]) => pattern.test(name))?.[0] ?? "the rest"
    shares.set(part, (shares.get(part) ?? 0) + bytes / total)
  }
  return shares
}

/** In kB, which are 1,000 bytes. */
export const kB = (bytes: number): number => bytes / 1_000

/** Whether it has more than it may. */
export const isOver = ({ client: { budget }, gzipped }: Bundle): boolean => budget !== undefined && kB(gzipped) > budget
