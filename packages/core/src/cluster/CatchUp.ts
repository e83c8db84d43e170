/**
 * How a member gets what it missed and then what is published, without a hole between the two and nothing twice: what is
 * published meanwhile is kept for it, as far as the bound allows, and read from the log where it does not.
 */
import * as Effect from "effect/Effect"
import * as Prepared from "../connection/Prepared.ts"
import type { Written } from "../connection/WebSocket.ts"
import type { Broker } from "./Broker.ts"
import type { BrokerError } from "./BrokerError.ts"
import type { Entry } from "./History.ts"
import type { Gap, Member, Notice } from "./Member.ts"
import type { Parcel } from "./Parcel.ts"
import type { Position } from "./Position.ts"
import { Publication } from "./Publication.ts"

/** What is kept for a member that is catching up. */
export const maxKept = 1_024

/** Stands in its topics for a member that is catching up. */
export class StandIn implements Member {
  readonly id: string | undefined
  readonly user: string | undefined
  private items: Array<Publication | Notice> = []
  private hasOverflowed = false

  constructor({ id, user }: Member) {
    this.id = id
    this.user = user
  }

  tryWriteUnsafe(_message: Prepared.Prepared, publication: Publication): Written {
    return this.keep(publication)
  }

  tellUnsafe(notice: Notice): Written {
    return this.keep(notice)
  }

  close(): Effect.Effect<void> {
    return Effect.void
  }

  private keep(item: Publication | Notice): Written {
    if (this.items.length < maxKept) this.items.push(item)
    else this.hasOverflowed = true
    return "Written"
  }

  get isEmpty(): boolean {
    return this.items.length === 0
  }

  /** All that was kept; `undefined` when that is not all there was. */
  take(): ReadonlyArray<Publication | Notice> | undefined {
    const { hasOverflowed, items } = this
    this.items = []
    this.hasOverflowed = false
    return hasOverflowed ? undefined : items
  }
}

/** Publications that were read from the log, so that those that many ask for are encoded once. */
export class Replays {
  private readonly publications = new Map<string, Publication>()

  of({ offset, topic, value }: Entry<Parcel>, epoch: string): Publication {
    const name = `${epoch}:${offset}`
    const known = this.publications.get(name)
    if (known?.topic === topic) return known
    const made = new Publication(topic, Prepared.make(value.message), { epoch, offset })
    this.publications.set(name, made)
    if (this.publications.size > maxKept) this.publications.delete(this.publications.keys().next().value!)
    return made
  }
}

/** Writes as the member has room. Succeeds with `false` when it has gone. */
const write = (member: Member, item: Publication | Notice): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    const written =
      item instanceof Publication ? member.tryWriteUnsafe(item.message, item) : (member.tellUnsafe?.(item) ?? "Written")
    if (written !== "Full") return Effect.succeed(written === "Written")
    // Without `room` nobody says when: it goes without.
    return member.room === undefined
      ? Effect.succeed(true)
      : Effect.flatMap(member.room, () => Effect.andThen(Effect.yieldNow, write(member, item)))
  })

const writeAll = (member: Member, items: Iterable<Publication | Notice>): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    for (const item of items) if (!(yield* write(member, item))) return false
    return true
  })

/**
 * Writes to the member what was published to the topics behind a position, in order, then what its stand-in has kept,
 * until there is no more. Succeeds in the same turn in which that is found, so that the member can take its own place;
 * with `false` when the member has gone.
 */
export const run = (
  broker: Broker["Service"],
  replays: Replays,
  topics: ReadonlyArray<string>,
  member: Member,
  standIn: StandIn,
  since: Position | undefined,
  wants: (publication: Publication) => boolean
): Effect.Effect<boolean, BrokerError> =>
  Effect.gen(function* () {
    let from = since
    for (;;) {
      const missed = yield* broker.since(topics, from)
      const { epoch } = missed.to
      const first = missed.entries[0]
      const to = first === undefined ? missed.to : { epoch, offset: first.offset - 1 }
      const gap: Gap = { _tag: "Gap", topics: missed.gap, from, to }
      if (missed.gap.length > 0 && !(yield* write(member, gap))) return false
      const entries = missed.entries.map((entry) => replays.of(entry, epoch)).filter(wants)
      if (!(yield* writeAll(member, entries))) return false
      from = missed.to
      for (let kept = standIn.take(); kept !== undefined; kept = standIn.take()) {
        const { offset } = missed.to
        const isNews = (item: Publication | Notice) =>
          !(item instanceof Publication) ||
          (wants(item) && (item.at === undefined || item.at.epoch !== epoch || item.at.offset > offset))
        if (!(yield* writeAll(member, kept.filter(isNews)))) return false
        const last = kept.findLast((item) => item instanceof Publication && item.at !== undefined)
        if (last instanceof Publication) from = last.at
        if (standIn.isEmpty) return true
      }
    }
  })
