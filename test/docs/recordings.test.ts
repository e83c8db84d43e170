/** The format of recordings is what docs/protocol.md says, and their bounds are what docs/limits.md says. */
import { readFileSync } from "node:fs"
import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as Recorder from "@millrace/core/connection/Recorder"
import * as RecordingText from "@millrace/core/protocol/RecordingText"
import { root } from "../support/markdown.ts"

const section = (page: string, title: string) =>
  readFileSync(`${root}docs/${page}`, "utf8").split(`\n## ${title}\n`)[1]?.split("\n## ")[0] ?? ""

const cells = (text: string) =>
  text
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => line.split("|").map((cell) => cell.trim().replaceAll("`", "")))

describe("docs/protocol.md", () => {
  const text = section("protocol.md", "Recordings")
  const example = /^```jsonl\n(.*?)^```/ms.exec(text)?.[1] ?? ""

  it("shows a recording that is read, and printed as it is shown", () => {
    expect(Result.map(RecordingText.parse(example), RecordingText.print)).toEqual(Result.succeed(example))
  })

  it("shows and lists each kind of line, and no other", () => {
    const kinds = cells(text).map(([, name]) => name)
    expect(kinds).toEqual(["format", "op", "raw", "ended", "omitted", "end"])
    const shown = example
      .trim()
      .split("\n")
      .map((line) => kinds.find((kind) => Object.hasOwn(JSON.parse(line), kind!)))
    expect([...new Set(shown)]).toEqual(kinds)
  })

  it("names each field that is printed", () => {
    const printed = example
      .trim()
      .split("\n")
      .flatMap((line) => Object.keys(JSON.parse(line)))
    for (const field of new Set([...printed, "extensions", "torn", "hex"])) expect(text).toContain(`\`${field}\``)
  })
})

describe("docs/limits.md", () => {
  it("has the bounds of a recording, with their defaults", () => {
    const shown = { maxPayloadBytes: "64 KiB", maxEntries: "10,000", maxBytes: "16 MiB" }
    expect(Recorder.defaults).toEqual({ maxPayloadBytes: 65_536, maxEntries: 10_000, maxBytes: 16_777_216 })
    const ofPage = cells(section("limits.md", "Of a recording")).map(([, option, value]) => [option, value])
    expect(ofPage).toEqual(Object.entries(shown))
  })
})
