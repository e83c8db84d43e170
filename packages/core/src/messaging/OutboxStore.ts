/**
 * Commands that wait for a connection, kept so that they outlive their program, such as a page that is loaded again: they
 * are said by the next one, in order, before anything new.
 *
 *     const store = yield* IndexedDbOutboxStore.make({ name: "chat of ada" })
 *     const chat = yield* Client.make(Chat, wire, { outbox: { store } })
 *
 * A command is handed to a connection once at most. The storage is told before, and again behind it, so that one that was
 * on its way at the very moment of a crash is not said twice: it is given up, and counted. What a server has done with a
 * command nobody knows: for what has to be done once there are idempotent requests.
 *
 * Not in here: the storage, which a platform has.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type { Contract, MessageCoder } from "./Contract.ts"
import type { Conversation } from "./Conversation.ts"
import * as Identifier from "./Identifier.ts"
import type { Outbox, Say } from "./Outbox.ts"
import { OutboxFull, SessionError, Unencodable } from "./SessionError.ts"
import type { StoreError, StoreUnavailable } from "./StoreError.ts"

/** A command as it is kept. */
export interface Command {
  /** Its own among all. */
  readonly id: string
  /** The name and the version of its contract, and what the payload looks like on the wire: another does not say it. */
  readonly contract: string
  readonly version: string
  readonly signature: string
  readonly name: string
  /** As it is on the wire: JSON, in which a `Uint8Array` may stand. */
  readonly payload: unknown
}

/** One that an earlier life has left. */
export interface Left extends Command {
  /** Whether it was being handed to a connection when that life ended. */
  readonly isOnItsWay: boolean
}

/** Where commands are kept, for one client at a time. What it is told is done in order. */
export interface Storage {
  /** What is there, in the order in which it was kept. */
  readonly left: () => ReadonlyArray<Left>
  readonly keep: (command: Command) => Effect.Effect<void, StoreError>
  /** Whether one is on its way to a connection. */
  readonly mark: (id: string, isOnItsWay: boolean) => Effect.Effect<void, StoreUnavailable>
  /** It was handed to a connection, or given up. */
  readonly remove: (id: string) => Effect.Effect<void, StoreUnavailable>
}

/** What a client that comes back does with a store. */
export interface Keeper {
  /** As `Outbox.put`: succeeds when a connection or the storage has it. */
  readonly put: (coder: MessageCoder, payload: unknown, say: Say) => Effect.Effect<void, SessionError>
  /** Commands of earlier lives that are not said: those of another contract, and those that were on their way. */
  readonly dropped: number
}

/** An option of a client's outbox. Made by `make`, of a storage. */
export interface OutboxStore {
  /** Has the outbox say what is left, before all else: by `saying`, which notices when a connection is lost. */
  readonly open: (contract: Contract, outbox: Outbox, saying: (say: Say) => Say) => Keeper
}

const ignored = (effect: Effect.Effect<void, StoreUnavailable>): Effect.Effect<void> =>
  Effect.asVoid(Effect.forkDetach(Effect.ignore(effect), { startImmediately: true }))

/** One command, from when it is given until it was handed to a connection. */
class Entry {
  private readonly storage: Storage
  private readonly id: string
  private isKept: boolean
  private isBegun = false
  private isGivenUp = false
  /** Until it is known whether it is kept. */
  private keeping: Deferred.Deferred<void, StoreError> | undefined

  constructor(storage: Storage, id: string, isKept: boolean) {
    this.storage = storage
    this.id = id
    this.isKept = isKept
  }

