/** Our decoder with the rules of the protocol behind it, as a server's connection has them; messages are validated bytes. */
import { Chunks } from "@millrace/core/codec/Chunks"
import * as Frame from "@millrace/core/codec/Frame"
import * as Protocol from "@millrace/core/protocol/WebSocketProtocol"
import type { Open } from "./Codec.ts"

const config: Protocol.Config = { role: "server", maxMessageBytes: 1_048_576, maxFragments: 16_384 }

export const open: Open = (message) => {
  const decoder = Frame.makeDecoder({ masked: true, rsv: 0, maxPayloadLength: config.maxMessageBytes })
  let state = Protocol.initial
  let assembling: Chunks | undefined

  const deliver = ({ fin, payload }: Protocol.Fragment) => {
    if (fin && assembling === undefined) return message(payload.length)
    assembling ??= new Chunks()
    assembling.push(payload)
    if (!fin) return
    const whole = assembling.join()
    assembling = undefined
    message(whole.length)
  }

  return {
    feed: (chunk) => {
      const { parts, violation } = decoder.push(chunk)
      if (violation !== undefined) throw violation
      const [next, actions] = Protocol.receive(config, state, parts)
      state = next
      for (const action of actions) if (action._tag === "Deliver") deliver(action.fragment)
    }
  }
}
