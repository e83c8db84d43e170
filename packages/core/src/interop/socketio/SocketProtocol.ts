/**
 * A session of Socket.IO as a state machine, as a server sees it: over one session of Engine.IO a client joins
 * namespaces, and in each of them both ends say events and answer them. Protocol revision 5.
 *
 * No network, no clock, no table of namespaces. A transition takes a state and what happened, and gives the next state
 * with the actions it calls for, to be carried out in order. All are total: what a client says is never an exception.
 *
 *     open            disconnectAll, ended, a violation
 *    ------> Open -------------------------------------> Closed
 *
 *     Connect          accept            disconnect, the client's own
 *    ---------> Joining ------> Joined ------------------------------> gone, and may come again
 *                  `---- refuse ------------------------------------->
 *
 * A membership is one `attempt`: who has left a namespace and joined it again gets nothing of the time before, however
 * late it comes.
 */
import * as Packet from "./Packet.ts"

export interface Config {
  /** Most namespaces, those that are being joined counted. One more is a violation. Default 64. */
  readonly maxNamespaces?: number | undefined
  /** Most answers of one client that are waited for in one namespace. Default 1,024. */
  readonly maxAsked?: number | undefined
}

export const defaults = { maxNamespaces: 64, maxAsked: 1_024 } as const

interface Membership {
  /** Without a query. */
  readonly namespace: string
  readonly attempt: number
  /** What has to be said for the client to know which namespace is meant. */
  readonly query: string | undefined
  /** Whether the server has let it in. */
  readonly isJoined: boolean
  /** The ids of what the client was asked and has not answered. */
  readonly asked: ReadonlySet<number>
  readonly nextId: number
}

/** Those of a client, by their names. They are few, and mostly one: a table would be larger than what is in it. */
class Namespaces {
  private readonly all: ReadonlyArray<Membership>

  constructor(all: ReadonlyArray<Membership>) {
    this.all = all
  }

  get size(): number {
    return this.all.length
  }

  get(name: string): Membership | undefined {
    for (const membership of this.all) if (membership.namespace === name) return membership
    return undefined
  }

  with(membership: Membership): Namespaces {
    const at = this.all.findIndex(({ namespace }) => namespace === membership.namespace)
    if (at !== -1) return new Namespaces(this.all.with(at, membership))
    return new Namespaces(this.all.length === 0 ? [membership] : [...this.all, membership])
  }

  without(name: string): Namespaces {
    return new Namespaces(this.all.filter(({ namespace }) => namespace !== name))
  }

  [Symbol.iterator](): Iterator<Membership> {
    return this.all[Symbol.iterator]()
  }
}

export interface Open {
  readonly _tag: "Open"
  readonly namespaces: Namespaces
  /** The number of the last attempt. */
  readonly attempts: number
  /** Whether it was ever let in anywhere. */
  readonly isKnown: boolean
}

export interface Closed {
  readonly _tag: "Closed"
}

export type State = Closed | Open

/** Why a client is not in a namespace any more. */
export type Reason =
  /** It has said so. */
  | "client"
  /** The server has. */
  | "server"
  /** The session under it has ended. */
  | "transport"
  /** It has broken a rule. */
  | "violation"

export type Action =
  | { readonly _tag: "Send"; readonly packet: Packet.Packet }
  /** A client wants to join: it is answered with `accept` or `refuse`. */
  | {
      readonly _tag: "Join"
      readonly namespace: string
      readonly query: string | undefined
      readonly attempt: number
      readonly auth: Packet.Payload | undefined
    }
  /** It is not in it any more, be it that it was not let in yet. Once for each `Join`. */
  | { readonly _tag: "Leave"; readonly namespace: string; readonly attempt: number; readonly reason: Reason }
  /** An event; with an `id`, an answer is wanted: `answer`. */
  | {
      readonly _tag: "Deliver"
      readonly namespace: string
      readonly attempt: number
      readonly name: string
      readonly args: ReadonlyArray<unknown>
      readonly id: number | undefined
    }
  /** The answer to what was said with this id. */
  | {
      readonly _tag: "Answered"
      readonly namespace: string
      readonly attempt: number
      readonly id: number
      readonly args: ReadonlyArray<unknown>
    }
  /** Calls `expire` later, once: 45 s in the reference. */
  | { readonly _tag: "SetDeadline" }
  | { readonly _tag: "ClearDeadline" }
  /** Closes the session of Engine.IO behind what was sent. */
  | { readonly _tag: "Close"; readonly violation: Packet.SocketIoViolation | undefined }

