/** A client of the hub that knows docs/protocol.md and nothing else: JSON texts in frames, over a socket. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { encode, frame } from "./frames.ts"
import * as RawPeer from "./RawPeer.ts"

/** Any message of the hub. */
export interface Heard {
  readonly type: string
  readonly [name: string]: unknown
}

export interface HubClient {
  readonly peer: RawPeer.RawPeer
  /** Sends a message, or a text as it is. */
  readonly say: (message: object | string) => void
  /** The next message. */
  readonly hear: Effect.Effect<Heard>
  /** The text of the next message. */
  readonly hearText: Effect.Effect<string>
}

export const over = (peer: RawPeer.RawPeer): HubClient => {
  const hearText: Effect.Effect<string> = Effect.flatMap(peer.frame, ({ opcode, payload }) => {
    // A slow machine gets to see a Ping.
    if (opcode === 9) {
      peer.send(encode(frame(10, payload), 0x12345678))
      return hearText
    }
    if (opcode !== 1) throw new Error(`a frame with opcode ${opcode}: ${Buffer.from(payload).toString("latin1")}`)
    return Effect.succeed(Buffer.from(payload).toString())
  })
  return {
    peer,
    say: (message) => {
      const text = typeof message === "string" ? message : JSON.stringify(message)
      peer.send(encode(frame(1, Buffer.from(text)), 0x12345678))
    },
    hearText,
    hear: Effect.map(hearText, (text) => JSON.parse(text) as Heard)
  }
}

/** Connects, and hears the welcome. */
export const connect = (port: number, name?: string): Effect.Effect<HubClient, never, Scope.Scope> =>
  Effect.gen(function* () {
    const client = over(yield* RawPeer.open(port, name === undefined ? "/ws" : `/ws?name=${encodeURIComponent(name)}`))
    const welcome = yield* client.hear
    if (welcome.type !== "welcome") return yield* Effect.die(new Error(`not welcome: ${JSON.stringify(welcome)}`))
    return client
  })

/** Subscribes, and hears that it is. */
export const subscribe = (client: HubClient, topic: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    client.say({ type: "subscribe", topic })
    return Effect.map(client.hear, (heard) => {
      if (heard.type !== "subscribed") throw new Error(`not subscribed: ${JSON.stringify(heard)}`)
    })
  })
