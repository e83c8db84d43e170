/** Every example on our pages compiles, runs, and prints what the page says that it prints. */
import { beforeAll, describe, expect, it } from "vitest"
import { isExample, run, type Verdict } from "../support/examples.ts"
import { type Block, blocks, type Page, pages } from "../support/markdown.ts"

/** A page on which every example is wrong, each in its own way: who looks at the examples has to see it. */
const wrong: Page = {
  name: "wrong.md",
  text: [
    ["ts", 'const length: string = "four".length'],
    ["ts no-run", 'import * as Nothing from "@millrace/core/codec/Nothing"'],
    ["ts", "console.log(2 + 2) // => 5"],
    ["ts", "console.log(2 + 2)"],
    ["ts", 'throw new Error("broken")'],
    ["ts", 'console.error("careful")'],
    ["ts serve", 'console.log("ready") // => ready'],
    ["js client", 'await fetch("http://localhost:8080")']
  ]
    .map(([info, code]) => `\`\`\`${info}\n${code}\n\`\`\`\n`)
    .join("\n")
}

const all = [...pages(), wrong]
const examples = pages().flatMap(blocks).filter(isExample)
const uses = new Set(["", "no-run", "serve", "client"])

let verdicts: ReadonlyMap<string, Verdict>
const place = ({ line, page }: Block) => `${page}:${line}`

// All of them at once: 20 s on two cores that have nothing else to do, and each block has a time of its own.
beforeAll(async () => {
  verdicts = new Map([...(await run(all))].map(([block, verdict]) => [place(block), verdict]))
}, 300_000)

describe("an example", () => {
  it.each(examples.map((block) => [place(block), block] as const))("%s is as it says", (where, block) => {
    expect(uses).toContain(block.use)
    expect(verdicts.get(where)).toBeUndefined()
  })

  it("that is wrong is noticed, whatever is wrong with it", () => {
    const reasons = blocks(wrong).map((block) => verdicts.get(place(block))?.split("\n", 1)[0])
    expect(reasons).toEqual([
      expect.stringMatching(/^wrong-2\.ts\(2,7\): error TS2322/),
      expect.stringMatching(/^wrong-6\.ts\(6,\d+\): error TS2307/),
      "it does not print what it says:",
      "it does not print what it says:",
      "it ended with exit code 1",
      "it printed on standard error",
      expect.stringMatching(/^it ended/),
      "it ended with exit code 1"
    ])
  })
})

it("what is called JSON is JSON, and no block is in a language that nobody knows", () => {
  const known = new Set(["ts", "sh", "text", "json", "jsonl", "js", "python", "go", "ruby", "hex", ""])
  for (const block of pages().flatMap(blocks)) {
    expect(known, place(block)).toContain(block.language)
    if (block.language === "json") expect(() => JSON.parse(block.code), place(block)).not.toThrow()
    if (block.language !== "jsonl") continue
    for (const line of block.code.trim().split("\n")) expect(() => JSON.parse(line), place(block)).not.toThrow()
  }
})
