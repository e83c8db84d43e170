/**
 * `/cable`: the hub's topics for clients of Action Cable. Of itself it has `TopicChannel`, whose parameter is a topic:
 * who may join and publish is asked as for every other wire.
 */
import type { Broker } from "@millrace/core/cluster/Broker"
import type * as Hub from "@millrace/core/cluster/Hub"
import type { Access } from "@millrace/core/cluster/HubAccess"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import type { Presence } from "@millrace/core/cluster/Presence"
import * as CableServer from "@millrace/core/interop/actioncable/CableServer"
import * as Channel from "@millrace/core/interop/actioncable/Channel"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Guest from "./Guest.ts"

export interface Options extends Pick<CableServer.Options, "maxSubscriptions" | "pingInterval" | "pongs"> {
  /** Whether clients of AnyCable's can go on with their sessions. Default true. */
  readonly resume?: CableServer.Options["resume"]
  /** Beside `TopicChannel`, or in its place. */
  readonly channels?: Channel.Channels<Guest.Request> | undefined
}

/**
 * A topic of the hub. `publish` with `{ data }` publishes to it, and is refused without a word, as actions are. Whispers
 * are for hubs where everybody may publish: nobody is asked about one.
 */
export const topicChannel =
  (hub: Hub.Hub["Service"], { join, publish }: Access<Guest.Request> = {}): Channel.Channel<Guest.Request> =>
  ({ client, params: { topic } }) =>
    Effect.gen(function* () {
      if (typeof topic !== "string" || !HubMessage.isTopic(topic)) return yield* Channel.reject
      if (join !== undefined) yield* Effect.mapError(join(client, topic), () => new Channel.Rejected())
      return {
        topics: [topic],
        whispers: publish === undefined ? topic : undefined,
        // Who is known is nobody else.
        presence: { topic, id: client.user },
        perform: (action, said) =>
          Effect.gen(function* () {
            if (action !== "publish" || !Object.hasOwn(said, "data")) return
            if (publish !== undefined) yield* publish(client, topic)
            const time = yield* Clock.currentTimeMillis
            const dataJson = HubMessage.toJson(said["data"])
            yield* hub.publish(topic, HubMessage.encodeMessage({ topic, dataJson, from: client.name, time }))
          })
      }
    })

export const make = (
  hub: Hub.Hub["Service"],
  broker: Broker["Service"],
  access: Access<Guest.Request> | undefined,
  presence: Presence["Service"],
  { channels, ...options }: Options
) =>
  CableServer.make<Guest.Request>({
    maxSubscriptions: HubMessage.maxTopics,
    maxDepth: HubMessage.maxDepth,
    resume: true,
    ...options,
    broker,
    presence,
    channels: { TopicChannel: topicChannel(hub, access), ...channels }
  })
