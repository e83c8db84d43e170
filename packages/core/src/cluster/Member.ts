/**
 * Who gets what is published to a topic, and what else it is told.
 */
import type * as Effect from "effect/Effect"
import type { Prepared } from "../connection/Prepared.ts"
import type { Written } from "../connection/WebSocket.ts"
import type { Position } from "./Position.ts"
import type { Publication } from "./Publication.ts"

/** What a member is told beside publications, where its wire has words for it. */
export type Notice =
  /**
   * Something of the topics was not delivered, or may not have been. `from` is behind what it had, `to` behind what it did
   * not get; `undefined` where that is not known.
   */
  | {
      readonly _tag: "Gap"
      readonly topics: ReadonlyArray<string>
      readonly from: Position | undefined
      readonly to: Position | undefined
    }
  /** It has everything up to here: what was said while the broker was away has got its place. */
  | { readonly _tag: "Advanced"; readonly topic: string; readonly position: Position }
  /** It was taken out of a topic. */
  | { readonly _tag: "Kicked"; readonly topic: string; readonly reason: string }
  /** It was taken out of one topic and put into another, which it gets from this position on. */
  | { readonly _tag: "Moved"; readonly from: string; readonly to: string; readonly position: Position | undefined }

/** What of a topic could not be delivered. */
export type Gap = Extract<Notice, { readonly _tag: "Gap" }>

/** What a member must be able to do: any WebSocket can, and any event stream. */
export interface Member {
  /** By which it is left out, sent to, kicked or moved: no other member of any node has it. */
  readonly id?: string | undefined
  /** What it is called, for people. */
  readonly name?: string | undefined
  /** Who it belongs to: several members may belong to the same. */
  readonly user?: string | undefined
  /** In whose words it is told, where it is a client: `native`, `sse`, `cable` or `socketio`. */
  readonly wire?: string | undefined
  /**
   * Writes now or not at all, and tells which. `publication` is for whoever sends something else than the message as it
   * is: another encoding of it, or its position. Never suspends, never fails.
   */
  readonly tryWriteUnsafe: (message: Prepared, publication: Publication) => Written
  /** Tells it now or not at all. A member that has no words for notices goes without. */
  readonly tellUnsafe?: ((notice: Notice) => Written) | undefined
  /** Waits until there is room for another message, or never will be. Without it nothing is kept for a slow member. */
  readonly room?: Effect.Effect<void> | undefined
  /** Ends the connection, in its own time. The code is one of WebSocket's. */
  readonly close: (code: number, reason: string) => Effect.Effect<unknown, unknown>
}
