/** What a server of Rails has said: see test/goldens/actioncable/record.ts, which records it. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const folder = fileURLToPath(new URL("../goldens/actioncable", import.meta.url))

/** What somebody did, and what became of it. */
export interface Step {
  /** What the client said; or what the server was told to do; `undefined` is the beginning. */
  readonly said: string | undefined
  readonly told: ReadonlyArray<unknown> | undefined
  /** What the server said then, as text. */
  readonly answers: ReadonlyArray<string>
  /** The code that it closed with. */
  readonly close: number | undefined
}

export interface Golden {
  readonly name: string
  /** Such as "Action Cable of Rails 6.1.7.10". */
  readonly server: string
  readonly user: string | undefined
  readonly steps: ReadonlyArray<Step>
}

interface Line {
  readonly name?: string
  readonly server?: string
  readonly user?: string
  readonly ">"?: string
  readonly "<"?: string
  readonly do?: ReadonlyArray<unknown>
  readonly close?: number
}

const read = (file: string): Golden => {
  const lines = readFileSync(join(folder, file), "utf8").trimEnd().split("\n")
  const [head, ...rest] = lines.map((line) => JSON.parse(line) as Line)
  const steps: Array<{ -readonly [K in keyof Step]: Step[K] } & { answers: Array<string> }> = []
  const begin = (said: string | undefined, told: ReadonlyArray<unknown> | undefined) =>
    steps.push({ said, told, answers: [], close: undefined })
  begin(undefined, undefined)
  for (const line of rest) {
    if (line["<"] !== undefined) steps.at(-1)!.answers.push(line["<"])
    else if (line.close !== undefined) steps.at(-1)!.close = line.close
    else begin(line[">"], line.do)
  }
  return { name: head!.name!, server: head!.server!, user: head!.user, steps }
}

export const goldens: ReadonlyArray<Golden> = readdirSync(folder)
  .filter((name) => name.endsWith(".jsonl"))
  .toSorted()
  .map(read)
