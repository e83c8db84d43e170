/**
 * `millrace connect --as socketio`: a person's client of Socket.IO. What is typed is said as an event, and each event that
 * comes is a line of JSON: see `socketIoLine`.
 */
import { OpenError } from "@millrace/core/connection/OpenError"
import * as Packet from "@millrace/core/interop/socketio/Packet"
import type * as SocketClient from "@millrace/core/interop/socketio/SocketClient"
import type * as Errors from "@millrace/core/interop/socketio/SocketClientError"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Flag from "effect/cli/Flag"
import * as NodeSocketIoClient from "../NodeSocketIoClient.ts"
import type * as NodeWebSocket from "../NodeWebSocket.ts"
import { Failure } from "./Failure.ts"
import { lines } from "./lines.ts"
import * as socketIoLine from "./socketIoLine.ts"
import * as words from "./words.ts"

/** To be spread among the flags of a command. */
export const flags = {
  namespace: Flag.String("namespace").pipe(
    Flag.withMetavar("name"),
    Flag.withDescription("The namespace to join, such as /admin. Default /. With --as socketio."),
    Flag.filterMap(
      (text) => (isNamespace(text) ? Option.some(text) : Option.none()),
      () => "a name that begins with / and has no comma and no question mark"
    ),
    Flag.optional
  ),
  auth: Flag.String("auth").pipe(
    Flag.withMetavar("json"),
    Flag.withDescription("What the server is to know of you, a JSON object. With --as socketio."),
    Flag.filterMap(
      (text) => Option.fromUndefinedOr(objectOf(text)),
      () => 'a JSON object, such as {"token":"123"}'
    ),
    Flag.optional
  ),
  transports: Flag.String("transports").pipe(
    Flag.withMetavar("names"),
    Flag.withDescription("What to go over, such as polling,websocket. Default websocket. With --as socketio."),
    Flag.filterMap(
      (text) => Option.fromUndefinedOr(transportsOf(text)),
      () => "polling or websocket, or both with a comma between them"
    ),
    Flag.optional
  )
}

function transportsOf(text: string): NodeSocketIoClient.Transports | undefined {
  const names = text.split(",")
  const isOnce = new Set(names).size === names.length
  const isKnown = names.every((name) => name === "polling" || name === "websocket")
  return isOnce && isKnown ? (names as unknown as NodeSocketIoClient.Transports) : undefined
}

function isNamespace(namespace: string): boolean {
  return Result.isSuccess(Packet.encode({ _tag: "Disconnect", namespace, query: undefined }))
}

type Payload = Readonly<Record<string, unknown>>

function objectOf(text: string): Payload | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Payload) : undefined
  } catch {
    return undefined
  }
}

/** What `flags` are read into. */
export interface Values {
  readonly namespace: Option.Option<string>
  readonly auth: Option.Option<Payload>
  readonly transports: Option.Option<NodeSocketIoClient.Transports>
}

/** The flag of these that was given; `undefined` for none. */
export const given = (values: Values): string | undefined => {
  const found = (["namespace", "auth", "transports"] as const).find((name) => Option.isSome<unknown>(values[name]))
  return found === undefined ? undefined : `--${found}`
}

/** Why there is no connection, or not any more, as a sentence. */
const sentenceOf = (url: string, namespace: string, cause: Errors.Cause): string => {
  const { error } = cause
  if (error instanceof OpenError) return words.unopened(url, error)
  switch (cause._tag) {
    case "NotOpened":
      return `cannot connect to ${url}: ${words.line(error instanceof Error ? error.message : String(error))}`
    case "Refused": {
      const { data, message } = cause.error
      const more = data === undefined ? "" : ` ${words.json(data)}`
      return `the server does not let us into ${namespace}: ${words.line(message)}${more}`
    }
    case "Ended":
      return words.line(cause.error.message)
  }
}

/** Whether the server has ended it in order: what plain WebSockets call an ordinary close. */
const isOrdinary = (cause: Errors.Cause): boolean =>
  cause._tag === "Ended" && cause.error._tag === "Lost" && cause.error.cause === undefined

