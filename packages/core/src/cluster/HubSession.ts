/**
 * One client of the hub over a WebSocket: it says what it wants in the messages of `HubMessage`, and gets an answer to
 * each, in order. The session lasts as long as its connection, and leaves all its topics at the end.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import type { WebSocket } from "../connection/WebSocket.ts"
import type { WebSocketError } from "../connection/WebSocketError.ts"
import type * as Message from "../protocol/Message.ts"
import { Hub } from "./Hub.ts"
import * as HubMessage from "./HubMessage.ts"

/** Who the client is. */
export interface Options {
  /** What the client is called in the messages that it publishes: see `HubMessage.isClientName`. */
  readonly client: string
}

/**
 * Serves a client until its connection ends. Succeeds on an ordinary close and fails on any other end. What a client
 * does wrong is answered with an error message and does not end its connection.
 */
export const serve = (connection: WebSocket, { client }: Options): Effect.Effect<void, WebSocketError, Hub> =>
  Effect.gen(function* () {
    const hub = yield* Hub
    const clock = yield* Clock.Clock
    const joined = new Set<string>()
    const send = (message: HubMessage.ServerMessage) => connection.send(HubMessage.encode(message))

    const handle = (message: HubMessage.ClientMessage): Effect.Effect<void, WebSocketError> => {
      switch (message._tag) {
        case "Subscribe": {
          const { id, topic } = message
          if (!joined.has(topic) && joined.size >= HubMessage.maxTopics) {
            return send(HubMessage.refuse("too-many-topics", id))
          }
          // The answer goes out before the first message can: nothing comes between the two.
          return Effect.andThen(
            send({ type: "subscribed", topic, id }),
            Effect.sync(() => {
              joined.add(topic)
              hub.joinUnsafe(topic, connection)
            })
          )
        }
        case "Unsubscribe": {
          const { id, topic } = message
          joined.delete(topic)
          hub.leaveUnsafe(topic, connection)
          return send({ type: "unsubscribed", topic, id })
        }
        case "Publish": {
          const { dataJson, id, topic } = message
          const time = clock.currentTimeMillisUnsafe()
          const published = hub.publish(topic, HubMessage.encodeMessage({ topic, dataJson, from: client, time }))
          return Effect.matchEffect(published, {
            onFailure: (error) => send(HubMessage.refuse("unavailable", id, error.message)),
            onSuccess: ({ receivers }) =>
              id === undefined ? Effect.void : send({ type: "published", topic, id, receivers })
          })
        }
        case "Ping":
          return send({ type: "pong", id: message.id })
      }
    }

    const receive = (message: Message.Message) => {
      if (message._tag === "Binary") return send(HubMessage.refuse("binary"))
      const decoded = HubMessage.decode(message.text)
      return Result.isFailure(decoded) ? send(decoded.failure) : handle(decoded.success)
    }

    yield* send({ type: "welcome", client, protocol: HubMessage.protocol })
    yield* connection.pull.pipe(
      Effect.flatMap((messages) => Effect.forEach(messages, receive, { discard: true })),
      Effect.forever({ disableYield: true }),
      Pull.catchDone(() => Effect.void),
      Effect.ensuring(
        Effect.sync(() => {
          for (const topic of joined) hub.leaveUnsafe(topic, connection)
        })
      )
    )
  })
