/**
 * Redis as an engine: a log of what was published in streams, and pub/sub to tell of it, in one step by a script.
 *
 *     const engine = RedisEngine.make({ url: "redis://localhost:6379" })
 *
 * Redis 6.2 or newer. A node has two connections, whatever the number of topics. All keys of a prefix are on one node of
 * a Redis Cluster: more nodes make it survive, not faster. What its keys and scripts are is in docs/brokers/redis.md.
 */
import type { Retention } from "@millrace/core/cluster/Broker"
import { BrokerError, StaleKey, TooLarge, Unavailable } from "@millrace/core/cluster/BrokerError"
import type { Engine, Link, Receiver, Tail } from "@millrace/core/cluster/Engine"
import type { Key } from "@millrace/core/cluster/Parcel"
import type { Position } from "@millrace/core/cluster/Position"
import * as Identifier from "@millrace/core/messaging/Identifier"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Connections from "./redis/Connections.ts"
import * as Names from "./redis/Names.ts"
import * as Refusal from "./redis/Refusal.ts"
import * as Scripts from "./redis/Scripts.ts"
import * as Server from "./redis/Server.ts"

/** Nothing of it is required. All nodes of a cluster must be given the same prefix and should be given the same retention. */
export interface Options extends Connections.Options {
  /** What all keys and channels begin with, without braces. Default `millrace`. */
  readonly prefix?: string | undefined
  /** What of publications is kept. A topic may take a few more entries in memory than it is told to keep. */
  readonly retention?: Retention | undefined
  /**
   * How long it is known of a topic that there was something, also when that is not kept any more. Who comes back to a
   * topic after longer than this may be told of a gap where there is none. The shortest of any node counts. Default 1 day.
   */
  readonly rememberTopics?: Duration.Input | undefined
  /** Most bytes of a publication. Redis itself takes no more than 512 MiB. Default 8 MiB. */
  readonly maxBytes?: number | undefined
  /** Most bytes that are read to find what was missed in one topic; behind them is a gap. Default 16 MiB. */
  readonly maxTailBytes?: number | undefined
  /** How long connecting may take, until the server has answered. Default 10 seconds. */
  readonly connectTimeout?: Duration.Input | undefined
  /** How often the connection that only listens is asked whether it is there, and has to answer. Default 5 seconds. */
  readonly heartbeat?: Duration.Input | undefined
}

/** Unless others are given. */
export const defaults = {
  prefix: "millrace",
  rememberTopics: "1 day",
  maxBytes: 8_388_608,
  maxTailBytes: 16_777_216,
  connectTimeout: "10 seconds",
  heartbeat: "5 seconds"
} satisfies Options

/** Of retention, in milliseconds where it is a time. */
export const retention = { maxEntries: 1_000, maxAge: 300_000, repeatWindow: 120_000 } satisfies Retention

/** Bytes after which a script leaves off reading, so that it holds nobody else up for long. */
const pageBytes = 262_144

/** Channels of one SUBSCRIBE: ten thousand in one command would hold everybody up. */
const channelsAtOnce = 500

/** Throws a `RangeError` for a prefix that cannot be one, or a bound that is none. */
export const make = (options: Options = {}): Engine => {
  const prefix = options.prefix ?? defaults.prefix
  const maxBytes = options.maxBytes ?? defaults.maxBytes
  if (!Names.isPrefix(prefix)) throw new RangeError(`not a prefix of keys: ${JSON.stringify(prefix)}`)
  if (!(maxBytes > 0 && maxBytes <= 536_870_000)) throw new RangeError(`Redis takes no ${maxBytes} bytes`)
  const connectTimeout = Duration.fromInputUnsafe(options.connectTimeout ?? defaults.connectTimeout)
  const late = new BrokerError({
    reason: new Unavailable({
      outcome: "NotPublished",
      cause: new Error(`Redis has not answered within ${Duration.format(connectTimeout)}`)
    })
  })
  return {
    name: "redis",
    maxBytes,
    open: (receiver) =>
      Effect.timeoutOrElse(open({ ...options, prefix, maxBytes }, receiver), {
        duration: connectTimeout,
        orElse: () => Effect.fail(late)
      })
  }
}

