/**
 * Serves a client of the hub by another one: the hub's own protocol on a wire, on top of one `HubClient`, so that many
 * share a connection: the tabs of a browser, the processes of a machine. To each of them it is a hub.
 *
 * What it costs the hub is one client: a topic is subscribed to once, for as long as any of them wants it; all have one
 * name, one user and together the 128 topics of a connection. Publications go on under the keys of who says them, and
 * are answered when the hub has answered: whoever loses the relay says them again to the next, and they are heard once.
 *
 * A client that reads too slowly holds nobody up: its streams fall behind on their own, and catch up from the log. Not in
 * here: whom to serve, and over what.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Client from "../messaging/Client.ts"
import type { Wire } from "../messaging/Wire.ts"
import type { Message as Received } from "../protocol/Message.ts"
import type * as HubClient from "./HubClient.ts"
import type { HubClientError } from "./HubClientError.ts"
import type { Element, Message, PresenceElement } from "./HubElement.ts"
import * as HubMessage from "./HubMessage.ts"
import type { ErrorCode } from "./HubRefusal.ts"
import * as Position from "./Position.ts"

/** What a client is told when the one that it is served by has stopped for good: docs/closing.md, "not as you are". */
export const stopped = 4_500

/** How many publications of one client may be on their way at a time. Beyond it nothing of its is read. */
export const maxTogether = 256

/** Positions of publications that are still to be kept from who has said them. */
const maxMuted = 1_024

/** One stream of the hub's for one client. */
interface Reading {
  /** Another one after a move. */
  topic: string
  fiber: Fiber.Fiber<void> | undefined
  /** Behind what was told last. */
  at: Position.Position | undefined
  /** Of the question, which is not answered before it has begun. */
  readonly id: HubMessage.Id | undefined
  hasBegun: boolean
}

const printed = (position: Position.Position | undefined) => position && Position.print(position)

/** Many clients get the same one. */
const texts = new WeakMap<Message, string>()

const textOf = (message: Message): string => {
  const known = texts.get(message)
  if (known !== undefined) return known
  const { data, from, position, time, topic } = message
  const text = JSON.stringify({ type: "message", topic, data, from, time, position: printed(position) })
  texts.set(message, text)
  return text
}

const codeOf = (error: HubClientError): readonly [code: string, detail: string] => {
  const { reason } = error
  switch (reason._tag) {
    case "Refused":
      return [reason.code, reason.detail]
    case "Uncertain":
      return ["stale-key", reason.message]
    case "Unsayable":
      return ["bad-message", reason.message]
    default:
      return ["unavailable", reason.message]
  }
}

const refusalOf = (error: HubClientError, id: HubMessage.Id | undefined): HubMessage.Refusal => {
  const [code, detail] = codeOf(error)
  return HubMessage.refuse(code as ErrorCode, id, detail)
}

class Relay {
  private readonly upstream: HubClient.HubClient
  private readonly wire: Wire
  private readonly scope: Scope.Scope
  private readonly readings = new Map<string, Reading>()
  private together = 0
  /** There is room for one more publication. */
  private room: Deferred.Deferred<void> | undefined
  /** Publications by topic that are not to be echoed, and are not answered: whoever reads has to wait for their places. */
  private readonly unplaced = new Map<string, { count: number; readonly placed: Deferred.Deferred<void> }>()
  private readonly muted = new Set<string>()

  constructor(upstream: HubClient.HubClient, wire: Wire, scope: Scope.Scope) {
    this.upstream = upstream
    this.wire = wire
    this.scope = scope
  }

  /** Ends with the wire. */
  readonly talk: Effect.Effect<void> = Effect.suspend(() =>
    this.upstream.name.pipe(
      Effect.flatMap((client) => this.say({ type: "welcome", client, protocol: HubMessage.protocol })),
      Effect.andThen(
        Effect.forever(
          Effect.flatMap(this.wire.pull, (messages) =>
            Effect.forEach(messages, (message) => this.receive(message), { discard: true })
          ),
          { disableYield: true }
        )
      ),
      Pull.catchDone(() => Effect.void),
      // However it has ended, it has; and who has stopped is watched.
      Effect.catch(() => Effect.void)
    )
  )

  /** When a wire has ended, reading tells. */
  private sayText(text: string): Effect.Effect<void> {
    return Effect.ignore(this.wire.send(text))
  }

  private say(message: HubMessage.ServerMessage): Effect.Effect<void> {
    return this.sayText(HubMessage.encode(message))
  }

  private receive(message: Received): Effect.Effect<void> {
    if (message._tag === "Binary") return this.say(HubMessage.refuse("binary"))
    const decoded = HubMessage.decode(message.text)
    return Result.isFailure(decoded) ? this.say(decoded.failure) : this.handle(decoded.success)
  }

  private handle(message: HubMessage.ClientMessage): Effect.Effect<void> {
    switch (message._tag) {
      case "Subscribe":
        return this.subscribe(message)
      case "Unsubscribe":
        return this.unsubscribe(message)
      case "Publish":
        return this.publish(message)
      case "Presence":
        return this.inScope(this.askPresence(message))
      case "Ping":
        return this.inScope(this.ping(message))
    }
  }

