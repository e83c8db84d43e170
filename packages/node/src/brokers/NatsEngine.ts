/**
 * NATS as the engine of a broker: a stream of JetStream is the log, and the server itself tells on core subjects what
 * has got its place in it, with the place of the one before. See docs/brokers/nats.md for the subjects, and for what is
 * promised.
 *
 * It stands on `@nats-io/transport-node` and `@nats-io/jetstream`. Wants a nats-server of 2.9 or newer with JetStream on.
 * A connection that is lost ends its link; the client's own ways to come back are switched off.
 */
import { JetStreamApiError, jetstreamManager, type JetStreamOptions, RepublishHeaders } from "@nats-io/jetstream"
import { createInbox, errors, headers, type NodeConnectionOptions } from "@nats-io/transport-node"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type { Retention } from "@millrace/core/cluster/Broker"
import type { BrokerError } from "@millrace/core/cluster/BrokerError"
import type { Engine, Link, Receiver } from "@millrace/core/cluster/Engine"
import type { Key } from "@millrace/core/cluster/Parcel"
import * as Identifier from "@millrace/core/messaging/Identifier"
import * as Connection from "./nats/Connection.ts"
import * as Faults from "./nats/Faults.ts"
import { Listening } from "./nats/Listening.ts"
import * as Log from "./nats/Log.ts"
import { Quiet } from "./nats/Quiet.ts"
import * as Subjects from "./nats/Subjects.ts"
import * as Tail from "./nats/Tail.ts"

export interface Options {
  /**
   * `nats://host:4222`, or several servers of one cluster, of which any is taken. With `tls://` it is TLS or nothing.
   * `nats://user:password@host` and `nats://token@host` say who we are.
   */
  readonly url: string | ReadonlyArray<string>
  /**
   * Stands before all subjects. Clusters with different ones do not hear each other. Words of letters, digits, `-` and
   * `_`, with dots between them; 64 bytes at most. Default `millrace`.
   */
  readonly prefix?: string | undefined
  /** What of publications is kept: as long as repeats are known, at least. */
  readonly retention?: Retention | undefined
  /** Bytes that are kept of all topics, with what the server adds to each. Default 256 MiB. */
  readonly maxLogBytes?: number | undefined
  /** Most bytes that are held of what was missed in one topic; what is older is a gap then. Default 16 MiB. */
  readonly maxTailBytes?: number | undefined
  /** Where a new log is kept. In `memory` it is gone when its server is restarted. Default `file`. */
  readonly storage?: "file" | "memory" | undefined
  /** How many servers of a NATS cluster keep the log: 1, 3 or 5. Default: as it is, and 1 for a new one. */
  readonly replicas?: number | undefined
  /** How long the server may take to let us in, and to answer a question. Default 10 s. */
  readonly timeout?: Duration.Input | undefined
  /** As the client has them: TLS, users, tokens, nkeys, credentials. Whether and when to come back is not its business. */
  readonly connection?: NodeConnectionOptions | undefined
  /** Another API of JetStream: a domain, or the prefix of an account that lends it. */
  readonly jetstream?: Pick<JetStreamOptions, "apiPrefix" | "domain"> | undefined
}

/** Unless others are given. */
export const defaults = {
  prefix: "millrace",
  maxLogBytes: 268_435_456,
  maxTailBytes: 16_777_216,
  storage: "file",
  timeout: "10 seconds"
} satisfies Partial<Options>

/** Of retention, in milliseconds where it is a time. */
export const retention = { maxEntries: 1_000, maxAge: 300_000, repeatWindow: 120_000 } satisfies Retention

/**
 * As much as NATS can be told to take. What a server takes, 1 MiB unless it was told, is known when it lets us in: of
 * that, 512 bytes are for us.
 */
const maxBytes = 67_108_864

/**
 * Longest name of a topic or a channel, in bytes. A server takes lines of 4,096 bytes and ends the connection for a longer
 * one: a name takes four thirds of that in a subject, and beside it is where the answer goes.
 */
export const maxNameBytes = 2_048

/** How often it is asked where the log is, to know later what has been told: long enough for the server to tell it. */
const askInterval = "5 seconds"

const decoder = new TextDecoder()

/** By which the server knows a repeat. */
const idOf = ({ epoch, producer, sequence }: Key): string => `${Subjects.word(producer)}.${epoch}.${sequence}`

