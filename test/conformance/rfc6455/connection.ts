/** A connection over a transport whose far end is the test: it says what arrives, and sees what leaves. */
import * as Effect from "effect/Effect"
import type { Limits } from "@millrace/core/connection/Limits"
import type { Receiver, Transport } from "@millrace/core/connection/Transport"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import type { TransportError } from "@millrace/core/connection/WebSocketError"
import { hex } from "../../support/wire.ts"
import { read, type Role, type Seen, toHex, toward } from "./endpoint.ts"

export class Far {
  readonly role: Role
  /** What reached the transport, in order: frames in hex, "end" and "destroy". */
  readonly log: Array<string> = []
  private receiver: Receiver | undefined
  private over = false

  constructor(role: Role) {
    this.role = role
    Object.defineProperty(this.transport, "writableLength", { get: () => this.backlog })
  }

  /** Bytes that the network has not taken. */
  backlog = 0

  readonly transport: Transport = {
    writableLength: 0,
    open: (receiver) => {
      this.receiver = receiver
    },
    pause: () => {},
    resume: () => {},
    // Copied: a test is about what was on the wire at that moment.
    write: (bytes) => this.log.push(toHex(bytes)),
    writeAll: (chunks) => this.log.push(...chunks.map(toHex)),
    end: () => {
      if (!this.over && !this.log.includes("end")) this.log.push("end")
    },
    destroy: () => {
      if (!this.over) this.log.push("destroy")
      this.finish(undefined)
    }
  }

  /** Bytes as they stand, or frames written unmasked: see `toward`. */
  receive(wire: string | Uint8Array): void {
    this.receiver?.data(typeof wire === "string" ? toward(this.role, wire) : wire.slice())
  }

  /** The network has taken all that there was. */
  drain(): void {
    this.backlog = 0
    this.receiver?.drained()
  }

  /** The TCP connection is closed, orderly or by a failure. */
  finish(error: TransportError | undefined): void {
    if (this.over) return
    this.over = true
    this.receiver?.ended(error)
  }

  get seen(): ReadonlyArray<Seen> {
    return read(hex(this.log.filter((entry) => entry !== "end" && entry !== "destroy").join(" ")))
  }

  /** The frames that were written, without their bytes, and what became of the transport. */
  get story(): ReadonlyArray<string> {
    return this.log.flatMap((entry) => {
      if (entry === "end" || entry === "destroy") return [entry]
      return read(hex(entry)).map(
        ({ opcode, payload }) =>
          ({ 0: "continuation", 1: "text", 2: "binary", 9: "ping", 10: "pong" })[opcode] ??
          `close ${payload[0]! * 256 + payload[1]!}`
      )
    })
  }
}

/** Time for what is sent in this turn of the event loop to leave. */
export const turn = Effect.promise(() => Promise.resolve()).pipe(Effect.andThen(Effect.yieldNow))

/** Opens a connection, without heartbeats, which lives as long as the scope. */
export const open = (role: Role, limits: Partial<Limits> = {}, maskingKey: () => number = () => 0) =>
  Effect.gen(function* () {
    const settings = WebSocket.settings(role, { pingInterval: Infinity, ...limits }, maskingKey)
    const wheel = yield* WebSocket.makeWheel({ ...settings, pingInterval: settings.closeTimeout })
    const far = new Far(role)
    const { transport } = far
    const socket = yield* WebSocket.make({ transport, settings, wheel, subprotocol: undefined, handshake: undefined })
    // The far end goes before the scope closes the connection, which would wait for the answer to its Close.
    yield* Effect.addFinalizer(() => Effect.sync(() => far.finish(undefined)))
    return { far, socket }
  })

/** Starts an effect and lets it run as far as it can. */
export const start = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.tap(Effect.forkScoped(effect, { startImmediately: true }), () => turn)
