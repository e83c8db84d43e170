/** The table of sizes, and `docs/size.md`, which has it. */
import { markdown } from "../table.ts"
import { type Bundle, isOver, kB, type Part, shares } from "./bundle.ts"
import * as Console from "./console.ts"

const number = (bytes: number): string => kB(bytes).toFixed(1)

const verdict = ({ client: { target }, gzipped }: Bundle): string => {
  if (target === undefined) return "-"
  return kB(gzipped) <= target ? "met" : `missed by ${(kB(gzipped) - target).toFixed(1)} kB`
}

const rowOf = (bundle: Bundle): ReadonlyArray<string> => {
  const { budget, target, title } = bundle.client
  const share = (part: Part) => number(bundle.gzipped * (shares(bundle).get(part) ?? 0))
  return [
    title,
    number(bundle.gzipped),
    number(bundle.minified),
    share("Effect"),
    share("Millrace"),
    target === undefined ? "-" : `≤ ${target}`,
    verdict(bundle),
    budget === undefined ? "-" : `${budget}${isOver(bundle) ? ", exceeded" : ""}`
  ]
}

const head = ["client", "gzip, kB", "minified, kB", "of it Effect", "of it Millrace", "target", "result", "budget"]

/** A row for each. */
export const table = (bundles: ReadonlyArray<Bundle>): string => markdown([head, ...bundles.map(rowOf)])

/** The sources that have the most of one. */
export const sources = ({ gzipped, minified, sources }: Bundle, most: number): string =>
  markdown([
    ["source", "minified, kB", "gzip in proportion, kB"],
    ...sources
      .slice(0, most)
      .map(([name, bytes]) => [`\`${name}\``, number(bytes), kB((bytes / minified) * gzipped).toFixed(2)])
  ])

/** Measured once, when it was decided. */
const prices = markdown([
  ["what", "gzip, kB", "why it stays"],
  ["answers to what the server asks, and its keys", "3.0", "`handle` is a method of every session"],
  ["logs, with Effect's loggers", "2.2", "the defect of a handler has to be seen somewhere"],
  ["spans, with Effect's tracer", "1.8", "whoever provides a `Tracer` has them, and nothing else to do"],
  ["bytes in messages of JSON", "0.5", "`Uint8Array` in a contract needs no other codec"]
])

/** In words, and in the numbers of this run. */
const missed = (bundles: ReadonlyArray<Bundle>): string => {
  const gzipped = (name: string) => bundles.find(({ client }) => client.name === name)!.gzipped
  const client = bundles.find((bundle) => bundle.client.name === "client")!
  const ours = client.gzipped * (shares(client).get("Millrace") ?? 0)
  const schema = gzipped("schema") - client.gzipped
  const typed = bundles.find((bundle) => bundle.client.name === "typed")!
  const effect = typed.gzipped * (shares(typed).get("Effect") ?? 0)
  return [
    `- Of typed messages without a contract ${number(effect)} kB are Effect: the least of it, and what it takes to wait for a`,
    `  time, of which \`Duration\` alone, with all its spellings, is 1.7 kB. Our own ${number(typed.gzipped - effect)} kB would have to be 1 kB.`,
    `- Of the client that comes back, ${number(ours)} kB are Millrace's own, which is more than 15 kB already.`,
    `- The least of Effect has ${number(gzipped("effect"))} kB. What else of it that client needs has`,
    `  ${number(client.gzipped - ours - gzipped("effect"))} kB: to wait for a time, logs and spans have the most of it.`,
    `- \`effect/Schema\` has ${number(schema)} kB, so that 45 kB leave ${number(45_000 - schema)} kB for the rest.`
  ].join("\n")
}

export const page = (bundles: ReadonlyArray<Bundle>): string => `# Size

<!-- Written by \`npm run size -- --write\`. Do not edit. -->

What a page loads for a client: the program and all that it needs, bundled by rolldown for browsers, minified, gzipped
at level 9. 1 kB is 1,000 bytes.

${table(bundles)}

- **target** is what was promised. One that is missed is said, and is no failure.
- **budget** is what it had when it was set, and 2 %: a client that exceeds it fails \`npm run size\` and
  \`npm test\`.
- **of it Effect**, **of it Millrace**: the gzipped size in the proportion of the minified bytes, as the source map tells
  whose they are. gzip does not know of sources, so no more exact number exists.

The programs are in [bench/size/clients](../bench/size/clients/README.md). Effect is there once for the whole page: what
else of it a page uses is not to be paid twice. The program with socket.io has the same messages without a
contract, checks nothing of them, and has no streams.

## Why targets are missed

${missed(bundles)}

These are in every client of a contract, also where a page has no use for them, and stay all the same. Measured on
2026-11-23 by leaving out one at a time:

${prices}

## Where the bytes are

Of the client that comes back, without Schema:

${sources(
  bundles.find(({ client }) => client.name === "client")!,
  24
)}

## The page of the hub

What \`millrace serve\` shows at \`/\`: its files as they are in the package, each by itself, not bundled and not minified, so
that they can be read. It loads nothing from elsewhere. The hub serves them as they are; what stands before it may compress
them.

${Console.table()}

From a cold start, with nothing cached and the hub on loopback, Chromium paints it first after 160 ms and it is connected
after 330 ms: medians of 15 on 2026-11-23, on two cores that had other work. \`node --conditions=@millrace/source bench/console.ts\` measures it.

## How to run it

\`\`\`sh
npm run size                     # the table; ends with 1 when a budget is exceeded
npm run size -- --sources client # and the sources of one of the programs, the largest first
npm run size -- --write          # and this page
\`\`\`
`
