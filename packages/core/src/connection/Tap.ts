/**
 * What may be put between a transport and its connection, once the opening handshake is done: to look at what goes over
 * it, as a `Recorder` does, or to take it over, as a `Player` does.
 */
import type { Role } from "../protocol/WebSocketProtocol.ts"
import type * as Extension from "./Extension.ts"
import type { Transport } from "./Transport.ts"

/** What the opening handshake has agreed on. */
export interface Facts {
  /** Which end this is. */
  readonly role: Role
  /** What was opened; on a server the target of the request. */
  readonly url: string | undefined
  readonly subprotocol: string | undefined
  readonly extensions: Extension.Agreed
}

/**
 * Gives the transport that the connection is to run over, which may be the same one. Called once for each connection,
 * with a transport that is not opened yet. It must not throw.
 */
export type Tap = (transport: Transport, facts: Facts) => Transport
