/** The state machine in any history: what the peer sends, what the application does, and when the network goes. */
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as CloseCode from "@millrace/core/codec/CloseCode"
import * as Frame from "@millrace/core/codec/Frame"
import * as Protocol from "@millrace/core/protocol/WebSocketProtocol"
import * as frames from "../../support/frames.ts"
import { history, peerHistory, type Step, stream, text } from "../../support/histories.ts"
import { cut, utf8 } from "../../support/wire.ts"

const limits = { maxMessageBytes: 12, maxCodedBytes: 14, maxFragments: 3 }

const config = fc.constantFrom<Protocol.Config>({ role: "server", ...limits }, { role: "client", ...limits })

const run = (config: Protocol.Config, steps: ReadonlyArray<Step>) => {
  const states: Array<Protocol.State> = [Protocol.initial]
  const actions: Array<Protocol.Action> = []
  for (const step of steps) {
    const [next, does] = step(config, states.at(-1)!)
    states.push(next)
    actions.push(...does)
  }
  return { states, actions }
}

/** Holds for every history, in either role. */
const always = (
  steps: fc.Arbitrary<ReadonlyArray<Step>>,
  check: (lived: ReturnType<typeof run>, config: Protocol.Config) => void,
  numRuns = 1000
) =>
  fc.assert(
    fc.property(config, steps, (config, steps) => check(run(config, steps), config)),
    { numRuns }
  )

const written = (actions: ReadonlyArray<Protocol.Action>) =>
  actions.flatMap((action) => (action._tag === "Write" ? [action.frame] : []))

const delivered = (actions: ReadonlyArray<Protocol.Action>) =>
  actions.flatMap((action) => (action._tag === "Deliver" ? [action.fragment] : []))

/** Fragments up to each final one; the last group may be unfinished. */
const messages = (actions: ReadonlyArray<Protocol.Action>) => {
  const groups: Array<Array<Protocol.Fragment>> = [[]]
  for (const fragment of delivered(actions)) {
    groups.at(-1)!.push(fragment)
    if (fragment.fin) groups.push([])
  }
  return groups.filter((group) => group.length > 0)
}

const rank = { Open: 0, Closing: 1, Closed: 2 }

describe("in any history", () => {
  it("never goes back: Open, then Closing, then Closed", () =>
    always(history, ({ states }) => {
      const ranks = states.map(({ _tag }) => rank[_tag])
      expect(ranks).toEqual(ranks.toSorted((a, b) => a - b))
    }))

  it("writes at most one Close, no data after it, and no more than 125 bytes of control", () =>
    always(history, ({ actions }) => {
      const opcodes = written(actions).map((frame) => frame.opcode)
      const at = opcodes.indexOf(Frame.Opcode.close)
      const after = at < 0 ? [] : opcodes.slice(at + 1)
      expect(after.filter((opcode) => opcode !== Frame.Opcode.pong)).toEqual([])
      for (const { opcode, payload, fin } of written(actions)) {
        if (Frame.isControl(opcode)) expect([fin, payload.length <= 125]).toEqual([true, true])
      }
    }))

  it("has said in a Close frame that it is closing, and what", () =>
    always(history, ({ states, actions }) => {
      const last = states.at(-1)!
      const close = written(actions).find((frame) => frame.opcode === Frame.Opcode.close)
      if (last._tag === "Open") expect(close).toBeUndefined()
      else if (last._tag === "Closed" && last.sent === undefined)
        expect([last.by, close]).toEqual(["network", undefined])
      else expect(CloseCode.decode(close!.payload)).toEqual(Result.succeed(last.sent))
    }))

  it("ends the transport at most once, as a server, and nothing but that and the peer closes it", () =>
    always(history, ({ states, actions }, { role }) => {
      const ends = actions.flatMap((action, i) => (action._tag === "EndTransport" ? [i] : []))
      const finished = states.some((state) => state._tag === "Closing" && state.discarding)
      expect(ends.length).toBe(role === "server" && finished ? 1 : 0)
      if (ends.length > 0) expect(ends[0]).toBe(actions.length - 1)
    }))

  it("does nothing any more once it discards or is closed", () =>
    fc.assert(
      fc.property(config, history, history, (config, before, after) => {
        const state = run(config, before).states.at(-1)!
        if (state._tag === "Open" || (state._tag === "Closing" && !state.discarding)) return
        const { states, actions } = run({ ...config }, [() => [state, []], ...after])
        expect(actions).toEqual([])
        for (const later of states.slice(1)) if (later._tag === state._tag) expect(later).toBe(state)
      })
    ))

  it("keeps who closed, what was sent and why, from Closing to Closed", () =>
    always(history, ({ states }) => {
      const closing = states.findLast((state) => state._tag === "Closing")
      const closed = states.find((state) => state._tag === "Closed")
      if (closed === undefined) return
      if (closing === undefined) expect(closed).toMatchObject({ by: "network", sent: undefined, violation: undefined })
      else {
        const { by, sent, received, violation } = closing
        expect(closed).toEqual({ _tag: "Closed", by, sent, received, violation })
      }
    }))

  it("keeps its first word: the Close that was sent never changes, nor does who began", () =>
    always(history, ({ states }) => {
      const words = states.flatMap((state) => (state._tag === "Closing" ? [[state.by, state.sent]] : []))
      for (const word of words) expect(word).toEqual(words[0])
    }))
})

