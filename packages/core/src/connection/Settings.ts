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
  readonly maxFrameBytes: number
  readonly maxCodedBytes: number
  readonly inboxBytes: number
  readonly outboxBytes: number
  /** What `maxMemoryBytes` leaves for what was received, beside the outbox. */
  readonly maxReceivedBytes: number
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
  const maxMemoryBytes = all.maxMemoryBytes ?? Math.max(defaultMemory, 4 * all.maxMessageBytes)
  // Each has a share of its own: neither has to wait, or to suffer, for what fills the other.
  const outboxBytes = Math.min(all.outboxBytes, Math.floor(maxMemoryBytes / 2))
  return {
    role,
    maxMessageBytes: all.maxMessageBytes,
    maxCodedBytes: codedLength(all.maxMessageBytes),
    maxFragments: all.maxFragments,
    expected: {
      masked: role === "server",
      rsv: 0,
      maxPayloadLength: Math.min(all.maxFrameBytes, all.maxMessageBytes)
    },
    maxFrameBytes: all.maxFrameBytes,
    inboxBytes: all.inboxBytes,
    outboxBytes,
    // Without any bound there is nothing to share.
    maxReceivedBytes: maxMemoryBytes === Number.POSITIVE_INFINITY ? maxMemoryBytes : maxMemoryBytes - outboxBytes,
    closeTimeout: Duration.toMillis(all.closeTimeout),
    pingInterval: Duration.toMillis(all.pingInterval),
    pingTimeout: Duration.toMillis(all.pingTimeout),
    maskingKey: role === "client" ? maskingKey : undefined
  }
}

const defaultMemory = 8_388_608

/** How long a message may be on the wire whose content is as long as may be: what does not shrink grows a little. */
const codedLength = (length: number): number => length + Math.ceil(length / 8) + 64

/** The same settings where extensions give reserved bits a meaning. Kept, as all connections of an endpoint share them. */
export const withReservedBits = (self: Settings, rsv: number): Settings => {
  let variants = coded.get(self)
  if (variants === undefined) coded.set(self, (variants = new Map()))
  let variant = variants.get(rsv)
  if (variant === undefined) {
    const maxPayloadLength = Math.min(self.maxFrameBytes, self.maxCodedBytes)
    variants.set(rsv, (variant = { ...self, expected: { ...self.expected, rsv, maxPayloadLength } }))
  }
  return variant
}

const coded = new WeakMap<Settings, Map<number, Settings>>()

/** A wheel for connections with these settings. */
export const makeWheel = (self: Settings): Effect.Effect<TimerWheel.TimerWheel, never, Scope.Scope> =>
  TimerWheel.make(Math.min(self.closeTimeout, self.pingInterval, self.pingTimeout))
