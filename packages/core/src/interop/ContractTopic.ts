/**
 * The events of a contract as what is published to a topic of the hub, so that they reach its members over any wire:
 *
 *     const lobby = ContractTopic.make(Chat, "lobby")
 *     yield* Topic.publish(hub, lobby, ["said", { from: "ada", text: "hi" }])
 *     yield* ContractTopic.forward(hub, lobby, session)
 *
 * An event is published as the array of its name and its payload, as `Value` has it. That is an event of Socket.IO as it
 * is, what `ContractChannel` transmits, and `data` for clients of the hub. What others publish to the topic is theirs: only
 * who reads it by `Topic.subscribe` or `forward` has it checked.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { BrokerError } from "../cluster/BrokerError.ts"
import type { Hub } from "../cluster/Hub.ts"
import * as HubName from "../cluster/HubName.ts"
import type * as Subscription from "../cluster/Subscription.ts"
import * as Topic from "../cluster/Topic.ts"
import * as WireValue from "../codec/WireValue.ts"
import type { CodingError } from "../messaging/Coder.ts"
import type * as Contract from "../messaging/Contract.ts"
import { coderOf } from "../messaging/Conversation.ts"
import { MalformedMessage } from "../messaging/MessageCodec.ts"
import type { SessionError } from "../messaging/SessionError.ts"
import type { Message } from "../protocol/Message.ts"
import type { Peer } from "./ContractWire.ts"
import * as Value from "./Value.ts"

type Events<D extends Contract.Definition> = Contract.ServerSays<D>["messages"]
type Name<D extends Contract.Definition> = keyof Events<D> & string

/** An event that is to be published. */
export type Sent<D extends Contract.Definition> = {
  readonly [N in Name<D>]: readonly [name: N, payload: Contract.Sent<Events<D>[N]>]
}[Name<D>]

/** One that was. */
export type Received<D extends Contract.Definition> = {
  readonly [N in Name<D>]: readonly [name: N, payload: Contract.Received<Events<D>[N]>]
}[Name<D>]

export interface ContractTopic<in out D extends Contract.Definition> extends Topic.Topic<Sent<D>, Received<D>> {
  readonly contract: Contract.Contract<D>
}

/** A topic with the events of the contract. Throws a `TypeError` for what is no name of a topic. */
export const make = <D extends Contract.Definition>(contract: Contract.Contract<D>, name: string): ContractTopic<D> => {
  const { server } = contract.says
  if (!HubName.isTopic(name)) throw new TypeError(`${JSON.stringify(name)} is no name of a topic`)
  const decode = (said: Value.Said): Result.Result<Received<D>, CodingError | MalformedMessage> => {
    const [event, wire, ...more] = Array.isArray(said.value) ? (said.value as ReadonlyArray<unknown>) : []
    const coder = typeof event === "string" ? server.get(event) : undefined
    if (coder?._tag !== "Message" || more.length > 0) {
      return Result.fail(new MalformedMessage({ detail: "no event of the contract" }))
    }
    return Result.map(coder.payload.decode(wire), (payload) => [event, payload] as unknown as Received<D>)
  }
  return {
    name,
    contract,
    encode: ([event, payload], from, time) =>
      coderOf(server, "Message", event)
        .payload.encode(payload)
        .pipe(
          Result.flatMap((wire) => Value.toPublish([event, wire], { topic: name, from, time })),
          Result.mapError((cause) => new Topic.Unencodable({ topic: name, cause }))
        ),
    decode: (message: Message) => {
      const said = Value.ofMessage(message)
      const why = message._tag === "Text" ? WireValue.refusal(said.value, HubName.maxDepth) : undefined
      if (why !== undefined) return Result.fail(new MalformedMessage({ detail: why }))
      return Result.map(decode(said), (value) => ({ ...said, value }))
    }
  }
}

/**
 * Says to a client what is published to a topic, as long as there is something: for sessions, which are no members of the
 * hub. What is no event of the contract is left out, and logged for who debugs.
 */
export const forward = <D extends Contract.Definition>(
  hub: Hub["Service"],
  topic: ContractTopic<D>,
  peer: NoInfer<Pick<Peer<D, unknown>, "emit">>,
  options?: Subscription.Options
): Effect.Effect<void, BrokerError | SessionError | Subscription.Closed | Topic.Undecodable> => {
  const emit = peer.emit as (name: string, payload: unknown) => Effect.Effect<void, SessionError>
  return Stream.runForEach(Topic.subscribe(hub, topic, options), (element) => {
    if (element._tag === "Value") return emit(...(element.value as readonly [string, unknown]))
    return element._tag === "Undecodable" ? Effect.logDebug("no event of the contract", element.message) : Effect.void
  })
}
