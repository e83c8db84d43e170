/**
 * Our pages as data: their fenced blocks, links and headings. Not a Markdown parser: it knows what these pages use, as
 * oxfmt prints it.
 */
import { readdirSync, readFileSync } from "node:fs"
import { relative } from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("../../", import.meta.url))

export interface Page {
  /** Its path from the root of the repository. */
  readonly name: string
  readonly text: string
}

/** A fenced block. */
export interface Block {
  readonly page: string
  /** The line of its first line, counted from 1. */
  readonly line: number
  readonly language: string
  /** What follows the language: how the block is to be used. */
  readonly use: string
  readonly code: string
  /** The `text` block that follows with nothing but empty lines between: what running this one prints. */
  readonly prints: string | undefined
}

/** README.md, everything below docs/, and the README of each package. */
export const pages = (): ReadonlyArray<Page> => {
  const below = readdirSync(`${root}docs`, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".md"))
    .map((entry) => relative(root, `${entry.parentPath}/${entry.name}`))
  const packages = readdirSync(`${root}packages`).map((name) => `packages/${name}/README.md`)
  return ["README.md", ...below.toSorted(), ...packages].map((name) => ({
    name,
    text: readFileSync(`${root}${name}`, "utf8")
  }))
}

export const blocks = ({ name, text }: Page): ReadonlyArray<Block> => {
  const found: Array<Block> = []
  const fence = /^( *)```(\S*) ?(.*)\n([^]*?)^\1```$(?:\n+^\1```text\n([^]*?)^\1```$)?/gm
  for (const { 1: indent = "", 2: language = "", 3: use = "", 4: code = "", 5: prints, index } of text.matchAll(
    fence
  )) {
    const dedent = (lines: string) => lines.replaceAll(new RegExp(`^${indent}`, "gm"), "")
    const line = text.slice(0, index).split("\n").length + 1
    const said = prints === undefined ? undefined : dedent(prints)
    found.push({ page: name, line, language, use: use.trim(), code: dedent(code), prints: said })
  }
  return found
}

/** The page without what is in its blocks and between backticks: what a reader takes for text. */
const prose = (text: string): string =>
  text.replaceAll(/^( *)```[^]*?^\1```$/gm, "").replaceAll(/`[^`\n]*`/g, (code) => code.replaceAll(/[[\]()<>]/g, "·"))

export interface Link {
  readonly text: string
  readonly target: string
}

/** Links, pictures, and the sources of `<img>` and `<source>`. */
export const links = ({ text }: Page): ReadonlyArray<Link> => {
  const bare = prose(text)
  const inline = [...bare.matchAll(/\[((?:[^[\]]|\[[^[\]]*\])*)\]\(([^()\s]+)\)/g)]
  const html = [...bare.matchAll(/()(?:src|srcset|href)="([^"]+)"/g)]
  return [...inline, ...html].map(([, label = "", target = ""]) => ({ text: label.replaceAll(/\s+/g, " "), target }))
}

/** The names under which GitHub lets a link find a heading. */
export const anchors = ({ text }: Page): ReadonlySet<string> => {
  const seen = new Map<string, number>()
  const outside = text.replaceAll(/^( *)```[^]*?^\1```$/gm, "")
  return new Set(
    [...outside.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) => {
      const slug = heading
        .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\p{M} _-]/gu, "")
        .replaceAll(" ", "-")
      const times = seen.get(slug) ?? 0
      seen.set(slug, times + 1)
      return times === 0 ? slug : `${slug}-${times}`
    })
  )
}

/** The text under a heading, up to the next one of any level. */
export const section = (text: string, title: string, marks = "##"): string =>
  text.split(`\n${marks} ${title}\n`)[1]?.split(/\n##+ /)[0] ?? ""

/** The cells of the rows of a section's tables. */
export const rows = (text: string, title: string, marks?: string): ReadonlyArray<ReadonlyArray<string>> =>
  section(text, title, marks)
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .slice(2)
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim())
    )
