/** What is measured, and what was promised of it. */
import {
  bare,
  bareWebSocket,
  cluster,
  type Contender,
  effectRpc,
  eventsourceParser,
  eventStreams,
  hub,
  inPage,
  millrace,
  nodeHttp,
  sessions,
  socketIo,
  socketIoClient,
  socketIoLean,
  socketIoRedis,
  sockets,
  webSockets,
  wsPlain
} from "./contenders.ts"
import type { Kind } from "./load/frames.ts"
import type { Scenario } from "./load/main.ts"
import * as measure from "./measure.ts"

export interface Target {
  /** At most this many times that contender; without one, at most this in the row's own unit. */
  readonly times?:
    | "ws"
    | "eventsource-parser"
    | "WebSockets"
    | "Effect RPC"
    | "socket.io"
    | "socket.io, Redis"
    | "bare WebSocket"
  readonly most: number
}

export interface Row {
  readonly title: string
  readonly unit: "µs" | "ns" | "ms" | "s" | "bytes" | "MiB" | "×"
  readonly samples: measure.Samples
  readonly targets: ReadonlyArray<Target>
}

export interface Suite {
  /** What it is chosen by on the command line. */
  readonly name: string
  /** What the number is, for the reader of the table. */
  readonly means: string
  /** Whether its messages are compressed. */
  readonly compresses?: true
  /** Who is measured where it is not those who speak WebSocket, ours first; always the same array. */
  readonly contenders?: ReadonlyArray<Contender>
  /** Whether it cannot be run without a Redis. */
  readonly needsRedis?: true
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
      samples: (await measure.cpuOfServer(name, { kind: "echo", options }, settings)).cpu,
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
      samples: (
        await measure.cpuOfServer(
          name,
          { kind: "broadcast", options: { senders, receivers: 1000, size: 128 } },
          settings
        )
      ).cpu,
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
    const options = { connections: 5000 + measure.uncounted, depth: 1, size: 64, kind: "text" } as const
    const { heap, rss } = await measure.memoryOfServer(
      "memory",
      { kind: "echo", options },
      { ...settings, contenders, rounds }
    )
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

/** The addon unmasks what is a third as long here, and bare sockets do not compress. */
const thatCompress = (settings: measure.Settings): measure.Settings => ({
  ...settings,
  contenders: settings.contenders.filter((contender) => contender !== wsPlain && contender !== bare)
})

const deflated = (name: string, title: string, scenario: Scenario, most: number): Suite => ({
  name,
  means:
    `CPU time of the server for each ${scenario.kind === "echo" ? "message that it echoes" : "delivery"}, all of it ` +
    "compressed; and the bytes on the wire, without the header of the frame",
  compresses: true,
  run: async (settings) => {
    const { bytes, cpu } = await measure.cpuOfServer(name, scenario, thatCompress(settings))
    return [
      { title, unit: "µs", samples: cpu, targets: [{ times: "ws", most }] },
      { title: `${title}: on the wire`, unit: "bytes", samples: bytes, targets: [] }
    ]
  }
})

const deflatedMemory = (options: {
  readonly name: string
  readonly connections: number
  /** Documents that each connection has echoed. */
  readonly documents: number
  readonly most: number
}): Suite => ({
  name: options.name,
  means:
    `growth of the server's memory for each idle connection with compression, which has echoed ` +
    `${options.documents === 1 ? "one document" : `${options.documents} documents`} of 1 KiB; and what the process has ` +
    `resident with ${options.connections.toLocaleString("en")} of them. After a full garbage collection`,
  compresses: true,
  run: async (settings) => {
    const { connections, documents, most, name } = options
    const { rss, total } = await measure.memoryOfServer(
      name,
      { kind: "echo", options: { connections, depth: 1, size: 1024, kind: "text", documents } },
      { ...thatCompress(settings), rounds: Math.min(settings.rounds, 3) }
    )
    const title = `memory of an idle connection with compression, ${documents === 1 ? "1 message" : `${documents} messages`}`
    return [
      { title: `${title}, resident`, unit: "bytes", samples: rss, targets: [{ times: "ws", most }] },
      {
        title: `a process with ${connections.toLocaleString("en")} of them, resident`,
        unit: "MiB",
        samples: total,
        targets: []
      }
    ]
  }
})

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

const parsers: ReadonlyArray<Contender> = [millrace, eventsourceParser]

const events = (load: string, title: string, means: string): Suite => ({
  name: `events-${load}`,
  means: `CPU time to make events of the bytes of an event stream, in process, for each event: ${means}`,
  contenders: parsers,
  run: async (settings) => [
    {
      title,
      unit: "ns",
      samples: await measure.cpuOfParser(`events-${load}`, load, settings),
      targets: [{ times: "eventsource-parser", most: 0.5 }]
    }
  ]
})

const eventsGrowth: Suite = {
  name: "events-growth",
  means:
    "CPU time of the parser for an event with 1 MiB of data that comes a byte at a time, over that for 512 KiB: 2 is linear",
  contenders: parsers,
  run: async (settings) => [
    {
      title: "event stream, byte by byte, twice the size",
      unit: "×",
      samples: await measure.growthOfParser("events-growth", 512 * 1024, settings),
      targets: [{ most: 2.3 }]
    }
  ]
}

const servers: ReadonlyArray<Contender> = [eventStreams, webSockets, nodeHttp]

const eventsBroadcast: Suite = {
  name: "sse-broadcast",
  means: "CPU time of the server for each delivery to clients of event streams, beside our own to WebSockets",
  contenders: servers,
  run: async (settings) => {
    const options = { senders: 1, receivers: 1000, size: 128 }
    const scenario = (contender: Contender): Scenario => ({
      kind: "broadcast",
      options: contender === webSockets ? options : { ...options, events: true }
    })
    const { cpu } = await measure.cpuOfServer("sse-broadcast", scenario, settings)
    return [
      {
        title: "broadcast, 128 B text to 1,000 event streams, 1 in flight",
        unit: "µs",
        samples: cpu,
        targets: [{ times: "WebSockets", most: 1.1 }]
      }
    ]
  }
}

const eventsMemory: Suite = {
  name: "sse-memory",
  means:
    "growth of the server's memory for each of 5,000 idle clients of event streams, after a full garbage collection: " +
    "of `GET /events` of the hub, and of a stream that a program answers with",
  contenders: servers,
  run: async (settings) => {
    const contenders = settings.contenders.filter((contender) => contender !== webSockets)
    const rounds = Math.min(settings.rounds, 3)
    const rows: Array<Row> = []
    for (const [kind, title] of [
      ["hub", "memory of an idle event stream of the hub"],
      ["respond", "memory of an idle event stream of a program"]
    ] as const) {
      const { heap, rss } = await measure.memoryOfServer(
        `sse-memory-${kind}`,
        { kind, options: { connections: 5000 + measure.uncounted } },
        { ...settings, contenders, rounds }
      )
      rows.push({ title: `${title}, resident`, unit: "bytes", samples: rss, targets: [{ most: 12_000 }] })
      rows.push({ title: `${title}, heap`, unit: "bytes", samples: heap, targets: [] })
    }
    return rows
  }
}

const talkers: ReadonlyArray<Contender> = [sessions, effectRpc, socketIo]

const dialects = new Map([
  [sessions, "millrace"],
  [effectRpc, "effect-rpc"],
  [socketIo, "socket.io"]
] as const)

const callsOf = (contender: Contender): Scenario => ({
  kind: "calls",
  options: { connections: 16, depth: 64, dialect: dialects.get(contender)! }
})

const calls: Suite = {
  name: "session-calls",
  means: "CPU time of the server for each request of 100 bytes of JSON that it answers with the same",
  contenders: talkers,
  run: async (settings) => {
    return [
      {
        title: "request and reply, 100 B JSON, 16 connections, 64 in flight",
        unit: "µs",
        samples: (await measure.cpuOfServer("session-calls", callsOf, settings)).cpu,
        targets: [{ most: 12 }, { times: "Effect RPC", most: 0.5 }, { times: "socket.io", most: 0.5 }]
      }
    ]
  }
}

const elements: Suite = {
  name: "session-stream",
  means: "CPU time of the server for each element of a stream that a client of ours reads, with the default credit",
  contenders: talkers,
  run: async (settings) => [
    {
      title: "stream of 1,000,000 small elements",
      unit: "µs",
      samples: (
        await measure.cpuOfServer(
          "session-stream",
          { kind: "elements", options: { elements: 1_000_000 } },
          { ...settings, contenders: settings.contenders.filter((contender) => contender === sessions) }
        )
      ).cpu,
      targets: [{ most: 3 }]
    }
  ]
}

const ofSocketIo: ReadonlyArray<Contender> = [sockets, socketIo]

const socketIoEcho = (connections: number, depth: number): Suite => ({
  name: `socketio-echo-${connections}x${depth}`,
  means:
    "CPU time of the server for each event with 100 bytes of JSON of a client of Socket.IO, over WebSocket, that it " +
    "acknowledges with the same",
  contenders: ofSocketIo,
  run: async (settings) => [
    {
      title: `Socket.IO: event and acknowledgement, 100 B JSON, ${connections} clients, ${depth} in flight`,
      unit: "µs",
      samples: (
        await measure.cpuOfServer(
          `socketio-echo-${connections}x${depth}`,
          { kind: "calls", options: { connections, depth, dialect: "socket.io" } },
          settings
        )
      ).cpu,
      targets: [{ times: "socket.io", most: 0.6 }]
    }
  ]
})

const socketIoBroadcast = (senders: number, title: string): Suite => ({
  name: `socketio-broadcast-${senders}`,
  means: "CPU time of the server for each delivery of an event to a room of 1,000 clients of Socket.IO, over WebSocket",
  contenders: ofSocketIo,
  run: async (settings) => [
    {
      title,
      unit: "µs",
      samples: (
        await measure.cpuOfServer(
          `socketio-broadcast-${senders}`,
          { kind: "broadcast", options: { senders, receivers: 1000, size: 128, socketIo: true } },
          settings
        )
      ).cpu,
      targets: [{ times: "socket.io", most: 0.5 }]
    }
  ]
})

const socketIoMemory: Suite = {
  name: "socketio-memory",
  means:
    "growth of the server's memory for each of 5,000 clients of Socket.IO that are in the main namespace and in a room, " +
    "have had one event acknowledged and are idle, after a full garbage collection",
  contenders: [...ofSocketIo, socketIoLean],
  run: async (settings) => {
    const options = { connections: 5000 + measure.uncounted, depth: 1, dialect: "socket.io" } as const
    const { heap, rss } = await measure.memoryOfServer(
      "socketio-memory",
      { kind: "calls", options },
      { ...settings, rounds: Math.min(settings.rounds, 3) }
    )
    return [
      {
        title: "memory of an idle client of Socket.IO, resident",
        unit: "bytes",
        samples: rss,
        targets: [{ times: "socket.io", most: 0.6 }]
      },
      { title: "memory of an idle client of Socket.IO, heap", unit: "bytes", samples: heap, targets: [] }
    ]
  }
}

const clusters: ReadonlyArray<Contender> = [cluster, socketIoRedis]

const clusterRedis = (name: string, title: string, senders: number): Suite => ({
  name,
  means:
    "CPU time of all processes, which are the three nodes and their Redis, for each delivery to clients of all nodes",
  contenders: clusters,
  needsRedis: true,
  run: async (settings) => [
    {
      title,
      unit: "µs",
      samples: await measure.cpuOfCluster(
        3,
        (contender, ports) => ({
          kind: "broadcast",
          options: {
            senders,
            receivers: 3000,
            size: 128,
            ports,
            ...(contender === socketIoRedis && { socketIo: true as const })
          }
        }),
        settings
      ),
      targets: [{ times: "socket.io, Redis", most: 0.6 }]
    }
  ]
})

const hubs: ReadonlyArray<Contender> = [hub]

const topicRate: Suite = {
  name: "topic-rate",
  means:
    "from when a message was due to be published until a subscriber has it, both in the load generator; every message " +
    "is counted when it is published, and at each subscriber in its order; and the server's CPU time for each delivery",
  contenders: hubs,
  run: async (settings) => {
    const { cpu, of } = await measure.figuresOfServer(
      { kind: "rate", options: { rate: 20_000, subscribers: 10, size: 128 } },
      { ...settings, seconds: settings.seconds * 3 }
    )
    const title = "one topic, 20,000 messages of 128 B in a second to 10 subscribers, none lost"
    return [
      { title: `${title}: latency, median`, unit: "ms", samples: of("median"), targets: [] },
      { title: `${title}: latency, 99 of 100 within`, unit: "ms", samples: of("p99"), targets: [] },
      { title: `${title}: latency, the longest`, unit: "ms", samples: of("most"), targets: [] },
      { title, unit: "µs", samples: cpu, targets: [] }
    ]
  }
}

const topicMemory: Suite = {
  name: "topic-memory",
  means:
    "growth of the server's memory when each of 1,000 connections joins 100 topics that nobody else is in, for each " +
    "topic, after a full garbage collection",
  contenders: hubs,
  run: async (settings) => {
    const rounds = Math.min(settings.rounds, 3)
    const { heap, rss } = await measure.memoryOfTopics({ connections: 1000, topics: 100 }, { ...settings, rounds })
    const title = "memory of a topic with one subscriber, of 100,000"
    return [
      { title: `${title}, resident`, unit: "bytes", samples: rss, targets: [{ most: 600 }] },
      { title: `${title}, heap`, unit: "bytes", samples: heap, targets: [{ most: 600 }] }
    ]
  }
}

const recovery: Suite = {
  name: "cluster-recovery",
  means:
    "time from when the first of 5,000 clients sees that its node was killed until all of them are on the other node " +
    "and have what they missed, over Redis, while publishing goes on; every message is counted at each of 10,000 " +
    "clients: none is lost and none comes twice, or the run is broken",
  contenders: hubs,
  needsRedis: true,
  run: async (settings) => {
    const rounds = Math.min(settings.rounds, 3)
    return [
      {
        title: "recovery of 10,000 clients on 2 nodes, one of which is killed; 200 messages in a second, to 100 each",
        unit: "s",
        samples: await measure.recovery({ clients: 10_000, topics: 100, rate: 200 }, { ...settings, rounds }),
        targets: []
      }
    ]
  }
}

const pages: ReadonlyArray<Contender> = [inPage, bareWebSocket, socketIoClient]

/** `receiver` is ours, by its name in `tabs/receivers.ts`. */
const received = (receiver: "messages" | "plain" | "schema", how: string): Suite => ({
  name: `page-${receiver}`,
  means: `CPU time of the main thread of a page for each of 100,000 messages of 100 B that it receives: ${how}`,
  contenders: pages,
  run: async (settings) => [
    {
      title: `a page receives 100 B of JSON: ${how}`,
      unit: "µs",
      samples: await measure.cpuOfPage((contender) => contender.receiver ?? receiver, settings),
      targets: [{ times: "bare WebSocket", most: 1.3 }]
    }
  ]
})

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
  // Of 40 documents of 1 KiB none refers to itself: when it comes again it has left the window of 32 KiB.
  deflated(
    "deflate-echo-1k",
    "echo, 64 connections, 1 KiB JSON compressed, 1 in flight",
    { kind: "echo", options: { connections: 64, depth: 1, size: 1024, kind: "text", documents: 40 } },
    0.8
  ),
  deflated(
    "deflate-echo-64k",
    "echo, 8 connections, 64 KiB JSON compressed, 1 in flight",
    { kind: "echo", options: { connections: 8, depth: 1, size: 65_536, kind: "text", documents: 8 } },
    0.9
  ),
  deflated(
    "deflate-broadcast",
    "broadcast, 1 KiB JSON compressed to 1,000 connections, 1 in flight",
    { kind: "broadcast", options: { senders: 1, receivers: 1000, size: 1024, documents: 40 } },
    0.1
  ),
  deflatedMemory({ name: "deflate-memory", connections: 10_000, documents: 1, most: 0.6 }),
  deflatedMemory({ name: "deflate-memory-full", connections: 3000, documents: 40, most: 0.6 }),
  frames,
  growth,
  events("small", "event stream, small events, one a read", "an id, a name and 30 bytes of JSON"),
  events(
    "small-64k",
    "event stream, small events, reads of 64 KiB",
    "the same, as many of them as a read has room for"
  ),
  events("deltas", "event stream, tokens of a chat, cut anywhere", "200 bytes of JSON, in reads of 1 to 15 bytes"),
  events("large", "event stream, 1 MiB of data, reads of 64 KiB", "one line of ASCII"),
  events(
    "large-256k",
    "event stream, 256 KiB of data, reads of 64 KiB",
    "one line of ASCII, which V8 keeps on its heap"
  ),
  eventsGrowth,
  eventsBroadcast,
  eventsMemory,
  calls,
  elements,
  socketIoEcho(64, 1),
  socketIoEcho(16, 64),
  socketIoBroadcast(1, "Socket.IO: broadcast, 128 B text to a room of 1,000 clients, 1 in flight"),
  socketIoBroadcast(16, "Socket.IO: broadcast, 128 B text to a room of 1,000 clients, from 16 at once"),
  socketIoMemory,
  clusterRedis(
    "cluster-redis-1",
    "broadcast through Redis, 128 B text to 3,000 connections on 3 nodes, 1 in flight",
    1
  ),
  clusterRedis(
    "cluster-redis-16",
    "broadcast through Redis, 128 B text to 3,000 connections on 3 nodes, from 16 at once",
    16
  ),
  topicRate,
  topicMemory,
  recovery,
  received("messages", "`BrowserWebSocket`, a stream of messages, and `JSON.parse`"),
  received("plain", "events of a `Client` whose contract has no Schema"),
  received("schema", "events of a `Client` whose contract has Schema")
]