interface Known extends Options {
  readonly prefix: string
  readonly maxBytes: number
}

const open = (options: Known, receiver: Receiver): Effect.Effect<Link, BrokerError, Scope.Scope> =>
  Effect.gen(function* () {
    const random = yield* Effect.contextWith((context: Context.Context<never>) =>
      Effect.succeed(Context.get(context, Identifier.Source))
    )
    const connections = yield* Connections.open(options, options.prefix, options.heartbeat ?? defaults.heartbeat)
    const server = yield* Effect.tryPromise({
      try: () => connections.commands.info(),
      catch: (error) => Refusal.brokerError(error, false)
    }).pipe(Effect.flatMap(Server.read))
    const link = new RedisLink(options, connections, server, receiver, random())
    yield* link.begin
    return link
  })

class RedisLink implements Link {
  readonly ended: Effect.Effect<BrokerError>
  private readonly names: Names.Names
  private readonly maxBytes: number
  private readonly maxTailBytes: number
  private readonly maxEntries: number
  private readonly maxAge: number
  private readonly publish: "PUBLISH" | "SPUBLISH"
  private readonly common: ReadonlyArray<string>
  private readonly kept: ReadonlyArray<string>
  private readonly window: string
  private readonly name: string
  private readonly connections: Connections.Connections
  private epochs = 0

  constructor(
    options: Known,
    connections: Connections.Connections,
    server: Server.Server,
    receiver: Receiver,
    name: string
  ) {
    this.connections = connections
    this.ended = connections.ended
    this.name = name
    this.names = Names.make(options.prefix, connections.database)
    this.maxBytes = options.maxBytes
    this.maxTailBytes = options.maxTailBytes ?? defaults.maxTailBytes
    this.maxEntries = options.retention?.maxEntries ?? retention.maxEntries
    this.maxAge = Math.ceil(Duration.toMillis(options.retention?.maxAge ?? retention.maxAge))
    this.window = `${Math.ceil(Duration.toMillis(options.retention?.repeatWindow ?? retention.repeatWindow))}`
    this.kept = [`${this.maxEntries}`, `${this.maxAge}`]
    this.publish = server.hasShards ? "SPUBLISH" : "PUBLISH"
    const remembered = Duration.toMillis(Duration.fromInputUnsafe(options.rememberTopics ?? defaults.rememberTopics))
    this.common = [server.run, `${remembered}`, server.evicts ? "1" : "0"]
    const told = teller(this.names, receiver)
    connections.subscribed.on(server.hasShards ? "smessageBuffer" : "messageBuffer", told)
  }

  /** Loads the scripts, and asks whether all that they do may be done. */
  get begin(): Effect.Effect<void, BrokerError> {
    const { check, log, marks } = this.names
    return Effect.andThen(
      Effect.tryPromise({
        try: () => Promise.all(Scripts.all.map(({ text }) => this.connections.commands.script("LOAD", text))),
        catch: (error) => this.failed(error, false)
      }),
      this.run(Scripts.begin, [log, marks, check], [this.publish, this.names.cast], false)
    )
  }

  append(topic: string, bytes: Uint8Array, key: Key | undefined): ReturnType<Link["append"]> {
    if (bytes.length > this.maxBytes) return this.tooLarge(bytes.length)
    const { appended, last, log, marks, producer, topic: stream } = this.names
    const keys = [log, marks, stream(topic), last(topic)]
    const rest: Array<string | Buffer> = [this.publish, appended + topic, asBuffer(bytes), ...this.kept]
    if (key !== undefined) {
      keys.push(producer(key.producer))
      rest.push(this.window, `${key.epoch}`, `${key.sequence}`)
    }
    return Effect.flatMap(this.run(Scripts.append, keys, rest, true), (answer) => {
      const [did, epoch, offset] = answer as [number, Buffer, Buffer]
      if (did === 2) return Effect.fail(new BrokerError({ reason: new StaleKey({ key: key! }) }))
      return Effect.succeed({ position: positionOf(epoch, offset), repeated: did === 1 })
    })
  }

  since(topic: string, after: Position | undefined): Effect.Effect<Tail, BrokerError> {
    return Effect.suspend(() => this.read(topic, after, "+", [], 0, undefined))
  }