describe("whatever a peer sends", () => {
  it("delivers messages of one kind, none over the limit of bytes or of frames", () =>
    always(
      peerHistory,
      ({ actions }) => {
        for (const message of messages(actions)) {
          expect(new Set(message.map(({ kind }) => kind)).size).toBe(1)
          const length = message.reduce((sum, { payload }) => sum + payload.length, 0)
          expect(length).toBeLessThanOrEqual(limits.maxMessageBytes)
        }
      },
      2000
    ))

  it("delivers text that is UTF-8 as a whole, and whose beginning can become it", () =>
    always(
      peerHistory,
      ({ actions }) => {
        for (const message of messages(actions)) {
          if (message[0]!.kind !== "text") continue
          const whole = message.at(-1)!.fin
          const bytes = frames.concat(message.map(({ payload }) => payload))
          expect(() => new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: !whole })).not.toThrow()
        }
      },
      2000
    ))

  it("gives the same messages and answers however the stream is cut", () => {
    fc.assert(
      fc.property(config, stream, (config, [sent, at]) => {
        const wire = frames.concat(sent.map((frame) => frames.encode(frame)))
        const answer = (chunks: ReadonlyArray<Uint8Array>) => {
          const decoder = Frame.makeDecoder({ masked: false, rsv: 0, maxPayloadLength: limits.maxMessageBytes })
          let state: Protocol.State = Protocol.initial
          const actions: Array<Protocol.Action> = []
          for (const chunk of chunks) {
            const { parts, violation } = decoder.push(chunk.slice())
            for (const transition of [
              (state: Protocol.State) => Protocol.receive(config, state, parts),
              (state: Protocol.State) => (violation ? Protocol.fail(config, state, violation) : ([state, []] as const))
            ]) {
              const [next, does] = transition(state)
              state = next
              actions.push(...does)
            }
          }
          const whole = messages(actions).filter((message) => message.at(-1)!.fin)
          return {
            messages: whole.map((message) => [message[0]!.kind, frames.concat(message.map(({ payload }) => payload))]),
            written: written(actions),
            closed: Protocol.transportEnded(state)
          }
        }
        expect(answer(cut(wire, at))).toEqual(answer([wire]))
        expect(answer(Array.from(wire, (byte) => Uint8Array.of(byte)))).toEqual(answer([wire]))
      }),
      { numRuns: 1000 }
    )
  })

  it("answers every Ping before the end, in order, with what it held", () =>
    fc.assert(
      fc.property(config, fc.array(text, { maxLength: 8 }), (config, pings) => {
        const parts = pings.map((payload) => ({ ...frames.frame(Frame.Opcode.ping, payload), offset: 0, remaining: 0 }))
        const [state, actions] = Protocol.receive(config, Protocol.initial, parts)
        expect(state).toBe(Protocol.initial)
        expect(written(actions)).toEqual(pings.map((payload) => frames.frame(Frame.Opcode.pong, payload)))
      })
    ))
})

describe("two ends", () => {
  const message = fc.record({
    kind: fc.constantFrom("text" as const, "binary" as const),
    text: fc.string({ unit: "grapheme", maxLength: 8 }),
    cuts: fc.array(fc.nat(), { maxLength: 3 }),
    ping: fc.boolean()
  })

  it("receive what the other sends, in whatever fragments, with Pings in between", () => {
    const roomy = { role: "client", maxMessageBytes: 1000, maxCodedBytes: 1000, maxFragments: 4 } as const
    fc.assert(
      fc.property(fc.array(message, { maxLength: 6 }), frames.positions, (sent, at) => {
        let state: Protocol.State = Protocol.initial
        const wire: Array<Uint8Array> = []
        const take = (result: Result.Result<Protocol.Transition, unknown>) => {
          const [next, actions] = Result.getOrThrow(result)
          state = next
          wire.push(...written(actions).map((frame) => Frame.encode(frame)))
        }
        for (const { kind, text, cuts, ping } of sent) {
          const pieces = cut(utf8(text), cuts)
          pieces.forEach((payload, i) => {
            take(Protocol.send(state, [{ kind, payload, first: i === 0, fin: i === pieces.length - 1, rsv: 0 }]))
            if (ping) take(Protocol.ping(state, payload))
          })
        }
        const decoder = Frame.makeDecoder({ masked: false, rsv: 0, maxPayloadLength: 1000 })
        const steps = cut(frames.concat(wire), at).map((chunk): Step => {
          const { parts } = decoder.push(chunk.slice())
          return (config, state) => Protocol.receive(config, state, parts)
        })
        const { states, actions } = run(roomy, steps)
        expect(states.at(-1)!._tag).toBe("Open")
        expect(
          messages(actions).map((group) => [
            group[0]!.kind,
            new TextDecoder("utf-8", { ignoreBOM: true }).decode(frames.concat(group.map(({ payload }) => payload)))
          ])
        ).toEqual(sent.map(({ kind, text }) => [kind, text]))
      })
    )
  })
})
