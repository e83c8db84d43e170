/**
 * How something gets into the log, and to the members of this node when it does not: what is on its way, what was
 * delivered without a place, and who waits for the broker.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Prepared from "../connection/Prepared.ts"
import type { Broker, Receipt } from "./Broker.ts"
import type { Message } from "../protocol/Message.ts"
import * as Life from "./Life.ts"
import type { Member } from "./Member.ts"
import * as Parcel from "./Parcel.ts"
import type { Position } from "./Position.ts"
import { Publication } from "./Publication.ts"
import { type Published, PublishError, type PublishOptions } from "./Published.ts"
import * as Spoken from "./Spoken.ts"
import type { Topics } from "./Topics.ts"

/** What becomes of a publication while the broker cannot be reached. Members of this node get it at once in either case. */
export type WhenDown =
  /** `publish` fails. */
  | { readonly _tag: "Fail" }
  /** `publish` waits for the broker to come back, and fails when that takes longer. */
  | { readonly _tag: "Wait"; readonly atMost: Duration.Input }

/** How long a broker is left alone that says it is there and takes nothing, in milliseconds. */
const pause = 100

/** A publication of this node that is on its way, and what became of it here. */
class Flight implements Parcel.Parcel {
  readonly message: Message
  readonly key: Parcel.Key | undefined
  readonly except: ReadonlyArray<string>
  /** Whose it is. A broker in one process hands on the very parcel, also to other hubs. */
  readonly owner: Publishing
  readonly topic: string
  prepared: Prepared.Prepared | undefined
  position: Position | undefined = undefined
  receivers = 0
  /** How many publish it at a time. */
  publishers = 0

  constructor(owner: Publishing, topic: string, prepared: Prepared.Prepared, { except = nobody, key }: PublishOptions) {
    this.owner = owner
    this.topic = topic
    this.message = prepared.message
    this.key = key
    this.except = except
    this.prepared = prepared
  }
}

const nobody: ReadonlyArray<string> = []

/** One for each hub. */
export class Publishing {
  /** What was delivered here so far, and how often. */
  publications = 0
  deliveries = 0
  private readonly broker: Broker["Service"]
  private readonly topics: Topics
  private readonly spoken: Spoken.Spoken
  private readonly whenDown: WhenDown
  private readonly clock: Clock.Clock
  /** What has no key of its own is known by this one: several hubs may stand on one broker. */
  private readonly producer: string
  private sequence = 0
  /** By key, where others are in between. */
  private readonly flights = new Map<string, Flight>()

  constructor(
    broker: Broker["Service"],
    topics: Topics,
    spoken: Spoken.Spoken,
    whenDown: WhenDown,
    clock: Clock.Clock
  ) {
    this.broker = broker
    this.topics = topics
    this.spoken = spoken
    this.whenDown = whenDown
    this.clock = clock
    this.producer = `${broker.node}.${Life.next(broker, clock.currentTimeMillisUnsafe())}`
  }

  /** Publications that are on their way to others. */
  get inFlight(): number {
    return this.flights.size
  }

  /** Writes what the broker delivers to the members of this node. */
  deliver(topic: string, parcel: Parcel.Parcel, position: Position): void {
    const flight = this.flightOf(topic, parcel)
    const publication = new Publication(topic, flight?.prepared ?? Prepared.make(parcel.message), position)
    const heard = parcel.key === undefined || this.spoken.isEmpty ? undefined : this.spoken.take(topic, parcel.key)
    if (heard !== undefined) this.topics.advance(topic, position, heard)
    const receivers = this.write(publication, leftOut(parcel.except, heard))
    if (flight === undefined) return
    flight.position = position
    flight.receivers = receivers
  }

  private flightOf(topic: string, parcel: Parcel.Parcel): Flight | undefined {
    if (parcel instanceof Flight) return parcel.owner === this ? parcel : undefined
    if (parcel.key === undefined || this.flights.size === 0) return undefined
    const flight = this.flights.get(Spoken.nameOf(parcel.key))
    // Clients choose keys, and may choose somebody else's: what has the same is not the same for that.
    return flight?.topic === topic && isSame(flight.message, parcel.message) ? flight : undefined
  }

  publish(topic: string, prepared: Prepared.Prepared, options: PublishOptions): Effect.Effect<Published, PublishError> {
    return this.topics.behind === 0
      ? this.fly(topic, prepared, options)
      : Effect.flatMap(this.topics.settled(topic), () => this.fly(topic, prepared, options))
  }

  private fly(topic: string, prepared: Prepared.Prepared, options: PublishOptions) {
    const { broker, flights } = this
    if (broker.isLocal) {
      const flight = new Flight(this, topic, prepared, options)
      return this.place(topic, flight, flight)
    }
    const key = options.key ?? { producer: this.producer, epoch: 0, sequence: this.sequence++ }
    const name = Spoken.nameOf(key)
    const flight = flights.get(name) ?? new Flight(this, topic, prepared, { ...options, key })
    flight.publishers++
    flights.set(name, flight)
    const parcel = Parcel.make(prepared.message, key, options.except)
    return Effect.ensuring(
      this.orSpeak(topic, parcel, prepared, flight),
      Effect.sync(() => {
        if (--flight.publishers === 0) flights.delete(name)
      })
    )
  }