export type Transition = readonly [State, ReadonlyArray<Action>]

const closed: State = { _tag: "Closed" }
const none: ReadonlySet<number> = new Set()

/** A session of Engine.IO of which nothing is known yet: the client has to join something in time. */
export const open: Transition = [
  { _tag: "Open", namespaces: new Namespaces([]), attempts: 0, isKnown: false },
  [{ _tag: "SetDeadline" }]
]

const send = (packet: Packet.Packet): Action => ({ _tag: "Send", packet })

const left = (state: Open, reason: Reason): ReadonlyArray<Action> =>
  [...state.namespaces].map(({ attempt, namespace }) => ({ _tag: "Leave", namespace, attempt, reason }))

const withMembership = (state: Open, membership: Membership): Open => ({
  ...state,
  namespaces: state.namespaces.with(membership)
})

const without = (state: Open, namespace: string): Open => ({
  ...state,
  namespaces: state.namespaces.without(namespace)
})

const unset = (state: Open): ReadonlyArray<Action> => (state.isKnown ? [] : [{ _tag: "ClearDeadline" }])

/** What cannot be read, or not be said by who says it. What came before it was delivered. */
export const violated = (state: State, violation: Packet.SocketIoViolation): Transition =>
  state._tag === "Closed"
    ? [state, []]
    : [closed, [...unset(state), ...left(state, "violation"), { _tag: "Close", violation }]]

const breach = (state: Open, reason: Packet.SocketIoViolation["reason"], detail: string): Transition =>
  violated(state, new Packet.SocketIoViolation({ reason, detail }))

const joined = (state: Open, packet: Packet.Connect, config: Config): Transition => {
  const { namespace, payload, query } = packet
  if (state.namespaces.get(namespace) !== undefined) return breach(state, "value", "a namespace that it is in already")
  const { maxNamespaces = defaults.maxNamespaces } = config
  if (state.namespaces.size >= maxNamespaces) return breach(state, "limit", `more than ${maxNamespaces} namespaces`)
  const attempt = state.attempts + 1
  const membership: Membership = { namespace, attempt, query, isJoined: false, asked: none, nextId: 0 }
  return [
    withMembership({ ...state, attempts: attempt }, membership),
    [{ _tag: "Join", namespace, query, attempt, auth: payload }]
  ]
}

/** A packet has come. */
export const receive = (state: State, packet: Packet.Packet, config: Config = {}): Transition => {
  if (state._tag === "Closed") return [state, []]
  if (packet._tag === "Connect") return joined(state, packet, config)
  if (packet._tag === "ConnectError") return breach(state, "value", "a refusal from a client")
  const { namespace } = packet
  const membership = state.namespaces.get(namespace)
  if (membership === undefined) return breach(state, "value", "a namespace that it is not in")
  const { asked, attempt, isJoined } = membership
  if (packet._tag === "Disconnect") {
    return [without(state, namespace), [{ _tag: "Leave", namespace, attempt, reason: "client" }]]
  }
  if (!isJoined) return breach(state, "value", "a namespace that it is not in yet")
  if (packet._tag === "Event") {
    const { args, id, name } = packet
    return [state, [{ _tag: "Deliver", namespace, attempt, name, args, id }]]
  }
  const { args, id } = packet
  // What nobody has asked, or not any more.
  if (!asked.has(id)) return [state, []]
  const rest = new Set(asked)
  rest.delete(id)
  const next = withMembership(state, { ...membership, asked: rest })
  return [next, [{ _tag: "Answered", namespace, attempt, id, args }]]
}

const current = (state: State, namespace: string, attempt: number): Membership | undefined => {
  const membership = state._tag === "Open" ? state.namespaces.get(namespace) : undefined
  return membership?.attempt === attempt ? membership : undefined
}

/** How a client is let in. */
export interface Acceptance {
  /** What it is called in this namespace: the same as before, where its connection was recovered. */
  readonly sid: string
  /** By which it can come back, where that is possible. Known to nobody else. */
  readonly pid?: string | undefined
}

