/**
 * `npm run soak`: minutes of clients and nodes of which some are killed all the time, and an account of every message at
 * every client. Ends with code 1 when one was lost or came twice.
 */
import { parseArgs } from "node:util"
import { markdown } from "../table.ts"
import * as Soak from "./Soak.ts"
import * as Surroundings from "./Surroundings.ts"

const usage = `npm run soak -- [options]

  --broker NAME    ${Surroundings.brokers.join(", ")} (redis)
  --minutes N      for how long there is trouble (10)
  --clients N      half by WebSocket, half by event streams (500)
  --nodes N        processes; with memory it is one (3)
  --rate N         publications in a second (50)
  --interval S     seconds between two troubles, on an average (4)
  --seed N         of a run before, for the same troubles
  --verbose        tells what is done, as it is done`

/** How many faults are told in full. */
const told = 10

const print = (summary: Soak.Summary): void => {
  const { balance, troubles } = summary
  const rows: ReadonlyArray<readonly [string, number]> = [
    ["published", summary.published],
    ["acknowledged", summary.acknowledged],
    ["tried again", summary.retries],
    ["acknowledged as repeats", summary.repeated],
    ["not known, the key being too old", summary.unknown],
    ["epochs", summary.epochs],
    ...troubles,
    ["clients came back", balance.returns],
    ["deliveries", balance.deliveries],
    ["due, and delivered", balance.delivered],
    ["due, and inside a told gap", balance.inGaps],
    ["gaps told", balance.gaps],
    ["told without a place, the broker being away", balance.unplaced],
    ["told without a place, and again with it elsewhere", balance.unplacedAndAgain],
    ["told in two epochs, the broker having forgotten", balance.inTwoEpochs],
    ...(["Lost", "Twice", "Disordered", "Unknown"] as const).map(
      (tag) => [tag.toUpperCase(), balance.faults.filter(({ _tag }) => _tag === tag).length] as const
    ),
    ["STUCK", summary.stuck.length],
    ["CRASHED", summary.crashes.length]
  ]
  console.log(markdown([["what", "how often"], ...rows.map(([what, count]) => [what, count.toLocaleString("en")])]))
  for (const fault of balance.faults.slice(0, told)) console.log(JSON.stringify(fault))
  if (summary.stuck.length > 0) console.log(`stuck: ${summary.stuck.slice(0, told).join(", ")}`)
  for (const crash of summary.crashes) console.log(crash)
}

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: {
      broker: { type: "string", default: "redis" },
      minutes: { type: "string", default: "10" },
      clients: { type: "string", default: "500" },
      nodes: { type: "string", default: "3" },
      rate: { type: "string", default: "50" },
      interval: { type: "string", default: "4" },
      seed: { type: "string" },
      verbose: { type: "boolean", default: false },
      help: { type: "boolean", default: false }
    }
  })
  if (values.help) return console.log(usage)
  const positive = (name: "minutes" | "clients" | "nodes" | "rate" | "interval") => {
    const value = Number(values[name])
    if (!(value > 0)) throw new Error(`--${name} wants a number greater than 0, not "${values[name]}"`)
    return value
  }
  const broker = Surroundings.brokers.find((name) => name === values.broker)
  if (broker === undefined) throw new Error(`--broker is one of ${Surroundings.brokers.join(", ")}`)
  const missing = Surroundings.missing(broker)
  if (missing !== undefined) throw new Error(`there is no ${missing}: install one, or let npm test unpack it`)
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed)
  console.log(`${broker}, ${values.minutes} min, --seed ${seed}\n`)
  const summary = await Soak.run({
    broker,
    duration: positive("minutes") * 60_000,
    nodes: Math.ceil(positive("nodes")),
    clients: Math.ceil(positive("clients")),
    topics: 20,
    publishers: 10,
    rate: positive("rate"),
    interval: positive("interval") * 1000,
    seed,
    ...(values.verbose && { say: (line: string) => console.error(line) })
  })
  print(summary)
  if (!Soak.isSound(summary)) process.exitCode = 1
}

try {
  await main()
} catch (error) {
  console.error(`millrace: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 2
}
