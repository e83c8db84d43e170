/**
 * A WebSocket as a member of its topics: messages are written with their positions, and notices in words of the hub's
 * protocol.
 */
import * as Effect from "effect/Effect"
import type { Prepared } from "../connection/Prepared.ts"
import * as Prepare from "../connection/Prepared.ts"
import type { WebSocket, Written } from "../connection/WebSocket.ts"
import * as HubEncoding from "./HubEncoding.ts"
import * as HubMessage from "./HubMessage.ts"
import type { Member, Notice } from "./Member.ts"
import type { Publication } from "./Publication.ts"

/** Shows others that a member is there: see `HubPresence`. */
export interface Shown {
  /** It was taken out of a topic, maybe into another, by somebody else. */
  readonly taken: (member: HubMember, from: string, to: string | undefined) => void
  /** It knows that it was moved into a topic. */
  readonly arrived: (member: HubMember, topic: string) => void
}

export class HubMember implements Member {
  readonly name: string
  readonly user: string | undefined
  /** The topics that it is in, or on its way into. */
  readonly topics = new Set<string>()
  private readonly connection: WebSocket
  private readonly makeId: () => string
  private made: string | undefined
  private hasLeft = false
  /** From when it is there for others first. */
  shown: Shown | undefined
  /** Notices that hold already, and are not written yet. */
  private unwritten: Set<Notice> | undefined

  constructor(connection: WebSocket, name: string, user: string | undefined, makeId: () => string) {
    this.connection = connection
    this.name = name
    this.user = user
    this.makeId = makeId
  }

  get wire(): string {
    return "native"
  }

  /** Made when it is first asked for: nobody can know it before. */
  get id(): string {
    return (this.made ??= this.makeId())
  }

  /** It is in no topic any more, and gets nothing. */
  leave(): void {
    this.hasLeft = true
    this.topics.clear()
  }

  tryWriteUnsafe(_message: Prepared, publication: Publication): Written {
    if (this.hasLeft) return "NotOpen"
    return this.connection.tryWriteUnsafe(publication.encodedBy(HubEncoding.withPosition)!)
  }

  /** Writes what is for this client alone, or is no publication. */
  sayUnsafe(message: Prepared): Written {
    return this.hasLeft ? "NotOpen" : this.connection.tryWriteUnsafe(message)
  }

  tellUnsafe(notice: Notice): Written {
    if (this.hasLeft) return "NotOpen"
    // Once: a client may have joined again by the time that there is room to tell it.
    if (this.unwritten?.has(notice) !== true) this.apply(notice)
    const written = this.connection.tryWriteUnsafe(Prepare.make(HubMessage.encode(HubEncoding.notice(notice))))
    if (written === "Full") (this.unwritten ??= new Set()).add(notice)
    else {
      this.unwritten?.delete(notice)
      if (notice._tag === "Moved") this.shown?.arrived(this, notice.to)
    }
    return written
  }

  get room(): Effect.Effect<void> {
    return this.connection.room
  }

  close(code: number, reason: string): Effect.Effect<unknown, unknown> {
    return this.connection.close(code, reason)
  }

  private apply(notice: Notice): void {
    if (notice._tag === "Kicked") {
      this.topics.delete(notice.topic)
      this.shown?.taken(this, notice.topic, undefined)
    }
    if (notice._tag === "Moved") {
      this.topics.delete(notice.from)
      this.topics.add(notice.to)
      this.shown?.taken(this, notice.from, notice.to)
    }
  }
}
