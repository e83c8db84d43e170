/**
 * A connection of Action Cable as a state machine, as a server sees it. Both protocols: what only AnyCable's has is
 * unknown in Rails' own.
 *
 * No network, no clock, no table of channels. A transition takes a state and what happened, and gives the next state
 * with the actions it calls for, to be carried out in order. All are total: what a client says is never an exception.
 *
 *     open              accept                  disconnect, ended
 *    ------> Opening ------------> Open --------------------------> Closed
 *               `---------------------------------------------------^
 *
 * The welcome comes first: what a client says before is kept until then. So is what it says to a channel that has not
 * confirmed its subscription yet. A subscription is one `attempt`: who has unsubscribed and subscribed again gets
 * nothing of the one before, however late it comes.
 *
 * Where the reference says nothing, and its client asks for ever, this does: an identifier that means nothing is
 * rejected, and what is subscribed already is confirmed again.
 */
import * as Result from "effect/Result"
import * as Packet from "./Packet.ts"

export interface Config extends Packet.Options {
  /** Most subscriptions, pending ones counted. One more is rejected. Default 1,000. */
  readonly maxSubscriptions?: number | undefined
  /** Most commands that are kept for what is not there yet, in all. Those after it are ignored. Default 64. */
  readonly maxEarlyCommands?: number | undefined
  /** Whether a client has to answer pings, as AnyCable's can be told to. Default false. */
  readonly pongs?: boolean | undefined
}

export const defaults = { maxSubscriptions: 1_000, maxEarlyCommands: 64, pongs: false } as const

/** What a channel hears of a client, beside its subscription. */
export type Said = Exclude<Packet.Command, Packet.Pong | Packet.Subscribe | Packet.Unsubscribe>

interface Subscription {
  readonly attempt: number
  /** What was said before it was confirmed; `undefined` when it is. */
  readonly early: ReadonlyArray<Said> | undefined
}

/** The server has not decided yet whether to let the client in. */
export interface Opening {
  readonly _tag: "Opening"
  readonly early: ReadonlyArray<Packet.Command>
}

export interface Open {
  readonly _tag: "Open"
  /** By their identifiers. */
  readonly subscriptions: ReadonlyMap<string, Subscription>
  /** The number of the last attempt. */
  readonly attempts: number
  /** How many commands are kept. */
  readonly early: number
  /** Whether a ping has not been answered. */
  readonly isPonging: boolean
}

export interface Closed {
  readonly _tag: "Closed"
}

export type State = Closed | Open | Opening

export type Action =
  | { readonly _tag: "Send"; readonly transmission: Packet.Transmission }
  /**
   * A channel is asked whether it may be. It is answered with `confirm`, when all its streams are live, or `reject`.
   */
  | {
      readonly _tag: "Subscribe"
      readonly identifier: string
      readonly attempt: number
      readonly channel: string
      readonly params: Packet.Payload
      readonly history: Packet.HistoryRequest | undefined
    }
  /** A subscription of a session that is gone on with, under its new number. Its streams are live already. */
  | { readonly _tag: "Restore"; readonly identifier: string; readonly attempt: number }
  /** A subscription is over, also one that was not confirmed. */
  | { readonly _tag: "Unsubscribe"; readonly identifier: string; readonly attempt: number }
  /** Something for a channel. */
  | { readonly _tag: "Tell"; readonly attempt: number; readonly said: Said }
  /** What was said has no effect. */
  | { readonly _tag: "Ignore"; readonly violation: Packet.CableViolation }
  /** Calls `pingDue` after the interval between two pings: 3 s in the reference. */
  | { readonly _tag: "SetPing" }
  /** Closes the connection behind what was sent. No timer counts any more. */
  | { readonly _tag: "Close" }

export type Transition = readonly [State, ReadonlyArray<Action>]

/** A connection of which nothing is known yet. */
export const open: State = { _tag: "Opening", early: [] }

const closed: State = { _tag: "Closed" }
const setPing: Action = { _tag: "SetPing" }

