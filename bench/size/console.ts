/** What the page of the hub weighs: its files as they are served, each by itself. Nothing is bundled or minified. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { markdown } from "../table.ts"

export interface File {
  readonly name: string
  readonly bytes: number
  /** At level 9. The hub itself serves them as they are; a proxy before it may compress them. */
  readonly gzipped: number
}

/** What all of them may have, gzipped, in kB: what they had when it was set, and 3 %. */
export const budget = 51

const folder = join(import.meta.dirname, "../../packages/browser/src/console")

/** All of them, the largest first. */
export const files = (): ReadonlyArray<File> =>
  readdirSync(folder)
    .map((name) => {
      const content = readFileSync(join(folder, name))
      return { name, bytes: content.length, gzipped: gzipSync(content, { level: 9 }).length }
    })
    .toSorted((one, other) => other.bytes - one.bytes)

const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((total, number) => total + number, 0)

const kB = (bytes: number) => (bytes / 1_000).toFixed(1)

/** Of all of them together, in bytes. */
export const gzipped = (): number => sum(files().map((file) => file.gzipped))

/** Whether it has more than it may. */
export const isOver = (): boolean => gzipped() > budget * 1_000

/** A row for each kind, and one for all. */
export const table = (): string => {
  const all = files()
  const row = (title: string, some: ReadonlyArray<File>) => [
    title,
    String(some.length),
    kB(sum(some.map(({ bytes }) => bytes))),
    kB(sum(some.map((file) => file.gzipped))),
    some.length === all.length ? `${budget}${isOver() ? ", exceeded" : ""}` : "-"
  ]
  const of = (ending: string) => all.filter(({ name }) => name.endsWith(ending))
  return markdown([
    ["the page of the hub", "files", "kB", "gzip, kB", "budget"],
    row("HTML", of(".html")),
    row("style sheets", of(".css")),
    row("modules", of(".js")),
    row("all that it loads", all)
  ])
}
