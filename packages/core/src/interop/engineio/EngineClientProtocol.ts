/**
 * A session of Engine.IO as a state machine, as a client sees it, over a WebSocket or what has the face of one. Protocol
 * revision 4.
 *
 * No network and no clock. A transition takes a state and what happened, and gives the next state with the actions it
 * calls for, to be carried out in order. All are total: what a server says is never an exception.
 *
 *     opening            the server's `0`            `1`, silence, a violation, the network
 *    ---------> Opening ------------------> Open ------------------------------------------> Closed
 *
 * It is the server that pings. Long-polling, and the way from there to a WebSocket, are in `EnginePolling`.
 */
import * as Result from "effect/Result"
import * as Packet from "./Packet.ts"

/** The WebSocket is there, and the server has not said anything yet. */
export interface Opening {
  readonly _tag: "Opening"
}

export interface Open {
  readonly _tag: "Open"
  readonly handshake: Packet.Handshake
}

/** Why a session is over: by the server's word, the network, a ping that did not come, or a rule that the server broke. */
export type Reason = "network" | "pingTimeout" | "server" | "violation"

export interface Closed {
  readonly _tag: "Closed"
  readonly reason: Reason
}

export type State = Closed | Open | Opening

export type Action =
  /** The session is there. */
  | { readonly _tag: "Opened"; readonly handshake: Packet.Handshake }
  /** Calls `expire` after so many milliseconds, once. One that was set before is forgotten. */
  | { readonly _tag: "Set"; readonly patience: number }
  | { readonly _tag: "Write"; readonly packet: Packet.Packet }
  /** A message of the server's. */
  | { readonly _tag: "Deliver"; readonly data: string | Uint8Array }
  /** The session is over, once. */
  | { readonly _tag: "End"; readonly reason: Reason; readonly violation: Packet.EngineViolation | undefined }

export type Transition = readonly [State, ReadonlyArray<Action>]

/** A session over a WebSocket that has just been opened. */
export const opening: State = { _tag: "Opening" }

/** A timer takes no more milliseconds. */
const longest = 2 ** 31 - 1

/** How long the next ping may take, in milliseconds. */
const patienceOf = ({ pingInterval, pingTimeout }: Packet.Handshake): number =>
  Math.min(pingInterval + pingTimeout, longest)

const over = (reason: Reason, violation?: Packet.EngineViolation): Transition => [
  { _tag: "Closed", reason },
  [{ _tag: "End", reason, violation }]
]

const violated = (detail: string): Transition =>
  over("violation", new Packet.EngineViolation({ reason: "syntax", detail }))

const opened = (packet: Packet.Packet): Transition => {
  if (packet._tag === "Close") return over("server")
  if (packet._tag !== "Open") return violated("something else before the handshake")
  const handshake = Packet.decodeHandshake(packet.data)
  if (Result.isFailure(handshake)) return over("violation", handshake.failure)
  const { success } = handshake
  return [
    { _tag: "Open", handshake: success },
    [
      { _tag: "Opened", handshake: success },
      { _tag: "Set", patience: patienceOf(success) }
    ]
  ]
}

/** A message has come over the WebSocket. */
export const receive = (state: State, message: string | Uint8Array): Transition => {
  if (state._tag === "Closed") return [state, []]
  const decoded = Packet.decode(message)
  if (Result.isFailure(decoded)) return over("violation", decoded.failure)
  const { success: packet } = decoded
  if (state._tag === "Opening") return opened(packet)
  switch (packet._tag) {
    case "Message":
      return [state, [{ _tag: "Deliver", data: packet.data }]]
    case "Ping":
      return [
        state,
        [
          { _tag: "Write", packet: { _tag: "Pong", data: packet.data } },
          { _tag: "Set", patience: patienceOf(state.handshake) }
        ]
      ]
    case "Close":
      return over("server")
    case "Open":
      return violated("a second handshake")
    case "Noop":
    case "Pong":
    case "Upgrade":
      // The reference takes no notice of what a server has no reason to say.
      return [state, []]
  }
}

/** No ping has come in time. */
export const expire = (state: State): Transition => (state._tag === "Open" ? over("pingTimeout") : [state, []])

/** The WebSocket has ended. */
export const ended = (state: State): Transition => (state._tag === "Closed" ? [state, []] : over("network"))
