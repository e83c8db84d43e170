/**
 * A contract as a channel of Action Cable, for clients that know nothing of contracts, with the handlers of its sessions:
 *
 *     const cable = yield* CableServer.make({ channels: { Chat: ContractChannel.of(Chat, handlers, { topics: ["lobby"] }) } })
 *
 *     subscription.perform("say", { payload: { text: "hi" } })         // a command
 *     subscription.perform("rename", { id: 1, payload: "ada" })        // a request
 *     received({ id: 1, ok: null })                                    // its answer: ok, error or fail
 *     received(["said", { from: "ada", text: "hi" }])                  // an event
 *
 * Action Cable has no answers, so whoever wants one gives an `id`, and hears it again beside the answer: see
 * `ContractWire.Answer`. An event is an array, as what is published to a topic by `ContractTopic`.
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Contract from "../../messaging/Contract.ts"
import { coderOf } from "../../messaging/Conversation.ts"
import type * as Meeting from "../../messaging/Meeting.ts"
import type * as Session from "../../messaging/Session.ts"
import { Disconnected, SessionError, Unencodable } from "../../messaging/SessionError.ts"
import * as ContractWire from "../ContractWire.ts"
import * as Channel from "./Channel.ts"
import type * as Packet from "./Packet.ts"

/** What Action Cable has no words for. */
type Missing<D extends Contract.Definition> = ContractWire.Parts<D, "serverRequests" | "serverStreams" | "streams">

type Sayable<D extends Contract.Definition> = Contract.Contract<D> &
  ContractWire.Refuse<"Action Cable has no bytes, which are in", ContractWire.WithBytes<D>>

export type Peer<D extends Contract.Definition, Known = undefined> = ContractWire.Peer<D, Known>

export interface Options<D extends Contract.Definition, Request, Known, R> {
  /** Where the credentials are in what stands beside `channel`. Default: in `credentials`. */
  readonly credentials?: ((params: Packet.Payload) => unknown) | undefined
  /** Finds out who it is, as for a session. The subscription of whoever is refused is rejected, without a word. */
  readonly authenticate?:
    | ((
        credentials: Session.CredentialsOf<Contract.Contract<D>>,
        subscribing: Channel.Subscribing<Request>
      ) => Effect.Effect<Known, Meeting.Refusal, R>)
    | undefined
  /** What is published to these topics of the hub is transmitted: see `ContractTopic`. */
  readonly topics?:
    | ReadonlyArray<string>
    | ((known: Known, subscribing: Channel.Subscribing<Request>) => ReadonlyArray<string>)
    | undefined
  /** Actions of a subscription that wait for the one before; then the client is not read. Default 8. */
  readonly maxWaiting?: number | undefined
  /** Answers and events of a subscription that wait to be sent; then who says more waits. Default 64. */
  readonly maxUnsent?: number | undefined
}

export const defaults = { maxWaiting: 8, maxUnsent: 64 } as const

/** Longest id of a request, in UTF-16 units, where it is a string. */
export const maxIdLength = 64

const isId = (id: unknown): id is number | string =>
  typeof id === "string" ? id.length <= maxIdLength : Number.isSafeInteger(id)

interface Action {
  readonly name: string
  readonly data: Packet.Payload
}

/** What is transmitted to a subscription, in order; what is said before the client is in waits without a bound. */
interface Saying {
  /** `false` when it is over. */
  readonly say: (value: unknown) => Effect.Effect<boolean>
  readonly transmissions: Stream.Stream<unknown>
}

const makeSaying = (capacity: number): Effect.Effect<Saying, never, Scope.Scope> =>
  Effect.map(Effect.acquireRelease(Queue.bounded<unknown>(capacity), Queue.shutdown), (unsent) => {
    let early: Array<unknown> | undefined = []
    return {
      say: (value) =>
        Effect.suspend(() => {
          if (early === undefined) return Queue.offer(unsent, value)
          early.push(value)
          return Effect.succeed(true)
        }),
      transmissions: Stream.suspend(() => {
        const first = early ?? []
        early = undefined
        return Stream.concat(Stream.fromIterable(first), Stream.fromQueue(unsent))
      }).pipe(
        // Nobody is to wait for a client that cannot be written to.
        Stream.ensuring(Queue.shutdown(unsent))
      )
    }
  })

const failWith = (reason: SessionError["reason"]) => Effect.fail(new SessionError({ reason }))

