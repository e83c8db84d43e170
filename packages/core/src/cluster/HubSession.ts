/**
 * One client of the hub over a WebSocket: it says what it wants in the messages of `HubMessage`, and gets an answer to
 * each, in order. The session lasts as long as its connection, and leaves all its topics at the end.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import type { WebSocket } from "../connection/WebSocket.ts"
import type { WebSocketError } from "../connection/WebSocketError.ts"
import * as Identifier from "../messaging/Identifier.ts"
import type * as Message from "../protocol/Message.ts"
import { Hub } from "./Hub.ts"
import type { Access, Client } from "./HubAccess.ts"
import * as HubKey from "./HubKey.ts"
import { HubMember } from "./HubMember.ts"
import * as HubMessage from "./HubMessage.ts"
import * as HubPresence from "./HubPresence.ts"
import * as Position from "./Position.ts"

/** Who the client is, and what it may do. */
export interface Options<Request = unknown> {
  /** What the client is called in the messages that it publishes: see `HubMessage.isClientName`. */
  readonly client: string
  /** Whom it belongs to. Default: nobody knows. */
  readonly user?: string | undefined
  /** What it came with, for `authorize`. */
  readonly request?: Request
  /** Who may join and publish. Default: everybody. */
  readonly authorize?: Access<NoInfer<Request>> | undefined
  /** Who is in its topics, over all nodes. Default: nobody is told. */
  readonly presence?: HubPresence.HubPresence | undefined
  /** Where else the client may go, for `welcome`. Default: nothing is said of it. */
  readonly nodes?: (() => ReadonlyArray<string>) | undefined
  /** With what the client may look at its own frames elsewhere, for `welcome`. Default: nothing is said of it. */
  readonly frames?: string | undefined
}

const decode = (message: Message.Message): Result.Result<HubMessage.ClientMessage, HubMessage.Refusal> =>
  message._tag === "Binary" ? Result.fail(HubMessage.refuse("binary")) : HubMessage.decode(message.text)

/** How many publications of one client may be on their way to a broker at a time. */
const together = 64

/**
 * Serves a client until its connection ends. Succeeds on an ordinary close and fails on any other end. What a client
 * does wrong is answered with an error message and does not end its connection.
 */
