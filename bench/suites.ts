/** What is measured, and what was promised of it. */
import { millrace, wsPlain } from "./contenders.ts"
import type { Kind } from "./load/frames.ts"
import * as measure from "./measure.ts"

export interface Target {
  /** At most this many times `ws`; without it, at most this in the row's own unit. */
  readonly times?: "ws"
  readonly most: number
}

export interface Row {
  readonly title: string
  readonly unit: "µs" | "ns" | "bytes" | "×"
  readonly samples: measure.Samples
  readonly targets: ReadonlyArray<Target>
}

export interface Suite {
  /** What it is chosen by on the command line. */
  readonly name: string
  /** What the number is, for the reader of the table. */
  readonly means: string
  readonly run: (settings: measure.Settings) => Promise<ReadonlyArray<Row>>
}

const echo = (
  name: string,
  title: string,
  options: { readonly connections: number; readonly depth: number; readonly size: number; readonly kind: Kind },
  most: number
): Suite => ({
  name,
  means: "CPU time of the server for each message that it echoes",
  run: async (settings) => [
    {
      title,
      unit: "µs",
      samples: await measure.cpuOfServer(name, { kind: "echo", options }, settings),
      targets: [{ times: "ws", most }]
    }
  ]
})

const large = (kilobytes: number, kind: Kind) =>
  echo(
    `echo-${kilobytes}k-${kind}`,
    `echo, 8 connections, ${kilobytes} KiB ${kind}, 1 in flight`,
    { connections: 8, depth: 1, size: kilobytes * 1024, kind },
    1
  )

const broadcast = (name: string, title: string, senders: number): Suite => ({
  name,
  means: "CPU time of the server for each delivery",
  run: async (settings) => [
    {
      title,
      unit: "µs",
      samples: await measure.cpuOfServer(
        name,
        { kind: "broadcast", options: { senders, receivers: 1000, size: 128 } },
        settings
      ),
      targets: [{ times: "ws", most: 0.5 }]
    }
  ]
})

const memory: Suite = {
  name: "memory",
  means:
    "growth of the server's memory for each of 5,000 connections that have echoed one message and are idle, " +
    "after a full garbage collection",
  run: async (settings) => {
    // The addon holds no memory, and every sample is a server of its own: three of them say enough.
    const contenders = settings.contenders.filter((contender) => contender !== wsPlain)
    const rounds = Math.min(settings.rounds, 3)
    const { heap, rss } = await measure.memoryOfServer("memory", 5000, { ...settings, contenders, rounds })
    return [
      {
        title: "memory of an idle connection, resident",
        unit: "bytes",
        samples: rss,
        targets: [{ times: "ws", most: 1.2 }]
      },
      { title: "memory of an idle connection, heap", unit: "bytes", samples: heap, targets: [] }
    ]
  }
}

const frames: Suite = {
  name: "codec-frames",
  means:
    "CPU time to decode, unmask and validate one masked 64-byte text frame out of 64 KiB chunks, in process, " +
    "against the `Receiver` of `ws`",
  run: async (settings) => [
    {
      title: "codec alone, 64 B text frames",
      unit: "ns",
      samples: await measure.cpuOfCodec("codec-frames", {
        ...settings,
        contenders: settings.contenders.filter((contender) => contender !== wsPlain) // measured: no difference at 64 bytes
      }),
      targets: [{ most: 250 }, { times: "ws", most: 0.5 }]
    }
  ]
}

const growth: Suite = {
  name: "codec-growth",
  means:
    "CPU time of our decoder for a message of 1 MiB that comes a byte at a time, over that for 512 KiB: 2 is linear. " +
    "The `Receiver` of `ws` is left out: it did not come to the end of 512 KiB in two minutes",
  run: async (settings) => [
    {
      title: "codec alone, a message byte by byte, twice the size",
      unit: "×",
      samples: await measure.growthOfCodec("codec-growth", 512 * 1024, {
        ...settings,
        contenders: settings.contenders.filter((contender) => contender === millrace)
      }),
      targets: [{ most: 2.3 }]
    }
  ]
}

export const suites: ReadonlyArray<Suite> = [
  echo(
    "echo-64x1",
    "echo, 64 connections, 64 B text, 1 in flight",
    { connections: 64, depth: 1, size: 64, kind: "text" },
    1
  ),
  echo(
    "echo-16x64",
    "echo, 16 connections, 64 B text, 64 in flight",
    { connections: 16, depth: 64, size: 64, kind: "text" },
    0.07
  ),
  large(16, "text"),
  large(16, "binary"),
  large(256, "text"),
  large(256, "binary"),
  broadcast("broadcast-1", "broadcast, 128 B text to 1,000 connections, 1 in flight", 1),
  broadcast("broadcast-16", "broadcast, 128 B text to 1,000 connections, from 16 at once", 16),
  memory,
  frames,
  growth
]
