/** Histories of a connection, as the state machine sees them: steps of the peer, of the application, of the network. */
import * as Result from "effect/Result"
import * as fc from "fast-check"
import * as CloseCode from "@millrace/core/codec/CloseCode"
import * as Frame from "@millrace/core/codec/Frame"
import { ProtocolViolation } from "@millrace/core/codec/ProtocolViolation"
import * as Protocol from "@millrace/core/protocol/WebSocketProtocol"
import * as frames from "./frames.ts"
import { cut, utf8 } from "./wire.ts"

export type Step = (config: Protocol.Config, state: Protocol.State) => Protocol.Transition

const orStay = (state: Protocol.State, result: Result.Result<Protocol.Transition, unknown>): Protocol.Transition =>
  Result.getOrElse(result, (): Protocol.Transition => [state, []])

const opcode = fc.constantFrom(...Object.values(Frame.Opcode))

/** Close bodies, right and wrong. */
const status = fc.oneof(
  fc.constantFrom(new Uint8Array(0), Uint8Array.of(3), Uint8Array.of(3, 0xee), Uint8Array.of(3, 0xe8, 0xff)),
  fc.constantFrom(1000, 1001, 1011, 4000).map((code) => CloseCode.encode({ code, reason: "é" }))
)

/** Bits of text: whole characters, halves of some, and what is none. */
export const text = fc.oneof(
  { weight: 4, arbitrary: fc.string({ maxLength: 4 }).map(utf8) },
  { weight: 2, arbitrary: fc.constantFrom("é", "€", "😀").map(utf8) },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constantFrom("é", "€", "😀").map(utf8), fc.nat({ max: 3 })).map(([b, n]) => b.slice(0, n))
  },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 6 }) }
)

/** Parts that a decoder could never give, too: `receive` may not rely on whoever calls it. */
const anyPart: fc.Arbitrary<Frame.FramePart> = fc.record({
  fin: fc.boolean(),
  rsv: fc.nat({ max: 7 }),
  opcode,
  payload: fc.oneof(text, status),
  offset: fc.nat({ max: 3 }),
  remaining: fc.nat({ max: 3 })
})

/** What an application and a network can do. */
const ours: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .array(
        fc.record({
          kind: fc.constantFrom("text" as const, "binary" as const),
          payload: text,
          first: fc.boolean(),
          fin: fc.boolean(),
          rsv: fc.nat({ max: 7 })
        }),
        { maxLength: 3 }
      )
      .map(
        (fragments): Step =>
          (_, state) =>
            orStay(state, Protocol.send(state, fragments))
      )
  },
  {
    weight: 2,
    arbitrary: text.map(
      (payload): Step =>
        (_, state) =>
          orStay(state, Protocol.ping(state, payload))
    )
  },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.constantFrom(1000, 1005, 1006, 4000), fc.string({ unit: "grapheme", maxLength: 130 })).map(
      ([code, reason]): Step =>
        (_, state) =>
          orStay(state, Protocol.close(state, { code, reason }))
    )
  },
  {
    weight: 1,
    arbitrary: fc.constant<Step>((config, state) =>
      Protocol.fail(config, state, new ProtocolViolation({ closeCode: 1002, clause: "RFC 6455 5.2", detail: "test" }))
    )
  },
  { weight: 1, arbitrary: fc.constant<Step>((_, state) => [Protocol.transportEnded(state), []]) }
)

export const anyHistory = fc.array(
  fc.oneof(
    ours,
    fc.array(anyPart, { maxLength: 3 }).map(
      (parts): Step =>
        (config, state) =>
          Protocol.receive(config, state, parts)
    )
  ),
  { maxLength: 25 }
)

/** What a peer sends, mostly along the rules, as its frames and where they are cut. */
export const stream = fc.tuple(
  fc.array(
    fc.oneof(
      {
        weight: 8,
        arbitrary: fc.record({
          fin: fc.boolean(),
          rsv: fc.constant(0),
          opcode: fc.constantFrom(0, 1, 2),
          payload: text
        })
      },
      {
        weight: 2,
        arbitrary: fc.record({
          fin: fc.constant(true),
          rsv: fc.constant(0),
          opcode: fc.constantFrom(9, 10),
          payload: text
        })
      },
      {
        weight: 1,
        arbitrary: fc.record({ fin: fc.constant(true), rsv: fc.constant(0), opcode: fc.constant(8), payload: status })
      }
    ) as fc.Arbitrary<Frame.Frame>,
    { maxLength: 15 }
  ),
  fc.array(fc.nat(), { maxLength: 15 })
)

/** The same, as the steps that come of it, with steps of ours in between. */
export const peerHistory = fc
  .tuple(stream, fc.array(fc.tuple(fc.nat(), ours), { maxLength: 3 }))
  .map(([[sent, at], others]) => {
    const decoder = Frame.makeDecoder({ masked: false, rsv: 0, maxPayloadLength: 1 << 20 })
    const steps = cut(frames.concat(sent.map((frame) => frames.encode(frame))), at).map((chunk): Step => {
      const { parts } = decoder.push(chunk.slice())
      return (config, state) => Protocol.receive(config, state, parts)
    })
    for (const [where, step] of others) steps.splice(where % (steps.length + 1), 0, step)
    return steps
  })

export const history = fc.oneof(anyHistory, peerHistory)
