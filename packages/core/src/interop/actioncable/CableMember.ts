/**
 * One subscription as a member of its topics: what is published to them goes out in the words of Action Cable, made once
 * for all subscriptions with the same identifier.
 */
import type * as Effect from "effect/Effect"
import type { Member } from "../../cluster/Member.ts"
import type { Position } from "../../cluster/Position.ts"
import type { Encoding, Publication } from "../../cluster/Publication.ts"
import * as Prepared from "../../connection/Prepared.ts"
import type { WebSocket, Written } from "../../connection/WebSocket.ts"
import * as Content from "../Content.ts"

/** Bytes have no form: JSON has no word for them. */
const print = (publication: Publication, head: string, extended: boolean): Prepared.Prepared | undefined => {
  const content = Content.of(publication)
  if (content._tag === "Bytes") return undefined
  const { at, topic } = publication
  const place =
    extended && at !== undefined
      ? `,"stream_id":${JSON.stringify(topic)},"epoch":${JSON.stringify(at.epoch)},"offset":${at.offset}`
      : ""
  return Prepared.make(`${head}${content.data}${place}}`)
}

interface Shared {
  readonly encoding: Encoding<Prepared.Prepared>
  users: number
}

/** Encodings by the identifiers of the subscriptions that there are: those of many clients are the same. */
export class CableEncodings {
  private readonly extended: boolean
  private readonly shared = new Map<string, Shared>()

  constructor(extended: boolean) {
    this.extended = extended
  }

  get size(): number {
    return this.shared.size
  }

  /** Of as many who share it as have not released it. */
  use(identifier: string): Encoding<Prepared.Prepared> {
    const known = this.shared.get(identifier)
    if (known !== undefined) {
      known.users++
      return known.encoding
    }
    const head = `{"identifier":${JSON.stringify(identifier)},"message":`
    const encoding: Encoding<Prepared.Prepared> = {
      encode: (publication) => print(publication, head, this.extended)
    }
    this.shared.set(identifier, { encoding, users: 1 })
    return encoding
  }

  release(identifier: string): void {
    const known = this.shared.get(identifier)
    if (known !== undefined && --known.users === 0) this.shared.delete(identifier)
  }
}

/** What becomes of it, of which its wire has no words. */
export interface Fates {
  /** It was taken out of a topic. */
  readonly kicked: () => void
  /** It has missed something of a topic. */
  readonly gap: () => void
}

/** What a member was not told of one topic. */
export interface Held {
  /** Where the first of it begins. */
  readonly before: Position
  readonly last: Position
}

export class CableMember implements Member {
  readonly id: string
  readonly name: string
  readonly user: string | undefined
  private readonly connection: WebSocket
  private readonly encoding: Encoding<Prepared.Prepared>
  private readonly fates: Fates
  private hasLeft = false
  private held: Map<string, Held> | undefined
  private hasLost = false

  constructor(
    connection: WebSocket,
    client: { readonly id: string; readonly name: string; readonly user: string | undefined },
    encoding: Encoding<Prepared.Prepared>,
    fates: Fates
  ) {
    this.connection = connection
    this.id = client.id
    this.name = client.name
    this.user = client.user
    this.encoding = encoding
    this.fates = fates
  }

  get wire(): string {
    return "cable"
  }

  tryWriteUnsafe(_message: Prepared.Prepared, publication: Publication): Written {
    if (this.hasLeft) return "NotOpen"
    if (this.held !== undefined) {
      this.keep(this.held, publication)
      return "Written"
    }
    const prepared = publication.encodedBy(this.encoding)
    return prepared === undefined ? "Written" : this.connection.tryWriteUnsafe(prepared)
  }

  tellUnsafe(notice: Parameters<NonNullable<Member["tellUnsafe"]>>[0]): Written {
    if (this.hasLeft) return "NotOpen"
    if (notice._tag === "Kicked") this.fates.kicked()
    if (notice._tag === "Gap") this.fates.gap()
    return "Written"
  }

  get room(): Effect.Effect<void> {
    return this.connection.room
  }

  close(code: number, reason: string): Effect.Effect<unknown, unknown> {
    return this.connection.close(code, reason)
  }

  get isHeld(): boolean {
    return this.held !== undefined
  }

  /** From now on it is told nothing, and where that stands is kept: of each topic where it begins and ends. */
  hold(): void {
    this.held ??= new Map()
  }

  /** What it was not told since this was asked last: `Lost` when that cannot be looked up. It is still held. */
  takeHeld(): ReadonlyMap<string, Held> | "Lost" {
    const { held } = this
    if (this.hasLost) return "Lost"
    if (held !== undefined) this.held = new Map()
    return held ?? new Map<string, Held>()
  }

  release(): void {
    this.held = undefined
  }

  private keep(held: Map<string, Held>, { at, key, topic }: Publication): void {
    if (at === undefined) {
      // What was said while the broker was away gets its place later. What has no key never does.
      if (key !== undefined) this.hasLost = true
      return
    }
    const known = held.get(topic)
    if (known === undefined) {
      held.set(topic, { before: { epoch: at.epoch, offset: at.offset - 1 }, last: at })
    } else if (known.last.epoch === at.epoch) held.set(topic, { before: known.before, last: at })
    else this.hasLost = true
  }

  leave(): void {
    this.hasLeft = true
  }
}
