/**
 * `npm run bench`: measures the toolkit against `ws` in the same run and prints ratios. Everything that was promised of
 * its speed is a row here. A target that is missed is said and is no failure; a run that breaks is one.
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, writeFileSync } from "node:fs"
import { join, relative, resolve } from "node:path"
import { parseArgs } from "node:util"
import * as Child from "./Child.ts"
import { bare, millrace, millraceStream, millraceWide, ws, wsAgain, wsBeside, wsFresh, wsPlain } from "./contenders.ts"
import * as machine from "./machine.ts"
import { profileOf, type Settings } from "./measure.ts"
import { page } from "./page.ts"
import { hottest } from "./profile.ts"
import * as Redis from "./Redis.ts"
import type { Contender } from "./contenders.ts"
import { suites as all, type Row, type Suite } from "./suites.ts"
import { cells, markdown, summary } from "./table.ts"

const usage = `npm run bench -- [part of a suite's name ...] [options]

  --rounds N      how often the contenders take turns (5)
  --secs S        how long each is measured in a round (1)
  --self          ws against a second ws: the ratio has to come out near 1
  --bare          adds bare sockets, the floor on Node.js
  --stream        adds our server with a stream of messages in place of batches
  --beside        adds ws in a process that has loaded ours too, and so has as much on its heap
  --windows       adds, where there is compression, ours with a window of 32 KiB and ws that refers to no earlier message
  --profile DIR   writes a profile of every server there and prints the hottest places; such ratios do not count
  --write         writes docs/performance.md (of a whole run)

Suites: ${all.map(({ name }) => name).join(", ")}`

const root = join(import.meta.dirname, "..")

interface Plan {
  readonly suites: ReadonlyArray<Suite>
  /** Those that were asked for and cannot be run here. */
  readonly missed: ReadonlyArray<Suite>
  readonly settings: Settings
  readonly write: boolean
}

const sentence = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const positive = (name: string, text: string): number => {
  const value = Number(text)
  if (!(value > 0)) throw new Error(`${name} wants a number greater than 0, not "${text}"`)
  return value
}

const withoutRedis = (suites: ReadonlyArray<Suite>): string =>
  `there is no redis-server for ${suites.map(({ name }) => name).join(", ")}: install one, or name it in $REDIS_SERVER`

const plan = (args: ReadonlyArray<string>): Plan | undefined => {
  const { positionals, values } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      rounds: { type: "string", default: "5" },
      secs: { type: "string", default: "1" },
      self: { type: "boolean", default: false },
      bare: { type: "boolean", default: false },
      stream: { type: "boolean", default: false },
      beside: { type: "boolean", default: false },
      windows: { type: "boolean", default: false },
      profile: { type: "string" },
      write: { type: "boolean", default: false },
      help: { type: "boolean", default: false }
    }
  })
  if (values.help) return undefined
  const unknown = positionals.find((part) => !all.some(({ name }) => name.includes(part)))
  if (unknown !== undefined) {
    throw new Error(`no suite has "${unknown}" in its name: ${all.map(({ name }) => name).join(", ")}`)
  }
  if (values.write && (positionals.length > 0 || values.self || values.profile !== undefined)) {
    throw new Error("--write is for a whole run: it goes with no suite's name, not with --self and not with --profile")
  }
  // ws has no place where there is no WebSocket.
  const comparable = values.self ? all.filter(({ contenders }) => contenders === undefined) : all
  const possible = Redis.isThere() ? comparable : comparable.filter(({ needsRedis }) => needsRedis !== true)
  const chosen = (suites: ReadonlyArray<Suite>) =>
    positionals.length === 0 ? suites : suites.filter(({ name }) => positionals.some((part) => name.includes(part)))
  const suites = chosen(possible)
  const missed = chosen(comparable).filter((suite) => !suites.includes(suite))
  if (missed.length > 0 && values.write) throw new Error(`--write is for a whole run: ${withoutRedis(missed)}`)
  return {
    suites,
    missed,
    settings: {
      contenders: [
        ...(values.self ? [wsAgain, ws] : [millrace, ws, wsPlain]),
        ...(values.stream ? [millraceStream] : []),
        ...(values.beside ? [wsBeside] : []),
        ...(values.windows ? [millraceWide, wsFresh] : []),
        ...(values.bare ? [bare] : [])
      ],
      rounds: Math.ceil(positive("--rounds", values.rounds)),
      seconds: positive("--secs", values.secs),
      profiles: values.profile === undefined ? undefined : resolve(values.profile)
    },
    write: values.write
  }
}

const run = async ({ missed, settings, suites, write }: Plan): Promise<void> => {
  const description = machine.describe()
  const date = new Date()
  console.log(`${description}; ${Child.pinning}\n`)
  if (machine.isBusy())
    console.log("The machine has other work: expect ratios that are far apart from round to round.\n")
  if (missed.length > 0) console.log(`NOT RUN, ${withoutRedis(missed)}\n`)
  if (settings.profiles !== undefined) mkdirSync(settings.profiles, { recursive: true })
  const tables = new Map<ReadonlyArray<Contender>, Array<Row>>()
  for (const suite of suites) {
    const began = performance.now()
    process.stderr.write(`${suite.name} ...`)
    const columns = suite.contenders ?? settings.contenders
    const contenders = columns.filter(({ compresses }) => compresses !== true || suite.compresses === true)
    const measured = await suite.run({ ...settings, contenders })
    // What was promised was promised of ours.
    const rows = measured.map((row) => (columns[0] !== wsAgain ? row : { ...row, targets: [] }))
    tables.set(columns, [...(tables.get(columns) ?? []), ...rows])
    const took = ((performance.now() - began) / 1000).toFixed(1)
    process.stderr.write(` ${measured.map((row) => summary(row, columns)).join(", ")} (${took} s)\n`)
  }
  for (const [contenders, rows] of tables) console.log(`\n${markdown(cells(rows, contenders))}\n`)
  for (const { contenders = settings.contenders, name } of suites) {
    for (const contender of contenders) {
      const file = profileOf(contender, name, settings, "cpuprofile")
      if (file !== undefined && existsSync(file)) console.log(`${relative("", file)}\n${hottest(file, 15)}\n`)
    }
  }
  if (write) {
    const file = join(root, "docs/performance.md")
    writeFileSync(file, page({ machine: description, date, settings, suites, tables }))
    spawnSync(join(root, "node_modules/.bin/oxfmt"), [file], { stdio: "inherit" })
    console.log(`${relative("", file)} is written`)
  }
}

let planned: Plan | undefined
try {
  planned = plan(process.argv.slice(2))
  if (planned === undefined) console.log(usage)
} catch (error) {
  console.error(`millrace: ${sentence(error)}\nnpm run bench -- --help tells what there is`)
  process.exitCode = 2
}
try {
  if (planned !== undefined) await run(planned)
} catch (error) {
  console.error(`\nmillrace: the benchmark is broken: ${sentence(error)}`)
  process.exitCode = 1
} finally {
  await Child.stopAll()
  await Redis.stopAll()
}