/** The end of the client says itself why. */
const unsaid = ({ reason }: Errors.SocketClientError): Effect.Effect<void> => {
  switch (reason._tag) {
    case "Stopped":
      return Effect.void
    case "Late":
    case "Unanswered":
      return words.say(words.line(reason.message))
    default:
      return words.say(`not sent: ${words.line(reason.message)}`)
  }
}

/** Asks, and shows the answer. */
const ask = (socket: SocketClient.SocketClient, name: string, args: ReadonlyArray<unknown>) =>
  Effect.matchEffect(socket.ask(name, args), {
    onFailure: unsaid,
    onSuccess: (answer) => Console.log(words.json(socketIoLine.answer(name, answer)))
  })

/** Says what is typed until there is no more, and waits for the answers. */
const say = (socket: SocketClient.SocketClient, questions: Array<SocketClient.Event>) =>
  Effect.gen(function* () {
    const asking = yield* FiberSet.make<void>()
    yield* Stream.runForEach(lines, (text) => {
      const line = socketIoLine.read(text)
      if (Result.isFailure(line)) return words.say(`not sent: ${words.line(line.failure)}`)
      const { success } = line
      if (success === undefined) return Effect.void
      switch (success._tag) {
        case "Emit":
          return Effect.catch(socket.emit(success.name, ...success.args), unsaid)
        case "Ask":
          return Effect.asVoid(
            FiberSet.run(asking, ask(socket, success.name, success.args), { startImmediately: true })
          )
        case "Answer": {
          const question = questions.shift()
          return question === undefined
            ? words.say("not sent: the server has asked nothing")
            : Effect.catch(Effect.asVoid(question.reply(...success.args)), unsaid)
        }
      }
    })
    yield* FiberSet.awaitEmpty(asking)
  }).pipe(Effect.scoped)

/** The most questions of the server's that wait for an answer. The oldest are forgotten. */
const maxQuestions = 1_000

/** Shows what comes, a line each, and one write for all that came at once. */
const show = (socket: SocketClient.SocketClient, questions: Array<SocketClient.Event>) =>
  Stream.runForEachArray(socket.events, (events) => {
    const asked = events.filter(({ isAsked }) => isAsked)
    questions.push(...asked)
    questions.splice(0, questions.length - maxQuestions)
    const shown = Console.log(events.map(({ args, name }) => words.json(socketIoLine.event(name, args))).join("\n"))
    if (asked.length === 0) return shown
    const names = asked.map(({ name }) => JSON.stringify(name)).join(", ")
    return Effect.andThen(shown, words.say(words.line(`the server asks ${names}: answer with ! and values`)))
  })

/** Until either end has had enough. It does not come back: what was typed meanwhile would be said to somebody else. */
export const talk = (
  url: string,
  options: NodeWebSocket.Options,
  values: Values
): Effect.Effect<void, Failure, Scope.Scope> =>
  Effect.gen(function* () {
    const namespace = Option.getOrElse(values.namespace, () => "/")
    const socket = yield* NodeSocketIoClient.connect(url, {
      namespace,
      auth: Option.getOrUndefined(values.auth),
      again: () => "Stop",
      transports: Option.getOrUndefined(values.transports),
      webSocket: options
    })
    const questions: Array<SocketClient.Event> = []
    const talking = Effect.gen(function* () {
      const { id } = yield* socket.entered
      yield* words.say(`connected to ${url}, in ${namespace} as ${words.line(id)}; Ctrl-D ends it`)
      return yield* Effect.raceFirst(show(socket, questions), say(socket, questions))
    })
    yield* Effect.catch(talking, ({ reason }) => {
      const cause = reason._tag === "Stopped" ? reason.cause : undefined
      if (cause === undefined) return Effect.void
      const sentence = sentenceOf(url, namespace, cause)
      return isOrdinary(cause) ? words.say(sentence) : Effect.fail(new Failure({ sentence }))
    })
  })
