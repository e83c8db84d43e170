/**
 * A client of Socket.IO in one namespace as a state machine, from its first connection to its last. Protocol revision 5.
 *
 * No network and no clock. A transition takes a state and what happened, and gives the next state with the actions it
 * calls for, to be carried out in order. All are total: what a server says is never an exception.
 *
 *              join               the server's Connect
 *     Away ----------> Joining ------------------------> Joined
 *      ^ ^---- lost -----'  `-- lost, or refused            |
 *      `------------------- lost, put out, a violation -----'
 *
 * What a server lets a client have again outlives a connection: the name by which it is known, `pid`, and the place of the
 * last event that it has seen, `offset`. What it was asked does not: an answer over another connection is nobody's.
 */
import * as Packet from "./Packet.ts"

/** Of events that come before the server has let the client in, as those that it has missed do. */
export interface Config {
  /** Most of them. Default 10,000. */
  readonly maxEarly?: number | undefined
  /** Most bytes of them. Default 16 MiB. */
  readonly maxEarlyBytes?: number | undefined
}

export const defaults = { maxEarly: 10_000, maxEarlyBytes: 16_777_216 } as const

/** By which a server that recovers connections knows a client and what it has missed. */
export interface Place {
  /** A secret: who knows it can be the client. */
  readonly pid: string
  /** `undefined` while the client has seen nothing that has a place. */
  readonly offset: string | undefined
}

/** Events, the last one first. */
interface Early {
  readonly last: { readonly action: Deliver; readonly before: Early["last"] } | undefined
  readonly count: number
  readonly bytes: number
}

export interface Away {
  readonly _tag: "Away"
}

/** The server was asked. */
export interface Joining {
  readonly _tag: "Joining"
  readonly early: Early
}

/** The server has let the client in. */
export interface Joined {
  readonly _tag: "Joined"
  readonly sid: string
  /** The ids of what the server was asked and has not answered. */
  readonly asked: ReadonlySet<number>
}

export interface State {
  readonly namespace: string
  readonly at: Away | Joined | Joining
  readonly place: Place | undefined
  /** The number of the connection. */
  readonly attempt: number
  readonly nextId: number
}

/** An event; with an `id`, an answer is wanted: `answer`. */
export interface Deliver {
  readonly _tag: "Deliver"
  readonly name: string
  readonly args: ReadonlyArray<unknown>
  readonly id: number | undefined
  /** Over which connection it has come. */
  readonly attempt: number
}

export type Action =
  | Deliver
  | { readonly _tag: "Send"; readonly packet: Packet.Packet }
  /** The client is in. `recovered`: as the one that it was before, and with all that it has missed. */
  | { readonly _tag: "Entered"; readonly sid: string; readonly recovered: boolean }
  | { readonly _tag: "Refused"; readonly message: string; readonly data: unknown }
  /** The answer to what was said with this id. */
  | { readonly _tag: "Answered"; readonly id: number; readonly args: ReadonlyArray<unknown> }
  /** What was said with this id will have no answer. */
  | { readonly _tag: "Unanswered"; readonly id: number }
  /** The server has put the client out of the namespace. */
  | { readonly _tag: "PutOut" }
  /** The server has broken a rule. The connection is of no use any more. */
  | { readonly _tag: "Violated"; readonly violation: Packet.SocketIoViolation }

export type Transition = readonly [State, ReadonlyArray<Action>]

const away: Away = { _tag: "Away" }
const nothing: Early = { last: undefined, count: 0, bytes: 0 }
const none: ReadonlySet<number> = new Set()

/** A client that is nowhere yet. `place`: where an earlier one was. */
export const make = (namespace: string, place?: Place): State => ({
  namespace,
  at: away,
  place,
  attempt: 0,
  nextId: 0
})

const left = (state: State, ...last: ReadonlyArray<Action>): Transition => {
  const asked = state.at._tag === "Joined" ? state.at.asked : none
  return [{ ...state, at: away }, [...[...asked].map((id): Action => ({ _tag: "Unanswered", id })), ...last]]
}

/** There is no connection any more. */
export const lost = (state: State): Transition => (state.at._tag === "Away" ? [state, []] : left(state))

/** There is a connection, and nothing was said over it. `auth` is what the server is to know of the client. */
export const join = (state: State, auth: Packet.Payload | undefined): Transition => {
  const [{ namespace, place, ...rest }, actions] = lost(state)
  const { offset, pid } = place ?? {}
  const known = pid === undefined ? {} : offset === undefined ? { pid } : { pid, offset }
  const payload = auth === undefined && pid === undefined ? undefined : { ...known, ...auth }
  return [
    { ...rest, namespace, place, at: { _tag: "Joining", early: nothing }, attempt: state.attempt + 1 },
    [...actions, { _tag: "Send", packet: { _tag: "Connect", namespace, query: undefined, payload } }]
  ]
}