  /** Does it beside what comes next. */
  private inScope(effect: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.asVoid(Effect.forkIn(effect, this.scope, { startImmediately: true }))
  }

  // What it reads.

  private subscribe(asked: HubMessage.Subscribe): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { id, topic } = asked
      const known = this.readings.get(topic)
      if (known !== undefined && asked.presence === undefined) return this.say({ type: "subscribed", topic, id })
      if (known === undefined && this.readings.size >= HubMessage.maxTopics) {
        return this.say(HubMessage.refuse("too-many-topics", id))
      }
      const begin = Effect.suspend(() => {
        const at = known === undefined ? asked.position : known.at
        const reading: Reading = { topic, fiber: undefined, at, id, hasBegun: false }
        this.readings.set(topic, reading)
        const read = this.read(reading, asked, known?.hasBegun === true)
        return Effect.map(Effect.forkIn(read, this.scope, { startImmediately: true }), (fiber) => {
          reading.fiber = fiber
        })
      })
      // Others are to know something else of it from here on.
      return known === undefined ? begin : Effect.andThen(this.leave(known), begin)
    })
  }

  private read(reading: Reading, asked: HubMessage.Subscribe, isRenewed: boolean): Effect.Effect<void> {
    const { id, presence, topic } = asked
    const position = reading.at
    const elements: Stream.Stream<Element | PresenceElement, HubClientError> =
      presence === undefined
        ? this.upstream.subscribe(topic, { position })
        : this.upstream.subscribe(topic, {
            position,
            presence: presence.info === undefined ? {} : { info: JSON.parse(presence.info) }
          })
    const told = Stream.runForEach(elements, (element) => {
      if (element._tag !== "Subscribed") return this.tell(reading, element, id)
      reading.hasBegun = true
      reading.at = element.position
      // Of one that it was told of before the hub says nothing.
      const position = isRenewed ? undefined : printed(element.position)
      return this.say({ type: "subscribed", topic, position, id })
    })
    const ended = (error: HubClientError): Effect.Effect<void> => {
      const { reason } = error
      // Who has stopped is watched.
      if (reason._tag === "Stopped") return Effect.void
      if (!reading.hasBegun) return this.say(refusalOf(error, id))
      const detail = reason._tag === "Kicked" ? reason.detail : reason.message
      return this.say({ type: "unsubscribed", topic: reading.topic, reason: "kicked", message: detail })
    }
    return Effect.ensuring(
      Effect.catch(told, ended),
      Effect.sync(() => this.forget(reading))
    )
  }

  private forget(reading: Reading): void {
    if (this.readings.get(reading.topic) === reading) this.readings.delete(reading.topic)
  }

  private tell(
    reading: Reading,
    element: Exclude<Element | PresenceElement, { readonly _tag: "Subscribed" }>,
    id: HubMessage.Id | undefined
  ): Effect.Effect<void> {
    const { topic } = element
    switch (element._tag) {
      case "Message":
        return this.reach(reading, this.tellMessage(element), element.position)
      case "Gap": {
        const said = this.say({ type: "gap", topics: [topic], from: printed(element.from), to: printed(element.to) })
        return this.reach(reading, said, element.to)
      }
      case "Advanced": {
        const { position } = element
        return this.reach(reading, this.say({ type: "position", topic, position: Position.print(position) }), position)
      }
      case "Moved":
        return this.move(reading, element.from, topic, element.position)
      case "Present":
        return this.say({ type: "present", topic, users: element.users, count: element.count })
      case "Joined":
        return this.say({ type: "joined", topic, ...element.user })
      case "Updated":
        return this.say({ type: "updated", topic, ...element.user })
      case "Left":
        return this.say({ type: "left", topic, ...element.user })
      case "NoPresence":
        return this.say(HubMessage.refuse("no-presence", id, element.detail))
    }
  }

  private reach(
    reading: Reading,
    said: Effect.Effect<void>,
    position: Position.Position | undefined
  ): Effect.Effect<void> {
    if (position === undefined) return said
    return Effect.map(said, () => {
      reading.at = position
    })
  }

  private tellMessage(message: Message): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { position, topic } = message
      // It may be one of those that who reads does not want, and said by whom the answer will tell.
      const unplaced = this.unplaced.get(topic)
      if (unplaced !== undefined) return Effect.andThen(Deferred.await(unplaced.placed), this.tellMessage(message))
      if (position === undefined || !this.muted.delete(placeOf(topic, position))) return this.sayText(textOf(message))
      return this.say({ type: "position", topic, position: Position.print(position) })
    })
  }

  private move(
    reading: Reading,
    from: string,
    to: string,
    position: Position.Position | undefined
  ): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.forget(reading)
      reading.topic = to
      reading.at = position
      const said = this.say({ type: "moved", from, to, position: printed(position) })
      // What is told of that topic is told already.
      if (this.readings.has(to)) return Effect.andThen(said, Effect.interrupt)
      this.readings.set(to, reading)
      return said
    })
  }

  private unsubscribe({ id, topic }: HubMessage.Unsubscribe): Effect.Effect<void> {
    return Effect.suspend(() => {
      const known = this.readings.get(topic)
      const leaving = known === undefined ? Effect.void : this.leave(known)
      return Effect.andThen(leaving, this.say({ type: "unsubscribed", topic, id }))
    })
  }

  /** Ends it. A question is answered, though what it asked for is not wanted any more. */
  private leave({ fiber, hasBegun, id, topic }: Reading): Effect.Effect<void> {
    const stopping = fiber === undefined ? Effect.void : Fiber.interrupt(fiber)
    return hasBegun ? stopping : Effect.andThen(stopping, this.say({ type: "subscribed", topic, id }))
  }

  // What it says and asks.

  private publish(asked: HubMessage.Publish): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.together < maxTogether) return this.publishNow(asked)
      this.room ??= Deferred.makeUnsafe<void>()
      return Effect.andThen(Deferred.await(this.room), this.publish(asked))
    })
  }

  private publishNow({ dataJson, echo, id, key, topic }: HubMessage.Publish): Effect.Effect<void> {
    this.together++
    const isMuted = !echo && this.readings.has(topic)
    if (isMuted) this.hold(topic)
    // The others that are served here are others: to the hub they are who says it.
    const published = this.upstream.publish(topic, JSON.parse(dataJson), { key })
    const answered = Effect.matchEffect(published, {
      onFailure: (error) => {
        if (isMuted) this.release(topic, undefined)
        return error.reason._tag === "Stopped" ? Effect.void : this.say(refusalOf(error, id))
      },
      onSuccess: ({ position, receivers, repeated }) => {
        if (isMuted) this.release(topic, position)
        if (id === undefined) return Effect.void
        return this.say({
          type: "published",
          topic,
          id,
          receivers,
          position: printed(position),
          repeated: repeated || undefined
        })
      }
    })
    return this.inScope(
      Effect.ensuring(
        answered,
        Effect.sync(() => {
          this.together--
          const { room } = this
          this.room = undefined
          if (room !== undefined) Deferred.doneUnsafe(room, Exit.void)
        })
      )
    )
  }

  private hold(topic: string): void {
    const unplaced = this.unplaced.get(topic)
    if (unplaced === undefined) this.unplaced.set(topic, { count: 1, placed: Deferred.makeUnsafe<void>() })
    else unplaced.count++
  }

  private release(topic: string, position: Position.Position | undefined): void {
    const unplaced = this.unplaced.get(topic)!
    if (position !== undefined) this.muted.add(placeOf(topic, position))
    for (const place of this.muted) {
      if (this.muted.size <= maxMuted) break
      this.muted.delete(place)
    }
    if (--unplaced.count > 0) return
    this.unplaced.delete(topic)
    Deferred.doneUnsafe(unplaced.placed, Exit.void)
  }

  private askPresence({ id, topic }: HubMessage.AskPresence): Effect.Effect<void> {
    return Effect.matchEffect(this.upstream.present(topic), {
      onFailure: (error) => this.say(refusalOf(error, id)),
      onSuccess: ({ count, users }) => this.say({ type: "present", topic, users, count, id })
    })
  }

  private ping({ id }: HubMessage.Ping): Effect.Effect<void> {
    return Effect.matchEffect(this.upstream.ping, {
      // Nothing is what a hub says that is not there.
      onFailure: () => Effect.void,
      onSuccess: () => this.say({ type: "pong", id })
    })
  }
}

