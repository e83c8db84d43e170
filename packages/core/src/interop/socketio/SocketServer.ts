/**
 * A server of Socket.IO on a hub, protocol revision 5: for clients of versions 3 and 4, as they are.
 *
 *     const io = yield* SocketServer.make({ namespaces: { "/": connect } })
 *     yield* NodeSocketIoServer.attach(server, io)
 *     yield* io.of("/").to("lobby").emit("said", "hello")
 *
 * A room is a topic of the hub: what is published to it, by whomever and over whichever wire, reaches those in the room,
 * and what is emitted to it reaches everybody else who listens there.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type { BrokerError } from "../../cluster/BrokerError.ts"
import type { Cluster } from "../../cluster/Cluster.ts"
import * as Hub from "../../cluster/Hub.ts"
import type { Target } from "../../cluster/Target.ts"
import * as TimerWheel from "../../connection/TimerWheel.ts"
import * as Identifier from "../../messaging/Identifier.ts"
import type { MakeOwner } from "../engineio/EngineServer.ts"
import * as Audience from "./Audience.ts"
import { LiveSocket, type Making } from "./LiveSocket.ts"
import type * as Packet from "./Packet.ts"
import * as RoomTopic from "./RoomTopic.ts"
import type { Connect, Handler, Refused, Socket } from "./Socket.ts"
import type * as Protocol from "./SocketProtocol.ts"
import { type Join, type Seated, type Settings, SocketSession } from "./SocketSession.ts"
import * as SocketMove from "./SocketMove.ts"
import * as SocketNodes from "./SocketNodes.ts"
import * as SocketWire from "./SocketWire.ts"

/** How those come back who were cut off. Nothing of it is required. */
export interface Recovery {
  /** For how long a socket waits for its client. Default 2 minutes. */
  readonly maxAway?: Duration.Input | undefined
  /** How many may wait; beyond it the one that has waited longest is given up. Default 10,000. */
  readonly maxSockets?: number | undefined
}

export interface Options<in out Request = unknown, out R = never> extends Packet.Options, Protocol.Config {
  /**
   * The namespaces that there are, by their names: only what the object has itself counts. Or a function of the name, for
   * those that nobody can list. To any other a client is not let in: `Invalid namespace`.
   */
  readonly namespaces:
    | { readonly [name: string]: Connect<Request, R> }
    | ((namespace: string) => Connect<Request, R> | undefined)
  /**
   * Finds out who wants into a namespace, by what it says of itself, or fails with `Socket.refuse`. Its answer takes the
   * place of what `open` was told, also where a client comes back: only who it was finds the socket that it had. Nobody
   * waits for it who has gone, or longer than `connectTimeout`. Default: it is who opened the session.
   */
  readonly authenticate?: ((applicant: Applicant<Request>) => Effect.Effect<Who<Request>, Refused, R>) | undefined
  /**
   * The topic of a room. Default: of the main namespace the room's own name; of another, `/admin#lobby`. Nobody else may
   * choose the names of rooms of the main namespace freely, where other topics are not for everybody.
   */
  readonly topic?: ((namespace: string, room: string) => string) | undefined
  /** Connection state recovery. Default: none, so that a client that comes back is a new socket. */
  readonly recovery?: Recovery | boolean | undefined
  /** How long a client may take to be let in somewhere. Default 45 s. */
  readonly connectTimeout?: Duration.Input | undefined
  /** Most events of a socket that wait for the one that is being dealt with. Default 64. */
  readonly maxWaiting?: number | undefined
  /** The same as the length of their packets, in UTF-16 units and bytes; one more is taken. Default 1,000,000. */
  readonly maxWaitingSize?: number | undefined
  /** The cluster of the hub, so that sockets of all nodes are asked. One server of Socket.IO in each of its nodes. */
  readonly cluster?: Pick<Cluster["Service"], "nodes" | "questions"> | undefined
}

export const defaults = {
  maxAway: "2 minutes",
  maxSockets: 10_000,
  connectTimeout: "45 seconds",
  maxWaiting: 64,
  maxWaitingSize: 1_000_000
} as const

