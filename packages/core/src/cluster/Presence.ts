/**
 * Who is in a topic, over all nodes: users with what they say of themselves, as many connections as they may have, on
 * whichever node.
 *
 * Nodes tell each other what has changed, a batch at a time, and with each heartbeat how far they are; who has missed
 * something asks for it. So all say the same as soon as they can hear each other: after a change some 50 ms, after lost
 * messages or a partition a heartbeat or two (2 to 4 s). Who is cut off sees those of its own part, once the others are
 * taken for gone.
 *
 * A user who is gone everywhere is said to have left after a grace period only, so that a connection that breaks and
 * comes back, to this node or another, is neither left nor joined. Until then `users` has it as it was.
 *
 * Bounded: members by topic and in all, each of them by its bytes. What other nodes tell is taken over those bounds, so
 * that all say the same, but never more than `maxMembers` of one node.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Alarm from "./Alarm.ts"
import { Broker } from "./Broker.ts"
import type { BrokerError } from "./BrokerError.ts"
import * as Cast from "./Cast.ts"
import * as Changes from "./Changes.ts"
import * as Life from "./Life.ts"
import { type Node, Nodes } from "./Nodes.ts"
import { InvalidInfo, PresenceError, TooManyMembers, WrongLength } from "./PresenceError.ts"
import * as PresenceMessage from "./PresenceMessage.ts"
import { byTime, type Mark, type Member, PresenceState, type User } from "./PresenceState.ts"

export type { User }

/** Nothing of it is required. All nodes of a cluster should have the same. */
export interface Options {
  /** For how long a user may be away without having left. Default 5 s. */
  readonly grace?: Duration.Input | undefined
  /** For how long changes are collected before they are told to the other nodes. Default 50 ms. */
  readonly batch?: Duration.Input | undefined
  /** Members of one topic, on all nodes. Default 10,000. */
  readonly maxTopicMembers?: number | undefined
  /** Members of all topics, on all nodes. Default 100,000. */
  readonly maxMembers?: number | undefined
  /** Bytes of one info. Default 1 KiB, at most 16 KiB. */
  readonly maxInfoBytes?: number | undefined
}

/** The bounds, unless others are given. */
export const defaults = {
  grace: "5 seconds",
  batch: "50 millis",
  maxTopicMembers: 10_000,
  maxMembers: 100_000,
  maxInfoBytes: 1_024
} satisfies Options

/** Changes of this node that are kept for who has missed some. Who has missed more is told everything. */
export const maxChanges = 4_096

/** What is there for a user: a connection, mostly. */
export interface Joining {
  /** Its name, of no other on this node: 1 to 128 bytes of UTF-8. */
  readonly member: string
  /** Whose it is: 1 to 256 bytes. Members with one user are one. */
  readonly user: string
  /** What others are to know of the user: one line of JSON text. Default `null`. */
  readonly info?: string | undefined
}

export type Change =
  | { readonly _tag: "Joined"; readonly user: User }
  /** With another info, with more or fewer connections, or back within the grace period. */
  | { readonly _tag: "Updated"; readonly user: User }
  /** As it was last. */
  | { readonly _tag: "Left"; readonly user: User }

/** How many there are in a topic. */
export interface Count {
  /** Those that `users` has. */
  readonly users: number
  /** Those that are connected now. */
  readonly connections: number
}

/** What went on between nodes, since the start. */
export interface Counters {
  /** Messages that could not be read. */
  readonly unread: number
  /** Times that this node had missed something and has asked for it. */
  readonly asked: number
  /** Messages of nodes that have more members than any may have. */
  readonly refused: number
}

