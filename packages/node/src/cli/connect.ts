/**
 * `millrace connect`: a person's client. What is typed is sent, what comes is shown, a line each.
 *
 * Standard output has the messages and nothing else; what the command has to say goes to standard error.
 */
import { createInterface } from "node:readline"
import * as CloseCode from "@millrace/core/codec/CloseCode"
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import type { WebSocketError } from "@millrace/core/connection/WebSocketError"
import * as Message from "@millrace/core/protocol/Message"
import type { Closed } from "@millrace/core/protocol/WebSocketProtocol"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as NodeWebSocket from "../NodeWebSocket.ts"
import { Failure } from "./Failure.ts"
import * as flags from "./flags.ts"

/** The lines of standard input, read no faster than they are taken. */
const lines: Stream.Stream<string> = Stream.callback<string>((queue) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const reader = createInterface({ input: process.stdin, crlfDelay: Infinity })
      reader.on("line", (line) => {
        reader.pause()
        Effect.runFork(
          Effect.andThen(
            Queue.offer(queue, line),
            Effect.sync(() => reader.resume())
          )
        )
      })
      reader.on("close", () => Queue.endUnsafe(queue))
      return reader
    }),
    (reader) => Effect.sync(() => reader.close())
  )
)

const escapes: ReadonlyMap<string, string> = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\t"]
])

/** A message as one line, from which a peer cannot write to the rest of the terminal. */
export const line = (message: Message.Message): string =>
  message._tag === "Text"
    ? message.text.replaceAll(
        // oxlint-disable-next-line no-control-regex
        /[\u0000-\u001f\u007f-\u009f]/g,
        (control) => escapes.get(control) ?? `\\x${control.charCodeAt(0).toString(16).padStart(2, "0")}`
      )
    : `0x${Buffer.from(message.bytes).toString("hex")}`

const say = (sentence: string) => Console.error(`millrace: ${sentence}`)

const status = (value: CloseCode.CloseStatus): string => {
  const name = Object.entries(CloseCode.CloseCode).find(([, code]) => code === value.code)?.[0]
  const words = name?.replaceAll(/[A-Z]/g, (capital) => ` ${capital.toLowerCase()}`)
  return `${value.code}${words === undefined ? "" : ` (${words})`}${value.reason === "" ? "" : ` ${value.reason}`}`
}

/** Who closed the connection and why, as a sentence. */
export const farewell = (closed: Closed): string => {
  if (closed.violation !== undefined) {
    return `closed with ${closed.violation.closeCode}, because the server broke a rule: ${closed.violation.message}`
  }
  if (closed.by === "network") return "the connection was lost: it ended without a Close frame (1006)"
  if (closed.by === "remote") return `closed by the server with ${status(closed.received!)}`
  return closed.received === undefined
    ? `closed with ${status(closed.sent!)}, and the server did not answer`
    : `closed with ${status(closed.sent!)}`
}

const parseHeader = (text: string): Option.Option<Headers[number]> => {
  const colon = text.indexOf(":")
  return colon <= 0 ? Option.none() : Option.some([text.slice(0, colon).trim(), text.slice(colon + 1).trim()])
}

/** Sends the lines until there are no more, then closes; shows what comes until the end. */
const converse = (connection: WebSocket, binary: boolean): Effect.Effect<void, WebSocketError> =>
  Effect.gen(function* () {
    const encoder = new TextEncoder()
    const sending = lines.pipe(
      Stream.runForEach((text) => connection.send(binary ? encoder.encode(text) : text)),
      // The end of the input is the end of the conversation; what is still to come for it is shown.
      Effect.andThen(connection.close()),
      Effect.ignore
    )
    yield* Effect.forkScoped(sending)
    yield* Stream.runForEach(connection.messages, (message) => Console.log(line(message)))
  }).pipe(Effect.scoped)

export const connect = Command.make(
  "connect",
  {
    url: Argument.String("url").pipe(Argument.withDescription("ws:, wss:, http: or https:")),
    header: Flag.String("header").pipe(
      Flag.withAlias("H"),
      Flag.withMetavar("name: value"),
      Flag.withDescription('A header of the request, such as "Authorization: Bearer ..."; may be repeated.'),
      Flag.filterMap(parseHeader, (text) => `"${text}" is no header: write it as "Name: value"`),
      Flag.atLeast(0)
    ),
    subprotocol: Flag.String("subprotocol").pipe(
      Flag.withAlias("s"),
      Flag.withMetavar("name"),
      Flag.withDescription("A subprotocol to offer, the best first; may be repeated."),
      Flag.atLeast(0)
    ),
    binary: Flag.Boolean("binary").pipe(
      Flag.withAlias("b"),
      Flag.withDescription("Send each line as a binary message."),
      Flag.withDefault(false)
    ),
    maxMessage: flags.maxMessage("64MiB")
  },
  ({ binary, header, maxMessage, subprotocol, url }) =>
    Effect.gen(function* () {
      const connection = yield* NodeWebSocket.open(url, {
        headers: header,
        subprotocols: subprotocol,
        limits: { maxMessageBytes: maxMessage }
      }).pipe(Effect.mapError((error) => new Failure({ sentence: error.message })))
      const agreed = connection.subprotocol === undefined ? "" : `, subprotocol ${connection.subprotocol}`
      yield* say(`connected to ${url}${agreed}; Ctrl-D ends it`)
      const ordinary = yield* converse(connection, binary).pipe(
        Effect.as(true),
        Effect.catch(() => Effect.succeed(false))
      )
      yield* say(farewell(yield* connection.closed))
      if (!ordinary) return yield* Effect.fail(new Failure({ sentence: "the connection did not end in good order" }))
    }).pipe(Effect.scoped)
).pipe(
  Command.withDescription(
    "Talk to a WebSocket server: each line typed is a message, each message received is a line. Text is shown as it is, " +
      "with control characters escaped; binary messages are shown in hexadecimal. Ctrl-D closes the connection. The exit " +
      "code is 0 only when it was closed in the ordinary way."
  ),
  Command.withShortDescription("Talk to a WebSocket server"),
  Command.withExamples([
    { command: "millrace connect ws://localhost:9001/", description: "To an echo server" },
    {
      command: 'millrace connect wss://example.com/chat -H "Authorization: Bearer 123" -s chat.v1',
      description: "With a header and a subprotocol"
    }
  ])
)
