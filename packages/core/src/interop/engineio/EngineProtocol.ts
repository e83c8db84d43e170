/**
 * A session of Engine.IO as a state machine, as a server sees it: long-polling, a WebSocket, and the way from one to
 * the other. Protocol revision 4.
 *
 * No network and no clock. A transition takes a state and what happened, and gives the next state with the actions it
 * calls for, to be carried out in order. All are total: what a client does is never an exception, and what can no
 * longer happen is refused or changes nothing.
 *
 *     open                 attach, probe, upgrade
 *    ------> Polling -----------------------------> Upgraded      (or there at once, where a WebSocket came first)
 *               |  close, while no poll waits           |
 *               |------------> Closing ---------.       |
 *               `-------------------------------+-------+----> Closed
 *
 * What is sent goes over one of them at a time. As long as a session polls, a WebSocket carries the probe and nothing
 * else; from the client's `5` on, everything goes over the WebSocket, and what no poll has taken goes first. A client
 * sends its `5` when its last poll and its last post have been answered. So nothing is lost, doubled or out of order.
 *
 * A session holds one WebSocket at most, so none is named here; and a poll that is answered is taken for received, as
 * the protocol has no way to say otherwise.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import * as Packet from "./Packet.ts"

/** Limits of what waits for a poll. */
export interface Config {
  /** Most bytes, as they will be in a body. Default 1,000,000. */
  readonly maxQueuedBytes?: number | undefined
  /** Most packets. Default 10,000. */
  readonly maxQueuedPackets?: number | undefined
  /** Of the bodies of posts: see `Packet.decodePayload`. */
  readonly payload?: Packet.Options | undefined
}

export const defaults = { maxQueuedBytes: 1_000_000, maxQueuedPackets: 10_000 } as const

/** What waits for a poll, the last packet first: it is turned round once, when a poll takes it all. */
interface Queue {
  readonly last: { readonly packet: Packet.Packet; readonly before: Queue["last"] } | undefined
  readonly count: number
  readonly bytes: number
}

/** How far a WebSocket has come that wants to carry the session: it is there, and it has been answered. */
export type Probe = "attached" | "none" | "probed"

/** The session goes over requests. */
export interface Polling {
  readonly _tag: "Polling"
  /** Empty while a poll waits. */
  readonly queue: Queue
  /** Whether a poll waits for an answer. */
  readonly waiting: boolean
  /** Whether the body of a post is on its way. */
  readonly posting: boolean
  readonly probe: Probe
}

/** The session goes over its WebSocket. */
export interface Upgraded {
  readonly _tag: "Upgraded"
}

/** The server has closed the session, and the next poll is to hear of it. */
export interface Closing {
  readonly _tag: "Closing"
  readonly queue: Queue
}

/** Why a session is over. The first is ours, the others are the client's or the network's. */
export type Reason = "server" | "client" | "network" | "pingTimeout" | "violation"

export interface Closed {
  readonly _tag: "Closed"
  readonly reason: Reason
}

export type State = Closed | Closing | Polling | Upgraded

/**
 * What is waited for. `ping`: the interval between a pong and the next ping. `pong`: how long a client may take for
 * one. `upgrade`: how long a WebSocket may take to become the session's, 10 s in the reference. `nudge`: how often a
 * poll that waits is sent away meanwhile, 100 ms. `close`: how long a closed session waits for a poll, 30 s.
 */
export type Timer = "close" | "nudge" | "ping" | "pong" | "upgrade"

export type Action =
  /** Answers the poll that waits, or that has just come. */
  | { readonly _tag: "AnswerPoll"; readonly packets: ReadonlyArray<Packet.Packet> }
  /** 400, to the poll that has just come. */
  | { readonly _tag: "RefusePoll" }
  /** `ok`, to the post that has just been read. */
  | { readonly _tag: "AnswerPost" }
  /** 400, to the post that has just begun or been read. */
  | { readonly _tag: "RefusePost" }
  /** Writes to the WebSocket. */
  | { readonly _tag: "Write"; readonly packets: ReadonlyArray<Packet.Packet> }
  /** Closes the WebSocket, which is the session's no more. */
  | { readonly _tag: "CloseSocket" }
  /** Closes the WebSocket that has just come. The one that the session has is not meant. */
  | { readonly _tag: "RefuseSocket" }
  /** A message of the client's, for the application. */
  | { readonly _tag: "Deliver"; readonly data: string | Uint8Array }
  /** Calls `expire` later, once. One that was set before is forgotten. */
  | { readonly _tag: "Set"; readonly timer: Timer }
  | { readonly _tag: "Clear"; readonly timer: Timer }
  /** The session is over, once. All timers are forgotten; requests that are still open get 400. */
  | { readonly _tag: "End"; readonly reason: Reason; readonly violation: Packet.EngineViolation | undefined }

