/**
 * What the connections of an endpoint share: its limits, in the units in which they are compared, and its role.
 */
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Frame from "../codec/Frame.ts"
import type * as Protocol from "../protocol/WebSocketProtocol.ts"
import * as Limits from "./Limits.ts"
import * as TimerWheel from "./TimerWheel.ts"

/** The limits of an endpoint with what its connections share, made once for all of them. */
export interface Settings extends Protocol.Config {
  readonly expected: Frame.Expected
  readonly inboxBytes: number
  readonly outboxBytes: number
  /** These three in milliseconds. */
  readonly closeTimeout: number
  readonly pingInterval: number
  readonly pingTimeout: number
  /** Gives an unpredictable 32-bit key for each frame: clients only. RFC 6455 section 5.3. */
  readonly maskingKey: (() => number) | undefined
}

/**
 * The settings of connections in that role, with the defaults of `Limits` for what is not given.
 *
 * Throws for a client without masking keys, whose frames would leave as they are: RFC 6455 section 5.1.
 */
export const settings = (role: Protocol.Role, limits?: Partial<Limits.Limits>, maskingKey?: () => number): Settings => {
  if (role === "client" && maskingKey === undefined) throw new TypeError("a client needs masking keys")
  const all = { ...Limits.defaults, ...limits }
  return {
    role,
    maxMessageBytes: all.maxMessageBytes,
    maxFragments: all.maxFragments,
    expected: { masked: role === "server", rsv: 0, maxPayloadLength: all.maxMessageBytes },
    inboxBytes: all.inboxBytes,
    outboxBytes: all.outboxBytes,
    closeTimeout: Duration.toMillis(all.closeTimeout),
    pingInterval: Duration.toMillis(all.pingInterval),
    pingTimeout: Duration.toMillis(all.pingTimeout),
    maskingKey: role === "client" ? maskingKey : undefined
  }
}

/** A wheel for connections with these settings. */
export const makeWheel = (self: Settings): Effect.Effect<TimerWheel.TimerWheel, never, Scope.Scope> =>
  TimerWheel.make(Math.min(self.closeTimeout, self.pingInterval, self.pingTimeout))
