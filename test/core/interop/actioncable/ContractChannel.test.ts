import { assert, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Hub from "@millrace/core/cluster/Hub"
import * as CableServer from "@millrace/core/interop/actioncable/CableServer"
import * as ContractChannel from "@millrace/core/interop/actioncable/ContractChannel"
import * as Contract from "@millrace/core/messaging/Contract"
import { confirmed, connector, I } from "../../../support/cable.ts"
import { start, turn } from "../../../support/connection.ts"

const Chat = Contract.make("chat", {
  events: { said: Schema.Unknown },
  commands: { say: Schema.String },
  requests: { upper: { payload: Schema.String, success: Schema.String }, wait: {} }
})

const chat = I("Chat")
const message = (message: unknown) => ({ identifier: chat, message })

/** A client in the channel, with handlers that a test may look at. */
const client = (options: ContractChannel.Options<(typeof Chat)["definition"], unknown, undefined, never> = {}) =>
  Effect.gen(function* () {
    const hub = yield* Hub.make()
    const open = yield* Deferred.make<void>()
    const said: Array<string> = []
    const peers: Array<ContractChannel.Peer<(typeof Chat)["definition"]>> = []
    const Channel = ContractChannel.make(Chat, options, (peer) => {
      peers.push(peer)
      return Effect.as(Effect.orDie(peer.emit("said", "welcome")), {
        say: (text: string) => Effect.sync(() => void said.push(text)),
        upper: (text: string) => Effect.succeed(text.toUpperCase()),
        wait: () => Deferred.await(open)
      })
    })
    const cable = yield* CableServer.make({ channels: { Chat: Channel } })
    const one = yield* connector(hub, cable)("ada")
    yield* one.subscribe(chat)
    yield* turn
    const heard = one.heard().slice(1)
    assert.deepStrictEqual(heard, [confirmed(chat), message(["said", "welcome"])])
    return { ...one, open, peer: peers[0]!, said }
  })

it.effect("An answer has the id of what was asked, a number or a text", () =>
  Effect.gen(function* () {
    const { heard, perform } = yield* client()
    for (const id of [0, -1, "a", "x".repeat(64)]) {
      yield* perform(chat, { action: "upper", id, payload: "a" })
      assert.deepStrictEqual(heard(), [message({ id, ok: "A" })])
    }
  })
)