  /** Reads backwards, page by page. What it has and where the log was come from the pages before. */
  private read(
    topic: string,
    after: Position | undefined,
    from: string,
    entries: Array<Read>,
    bytes: number,
    first: Page | undefined
  ): Effect.Effect<Tail, BrokerError> {
    const { last, log, marks, topic: stream } = this.names
    const rest = [
      after?.epoch ?? "",
      `${after?.offset ?? 0}`,
      from,
      `${this.maxAge}`,
      `${this.maxEntries - entries.length}`,
      `${Math.min(pageBytes, this.maxTailBytes - bytes)}`
    ]
    const answer = this.run(Scripts.since, [log, marks, stream(topic), last(topic)], rest, false)
    return Effect.flatMap(answer, (answer) => {
      const page = pageOf(answer)
      const { floor, known, to } = first ?? page
      let length = bytes
      // What is not one behind the other was trimmed in between, or the log is another.
      let whole = page.to.epoch === to.epoch
      for (const entry of page.entries) {
        const newer = entries.at(-1)
        whole &&= newer === undefined || newer.previous === entry.offset
        if (!whole) break
        entries.push(entry)
        length += entry.bytes.length
      }
      if (whole && page.more && length < this.maxTailBytes) {
        return this.read(topic, after, `(${page.id}`, entries, length, first ?? page)
      }
      const oldest = entries.at(-1)?.previous ?? floor
      return Effect.succeed({
        entries: entries.toReversed().map(({ bytes, offset }) => ({ bytes, offset })),
        gap: !known || after!.offset < oldest,
        to
      })
    })
  }

  /** The other connection is asked, too: what is published may come late, but must come. */
  get position(): Effect.Effect<Position, BrokerError> {
    return Effect.map(
      Effect.all(
        [
          this.run(Scripts.locate, [this.names.log, this.names.marks], [], false),
          this.send(() => Connections.ping(this.connections.subscribed), false)
        ],
        { concurrency: 2 }
      ),
      ([answer]) => {
        const [epoch, offset] = answer as [Buffer, Buffer]
        return positionOf(epoch, offset)
      }
    )
  }

  listen(topics: ReadonlyArray<string>): Effect.Effect<void, BrokerError> {
    return this.subscribe(this.names.appended, topics)
  }

  hear(channels: ReadonlyArray<string>): Effect.Effect<void, BrokerError> {
    return this.subscribe(this.names.cast, channels)
  }

  unlisten(topics: ReadonlyArray<string>): void {
    this.unsubscribe(this.names.appended, topics)
  }

  unhear(channels: ReadonlyArray<string>): void {
    this.unsubscribe(this.names.cast, channels)
  }

  cast(channel: string, bytes: Uint8Array): Effect.Effect<void, BrokerError> {
    if (bytes.length > this.maxBytes) return this.tooLarge(bytes.length)
    const name = this.names.cast + channel
    const { commands } = this.connections
    return Effect.asVoid(
      this.send(
        () =>
          this.publish === "SPUBLISH"
            ? commands.spublish(name, asBuffer(bytes))
            : commands.publish(name, asBuffer(bytes)),
        true
      )
    )
  }

  private subscribe(prefix: string, names: ReadonlyArray<string>): Effect.Effect<void, BrokerError> {
    const { subscribed } = this.connections
    return Effect.asVoid(
      this.send(
        () =>
          Promise.all(
            batches(prefix, names).map((channels) =>
              this.publish === "SPUBLISH" ? subscribed.ssubscribe(...channels) : subscribed.subscribe(...channels)
            )
          ),
        false
      )
    )
  }

  /** What comes of it is not waited for: when it fails there is no connection, and so no subscription. */
  private unsubscribe(prefix: string, names: ReadonlyArray<string>): void {
    const { subscribed } = this.connections
    if (subscribed.status !== "ready") return
    for (const channels of batches(prefix, names)) {
      const done =
        this.publish === "SPUBLISH" ? subscribed.sunsubscribe(...channels) : subscribed.unsubscribe(...channels)
      done.catch(() => {})
    }
  }

