/** The commands that our pages tell people to type exist, with the flags that they are given. */
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { promisify } from "node:util"
import { describe, expect, it } from "vitest"
import { blocks, pages, root } from "../support/markdown.ts"

const subcommands = ["serve", "publish", "echo", "connect", "listen", "replay"] as const

/** Flags of a command, as its own help has them. */
const flagsOf = async (command: string): Promise<ReadonlySet<string>> => {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [`${root}packages/node/bin/millrace.mjs`, command, "--help"],
    { env: { ...process.env, NO_COLOR: "1" } }
  )
  return new Set(stdout.match(/(?<![\w-])--?[a-z][a-z-]*/gi))
}

const { scripts } = JSON.parse(readFileSync(`${root}package.json`, "utf8")) as {
  readonly scripts: Readonly<Record<string, string>>
}

const all = pages()

/** Everything in blocks for a shell and between backticks. */
const commands = all.flatMap((page) => {
  const inBlocks = blocks(page).filter(({ language }) => language === "sh")
  const inText = page.text.matchAll(/`((?:millrace|npm) [^`]+)`/g)
  return inBlocks.map(({ code }) => code).concat(Array.from(inText, ([, code = ""]) => code))
})

describe("the commands", () => {
  it("of millrace exist, and so do their flags", async () => {
    const known = new Map(
      await Promise.all(subcommands.map(async (name) => [name as string, await flagsOf(name)] as const))
    )
    const calls = [...commands.join("\n").matchAll(/\bmillrace ([a-z]+)([^|)#;\n]*)/g)]
    expect(calls.length).toBeGreaterThan(5)
    for (const [call, name = "", rest = ""] of calls) {
      const flags = known.get(name)
      expect(flags, call).toBeDefined()
      const given = rest.replaceAll(/"[^"]*"/g, "").match(/(?<=\s)--?[a-z][a-z-]*/gi) ?? []
      expect([call, given.filter((flag) => flags?.has(flag) !== true)]).toEqual([call, []])
    }
  })

  it("of npm exist", () => {
    const calls = [...commands.join("\n").matchAll(/\bnpm (start|test|run [\w:-]+)/g)]
    expect(calls.length).toBeGreaterThan(1)
    for (const [, name = ""] of calls) expect(Object.keys(scripts)).toContain(name.replace("run ", ""))
  })
})