export type Transition = readonly [State, ReadonlyArray<Action>]

/** The session is over or about to be. Nothing was sent. */
export class SessionClosed extends Data.TaggedError("SessionClosed")<{}> {
  override get message(): string {
    return "the session is closed"
  }
}

/** The client does not poll as fast as is sent. Nothing was sent; who goes on without it had better close. */
export class QueueFull extends Data.TaggedError("QueueFull")<{}> {
  override get message(): string {
    return "too much waits for the next poll"
  }
}

const overSocket: State = { _tag: "Upgraded" }

const empty: Queue = { last: undefined, count: 0, bytes: 0 }

const pushed = (queue: Queue, packet: Packet.Packet): Queue => ({
  last: { packet, before: queue.last },
  count: queue.count + 1,
  bytes: queue.bytes + 1 + Packet.payloadLength(packet)
})

const packetsOf = ({ last }: Queue): ReadonlyArray<Packet.Packet> => {
  const packets: Array<Packet.Packet> = []
  for (let at = last; at !== undefined; at = at.before) packets.push(at.packet)
  return packets.toReversed()
}

const close: Packet.Packet = { _tag: "Close" }
const noop: Packet.Packet = { _tag: "Noop" }
const ping: Packet.Packet = { _tag: "Ping", data: "" }

const answer = (...packets: ReadonlyArray<Packet.Packet>): Action => ({ _tag: "AnswerPoll", packets })
const write = (...packets: ReadonlyArray<Packet.Packet>): Action => ({ _tag: "Write", packets })
const set = (timer: Timer): Action => ({ _tag: "Set", timer })
const clear = (timer: Timer): Action => ({ _tag: "Clear", timer })
const refusePoll: Action = { _tag: "RefusePoll" }
const answerPost: Action = { _tag: "AnswerPost" }
const refusePost: Action = { _tag: "RefusePost" }
const closeSocket: Action = { _tag: "CloseSocket" }
const refuseSocket: Action = { _tag: "RefuseSocket" }

/** The session is over: whoever waits is told `last`. */
const ended = (
  state: Closing | Polling | Upgraded,
  reason: Reason,
  last: Packet.Packet,
  before: ReadonlyArray<Action> = [],
  violation: Packet.EngineViolation | undefined = undefined
): Transition => {
  const actions = [...before]
  if (state._tag === "Polling" && state.waiting) actions.push(answer(last))
  if (state._tag === "Upgraded" || (state._tag === "Polling" && state.probe !== "none")) actions.push(closeSocket)
  actions.push({ _tag: "End", reason, violation })
  return [{ _tag: "Closed", reason }, actions]
}

const violation = (detail: string) => new Packet.EngineViolation({ reason: "syntax", detail })

/** Broke a rule: a poll that waits gets `1`. */
const failed = (
  state: Polling | Upgraded,
  fault: Packet.EngineViolation,
  before: ReadonlyArray<Action> = []
): Transition => ended(state, "violation", close, before, fault)

/** A new session, by the first poll, which is answered at once, or by a WebSocket without a `sid`. */
export const open = (handshake: Packet.Handshake, over: "polling" | "websocket"): Transition => {
  const packet: Packet.Packet = { _tag: "Open", data: Packet.encodeHandshake(handshake) }
  return over === "polling"
    ? [{ _tag: "Polling", queue: empty, waiting: false, posting: false, probe: "none" }, [answer(packet), set("ping")]]
    : [overSocket, [write(packet), set("ping")]]
}

/** Gives the poll that waits what there is. */
const flushed = (state: Polling, actions: ReadonlyArray<Action> = []): Transition =>
  state.waiting && state.queue.count > 0
    ? [{ ...state, queue: empty, waiting: false }, [...actions, answer(...packetsOf(state.queue))]]
    : [state, actions]

