/**
 * What a client's session of Engine.IO goes over, as a state machine: polls and posts, a WebSocket, and the way from one
 * to the other. Protocol revision 4. What the packets mean is the business of `EngineClientProtocol`.
 *
 * No network and no clock. A transition takes a state and what happened, and gives the next state with the actions it
 * calls for, to be carried out in order. All are total.
 *
 *      open             3probe, and nothing on its way          `1`, a failure, all said behind `leave`
 *     ------> "polls" ---------------------------------> "socket" ---------------------------------> Over
 *                 `----------------------------------------------------------------------------------^
 *
 * One poll and one post are on their way at a time. When the server has answered over the WebSocket, no other is begun;
 * when both have come back, `5` goes over the WebSocket, and behind it what has waited meanwhile. So nothing is lost,
 * doubled or out of order. A WebSocket that fails before changes nothing.
 */
import * as Result from "effect/Result"
import * as Packet from "./Packet.ts"

/** What waits to be said, the last packet first: it is turned round once, when all is taken. */
interface Queue {
  readonly last: { readonly packet: Packet.Packet; readonly before: Queue["last"] } | undefined
}

export interface Open {
  readonly _tag: "Open"
  readonly over: "polls" | "socket"
  /** Whether a WebSocket is to take over: none is, one is being opened, it was asked, it has answered. */
  readonly probe: "answered" | "asked" | "none" | "opening"
  /** Whether a poll is on its way. */
  readonly isPolled: boolean
  /** Whether something that was said is on its way, by a post or over the WebSocket. */
  readonly isSaying: boolean
  /** Whether who reads has enough: then there is no other poll. */
  readonly isHeld: boolean
  /** Whether the end is behind what waits, and was said where that has to be. */
  readonly leaving: "asked" | "no" | "said"
  readonly queue: Queue
  /** Most bytes of a post. */
  readonly maxBytes: number
}

export interface Over {
  readonly _tag: "Over"
}

export type State = Open | Over

export type Action =
  /** Begins a poll, to be followed by `polled`. */
  | { readonly _tag: "Poll" }
  /** Begins a post, to be followed by `said`. */
  | { readonly _tag: "Post"; readonly packets: ReadonlyArray<Packet.Packet> }
  /** Writes to the WebSocket, to be followed by `said`. */
  | { readonly _tag: "Write"; readonly packets: ReadonlyArray<Packet.Packet> }
  /** Opens the WebSocket, to be followed by `socketOpened` or `socketEnded`. */
  | { readonly _tag: "OpenSocket" }
  /** Writes `2probe` to the WebSocket. */
  | { readonly _tag: "Probe" }
  /** Closes the WebSocket, of which nothing more is told. */
  | { readonly _tag: "CloseSocket" }
  /** What has come, as it is over a WebSocket. */
  | { readonly _tag: "Deliver"; readonly data: string | Uint8Array }
  /** Calls `settle`, behind what whoever was told has made of it. */
  | { readonly _tag: "Settle" }
  /** It is over, once: polls and the WebSocket are given up. `isOrderly`: one of both ends has said so. */
  | { readonly _tag: "End"; readonly isOrderly: boolean }

export type Transition = readonly [State, ReadonlyArray<Action>]

export const over: State = { _tag: "Over" }
const empty: Queue = { last: undefined }
const close: Packet.Packet = { _tag: "Close" }
const upgrade: Packet.Packet = { _tag: "Upgrade" }

const pushed = (queue: Queue, packet: Packet.Packet): Queue => ({ last: { packet, before: queue.last } })

const packetsOf = ({ last }: Queue): ReadonlyArray<Packet.Packet> => {
  const packets: Array<Packet.Packet> = []
  for (let at = last; at !== undefined; at = at.before) packets.push(at.packet)
  return packets.toReversed()
}

const ended = (actions: ReadonlyArray<Action>, isOrderly: boolean): Transition => [
  over,
  [...actions, { _tag: "End", isOrderly }]
]

/** Begins what may be begun. */
const settled = (state: Open, actions: ReadonlyArray<Action> = []): Transition => {
  const { isHeld, isPolled, isSaying, leaving, maxBytes, probe, queue } = state
  const next: Array<Action> = [...actions]
  if (state.over === "socket") {
    if (isSaying) return [state, actions]
    if (queue.last !== undefined) {
      return [{ ...state, queue: empty, isSaying: true }, [...actions, { _tag: "Write", packets: packetsOf(queue) }]]
    }
    return leaving === "no" ? [state, actions] : ended([...actions, { _tag: "CloseSocket" }], true)
  }
  if (probe === "answered") {
    if (isPolled || isSaying) return [state, actions]
    const packets = [upgrade, ...packetsOf(queue)]
    return [
      { ...state, over: "socket", probe: "none", queue: empty, isSaying: true },
      [...actions, { _tag: "Write", packets }]
    ]
  }
  let after = state
  if (!isPolled && !isHeld && leaving === "no") {
    after = { ...after, isPolled: true }
    next.push({ _tag: "Poll" })
  }
  if (isSaying) return [after, next]
  if (queue.last !== undefined) {
    const packets = packetsOf(queue)
    const count = Packet.countWithin(packets, maxBytes)
    after = { ...after, isSaying: true, queue: packets.slice(count).reduce(pushed, empty) }
    next.push({ _tag: "Post", packets: packets.slice(0, count) })
  } else if (leaving === "asked") {
    // By itself: the reference forgets what has come in one post with it.
    after = { ...after, isSaying: true, leaving: "said" }
    next.push({ _tag: "Post", packets: [close] })
  } else if (leaving === "said") return ended(next, true)
  return [after, next]
}

