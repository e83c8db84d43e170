/**
 * Whom something is said to that is said to many.
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Hub from "../../cluster/Hub.ts"
import type { Published, PublishError } from "../../cluster/Published.ts"
import * as Target from "../../cluster/Target.ts"
import type * as Packet from "./Packet.ts"
import type { AskOptions, Unanswered } from "./Socket.ts"
import * as SocketWire from "./SocketWire.ts"

/** What came of asking many. */
export interface Answers {
  /** In the order in which they came. */
  readonly answers: ReadonlyArray<{ readonly id: string; readonly args: ReadonlyArray<unknown> }>
  /** The sockets that have not answered. */
  readonly silent: ReadonlyArray<string>
}

export interface Audience {
  /**
   * Publishes the event. To one room, or to all of a namespace, it has its place in the log of the hub; to anything else
   * it goes to who is there now, at most once.
   */
  readonly emit: (
    name: string,
    ...args: ReadonlyArray<unknown>
  ) => Effect.Effect<Published, Packet.UnsendablePacket | PublishError>
  /** Asks all that are connected to this node, and waits for the last of them, or as long as it may take. */
  readonly ask: (
    name: string,
    args: ReadonlyArray<unknown>,
    options?: AskOptions
  ) => Effect.Effect<Answers, Packet.UnsendablePacket>
  /** The same without these rooms, or targets. */
  readonly except: (...rooms: ReadonlyArray<Target.Target | string>) => Audience
}

/** As much of a socket as is asked. */
export interface Asked {
  readonly id: string
  readonly user: string | undefined
  readonly isConnected: boolean
  readonly isIn: (topic: string) => boolean
  readonly ask: (
    name: string,
    args: ReadonlyArray<unknown>,
    options?: AskOptions
  ) => Effect.Effect<ReadonlyArray<unknown>, Packet.UnsendablePacket | Unanswered>
}

/** A namespace, for those who speak to it. */
export interface Place {
  readonly hub: Hub.Hub["Service"]
  readonly clock: Clock.Clock
  readonly packets: Packet.Options
  readonly topicOf: (room: string) => string
  /** The topic of all. */
  readonly all: string
  readonly sockets: () => Iterable<Asked>
}

const targetOf = ({ topicOf }: Place, room: Target.Target | string): Target.Target =>
  typeof room === "string" ? Target.topic(topicOf(room)) : room

const unionOf = (place: Place, rooms: ReadonlyArray<Target.Target | string>): Target.Target =>
  rooms.length === 1 ? targetOf(place, rooms[0]!) : Target.union(...rooms.map((room) => targetOf(place, room)))

/** Those in these rooms, or all for none; `from` is the member that says it and is left out. */
export const make = (
  place: Place,
  rooms: ReadonlyArray<Target.Target | string>,
  from?: { readonly id: string; readonly name: string }
): Audience => of(place, rooms.length === 0 ? Target.topic(place.all) : unionOf(place, rooms), from)

const of = (
  place: Place,
  to: Target.Target,
  from: { readonly id: string; readonly name: string } | undefined
): Audience => {
  const { clock, hub, packets } = place
  const topic = to._tag === "Topic" ? to.topic : undefined
  return {
    emit: (name, ...args) =>
      Effect.suspend((): Effect.Effect<Published, Packet.UnsendablePacket | PublishError> => {
        const said = { topic: topic ?? place.all, from: from?.name ?? "server", time: clock.currentTimeMillisUnsafe() }
        const message = SocketWire.toPublish(name, args, said, packets)
        if (Result.isFailure(message)) return Effect.fail(message.failure)
        return hub.publish(topic ?? to, message.success, from === undefined ? {} : { except: [from.id] })
      }),
    ask: (name, args, options) =>
      Effect.suspend(() => {
        const asked = [...place.sockets()].filter(
          (socket) =>
            socket.isConnected && socket.id !== from?.id && Target.includes(to, socket, (topic) => socket.isIn(topic))
        )
        const answers: Array<Answers["answers"][number]> = []
        const silent: Array<string> = []
        const one = (socket: Asked) =>
          socket.ask(name, args, options).pipe(
            Effect.map((args) => void answers.push({ id: socket.id, args })),
            Effect.catchTag("Unanswered", () => Effect.sync(() => void silent.push(socket.id)))
          )
        return Effect.as(Effect.forEach(asked, one, { concurrency: "unbounded", discard: true }), { answers, silent })
      }),
    except: (...rooms) =>
      rooms.length === 0 ? of(place, to, from) : of(place, Target.except(to, unionOf(place, rooms)), from)
  }
}
