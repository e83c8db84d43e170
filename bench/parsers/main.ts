/** Measures the parser that is named on the command line, alone in its process, as often as it is asked. */
import { answer } from "../answers.ts"
import { cpu } from "../cpu.ts"
import * as profiler from "../profiler.ts"
import { loads, one, type Load } from "./loads.ts"
import type { Open } from "./Parser.ts"

const { open } = (await import(`./${process.argv[2]}.ts`)) as { readonly open: Open }

const made = new Map<string, Load>()

const loadOf = (name: string): Load => {
  const known = made.get(name) ?? loads[name]?.()
  if (known === undefined) throw new Error(`there is no load named "${name}"`)
  made.set(name, known)
  return known
}

/** Parses it once, by a new parser, and sees that everything came. CPU time in microseconds. */
const parse = ({ chunks, events, units }: Load): number => {
  let [gotEvents, gotUnits, last] = [0, 0, 0]
  const before = cpu()
  const { feed } = open((data) => {
    gotEvents++
    gotUnits += data.length
    // A string that is only promised, as a part of others or in pieces, has to be made: whoever gets it reads it.
    last += data.charCodeAt(data.length - 1)
  })
  for (const chunk of chunks) feed(chunk)
  const spent = cpu() - before
  if (gotEvents !== events || gotUnits !== units || !(last > 0)) {
    throw new Error(`${gotEvents} events with ${gotUnits} units came of ${events} with ${units}`)
  }
  return spent
}

/** CPU nanoseconds for so many events. */
const parseFor = ({ load, seconds }: { readonly load: string; readonly seconds: number }) => {
  const wanted = loadOf(load)
  const end = performance.now() + seconds * 1000
  let passes = 0
  let spent = 0
  do {
    spent += parse(wanted)
    passes++
  } while (performance.now() < end)
  return { cost: spent * 1000, count: passes * wanted.events }
}

/** CPU microseconds for one event with `size` bytes of data, which come one at a time. */
const bytewise = (size: number): number => {
  let got: number | undefined
  const { feed } = open((data) => {
    got = data.length
  })
  const bytes = one(size)
  const before = cpu()
  for (let at = 0; at < bytes.length; at++) feed(bytes.subarray(at, at + 1))
  const spent = cpu() - before
  if (got !== size) throw new Error(`${size} bytes of data fed byte by byte came out as ${got}`)
  return spent
}

answer({ parse: parseFor, bytewise, ...profiler })
// The channel keeps this process: nothing else does.
process.channel?.ref()