const sent = (transmission: Packet.Transmission): Action => ({ _tag: "Send", transmission })

const confirmation = (identifier: string): Action => sent({ _tag: "ConfirmSubscription", identifier })
const rejection = (identifier: string): Action => sent({ _tag: "RejectSubscription", identifier })

const ignore = (reason: Packet.CableViolation["reason"], detail: string): Action => ({
  _tag: "Ignore",
  violation: new Packet.CableViolation({ reason, detail })
})

const tooEarly = ignore("limit", "too many commands for what is not there yet")

const withSubscription = (state: Open, identifier: string, subscription: Subscription): Open => ({
  ...state,
  subscriptions: new Map(state.subscriptions).set(identifier, subscription)
})

const without = (state: Open, identifier: string, { early = [] }: Subscription): Open => {
  const subscriptions = new Map(state.subscriptions)
  subscriptions.delete(identifier)
  return { ...state, subscriptions, early: state.early - early.length }
}

const subscribed = (state: Open, { history, identifier, presence }: Packet.Subscribe, config: Config): Transition => {
  const before = state.subscriptions.get(identifier)
  // A client that has heard nothing for half a second asks again.
  if (before !== undefined) return [state, before.early === undefined ? [confirmation(identifier)] : []]
  const { maxSubscriptions = defaults.maxSubscriptions } = config
  const identified = Packet.parseIdentifier(identifier, config)
  if (Result.isFailure(identified) || state.subscriptions.size >= maxSubscriptions) {
    return [state, [rejection(identifier)]]
  }
  const attempt = state.attempts + 1
  // Who is to be seen is so when it is in, as if it had said so itself.
  const early: ReadonlyArray<Said> = presence === undefined ? [] : [{ _tag: "Join", identifier, ...presence }]
  const counted = { ...state, attempts: attempt, early: state.early + early.length }
  const next = withSubscription(counted, identifier, { attempt, early })
  return [next, [{ _tag: "Subscribe", identifier, attempt, ...identified.success, history }]]
}

const commanded = (state: Open, command: Packet.Command, config: Config): Transition => {
  if (command._tag === "Pong") return [{ ...state, isPonging: false }, []]
  if (command._tag === "Subscribe") return subscribed(state, command, config)
  const { identifier } = command
  const subscription = state.subscriptions.get(identifier)
  if (subscription === undefined) return [state, [ignore("value", "a command without a subscription")]]
  const { attempt, early } = subscription
  if (command._tag === "Unsubscribe") {
    return [without(state, identifier, subscription), [{ _tag: "Unsubscribe", identifier, attempt }]]
  }
  if (early === undefined) return [state, [{ _tag: "Tell", attempt, said: command }]]
  if (state.early >= (config.maxEarlyCommands ?? defaults.maxEarlyCommands)) return [state, [tooEarly]]
  const kept = withSubscription(state, identifier, { attempt, early: [...early, command] })
  return [{ ...kept, early: state.early + 1 }, []]
}

/** A text message has come. What cannot be read, and what nobody knows, has no effect, as in the reference. */
export const receive = (state: State, text: string, config: Config = {}): Transition => {
  if (state._tag === "Closed") return [state, []]
  const command = Packet.decodeCommand(text, config)
  if (Result.isFailure(command)) return [state, [{ _tag: "Ignore", violation: command.failure }]]
  if (state._tag === "Open") return commanded(state, command.success, config)
  return state.early.length >= (config.maxEarlyCommands ?? defaults.maxEarlyCommands)
    ? [state, [tooEarly]]
    : [{ _tag: "Opening", early: [...state.early, command.success] }, []]
}

/** How a client is let in. */
export interface Acceptance {
  /** The name of the session, where it can be gone on with. Extended. */
  readonly sid?: string | undefined
  /** The identifiers that a session had, which is gone on with. Extended. */
  readonly restored?: ReadonlyArray<string> | undefined
}

