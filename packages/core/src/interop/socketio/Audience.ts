/**
 * Whom something is said to that is said to many.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { BrokerError } from "../../cluster/BrokerError.ts"
import type * as Hub from "../../cluster/Hub.ts"
import * as HubMessage from "../../cluster/HubMessage.ts"
import type { Node } from "../../cluster/NodeMessage.ts"
import type { Published, PublishError } from "../../cluster/Published.ts"
import * as Target from "../../cluster/Target.ts"
import type * as Packet from "./Packet.ts"
import { type AskOptions, defaultAskTimeout, type Unanswered } from "./Socket.ts"
import * as SocketWire from "./SocketWire.ts"

/** What came of asking many. */
export interface Answers extends Heard {
  /** In the order in which they came, those of each node. */
  readonly answers: ReadonlyArray<{ readonly id: string; readonly args: ReadonlyArray<unknown> }>
  /** The sockets that have not answered, or more than may go from node to node: some 200,000 bytes. */
  readonly silent: ReadonlyArray<string>
}

/** How far all nodes were heard. */
export interface Heard {
  /** The nodes that have not told of their sockets. What they were asked to do they may have done. */
  readonly unheard: ReadonlyArray<Node>
}

/** A socket, as other nodes tell of it. */
export interface Known {
  readonly id: string
  readonly user: string | undefined
  readonly rooms: ReadonlyArray<string>
  /** False while the client may come back. */
  readonly isConnected: boolean
}

export interface Fetched extends Heard {
  readonly sockets: ReadonlyArray<Known>
}

/** How many it was done to. */
export interface Done extends Heard {
  readonly count: number
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
  /**
   * Asks all that are connected, and waits for the last of them, or as long as it may take: of other nodes, at most 58 s.
   */
  readonly ask: (
    name: string,
    args: ReadonlyArray<unknown>,
    options?: AskOptions
  ) => Effect.Effect<Answers, Packet.UnsendablePacket>
  /** The sockets, those counted that wait for their clients. */
  readonly fetch: Effect.Effect<Fetched>
  /** Has them join these rooms. Dies of a `TypeError` for a room whose topic has no proper name. */
  readonly join: (...rooms: ReadonlyArray<string>) => Effect.Effect<Done>
  readonly leave: (...rooms: ReadonlyArray<string>) => Effect.Effect<Done>
  /** Puts them out of the namespace. */
  readonly disconnect: Effect.Effect<Done>
  /** The same without these rooms, or targets. */
  readonly except: (...rooms: ReadonlyArray<Target.Target | string>) => Audience
}

/** As much of a socket as is asked. */
export interface Asked {
  readonly id: string
  readonly user: string | undefined
  readonly isConnected: boolean
  readonly rooms: ReadonlyArray<string>
  readonly isIn: (topic: string) => boolean
  readonly join: (room: string) => Effect.Effect<void, BrokerError>
  readonly leave: (room: string) => Effect.Effect<void>
  readonly disconnect: Effect.Effect<void>
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
  /** Those of other nodes, where there are any. */
  readonly others?: Others | undefined
}

/** What can be done about sockets of one node, or of several. */
export type Order =
  | { readonly _tag: "Join"; readonly rooms: ReadonlyArray<string> }
  | { readonly _tag: "Leave"; readonly rooms: ReadonlyArray<string> }
  | { readonly _tag: "Disconnect" }

/** Whom it is about: all in the target but one. */
export interface Selection {
  readonly to: Target.Target
  readonly but: string | undefined
}

/** A question to many. The timeout is in milliseconds. */
export interface Question {
  readonly name: string
  readonly args: ReadonlyArray<unknown>
  readonly timeout: number
}

/** The sockets of other nodes in one namespace. */
export interface Others {
  readonly ask: (selection: Selection, question: Question) => Effect.Effect<Answers, Packet.UnsendablePacket>
  readonly fetch: (selection: Selection) => Effect.Effect<Fetched>
  readonly order: (selection: Selection, order: Order) => Effect.Effect<Done>
}

const select = (place: Pick<Place, "sockets">, { but, to }: Selection): ReadonlyArray<Asked> =>
  [...place.sockets()].filter(
    (socket) => socket.id !== but && Target.includes(to, socket, (topic) => socket.isIn(topic))
  )

