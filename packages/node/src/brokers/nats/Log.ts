/**
 * The stream of JetStream that is the log: found by the subject it takes, as only one can take it, made when there is
 * none, and told apart from those that were there before it by an epoch. Its name is made at random and once, and the
 * server says it with all that is in the stream.
 *
 * Not in here: what is written to it and read from it (`NatsEngine`, `Tail`).
 */
import { createHash } from "node:crypto"
import { DiscardPolicy, type JetStreamManager, RetentionPolicy, StorageType } from "@nats-io/jetstream"
import type { StoredMsg, StreamConfig, StreamInfo } from "@nats-io/jetstream"
import * as Effect from "effect/Effect"
import type { BrokerError } from "@millrace/core/cluster/BrokerError"
import * as Faults from "./Faults.ts"
import type { Subjects } from "./Subjects.ts"

/** What the stream keeps, and how. All times are in milliseconds. */
export interface Keeping {
  readonly maxEntries: number
  readonly maxAge: number
  readonly repeatWindow: number
  readonly maxBytes: number
  readonly storage: "file" | "memory"
  /** `undefined`: as it is, and 1 for a new one. */
  readonly replicas: number | undefined
}

/** The log as it was found. */
export interface Log {
  readonly name: string
  readonly epoch: string
  /** The last message that it had, when there was any. */
  readonly last: Witness | undefined
}

/** A message that is known to have been in the log, by which it is seen whether the log has gone back. */
export interface Witness {
  readonly epoch: string
  readonly offset: number
  /** Whether what the log has at this offset now is that message. */
  readonly is: (stored: StoredMsg) => boolean
}

const nanoseconds = (millis: number): number => Math.round(millis) * 1_000_000

/** The shortest window that the server takes, in milliseconds. */
const minWindow = 100

/** What we own of the configuration; the rest is the operator's. One more than is promised is kept: see `Tail`. */
const configOf = (subjects: Subjects, keeping: Keeping): Partial<StreamConfig> => {
  const window = Math.max(minWindow, keeping.repeatWindow)
  return {
    max_msgs_per_subject: keeping.maxEntries + 1,
    max_msgs: -1,
    max_msg_size: -1,
    max_bytes: keeping.maxBytes,
    // The server knows no repeats of what is too old to be there.
    max_age: nanoseconds(Math.max(keeping.maxAge, window)),
    duplicate_window: nanoseconds(window),
    discard: DiscardPolicy.Old,
    no_ack: false,
    republish: { src: subjects.everyLog, dest: subjects.everyLive },
    // Nobody would notice that one was deleted.
    deny_delete: true,
    ...(keeping.replicas === undefined ? undefined : { num_replicas: keeping.replicas })
  }
}

const isEqual = (one: unknown, other: unknown): boolean => {
  if (typeof one !== "object" || one === null || typeof other !== "object" || other === null) return one === other
  return Object.entries(one).every(([name, value]) => isEqual(value, (other as Record<string, unknown>)[name]))
}

/** The server leaves out what is false. */
const isConfigured = (config: StreamConfig, wanted: Partial<StreamConfig>): boolean =>
  Object.entries(wanted).every(([name, value]) =>
    isEqual(value === false ? undefined : value, config[name as keyof StreamConfig] || undefined)
  )

/**
 * What is never used twice: of the stream's name and when it was made, of what stands in its description, which is made
 * anew when the log has gone back, and of how many publications of a topic it keeps, as nobody can tell how many were
 * let go before that was changed.
 */
export const epochOf = ({ config, created }: StreamInfo): string =>
  createHash("sha256")
    .update(JSON.stringify([config.name, created, config.description ?? "", config.max_msgs_per_subject]))
    .digest("base64url")
    .slice(0, 22)

const ask = <A>(evaluate: () => Promise<A>): Effect.Effect<A, unknown> =>
  Effect.tryPromise({ try: evaluate, catch: (error) => error })

/** How often it is looked whether the log really has gone back: one that begins to lead its replicas may be late. */
const looks = 10

