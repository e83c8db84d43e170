/** What our pages point to is there: files, headings, and the tests that they name. */
import { existsSync, readFileSync, statSync } from "node:fs"
import { dirname, join, normalize } from "node:path"
import { describe, expect, it } from "vitest"
import { anchors, type Link, links, type Page, pages, root } from "../support/markdown.ts"

const known = pages()

/** Why a link of a page leads nowhere; `undefined` when it leads somewhere. */
const broken = (page: Page, { target, text }: Link): string | undefined => {
  if (/^[a-z]+:/.test(target)) return undefined
  const [path = "", anchor] = target.split("#")
  const name = path === "" ? page.name : normalize(join(dirname(page.name), path))
  const file = join(root, name)
  if (path !== "" && !existsSync(file)) return `${target}: there is no such file`
  if (anchor !== undefined) {
    const there = path === "" ? page : known.find((one) => one.name === name)
    if (there === undefined || !anchors(there).has(anchor)) return `${target}: there is no such heading`
  }
  // A link to a test has the words of the test. (conformance.md is made from them.)
  if (page.name !== "docs/conformance.md" && name.endsWith(".test.ts") && !readFileSync(file, "utf8").includes(text))
    return `${target}: no test says “${text}”`
  if (path !== "" && statSync(file).isDirectory() && !existsSync(join(file, "README.md")))
    return `${target}: a folder without a page`
  return undefined
}

const brokenIn = (page: Page) => links(page).flatMap((link) => broken(page, link) ?? [])

describe("the links", () => {
  it.each(known.map((page) => [page.name, page] as const))("of %s lead somewhere", (_, page) => {
    expect(brokenIn(page)).toEqual([])
  })

  it("of a page are followed: one that leads nowhere is noticed", () => {
    const page: Page = {
      name: "docs/wrong.md",
      text: [
        "# One `heading`, and more\n",
        "[here](#one-heading-and-more) [nowhere](#two) [a page](protocol.md#errors) [no heading](protocol.md#no-such)",
        "[no file](missing.md) `[code](missing.md)` [no words of it](../test/architecture.test.ts)",
        "[of a page are followed](../test/docs/links.test.ts) [elsewhere](https://example.com) ![](none.png)",
        "[a folder](../test)\n"
      ].join("\n")
    }
    expect(brokenIn(page)).toEqual([
      "#two: there is no such heading",
      "protocol.md#no-such: there is no such heading",
      "missing.md: there is no such file",
      expect.stringContaining("no test says “no words of it”"),
      "none.png: there is no such file",
      "../test: a folder without a page"
    ])
  })

  it("of docs/index.md lead to every page of docs", () => {
    const index = known.find(({ name }) => name === "docs/index.md")!
    const linked = new Set(links(index).map(({ target }) => join("docs", target.split("#", 1)[0] ?? "")))
    const missing = known.filter(
      ({ name }) => name.startsWith("docs/") && name !== "docs/index.md" && !linked.has(name)
    )
    expect(missing.map(({ name }) => name)).toEqual([])
  })
})
