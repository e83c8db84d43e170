/**
 * A token bucket: how many messages and how many bytes may pass in a second, and how many of them at once. RFC 6455
 * section 10.4 leaves such limits to the application.
 *
 * The time is an argument. What is done with what may not pass, to wait or to close, is not in here.
 *
 * All arithmetic is in whole numbers, millionths of a message or byte and milliseconds, so that nothing is won or lost
 * by rounding, however long it goes on.
 */

/** What may pass. A limit that is not given, or is `Infinity`, does not exist. */
export interface Options {
  readonly messagesPerSecond?: number | undefined
  readonly bytesPerSecond?: number | undefined
  /** How many messages may come at once, after a silence. Default: one second's worth. */
  readonly burstMessages?: number | undefined
  /** How many bytes may come at once, after a silence. Default: one second's worth. */
  readonly burstBytes?: number | undefined
}

/** One of the two limits, in millionths of what it counts. */
export interface Limit {
  readonly perSecond: number
  readonly perMillisecond: number
  readonly capacity: number
}

/** Both limits. Made by `make`. */
export interface Rate {
  readonly messages: Limit
  readonly bytes: Limit
}

/** What is left in the bucket, in millionths; less than nothing behind a message that was longer than the burst. */
export interface State {
  /** The time for which that is true, in milliseconds. */
  readonly at: number
  readonly messages: number
  readonly bytes: number
}

/** What is asked for. Whole numbers, not negative. */
export interface Cost {
  readonly messages: number
  readonly bytes: number
}

/** Nothing was taken. */
export interface TooSoon {
  readonly _tag: "TooSoon"
  /** The limit that has to be waited for; of both, the one that takes longer. */
  readonly limit: keyof Rate
  /** How many milliseconds, if nothing else is taken meanwhile; `Infinity` where it will never be. */
  readonly wait: number
}

export type Verdict = { readonly _tag: "Taken" } | TooSoon

const millionths = 1_000_000

const mostPerMillisecond = Number.MAX_SAFE_INTEGER

const taken: Verdict = { _tag: "Taken" }

/**
 * The limits of these options. Rates are kept to a thousandth a second, the smallest that is not 0.
 *
 * Throws a `RangeError`, the programmer's fault, for a rate or a burst that is negative or no number.
 */
export const make = (options: Options): Rate => ({
  messages: limit("messages", options.messagesPerSecond, options.burstMessages),
  bytes: limit("bytes", options.bytesPerSecond, options.burstBytes)
})

const limit = (name: string, perSecond = Infinity, burst = perSecond): Limit => {
  if (!(perSecond >= 0 && burst >= 0)) throw new RangeError(`${perSecond} ${name} a second, ${burst} at once: no rate`)
  if (perSecond === Infinity) return { perSecond, perMillisecond: 0, capacity: Infinity }
  const perMillisecond = perSecond === 0 ? 0 : Math.max(1, Math.round(Math.min(perSecond * 1_000, mostPerMillisecond)))
  return { perSecond, perMillisecond, capacity: Math.round(burst * millionths) }
}

/** A bucket in which nothing is missing. */
export const full = (rate: Rate, now: number): State => ({
  at: Math.floor(now),
  messages: rate.messages.capacity,
  bytes: rate.bytes.capacity
})

/** Milliseconds. A clock that goes backwards stands still, and goes on from where it is then. */
const elapsed = (at: number, now: number): number =>
  now > at ? Math.min(Math.floor(now) - at, Number.MAX_SAFE_INTEGER) : 0

/** Towards the capacity, from either side. */
const refilled = ({ capacity, perMillisecond }: Limit, level: number, time: number): number =>
  level < capacity
    ? Math.min(capacity, level + time * perMillisecond)
    : Math.max(capacity, level - time * perMillisecond)

/** How long to wait until `cost` may be taken. */
const waitFor = ({ capacity, perMillisecond }: Limit, level: number, cost: number): number => {
  const needed = perMillisecond === 0 ? cost : Math.min(cost, capacity)
  if (level >= needed) return 0
  return Math.ceil((needed - level) / perMillisecond)
}

/**
 * Takes what is asked for, of both limits or of none.
 *
 * In `t` seconds no more is taken than the burst and `t` times the rate. Only what is longer than the whole burst is
 * another matter, as it would never pass: it is taken from a full bucket, and what follows waits until that is paid.
 */
export const take = (rate: Rate, state: State, now: number, cost: Cost): readonly [State, Verdict] => {
  const time = elapsed(state.at, now)
  const at = Math.floor(now)
  const messages = refilled(rate.messages, state.messages, time)
  const bytes = refilled(rate.bytes, state.bytes, time)
  const ofMessages = waitFor(rate.messages, messages, cost.messages * millionths)
  const ofBytes = waitFor(rate.bytes, bytes, cost.bytes * millionths)
  if (ofMessages === 0 && ofBytes === 0) {
    return [{ at, messages: messages - cost.messages * millionths, bytes: bytes - cost.bytes * millionths }, taken]
  }
  const limit = ofBytes > ofMessages ? "bytes" : "messages"
  return [
    { at, messages, bytes },
    { _tag: "TooSoon", limit, wait: Math.max(ofMessages, ofBytes) }
  ]
}

/** How far `admit` came. */
export interface Admitted {
  readonly state: State
  /** The first message that may not pass, or how many there are. */
  readonly until: number
  /** Why there is one. */
  readonly tooSoon: TooSoon | undefined
}

/** Takes one message after the other, from `from` on, for as long as they may pass; `length` is bytes. */
export const admit = (
  rate: Rate,
  state: State,
  now: number,
  messages: ReadonlyArray<{ readonly length: number }>,
  from = 0
): Admitted => {
  let bytes = 0
  for (let i = from; i < messages.length; i++) bytes += messages[i]!.length
  const all = { messages: messages.length - from, bytes }
  // The usual case. More than the burst is not one message that is longer than it, and is counted one by one.
  if (isWithinBurst(rate, all)) {
    const [next, verdict] = take(rate, state, now, all)
    if (verdict._tag === "Taken") return { state: next, until: messages.length, tooSoon: undefined }
  }
  let current = state
  for (let i = from; i < messages.length; i++) {
    const [next, verdict] = take(rate, current, now, { messages: 1, bytes: messages[i]!.length })
    current = next
    if (verdict._tag === "TooSoon") return { state: current, until: i, tooSoon: verdict }
  }
  return { state: current, until: messages.length, tooSoon: undefined }
}

const isWithinBurst = (rate: Rate, { bytes, messages }: Cost): boolean =>
  messages * millionths <= rate.messages.capacity && bytes * millionths <= rate.bytes.capacity

/**
 * The bucket of somebody who had to wait for us until `now`: what they saved up meanwhile counts also beyond the burst,
 * since it can only come in one go. It is lost again as slowly, while nothing is taken.
 */
export const excuse = (rate: Rate, state: State, now: number): State => {
  const time = elapsed(state.at, now)
  return {
    at: Math.floor(now),
    messages: state.messages + time * rate.messages.perMillisecond,
    bytes: state.bytes + time * rate.bytes.perMillisecond
  }
}