/** A poll has come. */
export const poll = (state: State): Transition => {
  switch (state._tag) {
    case "Polling":
      return state.waiting
        ? failed(state, violation("two polls at once"), [refusePoll])
        : flushed({ ...state, waiting: true })
    case "Closing":
      return ended(state, "server", close, [answer(...packetsOf(state.queue))])
    case "Closed":
    case "Upgraded":
      return [state, [refusePoll]]
  }
}

/** The poll that waits was given up, and cannot be answered any more. What was to be sent is kept for the next. */
export const pollAborted = (state: State): Transition =>
  state._tag === "Polling" ? [{ ...state, waiting: false }, []] : [state, []]

/** A post has come, but not yet its body. It is followed by `posted` or `postAborted`, where it is not refused. */
export const post = (state: State): Transition => {
  switch (state._tag) {
    case "Polling":
      return state.posting
        ? failed(state, violation("two posts at once"), [refusePost])
        : [{ ...state, posting: true }, []]
    case "Closing":
      return [state, []]
    case "Closed":
    case "Upgraded":
      return [state, [refusePost]]
  }
}

/** A post's body will never be whole. */
export const postAborted = (state: State): Transition =>
  state._tag === "Polling" ? [{ ...state, posting: false }, []] : [state, []]

/** Adds what a packet calls for, and says whether the session ends with it. */
const take = (packet: Packet.Packet, actions: Array<Action>): Packet.EngineViolation | "closed" | undefined => {
  switch (packet._tag) {
    case "Message":
      actions.push({ _tag: "Deliver", data: packet.data })
      return undefined
    case "Pong":
      actions.push(clear("pong"), set("ping"))
      return undefined
    case "Close":
      return "closed"
    case "Ping":
      return violation("a ping from a client")
    case "Noop":
    case "Open":
    case "Upgrade":
      // The reference takes no notice of what a client has no reason to say.
      return undefined
  }
}

const received = (
  state: Polling | Upgraded,
  { packets, violation: last }: Packet.Payload,
  answered: ReadonlyArray<Action>,
  refused: ReadonlyArray<Action>
): Transition => {
  const actions: Array<Action> = []
  for (const packet of packets) {
    const outcome = take(packet, actions)
    if (outcome === "closed") return ended(state, "client", noop, [...actions, ...answered])
    if (outcome !== undefined) return failed(state, outcome, [...actions, ...refused])
  }
  return last === undefined ? [state, [...actions, ...answered]] : failed(state, last, [...actions, ...refused])
}

/** The body of a post is whole. What came before a fault in it is delivered before the session is closed. */
export const posted = (state: State, body: Uint8Array, config: Config = {}): Transition => {
  switch (state._tag) {
    case "Polling": {
      if (!state.posting) return [state, [refusePost]]
      const payload = Packet.decodePayload(body, config.payload)
      return received({ ...state, posting: false }, payload, [answerPost], [refusePost])
    }
    case "Closing":
      // It has crossed the end of the session, and nobody is there to hear it.
      return [state, [answerPost]]
    case "Closed":
    case "Upgraded":
      return [state, [refusePost]]
  }
}

/** A WebSocket with the `sid` of this session has come. */
export const attach = (state: State): Transition =>
  state._tag === "Polling" && state.probe === "none"
    ? [{ ...state, probe: "attached" }, [set("upgrade")]]
    : [state, [refuseSocket]]

/** The session polls on, without a WebSocket. */
const detached = (state: Polling, actions: ReadonlyArray<Action>): Transition => [
  { ...state, probe: "none" },
  [...actions, clear("upgrade"), clear("nudge")]
]

/** Who has not waited for the answers to its requests may say the same twice, or one thing before the other. */
const upgraded = (state: Polling): Transition => {
  if (state.probe !== "probed" || state.posting) return detached(state, [closeSocket])
  const actions: Array<Action> = [clear("upgrade"), clear("nudge")]
  if (state.waiting) actions.push(answer(noop))
  if (state.queue.count > 0) actions.push(write(...packetsOf(state.queue)))
  return [overSocket, actions]
}

const probed = (state: Polling, message: string | Uint8Array): Transition => {
  const packet = Packet.decode(message)
  if (Result.isSuccess(packet)) {
    const { success } = packet
    if (success._tag === "Upgrade") return upgraded(state)
    if (success._tag === "Ping" && success.data === "probe" && state.probe === "attached") {
      const next: Polling = { ...state, probe: "probed" }
      const actions = [write({ _tag: "Pong", data: "probe" }), set("nudge")]
      // The client upgrades when its poll has come back.
      return state.waiting ? [{ ...next, waiting: false }, [...actions, answer(noop)]] : [next, actions]
    }
  }
  return detached(state, [closeSocket])
}

