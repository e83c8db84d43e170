/** `docs/performance.md`: always of the same form, so that two runs can be compared line by line. */
import { pinning } from "./Child.ts"
import type { Settings } from "./measure.ts"
import type { Suite } from "./suites.ts"
import { cells, markdown, type Tables } from "./table.ts"

export interface Run {
  readonly machine: string
  readonly date: Date
  readonly settings: Settings
  readonly suites: ReadonlyArray<Suite>
  readonly tables: Tables
}

export const page = ({ date, machine, settings, suites, tables }: Run): string => `# Performance

<!-- Written by \`npm run bench -- --write\`. Do not edit. -->

Measured on ${date.toISOString().slice(0, 10)}: ${machine}; ${pinning}.
Medians of ${settings.rounds} rounds of ${settings.seconds} s.

${[...tables].map(([contenders, rows]) => markdown(cells(rows, contenders))).join("\n\n")}

## What the numbers mean

Every contender's server is a process of its own, and so is the load generator: bare sockets that send frames which were
encoded and masked once. What is measured is CPU time, user and system, of the server's whole process, divided by the
messages that it handled; load starts and ends in silence, so that no message is counted in part, and a message that is
lost or changed ends the run. CPU time says how many clients a core can carry. It is not latency.

The contenders take turns within each round. Absolute numbers belong to this machine on this day; the ratio of two
samples taken one after the other is what holds elsewhere. A ratio is the median over the rounds, with its least and its
greatest value.

${[...new Set([...tables.keys()].flat())].map(({ name, what }) => `- **${name}**: ${what}.`).join("\n")}

| suite | number |
| :-- | :-- |
${suites.map(({ means, name }) => `| \`${name}\` | ${means} |`).join("\n")}

## Event streams

Both parsers are given bytes and give strings that are there: whoever gets one reads it. \`eventsource-parser\` takes
strings, so a \`TextDecoder\` in streaming mode stands before it and is measured with it. Ours gives the events of a
read as an array, and checks its limits; \`eventsource-parser\` calls with each event and has no limit set. Every pass
is a new parser, and every event and every unit of data is counted. For strings of 128 KiB to 1 MiB most of the time is
V8 making room for the string, which is the same for both.

Servers of event streams are asked by bare sockets, which count the events that come. \`sse-broadcast\` has the same
message go to as many WebSockets of ours, from a server of its own, in the same rounds. \`node:http\` is what Node.js takes
by itself for responses that are left open: there is nothing around it, no heartbeat, no bound for who does not read. The
hub has the sockets of its clients to itself, a program's streams are in responses of \`node:http\`.

## Clusters

\`cluster-redis\` has three nodes and a Redis for each contender, all on the core of the servers; CPU time is that of all
four processes, the one of Redis by its own account. A message is sent to the first node, and the next when all 3,000
clients of all three have it. Ours keeps what was published, so that a client that comes back gets what it missed;
socket.io's adapter keeps nothing. Most of the time is one write to the system for each delivery, which is the same for
both where one message is in flight; from 16 at once ours writes what there is for a client in one.

\`topic-rate\` publishes by one WebSocket of the hub's protocol and reads by ten, at a rate that does not wait for anybody:
what is late anywhere is late for everything behind it. In \`cluster-recovery\` nobody is a benchmark's friend: all clients
of the node that dies come to the other one as soon as they know, 256 at a time, and ask for what they missed.

What happens when nodes and Redis are killed for minutes is \`npm run soak\`, which counts and measures nothing:

\`\`\`sh
npm run soak                               # ten minutes, three nodes over Redis, 500 clients
npm run soak -- --broker nats --minutes 2  # or memory, workers
npm run soak -- --seed 42 --verbose        # the troubles of another run, told as they are made
\`\`\`

## Socket.IO

\`socketio-…\` asks both servers in the words of \`socket.io-client\`, over WebSocket from the start, as bytes; nobody there
compresses, which is the default of both. socket.io speaks by \`ws\` with \`bufferutil\`, and serves WebSockets only; ours
has long-polling on, and publishes what goes to a room by the hub, so that it has a place in its log and clients of all
other wires could have it. Where one message is in flight, most of the time is a read and a write to the system for each,
which nobody is spared; where more are, ours reads and writes what there is for a client at once.

## In a page

\`page-…\` is a headless Chromium, with a page for each contender, and so a renderer of its own. What is measured is
\`ThreadTime\` of the DevTools protocol: CPU time of the page's main thread, script, garbage and the platform's own work on
each message alike, as that is what keeps a page from doing anything else. The browser's other threads and processes are
not in it. The server sends frames that were encoded once, as fast as they are taken; each message is read, and a field of
it looked at. A session's message has 16 B of its own around the 100 B, and its payload is checked by the contract.

## Compression

Both servers compress with zlib at level 6 and memory level 8, have a threshold of 1,024 bytes, which no message here is
below, and have agreed with the load generator on \`permessage-deflate\` without parameters: context takeover and
windows of 15 bits in both directions. Inside that window, which it need not use up, our compressor refers no further
back than 8 KiB; that is our default, and its price is told as bytes on the wire; \`--windows\` adds ours with all of
it. A broadcast of ours is compressed once, for all receivers and so without reference to what each of them has had
before; \`ws\` compresses it for each receiver, with that reference. The load generator sends JSON documents of one
shape and different values, and inflates the first replies of every connection with its window.

## How to run it

\`\`\`sh
npm run bench                        # everything, in some minutes
npm run bench -- echo memory         # the suites whose names contain one of the words
npm run bench -- --rounds 9 --secs 2 # longer, for a quieter answer
npm run bench -- --self              # ws against ws: how far the machine is to be believed
npm run bench -- --bare              # with a column for bare sockets, the floor
npm run bench -- --beside            # with a column for ws in a process that has Effect on its heap too
npm run bench -- deflate --windows   # with columns for ours with a window of 32 KiB, and ws that keeps none
npm run bench -- --stream            # with a column for handlers that take a stream of messages
npm run bench -- echo --profile out  # profiles of every server, for the developer tools of a browser
npm run bench -- --write             # everything, and this page
\`\`\`
`