/** The server lets the client in: it is welcomed, and then what it has said is heard. */
export const accept = (state: State, { restored, sid }: Acceptance = {}, config: Config = {}): Transition => {
  if (state._tag !== "Opening") return [state, []]
  const actions: Array<Action> = []
  const subscriptions = new Map<string, Subscription>()
  for (const identifier of restored ?? []) {
    if (subscriptions.has(identifier)) continue
    const attempt = subscriptions.size + 1
    subscriptions.set(identifier, { attempt, early: undefined })
    actions.push({ _tag: "Restore", identifier, attempt })
  }
  const names = restored === undefined ? undefined : [...subscriptions.keys()]
  actions.push(sent({ _tag: "Welcome", sid, restored: names }), setPing)
  let next: State = { _tag: "Open", subscriptions, attempts: subscriptions.size, early: 0, isPonging: false }
  for (const command of state.early) {
    const [after, more] = commanded(next as Open, command, config)
    next = after
    actions.push(...more)
  }
  return [next, actions]
}

/** The identifiers whose subscriptions are confirmed: what a session has, by which it is gone on with. */
export const confirmed = (state: State): ReadonlyArray<string> =>
  state._tag === "Open"
    ? [...state.subscriptions].flatMap(([identifier, { early }]) => (early === undefined ? [identifier] : []))
    : []

/** The subscription of an identifier, where it is this attempt's. */
const current = (state: State, identifier: string, attempt: number): Subscription | undefined => {
  const subscription = state._tag === "Open" ? state.subscriptions.get(identifier) : undefined
  return subscription?.attempt === attempt ? subscription : undefined
}

/** A channel takes a subscription, whose streams are live: the client hears so, and the channel what it has said. */
export const confirm = (state: State, identifier: string, attempt: number): Transition => {
  const early = current(state, identifier, attempt)?.early
  if (state._tag !== "Open" || early === undefined) return [state, []]
  const next = withSubscription(state, identifier, { attempt, early: undefined })
  const told = early.map((said): Action => ({ _tag: "Tell", attempt, said }))
  return [{ ...next, early: state.early - early.length }, [confirmation(identifier), ...told]]
}

/** A channel does not take a subscription, or not any more. It is not asked to unsubscribe. */
export const reject = (state: State, identifier: string, attempt: number): Transition => {
  const subscription = current(state, identifier, attempt)
  return state._tag !== "Open" || subscription === undefined
    ? [state, []]
    : [without(state, identifier, subscription), [rejection(identifier)]]
}

/** Something for the subscription that is named in it. What comes after its end is dropped. */
export const transmit = (
  state: State,
  attempt: number,
  transmission: Packet.ConfirmHistory | Packet.Message | Packet.PresenceEvent | Packet.RejectHistory
): Transition => [state, current(state, transmission.identifier, attempt) === undefined ? [] : [sent(transmission)]]

const unsubscribed = (state: State): ReadonlyArray<Action> =>
  state._tag === "Open"
    ? [...state.subscriptions].map(([identifier, { attempt }]) => ({ _tag: "Unsubscribe", identifier, attempt }))
    : []

/**
 * The server ends the connection, and says why and whether to come back. `unauthorized` is how a client is not let in.
 */
export const disconnect = (state: State, reason: string, reconnect: boolean): Transition =>
  state._tag === "Closed"
    ? [state, []]
    : [closed, [...unsubscribed(state), sent({ _tag: "Disconnect", reason, reconnect }), { _tag: "Close" }]]

/** Time for a ping. `now` is seconds since 1970. A client that has to answer and has not is disconnected. */
export const pingDue = (state: State, now: number, { pongs = defaults.pongs }: Config = {}): Transition => {
  if (state._tag !== "Open") return [state, []]
  if (pongs && state.isPonging) return disconnect(state, "no_pong", true)
  return [{ ...state, isPonging: true }, [sent({ _tag: "Ping", time: now }), setPing]]
}

/** The connection has ended. */
export const ended = (state: State): Transition => [closed, unsubscribed(state)]
