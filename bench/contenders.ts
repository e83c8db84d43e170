/** Who is measured: how its servers, its codec and its parser of event streams are started. */

export interface Contender {
  /** The head of its column. */
  readonly name: string
  /** What it is, for the legend. */
  readonly what: string
  /** The program in `servers/`, which takes the kind of a scenario. */
  readonly server?: string
  /** A second argument for the program. */
  readonly style?: string
  /** The module in `codecs/`. */
  readonly codec?: string
  /** The module in `parsers/`. */
  readonly parser?: string
  /** What it is in a page: the name in `tabs/receivers.ts`, unless the suite says which. */
  readonly receiver?: string
  readonly env?: Readonly<Record<string, string>>
  /** It is in suites with compression only: without, it is as another one. */
  readonly compresses?: true
  /** What it answers to an offer of permessage-deflate, unless just that. */
  readonly deflate?: string
}

export const millrace: Contender = {
  name: "millrace",
  what: "this toolkit, its handlers taking and sending batches",
  server: "millrace",
  codec: "millrace",
  parser: "millrace"
}

export const millraceStream: Contender = {
  name: "millrace, stream",
  what: "this toolkit, its handlers written as `Stream.runForEach(connection.messages, connection.send)`",
  server: "millrace",
  style: "stream"
}

export const ws: Contender = {
  name: "ws",
  what: "`ws` with its native addon `bufferutil`",
  server: "ws",
  codec: "ws"
}

export const wsPlain: Contender = {
  name: "ws, no addon",
  what: "`ws` without `bufferutil` (`WS_NO_BUFFER_UTIL=1`)",
  server: "ws",
  codec: "ws",
  env: { WS_NO_BUFFER_UTIL: "1" }
}

/** What the collector makes of a heap that holds Effect, whoever does the work: most of it where messages are large. */
export const wsBeside: Contender = {
  name: "ws, beside",
  what: "`ws` with its addon, in a process that has loaded this toolkit and Effect and does not use them",
  server: "ws",
  style: "beside"
}

/** As far back as `ws` refers, at what that costs: as few bytes on the wire. */
export const millraceWide: Contender = {
  name: "millrace, 32 KiB",
  what: "this toolkit with `compressorWindowBits: 15`",
  server: "millrace",
  style: "wide",
  compresses: true
}

/** It forgets what it has sent, which saves it time and, as was measured, no memory; and compresses for each receiver. */
export const wsFresh: Contender = {
  name: "ws, fresh",
  what: "`ws` with its addon and `serverNoContextTakeover`",
  server: "ws",
  style: "fresh",
  compresses: true,
  deflate: "permessage-deflate; server_no_context_takeover"
}

/** A second `ws` in the place of ours: its ratio has to come out near 1, or the benchmark is not to be believed. */
export const wsAgain: Contender = { ...ws, name: "ws again", what: "the same `ws` a second time, in our place" }

export const bare: Contender = {
  name: "bare",
  what: "bare sockets that parse and echo inline: the floor on Node.js",
  server: "bare"
}

export const eventStreams: Contender = {
  name: "event streams",
  what: "event streams of this toolkit, over HTTP/1.1",
  server: "events"
}

export const webSockets: Contender = { ...millrace, name: "WebSockets", what: "WebSockets of this toolkit" }

export const nodeHttp: Contender = {
  name: "node:http",
  what: "responses of bare `node:http` that are left open, and written to one by one: for information",
  server: "http"
}

export const sessions: Contender = {
  name: "sessions",
  what: "sessions of this toolkit: a contract in JSON, compiled by Effect's JIT, over our WebSockets",
  server: "sessions"
}

export const effectRpc: Contender = {
  name: "Effect RPC",
  what: "Effect's own RPC in JSON, with its JIT, over its own WebSocket server, which is `ws`",
  server: "effectRpc"
}

export const socketIo: Contender = {
  name: "socket.io",
  what: "`socket.io` over WebSocket only, which checks no schema",
  server: "socketio"
}

/** With what its documentation advises where memory counts. */
export const socketIoLean: Contender = {
  ...socketIo,
  name: "socket.io, lean",
  what: "`socket.io` over WebSocket only, that lets go of the requests that sessions began with",
  style: "lean"
}

export const sockets: Contender = {
  name: "SocketServer",
  what: "a `SocketServer` of this toolkit behind `NodeSocketIoServer.serve`, with their defaults: polling is on, recovery is off",
  server: "sockets"
}

export const cluster: Contender = {
  name: "cluster",
  what: "hubs of this toolkit over WebSocket, on our broker for Redis, which keeps what was published",
  server: "cluster"
}

export const hub: Contender = {
  name: "hub",
  what: "hubs of this toolkit, as clients of the hub's protocol find them",
  server: "hub"
}

export const socketIoRedis: Contender = {
  name: "socket.io, Redis",
  what: "`socket.io` over WebSocket only, with `@socket.io/redis-adapter` and `ioredis`, which keeps nothing",
  server: "socketioRedis"
}

export const eventsourceParser: Contender = {
  name: "eventsource-parser",
  what: "`eventsource-parser` behind a `TextDecoder`, each of its events a call",
  parser: "eventsource-parser"
}

export const inPage: Contender = {
  name: "in a page",
  what: "this toolkit in a page of headless Chromium, on the platform's `WebSocket`"
}

export const bareWebSocket: Contender = {
  name: "bare WebSocket",
  what: "the platform's `WebSocket` in such a page, with a listener that calls `JSON.parse`",
  receiver: "bare"
}

export const socketIoClient: Contender = {
  name: "socket.io-client",
  what: "`socket.io-client` in such a page, over WebSocket only, which checks no schema",
  receiver: "socketIo"
}