/** Who has opened a session. */
export interface Who<out Request = unknown> {
  readonly user?: string | undefined
  readonly request: Request
}

/** Who wants into a namespace. */
export type Applicant<Request = unknown> = Pick<Socket<Request>, "auth" | "namespace" | "query" | "request" | "user">

/** A namespace, for those who are in none. */
export interface Namespace<out Request = unknown> extends Audience.Audience {
  readonly name: string
  /** The topic of a room, and for no name that of all. */
  readonly topic: (room?: string) => string
  /** All in these rooms. A `Target` holds topics, not rooms. */
  readonly to: (...rooms: ReadonlyArray<Target | string>) => Audience.Audience
  /** Those of this node, by their ids; those are among them whose clients may come back. */
  readonly sockets: ReadonlyMap<string, Socket<Request>>
}

export interface SocketServer<in out Request = unknown> {
  readonly of: (namespace: string) => Namespace<Request>
  /** Whom a new session of Engine.IO belongs to. */
  readonly open: (who: Who<Request>) => MakeOwner
  /** That of the options. */
  readonly cluster: Options["cluster"]
}

const textOf = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined)

const nobody: Packet.Payload = {}
const none: ReadonlyMap<string, LiveSocket> = new Map()

/** Says why a client is not let in. */
const turnAway = (session: SocketSession, { attempt, namespace }: Join, cause: Cause.Cause<BrokerError | Refused>) => {
  if (Cause.hasInterruptsOnly(cause)) return Effect.void
  const error = cause.reasons.find((reason) => reason._tag === "Fail")?.error
  if (error?._tag === "Refused") return session.refuse(namespace, attempt, error.message, error.data)
  return Effect.andThen(
    Effect.logError("Socket.IO: a client was not let in", cause),
    session.refuse(namespace, attempt, "Internal server error", undefined)
  )
}