/** Asks those of this node. */
export const askHere = (
  place: Pick<Place, "sockets">,
  selection: Selection,
  { args, name, timeout }: Question
): Effect.Effect<Answers, Packet.UnsendablePacket> =>
  Effect.suspend(() => {
    const asked = select(place, selection).filter(({ isConnected }) => isConnected)
    const answers: Array<Answers["answers"][number]> = []
    const silent: Array<string> = []
    const one = (socket: Asked) =>
      socket.ask(name, args, { timeout }).pipe(
        Effect.map((args) => void answers.push({ id: socket.id, args })),
        Effect.catchTag("Unanswered", () => Effect.sync(() => void silent.push(socket.id)))
      )
    return Effect.as(Effect.forEach(asked, one, { concurrency: "unbounded", discard: true }), {
      answers,
      silent,
      unheard: []
    })
  })

/** Tells of those of this node. */
export const fetchHere = (place: Pick<Place, "sockets">, selection: Selection): ReadonlyArray<Known> =>
  select(place, selection).map(({ id, isConnected, rooms, user }) => ({ id, isConnected, rooms, user }))

/** Does it to those of this node. */
export const orderHere = (place: Pick<Place, "sockets">, selection: Selection, order: Order): Effect.Effect<number> => {
  const one = (socket: Asked): Effect.Effect<void, BrokerError> => {
    if (order._tag === "Disconnect") return socket.disconnect
    const act = order._tag === "Join" ? socket.join.bind(socket) : socket.leave.bind(socket)
    return Effect.forEach(order.rooms, (room): Effect.Effect<void, BrokerError> => act(room), { discard: true })
  }
  return Effect.suspend(() => {
    let count = 0
    const each = (socket: Asked) => Effect.match(one(socket), { onFailure: () => {}, onSuccess: () => void count++ })
    return Effect.map(Effect.forEach(select(place, selection), each, { discard: true }), () => count)
  })
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
  const { clock, hub, others, packets } = place
  const topic = to._tag === "Topic" ? to.topic : undefined
  const selection: Selection = { to, but: from?.id }
  const order = (order: Order): Effect.Effect<Done> =>
    Effect.suspend(() => {
      if (order._tag === "Join") {
        for (const room of order.rooms) {
          if (room === "" || !HubMessage.isTopic(place.topicOf(room))) throw new TypeError("a room with no proper name")
        }
      }
      const here = orderHere(place, selection, order)
      if (others === undefined) return Effect.map(here, (count) => ({ count, unheard: [] }))
      return Effect.zipWith(
        here,
        others.order(selection, order),
        (count, theirs) => ({ count: count + theirs.count, unheard: theirs.unheard }),
        { concurrent: true }
      )
    })
  return {
    emit: (name, ...args) =>
      Effect.suspend((): Effect.Effect<Published, Packet.UnsendablePacket | PublishError> => {
        const said = { topic: topic ?? place.all, from: from?.name ?? "server", time: clock.currentTimeMillisUnsafe() }
        const message = SocketWire.toPublish(name, args, said, packets)
        if (Result.isFailure(message)) return Effect.fail(message.failure)
        return hub.publish(topic ?? to, message.success, from === undefined ? {} : { except: [from.id] })
      }),
    ask: (name, args, { timeout = defaultAskTimeout } = {}) =>
      Effect.suspend(() => {
        const question = { name, args, timeout: Duration.toMillis(timeout) }
        const here = askHere(place, selection, question)
        if (others === undefined) return here
        return Effect.map(
          Effect.all([here, others.ask(selection, question)], { concurrency: "unbounded" }),
          ([ours, theirs]) => ({
            answers: [...ours.answers, ...theirs.answers],
            silent: [...ours.silent, ...theirs.silent],
            unheard: theirs.unheard
          })
        )
      }),
    fetch: Effect.suspend((): Effect.Effect<Fetched> => {
      const here = { sockets: fetchHere(place, selection), unheard: [] }
      if (others === undefined) return Effect.succeed(here)
      return Effect.map(others.fetch(selection), ({ sockets, unheard }) => ({
        sockets: [...here.sockets, ...sockets],
        unheard
      }))
    }),
    join: (...rooms) => order({ _tag: "Join", rooms }),
    leave: (...rooms) => order({ _tag: "Leave", rooms }),
    disconnect: order({ _tag: "Disconnect" }),
    except: (...rooms) =>
      rooms.length === 0 ? of(place, to, from) : of(place, Target.except(to, unionOf(place, rooms)), from)
  }
}