/** Begins what may be begun by now. */
export const settle = (state: State): Transition => (state._tag === "Over" ? [state, []] : settled(state))

/** Packets are to be said. */
export const say = (state: State, packets: ReadonlyArray<Packet.Packet>): Transition =>
  state._tag === "Over" || state.leaving !== "no"
    ? [state, []]
    : settled({ ...state, queue: packets.reduce(pushed, state.queue) })

/** What was on its way is there. */
export const said = (state: State): Transition =>
  state._tag === "Over" ? [state, []] : settled({ ...state, isSaying: false })

const delivered = (packets: ReadonlyArray<Packet.Packet>): Array<Action> =>
  packets.flatMap((packet) => (packet._tag === "Noop" ? [] : [{ _tag: "Deliver", data: Packet.encode(packet) }]))

/** The poll was answered. */
export const polled = (state: State, packets: ReadonlyArray<Packet.Packet>): Transition => {
  if (state._tag === "Over") return [state, []]
  const actions = delivered(packets)
  if (packets.some(({ _tag }) => _tag === "Close")) return ended(actions, true)
  return [{ ...state, isPolled: false }, [...actions, { _tag: "Settle" }]]
}

/**
 * A session whose first poll was answered with these packets, of which the first has this handshake. `canUpgrade`: whether
 * we want a WebSocket in its place.
 */
export const open = (
  { maxPayload = Infinity, upgrades }: Packet.Handshake,
  packets: ReadonlyArray<Packet.Packet>,
  canUpgrade: boolean
): Transition => {
  const isUpgraded = canUpgrade && upgrades.includes("websocket")
  const state: Open = {
    _tag: "Open",
    over: "polls",
    probe: isUpgraded ? "opening" : "none",
    isPolled: true,
    isSaying: false,
    isHeld: false,
    leaving: "no",
    queue: empty,
    maxBytes: maxPayload
  }
  const [next, actions] = polled(state, packets)
  return [next, isUpgraded && next._tag === "Open" ? [{ _tag: "OpenSocket" }, ...actions] : actions]
}

/** A request has failed, or was refused: the session is no more, or nobody knows what of it has come. */
export const failed = (state: State): Transition => (state._tag === "Over" ? [state, []] : ended([], false))

/** Who reads has enough, or not any more. */
export const hold = (state: State, isHeld: boolean): Transition =>
  state._tag === "Over" ? [state, []] : settled({ ...state, isHeld })

/** The WebSocket is there. */
export const socketOpened = (state: State): Transition =>
  state._tag === "Open" && state.probe === "opening"
    ? [{ ...state, probe: "asked" }, [{ _tag: "Probe" }]]
    : [state, [{ _tag: "CloseSocket" }]]

const isAnswer = (data: string | Uint8Array): boolean => {
  const packet = Packet.decode(data)
  return Result.isSuccess(packet) && packet.success._tag === "Pong" && packet.success.data === "probe"
}

/** A message has come over the WebSocket. Before it has taken over there is one that it may say. */
export const socketSaid = (state: State, data: string | Uint8Array): Transition => {
  if (state._tag === "Over") return [state, []]
  if (state.over === "socket") return [state, [{ _tag: "Deliver", data }]]
  if (state.probe === "asked" && isAnswer(data)) return settled({ ...state, probe: "answered" })
  return settled({ ...state, probe: "none" }, [{ _tag: "CloseSocket" }])
}

/** The WebSocket did not open, or has ended. */
export const socketEnded = (state: State, isOrderly = false): Transition => {
  if (state._tag === "Over") return [state, []]
  return state.over === "socket" ? ended([], isOrderly) : settled({ ...state, probe: "none" })
}

/** The client has enough: the session ends behind what was said. */
export const leave = (state: State): Transition => {
  if (state._tag === "Over" || state.leaving !== "no") return [state, []]
  const leaving: Open = { ...state, leaving: "asked" }
  // The end of a WebSocket is word enough.
  if (state.over === "socket") return settled(leaving)
  return settled({ ...leaving, probe: "none" }, state.probe === "none" ? [] : [{ _tag: "CloseSocket" }])
}