  private place(topic: string, parcel: Parcel.Parcel, flight: Flight): Effect.Effect<Published, PublishError> {
    return Effect.matchEffect(this.broker.publish(topic, parcel), {
      onFailure: ({ reason }) => Effect.fail(new PublishError({ reason, receivers: 0 })),
      onSuccess: (receipt) => {
        // The log may keep the parcel, but need not keep its frames.
        if (parcel === flight) flight.prepared = undefined
        return Effect.succeed(this.publishedOf(topic, receipt, flight))
      }
    })
  }

  private publishedOf(topic: string, { position, repeated }: Receipt, flight: Flight): Published {
    const receivers = repeated ? 0 : flight.position === undefined ? this.topics.count(topic) : flight.receivers
    return { position, repeated, receivers }
  }

  /** While the broker cannot be reached, members of this node get it all the same. */
  private orSpeak(
    topic: string,
    parcel: Parcel.Parcel,
    prepared: Prepared.Prepared,
    flight: Flight
  ): Effect.Effect<Published, PublishError> {
    const published = this.place(topic, parcel, flight)
    return Effect.catch(published, (error) => {
      if (error.reason._tag !== "Unavailable") return Effect.fail(error)
      const seen = seenOf(flight)
      if (seen !== undefined) return seen
      const receivers = this.speak(topic, parcel, prepared)
      const { whenDown } = this
      return whenDown._tag === "Fail"
        ? Effect.fail(new PublishError({ reason: error.reason, receivers }))
        : Effect.mapBoth(this.again(published, flight, error, Duration.toMillis(whenDown.atMost)), {
            onFailure: ({ reason }) => new PublishError({ reason, receivers }),
            onSuccess: (value) => ({ ...value, receivers })
          })
    })
  }

  /** Once: who publishes again what could not be placed has nobody hear it twice. */
  private speak(topic: string, parcel: Parcel.Parcel, prepared: Prepared.Prepared): number {
    const key = parcel.key!
    if (this.spoken.has(key)) return 0
    // Before it is delivered: who comes in by that has not had it.
    this.spoken.add(topic, key)
    const publication = new Publication(topic, prepared, undefined, Spoken.nameOf(key))
    return this.write(publication, leftOut(parcel.except))
  }

  private write(publication: Publication, isLeftOut: ((member: Member) => boolean) | undefined): number {
    const receivers = this.topics.publish(publication, isLeftOut)
    this.publications++
    this.deliveries += receivers
    return receivers
  }

  private again(
    published: Effect.Effect<Published, PublishError>,
    flight: Flight,
    error: PublishError,
    left: number
  ): Effect.Effect<Published, PublishError> {
    const deadline = this.clock.currentTimeMillisUnsafe() + left
    const leftNow = () => deadline - this.clock.currentTimeMillisUnsafe()
    const orElse = (last: PublishError) => (last.reason._tag === "Unavailable" ? next(last) : Effect.fail(last))
    const next = (last: PublishError): Effect.Effect<Published, PublishError> =>
      Effect.suspend(() => {
        const seen = seenOf(flight)
        if (seen !== undefined) return seen
        if (leftNow() <= 0) return Effect.fail(last)
        const up = Effect.timeoutOrElse(isUp(this.broker), { duration: leftNow(), orElse: () => Effect.fail(last) })
        const waited = Effect.andThen(Effect.sleep(Math.min(pause, leftNow())), up)
        return Effect.andThen(waited, Effect.catch(published, orElse))
      })
    return next(error)
  }
}

const isSame = (one: Message, other: Message): boolean => {
  if (one._tag !== other._tag || one.length !== other.length) return false
  const [mine, its] = [one.bytes, other.bytes]
  return mine.every((byte, at) => byte === its[at])
}

/** Its acknowledgement was lost, and it was delivered: it is in the log. */
const seenOf = ({ position, receivers }: Flight): Effect.Effect<Published> | undefined =>
  position && Effect.succeed({ position, receivers, repeated: false })

/** Succeeds when the broker can be reached. */
const isUp = (broker: Broker["Service"]): Effect.Effect<void> =>
  broker.statuses.pipe(
    Stream.filter((status) => status._tag === "Up"),
    Stream.take(1),
    Stream.runDrain
  )

/** Who does not get a publication; `undefined` when everybody does. */
const leftOut = (
  except: ReadonlyArray<string>,
  heard?: (member: Member) => boolean
): ((member: Member) => boolean) | undefined => {
  if (except.length === 0) return heard
  const names = new Set(except)
  return (member) => heard?.(member) === true || (member.id !== undefined && names.has(member.id))
}
