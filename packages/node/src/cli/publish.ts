/**
 * `millrace publish`: one message, or one for each line of standard input, to a topic of a hub.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { Failure } from "./Failure.ts"
import * as flags from "./flags.ts"
import { lines } from "./lines.ts"
import * as words from "./words.ts"

/** Where the hub at that address takes publications: beside its WebSocket and its page. `undefined` for no address. */
export const addressOf = (url: string): string | undefined => {
  if (!URL.canParse(url)) return undefined
  const address = new URL(url)
  if (!/^(https?|wss?):$/.test(address.protocol)) return undefined
  // Its own setter does not go from one kind of scheme to another everywhere.
  const path = address.pathname.replace(/\/(?:ws|publish)?$/, "")
  return `${address.protocol.replace("ws", "http")}//${address.host}${path}/publish`
}

/** A JSON text as it is; anything else is a string. */
export const dataOf = (message: string): string => {
  try {
    JSON.parse(message)
    return message
  } catch {
    return JSON.stringify(message)
  }
}

interface Answer {
  readonly receivers?: number
  readonly position?: string
  readonly repeated?: boolean
  readonly error?: { readonly code: string; readonly message: string; readonly receivers?: number }
}

/** What is sent, and how. */
interface Options {
  readonly address: string
  readonly topic: string
  readonly token: string | undefined
  readonly producer: string | undefined
}

const counted = (receivers: number): string => `${receivers} receiver${receivers === 1 ? "" : "s"}`

/** What a hub says to one that it took, on one line. */
const taken = ({ position = "-", receivers = 0, repeated }: Answer): string =>
  words.line(`${position} ${repeated === true ? "published before" : counted(receivers)}`)

const failure = (sentence: string): Failure => new Failure({ sentence })

const refused = (status: number, text: string): Failure => {
  let error: Answer["error"]
  try {
    error = (JSON.parse(text) as Answer).error
  } catch {
    // Whoever answered is no hub.
  }
  if (error === undefined) {
    return failure(words.refusal({ message: `the server answered ${status}`, text }))
  }
  const some = error.receivers === undefined ? "" : `; ${counted(error.receivers)} of that node had it all the same`
  return failure(words.line(`not published: ${error.message} (${error.code})${some}`))
}

/** Publishes one; `sequence` is how many came before it. */
const publishOne = (
  { address, producer, token, topic }: Options,
  message: string,
  sequence: number
): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    const key = producer === undefined ? "" : `,"key":${JSON.stringify({ producer, epoch: 0, sequence })}`
    const answer = yield* Effect.tryPromise({
      try: async (signal) => {
        const response = await fetch(address, {
          method: "POST",
          body: `{"topic":${JSON.stringify(topic)},"data":${dataOf(message)}${key}}`,
          headers: {
            "Content-Type": "application/json",
            ...(token !== undefined && { Authorization: `Bearer ${token}` })
          },
          // What is published is not for whoever the hub sends us to.
          redirect: "manual",
          signal
        })
        return { status: response.status, text: await response.text() }
      },
      catch: (error) => failure(words.unreachable(address, (error as Error).cause ?? error))
    })
    if (answer.status !== 200) return yield* refused(answer.status, answer.text)
    const said = yield* Effect.try({
      try: () => JSON.parse(answer.text) as Answer,
      catch: () => failure(`there is no hub at ${address}: the answer is not JSON`)
    })
    yield* Console.log(taken(said))
  })

export const publish = Command.make(
  "publish",
  {
    url: Argument.String("url").pipe(Argument.withDescription("Of the hub: http:, https:, ws: or wss:")),
    topic: Argument.String("topic").pipe(Argument.withDescription("Where it is published")),
    message: Argument.String("message").pipe(
      Argument.withDescription("JSON, or else a text; - for each line of standard input")
    ),
    key: Flag.String("key").pipe(
      Flag.withMetavar("text"),
      Flag.withDescription(
        "Publish it once, however often the command is run with this key. Lines are told apart by their number."
      ),
      Flag.optional
    ),
    token: flags.token("The token of the hub, if it wants one.")
  },
  ({ key, message, token, topic, url }) =>
    Effect.gen(function* () {
      const address = addressOf(url)
      if (address === undefined) return yield* failure(`"${words.line(url)}" is no address of a hub`)
      const options = { address, topic, token: Option.getOrUndefined(token), producer: Option.getOrUndefined(key) }
      if (message !== "-") return yield* publishOne(options, message, 0)
      let sequence = 0
      yield* Stream.runForEach(lines, (line) =>
        Effect.mapError(publishOne(options, line, sequence++), ({ sentence }) =>
          failure(`line ${sequence}: ${sentence}`)
        )
      )
    })
).pipe(
  Command.withDescription(
    "Publish a message to a topic of a hub. What is JSON is sent as it is, anything else as a string. " +
      "Shows the position of each message, and to how many connections of that node it was written. " +
      "The exit code is 0 when all were published, and 1 with the first that was not."
  ),
  Command.withShortDescription("Publish to a topic of a hub"),
  Command.withExamples([
    { command: `millrace publish http://localhost:8080 lobby '{"text": "hello"}'`, description: "JSON" },
    { command: "millrace publish ws://localhost:8080/ws lobby 'tea is ready'", description: "A text" },
    {
      command: "millrace publish https://hub.example.com orders - --key import-7 --token s3cret < orders.jsonl",
      description: "Each line once, also when it is run again after it broke off"
    }
  ])
)
