/**
 * An endpoint of RFC 6455 without a socket, to be talked to in bytes: the frame decoder, the protocol and the encoder
 * in a row, as a connection puts them. A test writes what the peer sends and reads what the endpoint wrote, in hex.
 */
import * as Result from "effect/Result"
import { expect } from "vitest"
import * as Frame from "@millrace/core/codec/Frame"
import * as Protocol from "@millrace/core/protocol/WebSocketProtocol"
import { hex, utf8 } from "../../support/wire.ts"

export type Role = Protocol.Role

/** Both roles, as cases for `clause.each`. */
export const roles = [["client"], ["server"]] as const satisfies ReadonlyArray<readonly [Role]>

export const toHex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ")

/** What a frame on the wire says, read by hand: no more than what tests look at. */
export interface Seen {
  readonly fin: boolean
  readonly rsv: number
  readonly opcode: number
  /** The four bytes in hex, or `undefined` when the frame is not masked. */
  readonly key: string | undefined
  /** Unmasked. */
  readonly payload: Uint8Array
}

/** Reads frames as section 5.2 draws them; fails the test when bytes are left over. */
export const read = (wire: Uint8Array): ReadonlyArray<Seen> => {
  const seen: Array<Seen> = []
  let at = 0
  const number = (size: number) => {
    let value = 0
    for (const end = at + size; at < end; at++) value = value * 256 + wire[at]!
    return value
  }
  while (at < wire.length) {
    const first = number(1)
    const second = number(1)
    const short = second % 128
    const length = short === 127 ? number(8) : short === 126 ? number(2) : short
    const key = second >= 128 ? wire.subarray(at, (at += 4)) : undefined
    const payload = wire.slice(at, (at += length)).map((byte, i) => byte ^ (key?.[i % 4] ?? 0))
    seen.push({
      fin: first >= 128,
      rsv: (first >> 4) % 8,
      opcode: first % 16,
      key: key === undefined ? undefined : toHex(key),
      payload
    })
  }
  expect(at).toBe(wire.length)
  return seen
}

/**
 * The frames in `wire`, written unmasked, as that endpoint must receive them: for a server each gets the mask bit and
 * a key of zeros, under which the payload stays as it is written.
 */
export const toward = (role: Role, wire: string): Uint8Array => {
  if (role === "client") return hex(wire)
  const bytes = [...hex(wire)]
  const out: Array<number> = []
  while (bytes.length > 0) {
    const [first = 0, second = 0] = bytes.splice(0, 2)
    const extended = bytes.splice(0, second === 127 ? 8 : second === 126 ? 2 : 0)
    const length = second < 126 ? second : extended.reduce((sum, byte) => sum * 256 + byte, 0)
    out.push(first, second | 0x80, ...extended, 0, 0, 0, 0, ...bytes.splice(0, length))
  }
  return Uint8Array.from(out)
}

export interface Settings {
  readonly maxMessageBytes?: number
  readonly maxFragments?: number
  /** A client's masking keys, one a frame, in turn. */
  readonly maskingKeys?: ReadonlyArray<number>
}

export class Endpoint {
  readonly role: Role
  /** Every frame it wrote, in hex. */
  readonly written: Array<string> = []
  /** Every message it gave to the application: a string for text, hex after "0x" for bytes. */
  readonly messages: Array<string> = []
  /** Whether it asked for the TCP connection to be closed. */
  ended = false
  state: Protocol.State = Protocol.initial
  private readonly config: Protocol.Config
  private readonly decoder: Frame.Decoder
  private readonly keys: ReadonlyArray<number>
  private partial: Array<number> = []

  constructor(role: Role, { maxMessageBytes = 1 << 20, maxFragments = 1000, maskingKeys = [0] }: Settings = {}) {
    this.role = role
    this.config = { role, maxMessageBytes, maxCodedBytes: maxMessageBytes, maxFragments }
    this.decoder = Frame.makeDecoder({ masked: role === "server", rsv: 0, maxPayloadLength: maxMessageBytes })
    this.keys = maskingKeys
  }

  /** Takes bytes as they stand, or frames written unmasked, which are turned into what this role receives. */
  receive(wire: Uint8Array | string): void {
    const { parts, violation } = this.decoder.push(typeof wire === "string" ? toward(this.role, wire) : wire.slice())
    this.commit(Protocol.receive(this.config, this.state, parts))
    if (violation !== undefined) this.commit(Protocol.fail(this.config, this.state, violation))
  }

  sendText(text: string, fin = true) {
    return this.send("text", utf8(text), fin)
  }

  sendBinary(bytes: Uint8Array, fin = true) {
    return this.send("binary", bytes, fin)
  }

  private send(kind: Protocol.Kind, payload: Uint8Array, fin: boolean) {
    const first = this.state._tag !== "Open" || this.state.sending !== kind
    return this.attempt(Protocol.send(this.state, [{ kind, payload, first, fin, rsv: 0 }]))
  }

  ping(payload: Uint8Array) {
    return this.attempt(Protocol.ping(this.state, payload))
  }

  close(code: number, reason = "") {
    return this.attempt(Protocol.close(this.state, { code, reason }))
  }

  /** The status codes of the Close frames it wrote. */
  get closeCodes(): ReadonlyArray<number> {
    return this.seen.filter(({ opcode }) => opcode === 8).map(({ payload }) => payload[0]! * 256 + payload[1]!)
  }

  get seen(): ReadonlyArray<Seen> {
    return this.written.flatMap((frame) => read(hex(frame)))
  }

  /** Gives the tag of the caller's mistake, or "sent". */
  private attempt(result: Result.Result<Protocol.Transition, { readonly _tag: string }>): string {
    if (Result.isFailure(result)) return result.failure._tag
    this.commit(result.success)
    return "sent"
  }

  private commit([next, actions]: Protocol.Transition): void {
    this.state = next
    for (const action of actions) {
      switch (action._tag) {
        case "Write": {
          const key = this.keys[this.written.length % this.keys.length]
          this.written.push(toHex(Frame.encode(action.frame, this.role === "client" ? key : undefined)))
          break
        }
        case "Deliver": {
          const { kind, payload, fin } = action.fragment
          this.partial.push(...payload)
          if (!fin) break
          const bytes = Uint8Array.from(this.partial.splice(0))
          this.messages.push(
            kind === "text" ? new TextDecoder().decode(bytes) : `0x${toHex(bytes).replaceAll(" ", "")}`
          )
          break
        }
        case "EndTransport":
          this.ended = true
      }
    }
  }
}

/**
 * 7.1.7: the endpoint has failed the connection. It said so once, in a Close frame with that code; a server asks for
 * the TCP connection to be closed at once, a client when the server has had its time (7.1.1); and it takes nothing
 * more, be it ever so correct.
 */
export const expectFailed = (endpoint: Endpoint, code: number): void => {
  expect(endpoint.closeCodes).toEqual([code])
  expect(endpoint.state).toMatchObject({ _tag: "Closing", violation: { closeCode: code } })
  expect(endpoint.ended).toBe(endpoint.role === "server")
  const before = [[...endpoint.written], [...endpoint.messages]]
  endpoint.receive("81 02 68 69 89 00 88 02 03 e8")
  expect([endpoint.written, endpoint.messages]).toEqual(before)
  expect(endpoint.sendText("more")).toBe("NotOpen")
}
