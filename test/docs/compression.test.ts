/** The numbers in docs/guides/compression.md are those of the code. */
import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import * as Compression from "@millrace/core/connection/Compression"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import { mostFinalBlocks } from "@millrace/node/Inflate"
import { root } from "../support/markdown.ts"

const page = readFileSync(`${root}docs/guides/compression.md`, "utf8")

/** The cells of every row of every table, without the heads. */
const rows = page
  .split("\n")
  .filter((line) => line.startsWith("|"))
  .map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim())
  )

describe("docs/guides/compression.md", () => {
  it("has every option that has a number, with its default", () => {
    for (const [name, value] of Object.entries({ ...Compression.defaults, ...NodeDeflate.defaults })) {
      expect([name, rows.find(([option]) => option === `\`${name}\``)?.[1]]).toEqual([name, value.toLocaleString("en")])
    }
    expect(page).toContain(
      `A message of \`threshold\` bytes and more, ${Compression.defaults.threshold.toLocaleString("en")}`
    )
  })

  it("has the limit of final blocks", () => {
    expect(page).toContain(`may have ${mostFinalBlocks} blocks`)
  })
})