export const serve = <Request = undefined>(
  connection: WebSocket,
  { authorize, client, frames, nodes, presence, request, user }: Options<Request>
): Effect.Effect<void, WebSocketError, Hub> =>
  Effect.gen(function* () {
    const hub = yield* Hub
    const context = yield* Effect.context<never>()
    const clock = Context.get(context, Clock.Clock)
    const member = new HubMember(connection, client, user, Context.get(context, Identifier.Source))
    const send = (message: HubMessage.ServerMessage) => connection.send(HubMessage.encode(message))

    const asking = (): Client<Request> => ({ id: member.id, name: client, user, request: request as Request })

    /** Does it when the client may, and refuses otherwise. */
    const allowed = (
      may: Access<Request>["join"],
      topic: string,
      id: HubMessage.Id | undefined,
      go: Effect.Effect<void, WebSocketError>
    ): Effect.Effect<void, WebSocketError> =>
      may === undefined
        ? go
        : Effect.matchEffect(
            Effect.suspend(() => may(asking(), topic)),
            {
              onFailure: ({ message }) => send(HubMessage.refuse("forbidden", id, message)),
              onSuccess: () => go
            }
          )

    /** It is there for the others, and is told who is. */
    const appear = (
      topic: string,
      { info }: NonNullable<HubMessage.Subscribe["presence"]>,
      id: HubMessage.Id | undefined
    ): Effect.Effect<void, WebSocketError> =>
      Effect.suspend(() => {
        if (presence === undefined) return send(HubMessage.refuse("no-presence", id))
        const entered = presence.enter(topic, member, info)
        if (Result.isFailure(entered)) return send(HubMessage.refuse("no-presence", id, entered.failure.message))
        return connection.send(HubPresence.printPresent(presence.presence, topic))
      })

    const subscribe = ({ id, position, topic }: HubMessage.Subscribe): Effect.Effect<void, WebSocketError> => {
      const admitted = (at: Position.Position | undefined) => {
        const from = position ?? at
        return send({ type: "subscribed", topic, position: from && Position.print(from), id })
      }
      return Effect.suspend(() => {
        member.topics.add(topic)
        return hub.enter([topic], member, { since: position, admitted })
      }).pipe(
        Effect.tap(() =>
          Effect.sync(() => {
            // It was taken out while it was getting what it had missed.
            if (!member.topics.has(topic)) hub.leaveUnsafe(topic, member)
          })
        ),
        Effect.tapCause(() =>
          Effect.sync(() => {
            // Who was interrupted may be in.
            hub.departUnsafe(topic, member)
            member.topics.delete(topic)
            presence?.leave(topic, member)
          })
        ),
        Effect.catchTag("BrokerError", (error) => send(HubMessage.refuseBroker(error, id)))
      )
    }

    /** Publishes, and comes back with what is to be answered, if anything. */
    const published = ({
      dataJson,
      echo,
      id,
      key,
      topic
    }: HubMessage.Publish): Effect.Effect<HubMessage.ServerMessage | undefined> => {
      const text = HubMessage.encodeMessage({ topic, dataJson, from: client, time: clock.currentTimeMillisUnsafe() })
      const options = { key: key && HubKey.ofClient(key, user), except: echo ? undefined : [member.id] }
      return Effect.match(hub.publish(topic, text, options), {
        onFailure: (error) => HubMessage.refuseBroker(error, id, error.receivers),
        onSuccess: ({ position, receivers, repeated }) =>
          id === undefined
            ? undefined
            : {
                type: "published",
                topic,
                id,
                receivers,
                position: position && Position.print(position),
                repeated: repeated || undefined
              }
      })
    }

    const answer = (message: HubMessage.ServerMessage | undefined) =>
      message === undefined ? Effect.void : send(message)

    const handle = (message: HubMessage.ClientMessage): Effect.Effect<void, WebSocketError> => {
      switch (message._tag) {
        case "Subscribe": {
          const { id, topic } = message
          const asked = message.presence
          const present = Effect.suspend(() =>
            asked === undefined || !member.topics.has(topic) ? Effect.void : appear(topic, asked, id)
          )
          if (member.topics.has(topic)) return Effect.andThen(send({ type: "subscribed", topic, id }), present)
          if (member.topics.size >= HubMessage.maxTopics) return send(HubMessage.refuse("too-many-topics", id))
          return allowed(authorize?.join, topic, id, Effect.andThen(subscribe(message), present))
        }
        case "Unsubscribe": {
          const { id, topic } = message
          member.topics.delete(topic)
          presence?.leave(topic, member)
          hub.leaveUnsafe(topic, member)
          return send({ type: "unsubscribed", topic, id })
        }
        case "Publish":
          return allowed(authorize?.publish, message.topic, message.id, Effect.flatMap(published(message), answer))
        case "Presence": {
          const { id, topic } = message
          const told = Effect.suspend(() =>
            presence === undefined
              ? send(HubMessage.refuse("no-presence", id))
              : connection.send(HubPresence.printPresent(presence.presence, topic, id))
          )
          return allowed(authorize?.join, topic, id, told)
        }
        case "Ping":
          return send({ type: "pong", id: message.id })
      }
    }

    const receive = (message: Message.Message) => {
      const decoded = decode(message)
      return Result.isFailure(decoded) ? send(decoded.failure) : handle(decoded.success)
    }

    /**
     * Publications that came one behind the other are on their way to a broker elsewhere at the same time: it takes them in
     * their order, and they are answered in it. Everything else is done one by one.
     */
    const receiveTogether = (messages: ReadonlyArray<Message.Message>): Effect.Effect<void, WebSocketError> =>
      Effect.gen(function* () {
        for (let at = 0; at < messages.length;) {
          const run: Array<Effect.Effect<HubMessage.ServerMessage | undefined>> = []
          let other: HubMessage.ClientMessage | HubMessage.Refusal | undefined
          while (at < messages.length && run.length < together && other === undefined) {
            const decoded = decode(messages[at++]!)
            if (Result.isFailure(decoded)) other = decoded.failure
            else if (decoded.success._tag === "Publish") run.push(published(decoded.success))
            else other = decoded.success
          }
          for (const message of yield* Effect.all(run, { concurrency: "unbounded" })) yield* answer(message)
          if (other !== undefined) yield* "_tag" in other ? handle(other) : send(other)
        }
      })

    const isTogether = !hub.broker.isLocal && authorize?.publish === undefined
    const receiveAll = (messages: ReadonlyArray<Message.Message>) =>
      isTogether && messages.length > 1
        ? receiveTogether(messages)
        : Effect.forEach(messages, receive, { discard: true })

    yield* send({
      type: "welcome",
      client,
      protocol: HubMessage.protocol,
      node: hub.broker.node,
      nodes: nodes?.(),
      frames
    })
    yield* connection.pull.pipe(
      Effect.flatMap(receiveAll),
      Effect.forever({ disableYield: true }),
      Pull.catchDone(() => Effect.void),
      Effect.ensuring(
        Effect.sync(() => {
          for (const topic of member.topics) {
            hub.departUnsafe(topic, member)
            presence?.leave(topic, member)
          }
          member.leave()
        })
      )
    )
  })