const peerOf = (
  { says: { server } }: Contract.Contract,
  { id }: Channel.Subscribing["client"],
  known: unknown,
  say: Saying["say"]
): Peer<Contract.Definition, unknown> =>
  ({
    id,
    known,
    emit: (name: string, payload?: unknown) =>
      Effect.suspend((): Effect.Effect<void, SessionError> => {
        const wire = coderOf(server, "Message", name).payload.encode(payload as never)
        if (Result.isFailure(wire)) return failWith(new Unencodable({ name, cause: wire.failure }))
        const event = [name, wire.success]
        const cause = ContractWire.whyNot(event, false)
        if (cause !== undefined) return failWith(new Unencodable({ name, cause }))
        return Effect.flatMap(say(event), (isSaid) =>
          isSaid ? Effect.void : failWith(new Disconnected({ cause: undefined }))
        )
      })
  }) as unknown as Peer<Contract.Definition, unknown>

type Choice<D extends Contract.Definition, Request, Known, R> = ContractWire.Choice<
  Missing<D>,
  Options<D, Request, Known, R>
>

/** Handlers that are made for each subscription, which may hold what is released when that is over. */
type Begin<D extends Contract.Definition, Request, Known, H, R> = (
  peer: Peer<D, Known>,
  subscribing: Channel.Subscribing<Request>
) => Effect.Effect<
  H & Session.NoOthers<H, Session.Handlers<Contract.ClientSays<D>>>,
  Channel.Rejected | Meeting.Refusal,
  R | Scope.Scope
>

/**
 * A channel in which the contract is spoken, whose handlers are made for each subscription and know the `peer`. Actions
 * of a subscription are dealt with one after the other; when it is over the one that is going on is interrupted, and what
 * waits is not begun.
 */
export const make = <
  D extends Contract.Definition,
  H extends ContractWire.Handlers<D>,
  Request = unknown,
  Known = undefined,
  R = never,
  R2 = never
>(
  contract: Sayable<D>,
  options: Options<D, Request, Known, R> & ContractWire.LeaveOut<Missing<D>>,
  begin: Begin<D, Request, Known, H, R2>
): Channel.Channel<Request, R | R2 | Session.Requirements<H>> => {
  const { authenticate, credentials = (params) => params["credentials"], topics = [] } = options
  const { maxUnsent = defaults.maxUnsent, maxWaiting = defaults.maxWaiting } = options
  const channel: Channel.Channel<Request, unknown> = (subscribing) =>
    Effect.gen(function* () {
      const found = ContractWire.decode(contract.credentials, credentials(subscribing.params))
      if (Result.isFailure(found)) return yield* Channel.reject
      const known =
        authenticate === undefined
          ? (undefined as Known)
          : yield* authenticate(found.success as Session.CredentialsOf<Contract.Contract<D>>, subscribing)
      const { say, transmissions } = yield* makeSaying(maxUnsent)
      const peer = peerOf(contract, subscribing.client, known, say) as unknown as Peer<D, Known>
      const handlers = ContractWire.byName(yield* begin(peer, subscribing))
      const hearing = { says: contract.says.client, handlers, hasBytes: false }
      const waiting = yield* Effect.acquireRelease(Queue.bounded<Action>(maxWaiting), Queue.shutdown)

      const deal = ({ data, name }: Action) =>
        Effect.gen(function* () {
          const { id, payload } = data
          if (id !== undefined && !isId(id)) return yield* Effect.logDebug("Action Cable: an id that is none")
          const answer = yield* ContractWire.hear(hearing, name, [payload])
          yield* id === undefined ? ContractWire.unheard("Action Cable", name, answer) : say({ id, ...answer })
        })
      // Beside the client's other words, so that its going is noticed, which interrupts what it has asked.
      yield* Effect.forkScoped(Effect.forever(Effect.flatMap(Queue.take(waiting), deal)))

      return {
        topics: typeof topics === "function" ? topics(known, subscribing) : topics,
        transmissions,
        perform: (name, data) => Queue.offer(waiting, { name, data })
      } satisfies Channel.Subscription<unknown>
    }).pipe(Effect.catchTag("Refusal", () => Channel.reject))
  return channel as Channel.Channel<Request, R | R2 | Session.Requirements<H>>
}

/** The same with handlers that know nothing of who says something. */
export const of = <
  D extends Contract.Definition,
  H extends ContractWire.Handlers<D>,
  Request = unknown,
  Known = undefined,
  R = never
>(
  contract: Sayable<D>,
  handlers: H & Session.NoOthers<H, Session.Handlers<Contract.ClientSays<D>>>,
  ...[options]: Choice<D, Request, Known, R>
): Channel.Channel<Request, R | Session.Requirements<H>> =>
  make<D, H, Request, Known, R, never>(contract, (options ?? {}) as never, () => Effect.succeed(handlers))