const placeOf = (topic: string, position: Position.Position): string => `${Position.print(position)} ${topic}`

const whyOf = (cause: NonNullable<Client.Stopped["cause"]>): string => {
  const why = cause._tag === "Died" ? cause.defect : cause.error
  return why instanceof Error ? why.message : ""
}

/**
 * Serves one client until its wire ends, or until `upstream` has stopped: then the wire is closed, with 1001 when whoever
 * had it is done with it, and otherwise with 4500, by which a client knows that it need not come back.
 *
 * Welcome is said when `upstream` is welcome. While it has no connection what is asked waits. Numbers that JavaScript has
 * not are not passed on as they were written: 1e400 becomes null.
 */
export const serve = (upstream: HubClient.HubClient, wire: Wire): Effect.Effect<void> =>
  Effect.scopedWith((scope) => {
    const over = Effect.flatMap(
      Effect.andThen(Stream.runDrain(upstream.states), upstream.state),
      (state): Effect.Effect<void> => {
        const cause = state._tag === "Stopped" ? state.cause : undefined
        return Effect.ignore(cause === undefined ? wire.close(1_001) : wire.close(stopped, whyOf(cause)))
      }
    )
    return Effect.raceFirst(Effect.raceFirst(new Relay(upstream, wire, scope).talk, Effect.asVoid(wire.closed)), over)
  })