/** As long as the scope is open; at its end all sockets are over. */
export const make = <Request = unknown, R = never>(
  options: Options<Request, R>
): Effect.Effect<SocketServer<Request>, never, Hub.Hub | Scope.Scope | R> =>
  Effect.gen(function* () {
    const { authenticate, namespaces, recovery = false, topic = RoomTopic.of } = options
    const { maxWaiting = defaults.maxWaiting, maxWaitingSize = defaults.maxWaitingSize } = options
    const { maxAway = defaults.maxAway, maxSockets = defaults.maxSockets } =
      typeof recovery === "object" ? recovery : {}
    const hub = yield* Hub.Hub
    const clock = yield* Clock.Clock
    const source = yield* Identifier.Source
    const context = (yield* Effect.context<R>()) as Context.Context<never>
    const fork: (effect: Effect.Effect<unknown>) => Fiber.Fiber<unknown> = Effect.runForkWith(context)
    const connectTimeout = Duration.toMillis(options.connectTimeout ?? defaults.connectTimeout)
    const away = Duration.toMillis(maxAway)
    const wheel = yield* TimerWheel.make(Math.min(connectTimeout, away))
    const encodings = new SocketWire.Encodings(recovery !== false, options)
    const sessions = new Set<SocketSession>()
    /** By their namespaces and ids. */
    const sockets = new Map<string, Map<string, LiveSocket>>()
    /** Those that can come back, by what only their clients know. */
    const known = new Map<string, LiveSocket>()
    /** Those that wait for their clients, the one that has waited longest first. */
    const waiting = new Set<LiveSocket>()
    const places = new Map<string, Audience.Place>()
    const othersOf =
      options.cluster === undefined
        ? undefined
        : yield* SocketNodes.make({
            cluster: options.cluster,
            packets: options,
            sockets: (namespace) => sockets.get(namespace)?.values() ?? []
          })

    const placeOf = (namespace: string): Audience.Place => {
      const found = places.get(namespace)
      if (found !== undefined) return found
      const place: Audience.Place = {
        hub,
        clock,
        packets: options,
        topicOf: (room) => topic(namespace, room),
        all: RoomTopic.of(namespace),
        sockets: () => sockets.get(namespace)?.values() ?? [],
        others: othersOf?.(namespace)
      }
      // As long as there are sockets that share it.
      if (sockets.has(namespace)) places.set(namespace, place)
      return place
    }

    const connectOf = (namespace: string): Connect<Request, R> | undefined =>
      typeof namespaces === "function"
        ? namespaces(namespace)
        : Object.hasOwn(namespaces, namespace)
          ? namespaces[namespace]
          : undefined

    const remember = (socket: LiveSocket): void => {
      sockets.get(socket.namespace)?.set(socket.id, socket)
      if (socket.pid !== undefined) known.set(socket.pid, socket)
    }

    const forget = (socket: LiveSocket): void => {
      const those = sockets.get(socket.namespace)
      those?.delete(socket.id)
      if (those?.size === 0) {
        sockets.delete(socket.namespace)
        places.delete(socket.namespace)
      }
      if (socket.pid !== undefined) known.delete(socket.pid)
    }

    const setAway = (socket: LiveSocket, isAway: boolean): void => {
      waiting.delete(socket)
      if (!isAway) return
      waiting.add(socket)
      if (waiting.size > maxSockets) for (const oldest of waiting) return oldest.expired()
    }

    const ofAll = { maxWaiting, maxWaitingSize, fork, encodings, away: setAway, over: forget }

    /** Who it is. Nobody is asked any more about a client that has gone. */
    const identified = (
      session: SocketSession,
      wanted: Join,
      who: Who<Request>
    ): Effect.Effect<Who<Request>, Refused> => {
      if (authenticate === undefined) return Effect.succeed(who)
      const { attempt, auth = nobody, namespace, query } = wanted
      const gone = Deferred.makeUnsafe<never>()
      const seated: Seated = { left: () => Deferred.interrupt(gone), deliver: () => Effect.void, answered: () => {} }
      if (!session.seat(namespace, attempt, seated)) return Effect.interrupt
      const found = Effect.suspend(() => authenticate({ auth, namespace, query, ...who, user: who.user }))
      return Effect.raceFirst(found as Effect.Effect<Who<Request>, Refused>, Deferred.await(gone))
    }

    /** Whose place it is: what a client was told is no use to who is somebody else by now. */
    const placed = ({ namespace, pid, user }: Pick<SocketMove.Wanted, "namespace" | "pid" | "user">) => {
      const socket = known.get(pid)
      return socket?.namespace === namespace && socket.user === user ? socket : undefined
    }

    /** Whether it was a client that has come back, and is where it was. */
    const recover = (
      session: SocketSession,
      { attempt, auth, namespace, query }: Join,
      { user }: Who<Request>
    ): Effect.Effect<boolean> => {
      const pid = textOf(auth?.["pid"])
      const socket = pid === undefined ? undefined : placed({ pid, namespace, user })
      if (socket === undefined) return Effect.succeed(false)
      const offset = textOf(auth?.["offset"])
      return Effect.flatMap(socket.canResume(offset, query), (canResume) => {
        // Its client has no use for the connection that it had, which may not have been missed yet.
        socket.dropUnsafe()
        if (!canResume) return Effect.as(socket.end("transport"), false)
        if (!session.seat(namespace, attempt, socket)) return Effect.succeed(true)
        return Effect.catch(socket.resume({ session, attempt }, offset), () =>
          Effect.as(socket.end("transport"), false)
        )
      })
    }

    /** Ends a socket whose client has come back to another node. */
    const letGo = ({ offset, query, ...wanted }: SocketMove.Wanted): Effect.Effect<SocketMove.Moved | undefined> => {
      const socket = placed(wanted)
      if (socket === undefined) return Effect.succeed(undefined)
      return Effect.flatMap(socket.canResume(offset, query), (canResume) => {
        socket.dropUnsafe()
        const moved = canResume ? socket.moving(offset) : undefined
        return Effect.as(socket.end("transport"), moved)
      })
    }
    const moves =
      options.cluster === undefined || recovery === false
        ? undefined
        : yield* SocketMove.make({ cluster: options.cluster, packets: options, letGo, maxSockets })

    const newPid = () => moves?.named(source()) ?? source()

    /** What a socket was on another node, when its client has come back to this one. */
    const arrival = ({ auth, namespace, query }: Join, { user }: Who<Request>): Effect.Effect<Making["moved"]> => {
      const pid = textOf(auth?.["pid"])
      const offset = textOf(auth?.["offset"])
      if (moves === undefined || pid === undefined) return Effect.succeed(undefined)
      return Effect.gen(function* () {
        const moved = yield* moves.fetch({ pid, namespace, query, offset, user })
        if (moved === undefined || moved.user !== user) return undefined
        const now = yield* Effect.option(hub.broker.position)
        return now._tag === "None" ? undefined : { ...moved, offset, now: now.value }
      })
    }

    const begin = (session: SocketSession, wanted: Join, { request, user }: Who<Request>, moved: Making["moved"]) => {
      const { attempt, auth, namespace, query } = wanted
      const connect = connectOf(namespace)
      if (connect === undefined) return session.refuse(namespace, attempt, "Invalid namespace", undefined)
      const id = moved?.id ?? source()
      const pid = moved === undefined ? undefined : textOf(auth?.["pid"])
      if (!sockets.has(namespace)) sockets.set(namespace, new Map())
      const making: Making = {
        id,
        namespace,
        query,
        auth: auth ?? nobody,
        request,
        user,
        place: placeOf(namespace),
        recovery: recovery === false ? undefined : { pid: pid ?? newPid(), maxAway: away, wheel },
        moved
      }
      const socket = new LiveSocket(ofAll, making, { session, attempt })
      remember(socket)
      if (!session.seat(namespace, attempt, socket)) return socket.end("transport")
      // Who decides is of the program, and all that it needs is in the context that it is run in.
      const decide = Effect.suspend(() => connect(socket)) as Effect.Effect<Handler | void, Refused, Scope.Scope>
      // Who has gone is not decided on any more.
      const gone = Effect.andThen(socket.closed, Effect.interrupt)
      return Effect.raceFirst(Scope.provide(decide, socket.scope), gone).pipe(
        Effect.flatMap((handler) => socket.enter(handler ?? undefined)),
        Effect.catchCause((cause) => Effect.andThen(turnAway(session, wanted, cause), socket.end("server")))
      )
    }

    const admit = (session: SocketSession, wanted: Join): Effect.Effect<void> =>
      Effect.matchCauseEffect(identified(session, wanted, session.who as Who<Request>), {
        onFailure: (cause) => turnAway(session, wanted, cause),
        onSuccess: (who) =>
          Effect.flatMap(recover(session, wanted, who), (is) =>
            is ? Effect.void : Effect.flatMap(arrival(wanted, who), (moved) => begin(session, wanted, who, moved))
          )
      })

    const settings: Settings = {
      protocol: options,
      packets: options,
      connectTimeout,
      wheel,
      run: (effect) => void fork(effect),
      // Its other words do not wait for it.
      join: (session, wanted) => void fork(admit(session, wanted)),
      over: (session) => void sessions.delete(session)
    }

    const open =
      (who: Who<Request>): MakeOwner =>
      (engine) => {
        const session = new SocketSession(settings, engine, who)
        sessions.add(session)
        return session
      }

    const of = (namespace: string): Namespace<Request> => {
      const to = (...rooms: ReadonlyArray<Target | string>) => Audience.make(placeOf(namespace), rooms)
      return {
        name: namespace,
        topic: (room) => (room === undefined ? RoomTopic.of(namespace) : topic(namespace, room)),
        to,
        ...to(),
        get sockets() {
          return (sockets.get(namespace) ?? none) as ReadonlyMap<string, Socket<Request>>
        }
      }
    }

    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        for (const session of sessions) yield* session.shutdown
        for (const those of sockets.values()) for (const socket of those.values()) yield* socket.end("server")
      })
    )
    return { of, open, cluster: options.cluster }
  })