/** Who is where, as a service. Topics and names are what they are: nobody looks at how they begin. */
export class Presence extends Context.Service<
  Presence,
  {
    /** Is in the topic as long as the scope is open. Who is in it already is another from now on, and stays so. */
    readonly join: (topic: string, joining: Joining) => Effect.Effect<void, PresenceError, Scope.Scope>
    /** The same without a scope: whoever joins has to leave. Gives `false` when the member was in it already. */
    readonly joinUnsafe: (topic: string, joining: Joining) => Result.Result<boolean, PresenceError>
    /** `false` when the member was not in it. */
    readonly leaveUnsafe: (topic: string, member: string) => boolean
    /** Another info for a member of this node. Gives `false` when the member is not in the topic. */
    readonly update: (topic: string, member: string, info: string) => Effect.Effect<boolean, PresenceError>
    readonly updateUnsafe: (topic: string, member: string, info: string) => Result.Result<boolean, PresenceError>
    /** All that are there, on any node; who came first comes first. Made when it is asked for. */
    readonly users: (topic: string) => ReadonlyArray<User>
    /** Costs two look-ups. */
    readonly count: (topic: string) => Count
    /** Topics that somebody is in, and members in all topics, on any node. */
    readonly size: () => { readonly topics: number; readonly members: number }
    /**
     * `Joined` for each one that is there, then what changes; ends with the scope of the presence. For who is slow, of
     * each user no more than one change waits, which is the sum of what came.
     */
    readonly changes: (topic: string) => Stream.Stream<Change>
    /**
     * Tells what changes, in the turn in which the news comes, until what it gives is called. Together with `users` in
     * one turn nothing is missed. `told` must not throw. It may join and leave, which is told behind it.
     */
    readonly watchUnsafe: (topic: string, told: (changes: ReadonlyArray<Change>) => void) => () => void
    readonly counters: () => Counters
  }
>()("@millrace/core/cluster/Presence") {
  static readonly layer = (options?: Options): Layer.Layer<Presence, BrokerError, Broker | Nodes> =>
    Layer.effect(
      Presence,
      Effect.gen(function* () {
        return yield* make(yield* Broker, yield* Nodes, options)
      })
    )
}

/** On which nodes tell all others. */
export const channel = "$presence"

/** On which one node is asked, and told what it has asked for. */
export const channelOf = (id: string): string => `$presence:${id}`

/** The name under which heartbeats carry how far this is. */
const carried = "presence"

/** How long a cast may take, whatever the broker does; and between two times that one node is asked. */
const patience = 2_000
const askAgain = 1_000

/** A user as it was told. */
interface Told {
  readonly topic: string
  user: User
}

/** All there is of a node, as far as it has come. */
interface Assembly extends Mark {
  readonly parts: Map<number, ReadonlyArray<readonly [string, Member]>>
  size: number
  count: number | undefined
}

const fail = (reason: PresenceError["reason"]) => Result.fail(new PresenceError({ reason }))

const wrong = (of: "topic" | "member" | "user" | "info", text: string, limit: number) =>
  Cast.isText(text, limit) ? undefined : new WrongLength({ of, limit })

/**
 * Tells and is told as long as the scope is open; then the others are told that nobody is here any more. Fails when the
 * broker refuses to let it hear. One for each broker; an option that may not be is a defect.
 */
