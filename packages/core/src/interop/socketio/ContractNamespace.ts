/**
 * A contract as a namespace of Socket.IO, for clients that know nothing of contracts, with the handlers of its sessions:
 *
 *     const io = yield* SocketServer.make({ namespaces: { "/": ContractNamespace.of(Chat, handlers) } })
 *
 *     socket.emit("say", { text: "hi" })                            // a command
 *     const { ok, error } = await socket.emitWithAck("rename", "ada")  // a request
 *     socket.on("said", ({ from, text }) => ...)                    // an event
 *
 * An answer is one argument, an object with one of three words: see `ContractWire.Answer`. It is not `(error, value)`, as
 * `emitWithAck` of the client gives its caller the first argument alone.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type * as Contract from "../../messaging/Contract.ts"
import { coderOf } from "../../messaging/Conversation.ts"
import type * as Meeting from "../../messaging/Meeting.ts"
import type * as Session from "../../messaging/Session.ts"
import * as Errors from "../../messaging/SessionError.ts"
import * as ContractWire from "../ContractWire.ts"
import * as Packet from "./Packet.ts"
import * as Socket from "./Socket.ts"

/** What Socket.IO has no words for. */
type Missing<D extends Contract.Definition> = ContractWire.Parts<D, "serverStreams" | "streams">

type ReservedName = "connect" | "connect_error" | "disconnect" | "disconnecting" | "newListener" | "removeListener"

type Sayable<D extends Contract.Definition> = Contract.Contract<D> &
  ContractWire.Refuse<"Socket.IO has a meaning of its own for the name", ContractWire.Named<D, ReservedName>>

/** What a program has of a client: as much of a session as there is of it here. */
export type Peer<D extends Contract.Definition, Known = undefined> = ContractWire.Peer<D, Known> &
  Pick<Session.Server<Contract.Contract<D>, Known>, "request">

export interface Options<D extends Contract.Definition, Request, Known, R> {
  /** Where the credentials are in what the client says of itself. Default: in `auth.credentials`. */
  readonly credentials?: ((auth: Packet.Payload) => unknown) | undefined
  /** Finds out who it is, as for a session. Whoever is refused hears `connect_error` with the words of the refusal. */
  readonly authenticate?:
    | ((
        credentials: Session.CredentialsOf<Contract.Contract<D>>,
        socket: Socket.Socket<Request>
      ) => Effect.Effect<Known, Meeting.Refusal, R>)
    | undefined
  /** The rooms that it is in from the beginning: what is published to their topics it hears, see `ContractTopic`. */
  readonly rooms?: ReadonlyArray<string> | ((known: Known) => ReadonlyArray<string>) | undefined
}

const failWith = (reason: Errors.SessionError["reason"]) => Effect.fail(new Errors.SessionError({ reason }))

const gone = failWith(new Errors.Disconnected({ cause: undefined }))

const encode = (
  name: string,
  coder: Contract.MessageCoder | Contract.RequestCoder,
  payload: unknown
): Effect.Effect<unknown, Errors.SessionError> =>
  Result.match(coder.payload.encode(payload as never), {
    onFailure: (cause) => failWith(new Errors.Unencodable({ name, cause })),
    onSuccess: (wire) => Effect.succeed(wire)
  })

const unsendable = (name: string) => (cause: Packet.UnsendablePacket) =>
  failWith(new Errors.Unencodable({ name, cause }))

const unanswered = (name: string, timeout: Duration.Input) => (error: Socket.Unanswered) => {
  if (error.because === "Gone") return gone
  return error.because === "Late"
    ? failWith(new Errors.RequestTimeout({ name, timeout: Duration.toMillis(timeout) }))
    : failWith(new Errors.Failed({ name, code: "unavailable", detail: error.message }))
}