  /** By its hash; where Redis has forgotten it, by its text, which it then remembers. */
  private run(
    { sha, text }: Scripts.Script,
    keys: ReadonlyArray<string>,
    rest: ReadonlyArray<string | Buffer>,
    publishes: boolean
  ): Effect.Effect<unknown, BrokerError> {
    const { commands } = this.connections
    return this.send(() => {
      const epoch = `${this.name}.${(this.epochs++).toString(36)}`
      const args = [keys.length, ...keys, epoch, ...this.common, ...rest]
      return commands.callBuffer("EVALSHA", sha, ...args).catch((error: unknown) => {
        if (!Refusal.isForgotten(error)) throw error
        return commands.callBuffer("EVAL", text, ...args)
      })
    }, publishes)
  }

  private send<A>(call: () => Promise<A>, publishes: boolean): Effect.Effect<A, BrokerError> {
    return Effect.callback((resume) => {
      const over = this.connections.over()
      if (over !== undefined) return resume(Effect.fail(Refusal.brokerError(over.reason, false)))
      call().then(
        (value) => resume(Effect.succeed(value)),
        (error: unknown) => resume(Effect.fail(this.failed(error, publishes)))
      )
    })
  }

  private failed(error: unknown, publishes: boolean): BrokerError {
    const failure = Refusal.brokerError(error, publishes)
    if (Refusal.isElsewhere(error)) this.connections.end(failure)
    return failure
  }

  private tooLarge(length: number): Effect.Effect<never, BrokerError> {
    return Effect.fail(new BrokerError({ reason: new TooLarge({ length, limit: this.maxBytes }) }))
  }
}

/** Buffers are what the client writes as they are. */
const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const batches = (prefix: string, names: ReadonlyArray<string>): ReadonlyArray<ReadonlyArray<string>> =>
  Array.from({ length: Math.ceil(names.length / channelsAtOnce) }, (_, at) =>
    names.slice(at * channelsAtOnce, (at + 1) * channelsAtOnce).map((name) => prefix + name)
  )

const positionOf = (epoch: Buffer, offset: Buffer): Position => ({ epoch: `${epoch}`, offset: Number(offset) })

interface Read {
  readonly offset: number
  /** Of the one before it in the topic, which it is not above. */
  readonly previous: number
  readonly bytes: Uint8Array
}

interface Page {
  readonly to: Position
  readonly known: boolean
  readonly floor: number
  readonly more: boolean
  /** Of the oldest entry. */
  readonly id: string
  /** The newest first. */
  readonly entries: ReadonlyArray<Read>
}

const pageOf = (answer: unknown): Page => {
  const [epoch, offset, known, floor, more, parts] = answer as [Buffer, Buffer, number, Buffer, number, Array<Buffer>]
  const entries: Array<Read> = []
  let id = ""
  for (let at = 0; at + 2 < parts.length; at += 3) {
    id = `${parts[at]}`
    entries.push({
      offset: Number(id.slice(id.indexOf("-") + 1)),
      previous: Number(parts[at + 1]),
      bytes: parts[at + 2]!
    })
  }
  return { to: positionOf(epoch, offset), known: known === 1, floor: Number(floor), more: more === 1, id, entries }
}

/** Reads what is told: `epoch offset previous`, a line feed, and the parcel. What cannot be read is somebody else's. */
const teller = ({ appended, cast }: Names.Names, receiver: Receiver) => {
  const appendedLength = Buffer.byteLength(appended)
  const castLength = Buffer.byteLength(cast)
  return (channel: Buffer, message: Buffer): void => {
    const name = channel.toString()
    if (name.startsWith(cast)) return receiver.heard(channel.toString("utf8", castLength), message)
    if (!name.startsWith(appended)) return
    const end = message.indexOf(10)
    const head = /^([^ ]+) (\d+) (\d*)$/.exec(message.toString("latin1", 0, Math.max(end, 0)))
    if (head === null) return
    const offset = Number(head[2])
    // Behind what is no offset nothing would ever be new.
    if (!Number.isSafeInteger(offset)) return
    receiver.appended({
      topic: channel.toString("utf8", appendedLength),
      position: { epoch: head[1]!, offset },
      previous: head[3] === "" ? undefined : Number(head[3]),
      bytes: message.subarray(end + 1)
    })
  }
}
