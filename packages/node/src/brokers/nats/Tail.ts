/**
 * Reads what was appended to a topic behind an offset, and whether that is all there was.
 *
 * The server says nothing of what it has let go, so it has to follow from what is there. It lets go, the oldest first,
 * of all topics what is too old or too much, and of one topic what is more than its share. So nothing behind an offset
 * is gone when the first of the whole log is no further than behind it, and the topic has fewer than its share.
 */
import { AckPolicy, DeliverPolicy, type JetStreamManager } from "@nats-io/jetstream"
import type { StreamInfo } from "@nats-io/jetstream"
import { errors, type Msg, type NatsConnection, type Subscription } from "@nats-io/transport-node"
import type { Tail } from "@millrace/core/cluster/Engine"
import * as Log from "./Log.ts"

/** Most messages of one pull. */
const batch = 256

/** Most bytes of one pull, unless one message may have more. */
const batchBytes = 4_194_304

/** The log is not the one that this link has opened. */
export class Another extends Error {
  constructor() {
    super("the log was made anew, or changed")
  }
}

/** What is read by. */
export interface Reader {
  readonly connection: NatsConnection
  readonly jsm: JetStreamManager
  /** A new subject for answers. */
  readonly inbox: () => string
  /** In milliseconds, for all that is read. */
  readonly timeout: number
  /** Most that is held; the newest are. */
  readonly maxBytes: number
  /** Up to which offset it is known otherwise that nothing was published to the topic behind this one. */
  readonly behind: (after: number) => number
}

interface Read {
  readonly entries: ReadonlyArray<Tail["entries"][number]>
  /** How many there were, of which these are the newest. */
  readonly count: number
}

/** Holds no bytes. */
const forgotten: Tail["entries"][number] = { offset: 0, bytes: new Uint8Array() }

/** All of a topic behind an offset that was there when it was asked, or came meanwhile; in order. */
const readAll = async (
  { connection, inbox: newInbox, jsm, maxBytes, timeout }: Reader,
  stream: string,
  subject: string,
  after: number
): Promise<Read> => {
  const consumer = await jsm.consumers.add(stream, {
    ack_policy: AckPolicy.None,
    filter_subject: subject,
    inactive_threshold: 30_000_000_000,
    mem_storage: true,
    num_replicas: 1,
    ...(after === 0
      ? { deliver_policy: DeliverPolicy.All }
      : { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: after + 1 })
  })
  const entries: Array<Tail["entries"][number]> = []
  const expected = consumer.num_pending
  if (expected === 0) return { entries, count: 0 }
  let count = 0
  let first = 0
  let bytes = 0
  const next = `${jsm.getOptions().apiPrefix}.CONSUMER.MSG.NEXT.${stream}.${consumer.name}`
  const pullBytes = Math.max(batchBytes, 2 * (connection.info?.max_payload ?? 0))
  const inbox = newInbox()
  let subscription: Subscription | undefined
  let timer: NodeJS.Timeout | undefined
  const done = new Promise<void>((resolve, reject) => {
    let pulled = 0
    const pull = () => {
      pulled = 0
      const wanted = Math.min(batch, expected - count)
      connection.publish(next, JSON.stringify({ batch: wanted, max_bytes: pullBytes, no_wait: true }), { reply: inbox })
    }
    const heard = (error: Error | null, message: Msg) => {
      if (error !== null) return reject(error)
      const code = message.headers?.code ?? 0
      if (code !== 0 && message.data.length === 0) {
        if (code === 503) return reject(new errors.NoRespondersError(next))
        // There is no more: some were let go meanwhile.
        if (code === 404) return resolve()
        // No more had room in this pull.
        if (pulled > 0) return pull()
        return reject(new Error(`it cannot be read: ${code} ${message.headers?.description}`))
      }
      pulled++
      count++
      entries.push({ offset: offsetOf(message), bytes: message.data })
      bytes += message.data.length
      while (bytes > maxBytes && first < entries.length - 1) {
        bytes -= entries[first]!.bytes.length
        entries[first++] = forgotten
      }
      if (count >= expected) resolve()
      else if (pulled === batch) pull()
    }
    timer = setTimeout(() => reject(new errors.TimeoutError()), timeout)
    subscription = connection.subscribe(inbox, { callback: heard })
    void subscription.closed.then(() => reject(new errors.ClosedConnectionError()))
    pull()
  })
  try {
    await done
  } finally {
    clearTimeout(timer)
    if (!connection.isClosed()) {
      subscription?.unsubscribe()
      jsm.consumers.delete(stream, consumer.name).catch(() => {})
    }
  }
  return { entries: entries.slice(first), count }
}

/** `$JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>...`, or with domain and account before the stream. */
const offsetOf = ({ reply = "" }: Msg): number => {
  const words = reply.split(".")
  return Number(words.length > 9 ? words[7] : words[5])
}

/** `after` is 0 for all that is kept. `isKnown`: it is of this log. */
export const since = async (
  reader: Reader,
  log: Log.Log,
  subject: string,
  after: number,
  isKnown: boolean
): Promise<Tail> => {
  const { jsm } = reader
  const look = async (): Promise<StreamInfo> => {
    const info = await jsm.streams.info(log.name)
    if (Log.epochOf(info) !== log.epoch) throw new Another()
    return info
  }
  const before = await look()
  const { last_seq: last } = before.state
  // Nobody can be behind what is not there yet.
  if (after > last) return since(reader, log, subject, 0, false)
  const to = { epoch: log.epoch, offset: last }
  let read: Read | undefined
  if (isKnown) {
    const newest = await jsm.streams.getMessage(log.name, { last_by_subj: subject })
    // What is kept of the topic ends there, so nothing behind it was let go.
    if (newest !== null && newest.seq <= after) return { entries: [], gap: false, to }
    if (newest === null) read = { entries: [], count: 0 }
  }
  const { count, entries } = read ?? (await readAll(reader, log.name, subject, after))
  const first = entries[0]?.offset
  const newest = entries.at(-1)?.offset ?? 0
  /** Some may have been let go between the offset and the first, or while they were read and before it was their turn. */
  const isShort = async (): Promise<boolean> => {
    if (!isKnown || count > entries.length || count >= before.config.max_msgs_per_subject) return true
    const [now, stored] = await Promise.all([
      look(),
      first === undefined ? undefined : jsm.streams.getMessage(log.name, { seq: first })
    ])
    return now.state.first_seq > reader.behind(after) + 1 || stored === null
  }
  return { entries, gap: await isShort(), to: newest > last ? { epoch: log.epoch, offset: newest } : to }
}