export const make = (
  broker: Broker["Service"],
  nodes: Nodes["Service"],
  options: Options = {}
): Effect.Effect<Presence["Service"], BrokerError, Scope.Scope> =>
  Effect.gen(function* () {
    const grace = Duration.toMillis(options.grace ?? defaults.grace)
    const batch = Duration.toMillis(options.batch ?? defaults.batch)
    const maxTopicMembers = options.maxTopicMembers ?? defaults.maxTopicMembers
    const maxMembers = options.maxMembers ?? defaults.maxMembers
    const maxInfoBytes = options.maxInfoBytes ?? defaults.maxInfoBytes
    if (maxInfoBytes > PresenceMessage.maxInfoBytes) throw new TypeError("an info has at most 16,384 bytes")
    const clock = yield* Clock.Clock
    const now = () => Math.max(0, Math.floor(clock.currentTimeMillisUnsafe()))
    const id = broker.node
    const life = Life.next(broker, now())
    const state = new PresenceState(id, life, { maxMembers, maxChanges })
    const counters = { unread: 0, asked: 0, refused: 0 }
    const told = new Map<string, Map<string, Told>>()
    /** Users without a member, and when they have left; who went first comes first. */
    const away = new Map<Told, number>()
    const watchers = new Map<string, Set<(changes: ReadonlyArray<Change>) => void>>()
    const streams = new Set<() => void>()
    /** How far others are, as they have said; and when they may be asked again. */
    const marks = new Map<string, Mark>()
    const askedAt = new Map<string, number>()
    const behind = new Set<string>()
    const assemblies = new Map<string, Assembly>()
    /** The last life of a node that is there, and of which nothing is true any more. */
    const ended = new Map<string, number>()
    /** Who has asked, and how far each is. */
    const asking = new Map<string, Mark>()
    /** Up to which version the others were told. */
    let sent = 0
    let flushAt = Number.POSITIVE_INFINITY
    let waiting: Array<() => void> | undefined
    let closed = false

    const say = (channel: string, bytes: Uint8Array) =>
      Effect.ignore(Effect.timeout(broker.cast(channel, bytes), patience))

    /** Who is told may join and leave: that is told behind this, to all of them. */
    const tell = (topic: string, changes: ReadonlyArray<Change>) => {
      const its = watchers.get(topic)
      if (changes.length === 0 || its === undefined) return
      // Who comes to watch meanwhile has what is told now.
      const telling = () => {
        for (const watcher of there) if (its.has(watcher)) watcher(changes)
      }
      const there = [...its]
      if (waiting !== undefined) return void waiting.push(telling)
      waiting = [telling]
      try {
        for (const each of waiting) each()
      } finally {
        waiting = undefined
      }
    }

    const forget = (it: Told) => {
      away.delete(it)
      const users = told.get(it.topic)
      users?.delete(it.user.user)
      if (users?.size === 0) told.delete(it.topic)
    }

    /** Tells of who has left, by topic: those whose time has come, and as many as are too many. */
    const expire = () => {
      const left = new Map<string, Array<Change>>()
      for (const [it, at] of away) {
        if (at > alarm.now() && away.size <= maxMembers) break
        forget(it)
        const changes = left.get(it.topic)
        const change: Change = { _tag: "Left", user: it.user }
        if (changes === undefined) left.set(it.topic, [change])
        else changes.push(change)
      }
      for (const [topic, changes] of left) tell(topic, changes)
      const next = away.values().next()
      if (next.done !== true) alarm.at(next.value)
    }

    /** What the state says now, against what was told. */
    const compare = () => {
      for (const [topic, touched] of state.takeTouched()) {
        const changes: Array<Change> = []
        let users = told.get(topic)
        for (const name of touched) {
          const user = state.user(topic, name)
          const before = users?.get(name)
          if (user === undefined) {
            if (before !== undefined && !away.has(before)) away.set(before, alarm.now() + grace)
          } else if (before === undefined) {
            if (users === undefined) told.set(topic, (users = new Map()))
            users.set(name, { topic, user })
            changes.push({ _tag: "Joined", user })
          } else {
            away.delete(before)
            const { connections, info, since } = before.user
            if (user.connections === connections && user.info === info && user.since === since) continue
            before.user = user
            changes.push({ _tag: "Updated", user })
          }
        }
        tell(topic, changes)
      }
      if (away.size > 0) expire()
    }

    const flush = function* () {
      const delta = state.since(sent)
      sent = state.mark.version
      // Who is told nothing now finds out by the next heartbeat.
      if (delta !== undefined && delta.changes.length > 0) yield* PresenceMessage.encodeDelta(delta)
    }

    const answer = (mark: Mark): Iterable<Uint8Array> => {
      // Who knows nothing is told what there is, and not how that came about.
      const delta = mark.life === life && mark.version > 0 ? state.since(mark.version) : undefined
      return delta === undefined ? PresenceMessage.encodeFull(state.full()) : PresenceMessage.encodeDelta(delta)
    }

    const alarm = yield* Alarm.make(clock, (alarm) => {
      if (closed) return Effect.void
      const time = alarm.now()
      expire()
      const casts: Array<Effect.Effect<void>> = []
      if (time >= flushAt) {
        flushAt = Number.POSITIVE_INFINITY
        casts.push(Effect.forEach(flush(), (bytes) => say(channel, bytes), { discard: true }))
      } else alarm.at(flushAt)
      for (const node of behind) {
        const mark = marks.get(node)
        behind.delete(node)
        if (mark === undefined || !state.isBehind(node, mark)) continue
        const again = (askedAt.get(node) ?? Number.NEGATIVE_INFINITY) + askAgain
        if (again > time) continue
        askedAt.set(node, time)
        counters.asked++
        const known = state.known(node)
        const version = known?.life === mark.life ? known.version : 0
        casts.push(say(channelOf(node), PresenceMessage.encode({ _tag: "Ask", asker: id, life: mark.life, version })))
      }
      for (const [asker, mark] of asking) {
        asking.delete(asker)
        casts.push(
          Effect.suspend(() => Effect.forEach(answer(mark), (bytes) => say(channelOf(asker), bytes), { discard: true }))
        )
      }
      return Effect.all(casts, { discard: true })
    })

    const dirty = () => {
      compare()
      if (flushAt === Number.POSITIVE_INFINITY) alarm.at((flushAt = alarm.now() + batch))
    }

    /** A node is as far as this. When it is further than is known it is asked, unless what is missing comes soon. */
    const reached = (node: string, mark: Mark) => {
      if (mark.life <= (ended.get(node) ?? -1)) return
      const before = marks.get(node)
      if (before === undefined || mark.life > before.life || mark.version > before.version) marks.set(node, mark)
      if (!state.isBehind(node, marks.get(node)!)) return
      behind.add(node)
      alarm.at(alarm.now() + batch)
    }

    const assemble = ({ isLast, life, members, node, part, version }: PresenceMessage.Part) => {
      const known = state.known(node)
      if (known !== undefined && (known.life > life || (known.life === life && known.version >= version))) return
      let assembly = assemblies.get(node)
      if (assembly === undefined || assembly.life !== life || assembly.version !== version) {
        // Of two that are on their way at a time, which is not usual, the newer is kept.
        if (
          assembly !== undefined &&
          (assembly.life > life || (assembly.life === life && assembly.version > version))
        ) {
          return
        }
        assemblies.set(node, (assembly = { life, version, parts: new Map(), size: 0, count: undefined }))
      }
      if (assembly.parts.has(part)) return
      assembly.parts.set(part, members)
      assembly.size += members.length
      if (isLast) assembly.count = part + 1
      if (assembly.parts.size !== assembly.count) {
        // One node cannot have more than this: nothing else is waited for.
        if (assembly.size > maxMembers || assembly.parts.size > maxMembers) {
          counters.refused++
          assemblies.delete(node)
        }
        return
      }
      assemblies.delete(node)
      const all: Array<readonly [string, Member]> = []
      for (let at = 0; at < assembly.count; at++) for (const one of assembly.parts.get(at) ?? []) all.push(one)
      if (state.merge({ _tag: "Full", node, life, version, members: all }) === "Refused") counters.refused++
    }

    const gone = (node: string) => {
      state.drop(node)
      marks.delete(node)
      askedAt.delete(node)
      ended.delete(node)
      behind.delete(node)
      assemblies.delete(node)
      asking.delete(node)
      compare()
    }

    const heard = (bytes: Uint8Array) => {
      if (closed) return
      const message = PresenceMessage.decode(bytes)
      if (message === undefined) return void counters.unread++
      const node = message._tag === "Ask" ? message.asker : message.node
      // Who is not there is known by its heartbeat first, and asked then.
      if (node === id || nodes.get(node) === undefined) return
      if (message._tag !== "Ask" && message.life <= (ended.get(node) ?? -1)) return
      switch (message._tag) {
        case "Ask":
          asking.set(node, { life: message.life, version: message.version })
          alarm.at(alarm.now())
          return
        case "Bye":
          if ((state.known(node)?.life ?? 0) <= message.life) gone(node)
          ended.set(node, Math.max(message.life, ended.get(node) ?? 0))
          return
        case "Delta":
          if (state.merge(message) === "Refused") counters.refused++
          compare()
          reached(node, { life: message.life, version: message.from + message.changes.length })
          return
        case "Part":
          assemble(message)
          compare()
      }
    }

    const beat = ({ carried: texts, id }: Node) => {
      const match = /^(\d{1,16}) (\d{1,16})$/.exec(texts.get(carried) ?? "")
      if (match !== null) reached(id, { life: Number(match[1]), version: Number(match[2]) })
    }

    yield* nodes.carry(carried, () => `${life} ${sent}`)
    yield* nodes.listen({ left: ({ id }) => gone(id), heard: beat })
    yield* broker.hear(channel, heard)
    yield* broker.hear(channelOf(id), heard)
    for (const node of nodes.list()) if (node.id !== id) beat(node)
    yield* Effect.addFinalizer(() => {
      closed = true
      for (const end of streams) end()
      return say(channel, PresenceMessage.encode({ _tag: "Bye", node: id, life }))
    })

    const wrongInfo = (info: string) =>
      wrong("info", info, maxInfoBytes) ?? (PresenceMessage.isInfo(info) ? undefined : new InvalidInfo())

    const joinUnsafe = (topic: string, { info = "null", member, user }: Joining) => {
      const reason =
        wrong("topic", topic, PresenceMessage.maxTopicBytes) ??
        wrong("member", member, PresenceMessage.maxMemberBytes) ??
        wrong("user", user, PresenceMessage.maxUserBytes) ??
        wrongInfo(info)
      if (reason !== undefined) return fail(reason)
      const before = state.member(topic, member)
      if (before === undefined) {
        if (state.connections(topic) >= maxTopicMembers)
          return fail(new TooManyMembers({ topic, limit: maxTopicMembers }))
        if (state.size >= maxMembers) return fail(new TooManyMembers({ topic: undefined, limit: maxMembers }))
      }
      if (before?.user !== user || before.info !== info) {
        state.join(topic, member, user, info, now())
        dirty()
      }
      return Result.succeed(before === undefined)
    }

    const leaveUnsafe = (topic: string, member: string): boolean => {
      const left = state.leave(topic, member)
      if (left) dirty()
      return left
    }

    const updateUnsafe = (topic: string, member: string, info: string) => {
      const before = state.member(topic, member)
      if (before === undefined) return Result.succeed(false)
      return Result.map(joinUnsafe(topic, { member, user: before.user, info }), () => true)
    }

    const watchUnsafe = (topic: string, told: (changes: ReadonlyArray<Change>) => void) => {
      const its = watchers.get(topic)
      // Its own function, so that one that watches twice is told twice.
      const watcher = (changes: ReadonlyArray<Change>) => told(changes)
      if (its === undefined) watchers.set(topic, new Set([watcher]))
      else its.add(watcher)
      return () => {
        const its = watchers.get(topic)
        if (its?.delete(watcher) === true && its.size === 0) watchers.delete(topic)
      }
    }

    const users = (topic: string): ReadonlyArray<User> =>
      Array.from(told.get(topic)?.values() ?? [], ({ user }) => user).sort(byTime)

    const changes = (topic: string): Stream.Stream<Change> => {
      const unwatch = new Map<unknown, () => void>()
      return Changes.stream<string, Change>({
        keyOf: ({ user }) => user.user,
        sum: (first, second) => {
          if (first._tag === "Joined") return second._tag === "Left" ? undefined : { _tag: "Joined", user: second.user }
          return first._tag === "Left" ? { _tag: "Updated", user: second.user } : second
        },
        open: (tell, end) => {
          if (closed) end()
          streams.add(end)
          const stop = watchUnsafe(topic, tell)
          unwatch.set(tell, () => {
            streams.delete(end)
            stop()
          })
          return users(topic).map((user) => ({ _tag: "Joined", user }))
        },
        close: (tell) => {
          unwatch.get(tell)?.()
          unwatch.delete(tell)
        }
      })
    }

    return Presence.of({
      join: (topic, joining) =>
        Effect.asVoid(
          Effect.acquireRelease(
            Effect.suspend(() => Effect.fromResult(joinUnsafe(topic, joining))),
            (isNew) => Effect.sync(() => isNew && leaveUnsafe(topic, joining.member))
          )
        ),
      joinUnsafe,
      leaveUnsafe,
      update: (topic, member, info) => Effect.suspend(() => Effect.fromResult(updateUnsafe(topic, member, info))),
      updateUnsafe,
      users,
      count: (topic) => ({ users: told.get(topic)?.size ?? 0, connections: state.connections(topic) }),
      size: () => ({ topics: told.size, members: state.size }),
      changes,
      watchUnsafe,
      counters: () => ({ ...counters })
    })
  })