/** The server lets a client into a namespace. What is sent to it from here on comes behind that. */
export const accept = (state: State, namespace: string, attempt: number, { pid, sid }: Acceptance): Transition => {
  const membership = current(state, namespace, attempt)
  if (state._tag === "Closed" || membership === undefined || membership.isJoined) return [state, []]
  const { query } = membership
  const next = withMembership({ ...state, isKnown: true }, { ...membership, isJoined: true })
  const payload = pid === undefined ? { sid } : { sid, pid }
  return [next, [...unset(state), send({ _tag: "Connect", namespace, query, payload })]]
}

/** The server does not let a client in, which may try again. */
export const refuse = (
  state: State,
  namespace: string,
  attempt: number,
  message: string,
  data?: unknown
): Transition => {
  const membership = current(state, namespace, attempt)
  if (state._tag === "Closed" || membership === undefined || membership.isJoined) return [state, []]
  const { query } = membership
  return [
    without(state, namespace),
    [
      send({ _tag: "ConnectError", namespace, query, message, data }),
      { _tag: "Leave", namespace, attempt, reason: "server" }
    ]
  ]
}

/** Says an event. To who is not in the namespace, or not any more, nothing is said. */
export const emit = (
  state: State,
  namespace: string,
  attempt: number,
  name: string,
  args: ReadonlyArray<unknown>
): Transition => {
  const membership = current(state, namespace, attempt)
  if (membership?.isJoined !== true) return [state, []]
  const { query } = membership
  return [state, [send({ _tag: "Event", namespace, query, id: undefined, name, args })]]
}

/**
 * Says an event that wants an answer. Its id comes with the next state; `undefined` where nothing was said: who is asked
 * is not there, or has so much to answer already.
 */
export const ask = (
  state: State,
  namespace: string,
  attempt: number,
  name: string,
  args: ReadonlyArray<unknown>,
  { maxAsked = defaults.maxAsked }: Config = {}
): readonly [...Transition, id: number | undefined] => {
  const membership = current(state, namespace, attempt)
  if (state._tag === "Closed" || membership?.isJoined !== true || membership.asked.size >= maxAsked) {
    return [state, [], undefined]
  }
  const { asked, nextId: id, query } = membership
  const next = withMembership(state, { ...membership, asked: new Set(asked).add(id), nextId: id + 1 })
  return [next, [send({ _tag: "Event", namespace, query, id, name, args })], id]
}

/** An answer is not waited for any more, and dropped when it comes. */
export const forget = (state: State, namespace: string, attempt: number, id: number): Transition => {
  const membership = current(state, namespace, attempt)
  if (state._tag === "Closed" || membership === undefined || !membership.asked.has(id)) return [state, []]
  const asked = new Set(membership.asked)
  asked.delete(id)
  return [withMembership(state, { ...membership, asked }), []]
}

/** Answers the client's event with this id. Once for each: the client takes no notice of a second. */
export const answer = (
  state: State,
  namespace: string,
  attempt: number,
  id: number,
  args: ReadonlyArray<unknown>
): Transition => {
  const membership = current(state, namespace, attempt)
  if (membership?.isJoined !== true) return [state, []]
  return [state, [send({ _tag: "Ack", namespace, query: membership.query, id, args })]]
}

/** The server puts a client out of a namespace: its client does not come back by itself. */
export const disconnect = (state: State, namespace: string, attempt: number): Transition => {
  const membership = current(state, namespace, attempt)
  if (state._tag === "Closed" || membership === undefined) return [state, []]
  if (!membership.isJoined) return refuse(state, namespace, attempt, "not let in")
  return [
    without(state, namespace),
    [
      send({ _tag: "Disconnect", namespace, query: membership.query }),
      { _tag: "Leave", namespace, attempt, reason: "server" }
    ]
  ]
}

/** The server ends the session. The client comes back, as after the loss of a connection. */
export const shutdown = (state: State): Transition =>
  state._tag === "Closed"
    ? [state, []]
    : [closed, [...unset(state), ...left(state, "server"), { _tag: "Close", violation: undefined }]]

/** The time is over in which a client had to be let in somewhere. */
export const expire = (state: State): Transition =>
  state._tag === "Closed" || state.isKnown ? [state, []] : shutdown(state)

/** The session of Engine.IO has ended. */
export const ended = (state: State): Transition =>
  state._tag === "Closed" ? [state, []] : [closed, [...unset(state), ...left(state, "transport")]]
