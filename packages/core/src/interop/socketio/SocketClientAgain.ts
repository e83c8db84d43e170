/**
 * Whether a client of Socket.IO comes back: a total function, which a program may replace.
 *
 * The rule is that of `messaging/Again`: what would end the same way if it were tried again as it is, is not tried again.
 */
import type { WebSocketError } from "../../connection/WebSocketError.ts"
import * as Again from "../../messaging/Again.ts"
import { UnsendablePacket } from "./Packet.ts"
import type { Cause } from "./SocketClientError.ts"

export type Decision = Again.Decision

const afterLoss = (cause: WebSocketError | undefined): Decision => {
  const reason = cause?.reason
  if (reason?._tag === "ProtocolViolation") return Again.afterCode(reason.closeCode)
  return reason?._tag === "ConnectionLost" ? Again.afterCode(reason.code) : "Again"
}

/**
 * The default. After the end of a connection, silence, a server that is down or busy: again. Where the server has refused
 * the client or put it out of the namespace, as with `socket.io-client`, and where it has broken a rule: stop.
 */
export const decide = (cause: Cause): Decision => {
  switch (cause._tag) {
    case "NotOpened":
      // What is to be said of the client cannot be said.
      return cause.error instanceof UnsendablePacket ? "Stop" : Again.decide(cause)
    case "Refused":
      return "Stop"
    case "Ended":
      switch (cause.error._tag) {
        case "Lost":
          return afterLoss(cause.error.cause)
        case "Silent":
          return "Again"
        case "PutOut":
        case "Violation":
          return "Stop"
      }
  }
}