  /** For the outbox. What fails, but for what cannot be said at all, comes back to it. */
  saying(say: Say, command: () => Result.Result<Command, SessionError>): Say {
    const passed = (conversation: Conversation) =>
      Effect.onExit(say(conversation), (exit) => {
        const error = Exit.findErrorOption(exit)
        const isUnsent = error._tag === "Some" && error.value.reason._tag !== "Unencodable"
        if (!isUnsent) return this.isKept ? ignored(this.storage.remove(this.id)) : Effect.void
        if (this.isKept) return Effect.ignore(this.storage.mark(this.id, false))
        const unsaid = command()
        // Where there is no room for it, it waits in memory, as it has begun to be said.
        return Result.isFailure(unsaid) ? Effect.void : Effect.ignore(this.keep(unsaid.success))
      })
    const said = (conversation: Conversation): Effect.Effect<void, SessionError> =>
      Effect.suspend(() => {
        if (this.keeping !== undefined) {
          return Effect.andThen(Effect.exit(Deferred.await(this.keeping)), () => said(conversation))
        }
        if (this.isGivenUp) return Effect.void
        this.isBegun = true
        if (!this.isKept) return passed(conversation)
        return Effect.matchEffect(this.storage.mark(this.id, true), {
          // Another client has the storage, and says it.
          onFailure: ({ inUse }) => (inUse ? Effect.void : passed(conversation)),
          onSuccess: () => passed(conversation)
        })
      })
    const dropped = Effect.suspend(() => {
      this.isGivenUp = true
      return this.isKept ? Effect.ignore(this.storage.remove(this.id)) : Effect.void
    })
    return Object.assign(said, { dropped })
  }

  /** When the outbox has it: keeps it, if it waits there. */
  held(command: () => Result.Result<Command, SessionError>): Effect.Effect<void, SessionError> {
    return Effect.suspend(() => {
      if (this.isBegun || this.isGivenUp) return Effect.void
      const waiting = command()
      if (Result.isFailure(waiting)) {
        this.isGivenUp = true
        return Effect.fail(waiting.failure)
      }
      return Effect.catch(this.keep(waiting.success), (error) => {
        const reason = error._tag === "StoreFull" ? new OutboxFull({ capacity: error.capacity }) : error
        return Effect.fail(new SessionError({ reason }))
      })
    })
  }

  /** In a fiber of its own: who gives a command and does not wait any more does not take it back. */
  private keep(command: Command): Effect.Effect<void, StoreError> {
    return Effect.suspend(() => {
      const keeping = Deferred.makeUnsafe<void, StoreError>()
      this.keeping = keeping
      const kept = Effect.onExit(this.storage.keep(command), (exit) => {
        this.keeping = undefined
        this.isKept = Exit.isSuccess(exit)
        // Who gave it is told that it is not.
        this.isGivenUp ||= !this.isKept && !this.isBegun
        Deferred.doneUnsafe(keeping, exit)
        // It was dropped meanwhile.
        return this.isKept && this.isGivenUp ? ignored(this.storage.remove(this.id)) : Effect.void
      })
      return Effect.andThen(Effect.forkDetach(kept, { startImmediately: true }), Deferred.await(keeping))
    })
  }
}

/** Of a storage that is there. */
export const make = (storage: Storage): OutboxStore => ({
  open: (contract, outbox, saying) => {
    let dropped = 0
    const commandOf = (id: string, { name, payload: coder }: MessageCoder, payload: unknown) =>
      Result.match(coder.encode(payload), {
        onFailure: (cause) => Result.fail(new SessionError({ reason: new Unencodable({ name, cause }) })),
        onSuccess: (wire): Result.Result<Command, SessionError> => {
          const { name: of, version } = contract
          return Result.succeed({ id, contract: of, version, signature: coder.signature(), name, payload: wire })
        }
      })
    /** How it is said: as it is, when it means what it has meant. */
    const coderFor = ({ contract: of, name, payload, signature, version }: Command): MessageCoder | undefined => {
      const coder = contract.says.client.get(name)
      if (of !== contract.name || version !== contract.version || coder?._tag !== "Message") return undefined
      const { payload: inner } = coder
      if (inner.signature() !== signature || Result.isFailure(inner.decode(payload))) return undefined
      return { ...coder, payload: { ...inner, encode: Result.succeed } }
    }
    for (const { isOnItsWay, ...command } of storage.left()) {
      const coder = isOnItsWay ? undefined : coderFor(command)
      if (coder === undefined) {
        dropped++
        outbox.restore(() => Effect.ignore(storage.remove(command.id)))
        continue
      }
      const say = saying((conversation) => conversation.emitBy(coder, command.payload))
      outbox.restore(new Entry(storage, command.id, true).saying(say, () => Result.succeed(command)))
    }
    return {
      put: (coder, payload, say) =>
        Effect.flatMap(Identifier.next, (id) => {
          const entry = new Entry(storage, id, false)
          const command = () => commandOf(id, coder, payload)
          return Effect.andThen(outbox.put(entry.saying(say, command)), () => entry.held(command))
        }),
      dropped
    }
  }
})
