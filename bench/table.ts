/** The table of a run, as rows of cells and as Markdown. */
import type { Contender } from "./contenders.ts"
import { ratio, spread, type Spread } from "./ratio.ts"
import type { Row, Target } from "./suites.ts"

/** Three digits that count, and no more of them than the noise leaves. */
const number = (value: number): string =>
  Number.isNaN(value) ? "-" : value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)

const withSpread = (value: Spread | undefined): string =>
  value === undefined ? "-" : `${number(value.median)} (${number(value.least)}–${number(value.most)})`

const promise = ({ most, times }: Target, unit: Row["unit"]) =>
  times === undefined ? `≤ ${most} ${unit}` : `≤ ${most} × ${times}`

/** How the first contender does against what was promised of it. */
const verdict = (row: Row, ours: Contender, target: Target): string => {
  const other = [...row.samples.keys()].find(({ name }) => name === target.times)
  const value =
    target.times === undefined
      ? spread(row.samples.get(ours) ?? []).median
      : other && ratio(row.samples, ours, other)?.median
  if (value === undefined || Number.isNaN(value)) return "not measured"
  return value <= target.most ? "met" : `missed by ${((value / target.most - 1) * 100).toFixed(0)} %`
}

/** Rows with the same columns: a table for each list of contenders. */
export type Tables = ReadonlyMap<ReadonlyArray<Contender>, ReadonlyArray<Row>>

export const cells = (
  rows: ReadonlyArray<Row>,
  contenders: ReadonlyArray<Contender>
): ReadonlyArray<ReadonlyArray<string>> => {
  const [ours, ...others] = contenders
  if (ours === undefined) return []
  const head = [
    "what",
    "unit",
    ...contenders.map(({ name }) => name),
    ...others.map(({ name }) => `ratio to ${name} (min–max)`),
    "target",
    "result"
  ]
  return [
    head,
    ...rows.map((row) => [
      row.title,
      row.unit,
      ...contenders.map((contender) => number(spread(row.samples.get(contender) ?? []).median)),
      ...others.map((other) => withSpread(row.unit === "×" ? undefined : ratio(row.samples, ours, other))),
      row.targets.map((target) => promise(target, row.unit)).join(", ") || "-",
      row.targets.map((target) => verdict(row, ours, target)).join(", ") || "-"
    ])
  ]
}

/** A row in a few words, for whoever waits: the medians in the order of the contenders. */
export const summary = (row: Row, contenders: ReadonlyArray<Contender>): string =>
  `${contenders.map((contender) => number(spread(row.samples.get(contender) ?? []).median)).join(" : ")} ${row.unit}`

/** A Markdown table whose columns line up; the first is text, numbers stand to the right. */
export const markdown = (table: ReadonlyArray<ReadonlyArray<string>>): string => {
  const [head = [], ...body] = table
  const widths = head.map((_, column) => Math.max(3, ...table.map((cells) => cells[column]?.length ?? 0)))
  const line = (cells: ReadonlyArray<string>) =>
    `| ${cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join(" | ")} |`
  const rule = widths.map((width, column) => (column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`))
  return [line(head), line(rule), ...body.map(line)].join("\n")
}