/** A socket as one end of a session; only what it asks and says goes over another wire. */
const peerOf = (
  { says: { server } }: Contract.Contract,
  socket: Socket.Socket<unknown>,
  known: unknown
): Peer<Contract.Definition, unknown> =>
  ({
    id: socket.id,
    known,
    emit: (name: string, payload?: unknown) =>
      Effect.suspend(() =>
        encode(name, coderOf(server, "Message", name), payload).pipe(
          Effect.flatMap((wire) => socket.emit(name, wire)),
          Effect.catchTags({ UnsendablePacket: unsendable(name), SocketClosed: () => gone })
        )
      ),
    request: (name: string, payload?: unknown, { timeout = Socket.defaultAskTimeout }: Session.RequestOptions = {}) =>
      Effect.suspend(() => {
        const coder = coderOf(server, "Request", name)
        return encode(name, coder, payload).pipe(
          Effect.flatMap((wire) => socket.ask(name, [wire], { timeout })),
          Effect.catchTags({ UnsendablePacket: unsendable(name), Unanswered: unanswered(name, timeout) }),
          Effect.flatMap(([answer]): Effect.Effect<unknown, unknown> => {
            const read = ContractWire.read(coder, answer)
            if (Result.isSuccess(read)) return Effect.fromResult(read.success)
            return failWith(new Errors.Undecodable({ name, cause: read.failure }))
          })
        )
      })
  }) as unknown as Peer<Contract.Definition, unknown>

const refuse = (detail: string, code: string) => Socket.refuse(detail === "" ? "refused" : detail, { code })

const checkNames = ({ says }: Contract.Contract): void => {
  for (const name of [...says.client.keys(), ...says.server.keys()]) {
    if (Packet.isReserved(name)) throw new TypeError(`Socket.IO has a meaning of its own for ${JSON.stringify(name)}`)
  }
}

type Choice<D extends Contract.Definition, Request, Known, R> = ContractWire.Choice<
  Missing<D>,
  Options<D, Request, Known, R>
>

/** Handlers that are made for each client, which may hold what is released when its socket is over. */
type Begin<D extends Contract.Definition, Request, Known, H, R> = (
  peer: Peer<D, Known>,
  socket: Socket.Socket<Request>
) => Effect.Effect<
  H & Session.NoOthers<H, Session.Handlers<Contract.ClientSays<D>>>,
  Meeting.Refusal | Socket.Refused,
  R | Scope.Scope
>

/**
 * A namespace in which the contract is spoken, whose handlers are made for each client: they know the `peer`, and may join
 * rooms of the `socket`. Throws a `TypeError` for a contract with a name that Socket.IO has a meaning for.
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
): Socket.Connect<Request, R | R2 | Session.Requirements<H>> => {
  checkNames(contract)
  const { authenticate, credentials = (auth) => auth["credentials"], rooms = [] } = options
  const connect: Socket.Connect<Request, unknown> = (socket) =>
    Effect.gen(function* () {
      const found = ContractWire.decode(contract.credentials, credentials(socket.auth))
      if (Result.isFailure(found)) return yield* refuse(found.failure.message, "invalid")
      const known =
        authenticate === undefined
          ? (undefined as Known)
          : yield* authenticate(found.success as Session.CredentialsOf<Contract.Contract<D>>, socket)
      for (const room of typeof rooms === "function" ? rooms(known) : rooms) yield* Effect.orDie(socket.join(room))
      const peer = peerOf(contract, socket, known) as unknown as Peer<D, Known>
      const handlers = ContractWire.byName(yield* begin(peer, socket))
      const hearing = { says: contract.says.client, handlers, hasBytes: true }
      const listen: Socket.Listener<unknown> = (args, { isAsked, name }) =>
        ContractWire.hear(hearing, name, args).pipe(
          Effect.tap((answer) => (isAsked ? Effect.void : ContractWire.unheard("Socket.IO", name, answer))),
          Effect.map((answer) => [answer])
        )
      return listen
    }).pipe(Effect.catchTag("Refusal", ({ detail }) => refuse(detail, "refused")))
  return connect as Socket.Connect<Request, R | R2 | Session.Requirements<H>>
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
): Socket.Connect<Request, R | Session.Requirements<H>> =>
  make<D, H, Request, Known, R, never>(contract, (options ?? {}) as never, () => Effect.succeed(handlers))