export const open = (
  jsm: JetStreamManager,
  subjects: Subjects,
  keeping: Keeping,
  random: () => string,
  witness: Witness | undefined
): Effect.Effect<Log, BrokerError> => {
  const wanted = configOf(subjects, keeping)
  const described = (): string => `the log of a Millrace cluster; do not edit: ${random()}`

  const find: Effect.Effect<string | undefined, unknown> = Effect.catch(
    ask(() => jsm.streams.find(subjects.everyLog)),
    (error) => {
      if (Faults.isNobody(error)) return Effect.fail(Faults.noJetStream())
      return Faults.codeOf(error) === Faults.codes.streamNotFound ? Effect.succeed(undefined) : Effect.fail(error)
    }
  )

  const made = ask(() => {
    const [first = ""] = subjects.everyLog.split(".log.")
    return jsm.streams.add({
      ...wanted,
      name: `${first.replaceAll(".", "_")}-${random()}`,
      description: described(),
      subjects: [subjects.everyLog],
      retention: RetentionPolicy.Limits,
      storage: keeping.storage === "memory" ? StorageType.Memory : StorageType.File
    })
  })

  /** Two that make it at the same time both have the one that was first. */
  const findOrMake = (attempts: number): Effect.Effect<StreamInfo, unknown> =>
    Effect.flatMap(find, (name) => {
      if (name !== undefined) return ask(() => jsm.streams.info(name))
      return Effect.catch(made, (error) => {
        const code = Faults.codeOf(error)
        const isThere = code === Faults.codes.subjectsOverlap || code === Faults.codes.nameInUse
        return isThere && attempts > 1 ? findOrMake(attempts - 1) : Effect.fail(error)
      })
    })

  const update = (name: string, config: Partial<StreamConfig>) => ask(() => jsm.streams.update(name, config))

  /** Our configuration. Where more is kept than before, nobody knows what was let go: then it is a new epoch. */
  const configured = (info: StreamInfo): Effect.Effect<StreamInfo, unknown> => {
    const { config } = info
    if (config.subjects?.length !== 1 || config.subjects[0] !== subjects.everyLog || config.retention !== "limits") {
      const text = `the stream ${config.name} takes ${subjects.everyLog}, and is not a log of Millrace`
      return Effect.fail(Faults.rejected(new Error(text)))
    }
    if (config.description === undefined) return update(config.name, { ...wanted, description: described() })
    if (isConfigured(config, wanted)) return Effect.succeed(info)
    const isSame = config.max_msgs_per_subject === wanted.max_msgs_per_subject
    return update(config.name, isSame ? wanted : { ...wanted, description: described() })
  }

  /** Whether what is known to have been in it is not, though nothing newer has pushed it out. */
  const hasGoneBack = (info: StreamInfo, witness: Witness, attempts = looks): Effect.Effect<boolean, unknown> => {
    const { name } = info.config
    if (info.state.last_seq < witness.offset) {
      if (attempts === 1) return Effect.succeed(true)
      return Effect.flatMap(
        ask(() => jsm.streams.info(name)),
        (again) => hasGoneBack(again, witness, attempts - 1)
      )
    }
    if (witness.offset < Math.max(1, info.state.first_seq)) return Effect.succeed(false)
    return Effect.map(
      ask(() => jsm.streams.getMessage(name, { seq: witness.offset })),
      // It may have been pushed out by others of its topic.
      (stored) => stored !== null && !witness.is(stored)
    )
  }

  return Effect.gen(function* () {
    let info = yield* Effect.flatMap(findOrMake(3), configured)
    if (witness !== undefined && witness.epoch === epochOf(info) && (yield* hasGoneBack(info, witness))) {
      info = yield* update(info.config.name, { description: described() })
    }
    const epoch = epochOf(info)
    const { last_seq: offset, last_ts: time } = info.state
    const is: Witness["is"] = ({ timestamp }) => timestamp === time
    return { name: info.config.name, epoch, last: offset === 0 ? undefined : { epoch, offset, is } }
  }).pipe(Effect.mapError((error) => Faults.errorOf(error)))
}