/** What the fields in front of a publication may take of what a server takes, in bytes. */
const maxFields = 512

const isOffset = (value: number): boolean => Number.isSafeInteger(value) && value >= 0

interface Acknowledgement {
  readonly stream?: string
  readonly seq?: number
  readonly duplicate?: boolean
  readonly error?: ConstructorParameters<typeof JetStreamApiError>[0]
}

/** Opens links to a NATS, and remembers how far the log was: one that has gone back is not taken for the same. */
export const make = (options: Options): Engine => {
  const prefix = options.prefix ?? defaults.prefix
  const timeout = Duration.toMillis(options.timeout ?? defaults.timeout)
  const subjects = Subjects.make(prefix)
  const keeping: Log.Keeping = {
    maxEntries: options.retention?.maxEntries ?? retention.maxEntries,
    maxAge: Duration.toMillis(options.retention?.maxAge ?? retention.maxAge),
    repeatWindow: Duration.toMillis(options.retention?.repeatWindow ?? retention.repeatWindow),
    maxBytes: options.maxLogBytes ?? defaults.maxLogBytes,
    storage: options.storage ?? defaults.storage,
    replicas: options.replicas
  }
  let witness: Log.Witness | undefined
  const quiet = new Quiet()

  const open = (receiver: Receiver): Effect.Effect<Link, BrokerError, Scope.Scope> =>
    Effect.gen(function* () {
      if (!Subjects.isPrefix(prefix)) {
        return yield* Effect.fail(Faults.rejected(new Error(`${JSON.stringify(prefix)} cannot begin a subject`)))
      }
      const random = yield* Identifier.Source
      const connection = yield* Connection.open(options.url, options.connection, timeout)
      const jsm = yield* Effect.tryPromise({
        try: () => jetstreamManager(connection, { ...options.jetstream, checkAPI: false, timeout }),
        catch: (error) => Faults.errorOf(error)
      })
      const log = yield* Log.open(jsm, subjects, keeping, random, witness)
      if (witness?.epoch !== log.epoch) witness = log.last
      const ended = Deferred.makeUnsafe<BrokerError>()
      const listener = quiet.begin(log.epoch)
      // In a cluster of servers one may miss what is between it and another, and nobody is told.
      const isAlone = connection.info?.jetstream === true && connection.info.cluster === undefined && !options.jetstream

      let why: BrokerError | undefined
      const end = (error: BrokerError): void => {
        why ??= error
        Deferred.doneUnsafe(ended, Exit.succeed(error))
        void connection.close()
      }
      connection.closed().then((error) => end(Faults.errorOf(error ?? new Error("the connection was closed"))))

      /** An error that says that this is not the log any more is the end of the link. */
      const fault = (error: unknown, said = false): BrokerError => {
        const isAnother = error instanceof Tail.Another || Faults.isNobody(error) || Faults.isAnotherStream(error)
        const fault = Faults.errorOf(error, said)
        if (isAnother) end(fault)
        return fault
      }
      const ask = <A>(evaluate: () => Promise<A>, said = false): Effect.Effect<A, BrokerError> =>
        Effect.tryPromise({ try: evaluate, catch: (error) => fault(error, said) })

      const saw = (offset: number, subject: string, bytes: Uint8Array): void => {
        if (witness !== undefined && witness.epoch === log.epoch && witness.offset >= offset) return
        const is: Log.Witness["is"] = (stored) => stored.subject === subject && Buffer.compare(stored.data, bytes) === 0
        witness = { epoch: log.epoch, offset, is }
      }

      const topics = new Listening(connection, subjects.live, (topic, { data, headers }) => {
        const stream = headers?.get(RepublishHeaders.Stream) ?? ""
        // Somebody else's; the server does not say it without.
        if (headers === undefined || stream === "") return
        if (stream !== log.name) return end(Faults.unavailable(new Tail.Another()))
        const offset = Number(headers.get(RepublishHeaders.Sequence))
        const previous = Number(headers.get(RepublishHeaders.LastSequence))
        // Somebody else's, too: what is no offset must not be taken for where the log was.
        if (!isOffset(offset) || !isOffset(previous)) return
        saw(offset, subjects.log(topic), data)
        if (isAlone) listener.heard(topic, offset)
        // It says 0 also when it has let go of the one before.
        receiver.appended({
          topic,
          position: { epoch: log.epoch, offset },
          previous: previous === 0 ? undefined : previous,
          bytes: data
        })
      })
      const channels = new Listening(connection, subjects.cast, (channel, { data }) => receiver.heard(channel, data))

      /** The server says afterwards that a cast may not be. */
      const refusals = new Map<string, Error>()
      const statuses = async () => {
        for await (const status of connection.status()) {
          if (status.type !== "error" || !(status.error instanceof errors.PermissionViolationError)) continue
          if (status.error.operation === "publish") refusals.set(status.error.subject, status.error)
        }
      }
      void statuses()

      const look = async () => {
        const info = await jsm.streams.info(log.name)
        if (Log.epochOf(info) !== log.epoch) throw new Tail.Another()
        return { epoch: log.epoch, offset: info.state.last_seq }
      }
      // The server tells all who want to know when somebody changes or deletes a stream.
      const changes = new Listening(
        connection,
        (action) => `$JS.EVENT.ADVISORY.STREAM.${action}.${log.name}`,
        () => void look().catch(fault)
      )
      yield* changes.begin(["UPDATED", "DELETED"])

      // Who changes it may be one whom nobody told us of.
      const asking = Effect.map(ask(look), ({ offset }) => {
        if (isAlone) listener.asked(offset)
      })
      yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(askInterval), Effect.ignore(asking))))

      const reader: Omit<Tail.Reader, "behind"> = {
        connection,
        jsm,
        timeout,
        maxBytes: options.maxTailBytes ?? defaults.maxTailBytes,
        inbox: () => createInbox(options.connection?.inboxPrefix)
      }
      const maxPayload = connection.info?.max_payload ?? 1_048_576

      const link: Link = {
        append: (topic, bytes, key) =>
          Effect.suspend(() => {
            // It is being closed, and would not say whether it was sent.
            if (why !== undefined) return Effect.fail(Faults.unavailable(why))
            const limit = maxPayload - maxFields
            if (bytes.length > limit) return Effect.fail(Faults.tooLarge(bytes.length, limit))
            const head = headers()
            head.set("Nats-Expected-Stream", log.name)
            if (key !== undefined) head.set("Nats-Msg-Id", idOf(key))
            const subject = subjects.log(topic)
            return ask(async () => {
              const { data } = await connection.request(subject, bytes, { headers: head, timeout })
              const { duplicate, error, seq, stream } = JSON.parse(decoder.decode(data)) as Acknowledgement
              if (error !== undefined) throw new JetStreamApiError(error)
              if (stream !== log.name || seq === undefined) throw new Tail.Another()
              const repeated = duplicate === true
              if (!repeated) saw(seq, subject, bytes)
              return { position: { epoch: log.epoch, offset: seq }, repeated }
            }, true)
          }),
        since: (topic, after) =>
          ask(() => {
            const isKnown = after?.epoch === log.epoch
            const behind = (offset: number) => quiet.behind(log.epoch, topic, offset)
            return Tail.since({ ...reader, behind }, log, subjects.log(topic), isKnown ? after.offset : 0, isKnown)
          }),
        position: ask(look),
        listen: (names) =>
          Effect.tap(topics.begin(names), () =>
            Effect.sync(() => {
              if (!isAlone) return
              const begun = names.map((name) => topics.of(name))
              look().then(
                ({ offset }) => {
                  for (const [i, name] of names.entries()) {
                    if (begun[i] !== undefined && topics.of(name) === begun[i]) listener.listens(name, offset)
                  }
                },
                () => {}
              )
            })
          ),
        unlisten: (names) => {
          topics.end(names)
          for (const name of names) listener.stops(name)
        },
        cast: (channel, bytes) =>
          Effect.suspend(() => {
            const subject = subjects.cast(channel)
            const refusal = refusals.get(subject)
            if (refusal !== undefined) return Effect.fail(Faults.rejected(refusal))
            if (bytes.length > maxPayload) return Effect.fail(Faults.tooLarge(bytes.length, maxPayload))
            return Effect.try({
              try: () => connection.publish(subject, bytes),
              catch: (error) => fault(error)
            })
          }),
        hear: (names) => channels.begin(names),
        unhear: (names) => channels.end(names),
        ended: Deferred.await(ended)
      }
      return link
    })

  return { name: "nats", maxBytes, maxNameBytes, open }
}