/**
 * A message has come over the session's WebSocket. A WebSocket that breaks a rule before it upgrades harms nobody else.
 */
export const receive = (state: State, message: string | Uint8Array): Transition => {
  switch (state._tag) {
    case "Polling":
      return state.probe === "none" ? [state, []] : probed(state, message)
    case "Upgraded": {
      const packet = Packet.decode(message)
      // What nearly all of them are.
      if (Result.isSuccess(packet) && packet.success._tag === "Message") {
        return [state, [{ _tag: "Deliver", data: packet.success.data }]]
      }
      return Result.isSuccess(packet)
        ? received(state, { packets: [packet.success], violation: undefined }, [], [])
        : failed(state, packet.failure)
    }
    case "Closed":
    case "Closing":
      return [state, []]
  }
}

/** The session's WebSocket has ended. */
export const socketEnded = (state: State): Transition => {
  switch (state._tag) {
    case "Polling":
      return state.probe === "none" ? [state, []] : detached(state, [])
    case "Upgraded":
      return [{ _tag: "Closed", reason: "network" }, [{ _tag: "End", reason: "network", violation: undefined }]]
    case "Closed":
    case "Closing":
      return [state, []]
  }
}

/** Sends messages, in order: all or, where it fails, none of them. */
export const send = (
  state: State,
  messages: ReadonlyArray<string | Uint8Array>,
  config: Config = {}
): Result.Result<Transition, Packet.UnsendableMessage | QueueFull | SessionClosed> => {
  const { maxQueuedBytes = defaults.maxQueuedBytes, maxQueuedPackets = defaults.maxQueuedPackets } = config
  switch (state._tag) {
    case "Upgraded": {
      const packets = messages.map((data): Packet.Packet => ({ _tag: "Message", data }))
      return Result.succeed([state, packets.length === 0 ? [] : [write(...packets)]])
    }
    case "Polling": {
      let { queue } = state
      for (const data of messages) {
        const packet: Packet.Packet = { _tag: "Message", data }
        if (!Packet.isPollable(packet)) return Result.fail(new Packet.UnsendableMessage())
        queue = pushed(queue, packet)
      }
      if (queue.bytes > maxQueuedBytes || queue.count > maxQueuedPackets) return Result.fail(new QueueFull())
      return Result.succeed(flushed({ ...state, queue }))
    }
    case "Closed":
    case "Closing":
      return Result.fail(new SessionClosed())
  }
}

/** Whether a ping waits for a poll: none has come since it was said. */
export const isPinged = (state: State): boolean =>
  state._tag === "Polling" && packetsOf(state.queue).some(({ _tag }) => _tag === "Ping")

/** A timer that was set has come. */
export const expire = (state: State, timer: Timer): Transition => {
  if (state._tag === "Closed") return [state, []]
  if (timer === "close") {
    return state._tag === "Closing" ? ended(state, "server", close) : [state, []]
  }
  if (state._tag === "Closing") return [state, []]
  switch (timer) {
    case "ping":
      return state._tag === "Upgraded"
        ? [state, [write(ping), set("pong")]]
        : flushed({ ...state, queue: pushed(state.queue, ping) }, [set("pong")])
    case "pong":
      return ended(state, "pingTimeout", close)
    case "upgrade":
      return state._tag === "Polling" && state.probe !== "none" ? detached(state, [closeSocket]) : [state, []]
    case "nudge": {
      if (state._tag !== "Polling" || state.probe !== "probed") return [state, []]
      return state.waiting ? [{ ...state, waiting: false }, [answer(noop), set("nudge")]] : [state, [set("nudge")]]
    }
  }
}

/** The server closes the session. What was sent before reaches a client that polls once more. */
export const shutdown = (state: State): Transition => {
  switch (state._tag) {
    case "Upgraded":
      return ended(state, "server", close)
    case "Polling": {
      if (state.waiting) return ended(state, "server", close)
      const actions: Array<Action> = state.probe === "none" ? [] : [closeSocket]
      const timers = [clear("upgrade"), clear("nudge"), clear("ping"), clear("pong"), set("close")]
      return [{ _tag: "Closing", queue: pushed(state.queue, close) }, [...actions, ...timers]]
    }
    case "Closed":
    case "Closing":
      return [state, []]
  }
}