/** What cannot be read, or not be said by who says it. What came before it was delivered. */
export const violated = (state: State, violation: Packet.SocketIoViolation): Transition =>
  state.at._tag === "Away" ? [state, []] : left(state, { _tag: "Violated", violation })

const breach = (state: State, reason: Packet.SocketIoViolation["reason"], detail: string): Transition =>
  violated(state, new Packet.SocketIoViolation({ reason, detail }))

/** An event that wants an answer has no place, whatever stands last in it. */
const moved = (place: Place | undefined, { args, id }: Pick<Deliver, "args" | "id">): Place | undefined => {
  const last = args.at(-1)
  return place === undefined || id !== undefined || typeof last !== "string" ? place : { ...place, offset: last }
}

const inOrder = ({ last }: Early): ReadonlyArray<Deliver> => {
  const actions: Array<Deliver> = []
  for (let at = last; at !== undefined; at = at.before) actions.push(at.action)
  return actions.toReversed()
}

const entered = (state: State, { early }: Joining, payload: Packet.Payload | undefined): Transition => {
  const { pid, sid } = payload ?? {}
  // So a server of version 2 says, too.
  if (typeof sid !== "string" || sid === "") return breach(state, "value", "no sid")
  if (pid !== undefined && typeof pid !== "string") return breach(state, "value", "a pid that is no text")
  const recovered = pid !== undefined && pid === state.place?.pid
  const deliveries = inOrder(early)
  // An offset is one of the events of this pid, and of no other.
  const before = pid === undefined ? undefined : recovered ? state.place : { pid, offset: undefined }
  const place = deliveries.reduce(moved, before)
  return [
    { ...state, place, at: { _tag: "Joined", sid, asked: none } },
    [{ _tag: "Entered", sid, recovered }, ...deliveries]
  ]
}

/** The reference sends what a client has missed before the word that it is in. */
const kept = (state: State, { early }: Joining, action: Deliver, size: number, config: Config): Transition => {
  const { maxEarly = defaults.maxEarly, maxEarlyBytes = defaults.maxEarlyBytes } = config
  const bytes = early.bytes + size
  if (early.count === maxEarly) return breach(state, "limit", `more than ${maxEarly} events before it lets us in`)
  if (bytes > maxEarlyBytes) return breach(state, "limit", `more than ${maxEarlyBytes} bytes before it lets us in`)
  return [
    {
      ...state,
      at: { _tag: "Joining", early: { last: { action, before: early.last }, count: early.count + 1, bytes } }
    },
    []
  ]
}

/** A packet of `size` bytes, about, has come. Those of other namespaces, where the client is not, change nothing. */
export const receive = (state: State, packet: Packet.Packet, size: number, config: Config = {}): Transition => {
  const { at, attempt } = state
  if (at._tag === "Away" || packet.namespace !== state.namespace) return [state, []]
  switch (packet._tag) {
    case "Connect":
      return at._tag === "Joining"
        ? entered(state, at, packet.payload)
        : breach(state, "value", "it lets us in where we are already")
    case "ConnectError": {
      const { data, message } = packet
      return at._tag === "Joining"
        ? left(state, { _tag: "Refused", message, data })
        : breach(state, "value", "a refusal of who is in already")
    }
    case "Disconnect":
      return left(state, { _tag: "PutOut" })
    case "Event": {
      const { args, id, name } = packet
      const action: Deliver = { _tag: "Deliver", name, args, id, attempt }
      return at._tag === "Joining"
        ? kept(state, at, action, size, config)
        : [{ ...state, place: moved(state.place, packet) }, [action]]
    }
    case "Ack": {
      const { args, id } = packet
      // What nobody has asked, or not any more.
      if (at._tag !== "Joined" || !at.asked.has(id)) return [state, []]
      return [without(state, at, id), [{ _tag: "Answered", id, args }]]
    }
  }
}

const without = (state: State, at: Joined, id: number): State => {
  const asked = new Set(at.asked)
  asked.delete(id)
  return { ...state, at: { ...at, asked } }
}

/** An id for a question, which no other question of this client has. */
export const ask = (state: State): readonly [State, id: number] => [
  { ...state, nextId: state.nextId + 1 },
  state.nextId
]

/** Questions are said over the connection that there is: their answers count from here on. */
export const said = (state: State, ids: ReadonlyArray<number>): State =>
  state.at._tag === "Joined" && ids.length > 0
    ? { ...state, at: { ...state.at, asked: new Set([...state.at.asked, ...ids]) } }
    : state

/** An answer is not waited for any more, and dropped when it comes. */
export const forget = (state: State, id: number): State =>
  state.at._tag === "Joined" && state.at.asked.has(id) ? without(state, state.at, id) : state

/** Whether a server that has asked over this connection can still be answered. */
export const mayAnswer = ({ at, attempt }: State, over: number): boolean => at._tag === "Joined" && attempt === over
