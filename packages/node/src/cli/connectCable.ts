/**
 * `millrace connect --as cable`: a person's client of Action Cable, of one channel. A JSON object that is typed calls an
 * action of it, the one that it names in `action`; each message that comes is a line of JSON.
 */
import * as CableClient from "@millrace/core/interop/actioncable/CableClient"
import { type CableClientError, type Cause, Dismissed } from "@millrace/core/interop/actioncable/CableClientError"
import { OpenError } from "@millrace/core/connection/OpenError"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Flag from "effect/cli/Flag"
import * as NodeWebSocket from "../NodeWebSocket.ts"
import { Failure } from "./Failure.ts"
import { lines } from "./lines.ts"
import * as words from "./words.ts"

/** To be spread among the flags of a command. */
export const flags = {
  channel: Flag.String("channel").pipe(
    Flag.withMetavar("name"),
    Flag.withDescription("The channel to subscribe to, such as ChatChannel. With --as cable."),
    Flag.optional
  ),
  params: Flag.String("params").pipe(
    Flag.withMetavar("json"),
    Flag.withDescription("Its parameters, a JSON object. With --as cable."),
    Flag.filterMap(
      (text) => Option.fromUndefinedOr(objectOf(text)),
      () => 'a JSON object, such as {"room":1}'
    ),
    Flag.optional
  )
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
  readonly channel: Option.Option<string>
  readonly params: Option.Option<Payload>
}

/** The flag of these that was given; `undefined` for none. */
export const given = ({ channel, params }: Values): string | undefined =>
  Option.isSome(channel) ? "--channel" : Option.isSome(params) ? "--params" : undefined

/** Why there is no connection, or not any more, as a sentence. */
const sentenceOf = (url: string, { _tag, error }: Cause): string => {
  if (error instanceof OpenError) return words.unopened(url, error)
  if (error === undefined) return "closed by the server"
  const message = words.line(error instanceof Error ? error.message : String(error))
  return _tag === "NotOpened" ? `cannot connect to ${url}: ${message}` : message
}

/** Whether the server has ended it in order, and not because of who this is. */
const isOrdinary = ({ _tag, error }: Cause): boolean =>
  _tag === "Ended" && (error === undefined || (error instanceof Dismissed && error.reconnect))

/** What is no message goes to standard error. */
const show = (element: CableClient.Element): Effect.Effect<void> => {
  switch (element._tag) {
    case "Message":
      return Console.log(words.json(element.data))
    case "Gap":
      return words.say("something may be missing here")
    case "Joined":
      return words.say(words.line(`${element.id} has come`))
    case "Left":
      return words.say(words.line(`${element.id} has gone`))
  }
}

/** Calls an action for each line. */
const say = ({ perform }: CableClient.Subscription): Effect.Effect<void, CableClientError> =>
  Stream.runForEach(lines, (text) => {
    if (text.trim() === "") return Effect.void
    const typed = objectOf(text)
    if (typed === undefined) return words.say(words.line(`not sent: this is not a JSON object: ${text}`))
    const { action = "receive", ...data } = typed
    if (typeof action !== "string") return words.say("not sent: the name of an action is a string")
    return Effect.catch(perform(action, data), (error) =>
      error.reason._tag === "UnsendableValue" ? words.say(`not sent: ${words.line(error.message)}`) : Effect.fail(error)
    )
  })

/** Until either end has had enough. It does not come back: what was said meanwhile would be missing, unseen. */
export const talk = (
  url: string,
  options: NodeWebSocket.Options,
  { channel, params }: Values
): Effect.Effect<void, Failure, Scope.Scope> =>
  Effect.gen(function* () {
    if (Option.isNone(channel)) return yield* new Failure({ sentence: "--as cable needs a --channel" })
    const { value: name } = channel
    const open = NodeWebSocket.open(url, { ...options, ...CableClient.offer })
    const cable = yield* CableClient.make(open, { again: () => "Stop" })
    const talking = Effect.gen(function* () {
      const subscription = yield* cable.subscribe(
        name,
        Option.getOrElse(params, () => ({}))
      )
      yield* words.say(`connected to ${url}, in ${words.line(subscription.identifier)}; Ctrl-D ends it`)
      yield* Effect.raceFirst(Stream.runForEach(subscription.messages, show), say(subscription))
    })
    yield* Effect.catch(talking, ({ message, reason }) => {
      if (reason._tag !== "Stopped") return Effect.fail(new Failure({ sentence: words.line(message) }))
      const { cause } = reason
      if (cause === undefined) return Effect.void
      const sentence = sentenceOf(url, cause)
      return isOrdinary(cause) ? words.say(sentence) : Effect.fail(new Failure({ sentence }))
    })
  })
