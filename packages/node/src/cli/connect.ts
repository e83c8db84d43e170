/**
 * `millrace connect`: a person's client. What is typed is sent, what comes is shown, a line each.
 *
 * Standard output has the messages and nothing else; what the command has to say, and the frames, go to standard error.
 */
import * as CloseCode from "@millrace/core/codec/CloseCode"
import * as Extensions from "@millrace/core/codec/Extensions"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import type { WebSocketError } from "@millrace/core/connection/WebSocketError"
import type * as Message from "@millrace/core/protocol/Message"
import type { Closed } from "@millrace/core/protocol/WebSocketProtocol"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as NodeWebSocket from "../NodeWebSocket.ts"
import * as compression from "./compression.ts"
import * as connectCable from "./connectCable.ts"
import * as connectSocketIo from "./connectSocketIo.ts"
import { Failure } from "./Failure.ts"
import * as flags from "./flags.ts"
import * as inspect from "./inspect.ts"
import { lines } from "./lines.ts"
import * as words from "./words.ts"

/** A message as one line. */
const line = (message: Message.Message): string =>
  message._tag === "Text" ? words.escape(message.text) : `0x${Buffer.from(message.bytes).toString("hex")}`

const status = (said: CloseCode.CloseStatus): string =>
  said.code === CloseCode.CloseCode.noStatus
    ? "without a status (1005)"
    : `with ${words.escape(words.closeStatus(said))}`

/** Who closed the connection and why, as a sentence. */
const farewell = (closed: Closed): string => {
  if (closed.violation !== undefined) {
    return `closed with ${closed.violation.closeCode}, because the server broke a rule: ${closed.violation.message}`
  }
  if (closed.by === "network") return "the connection was lost: it ended without a Close frame (1006)"
  if (closed.by === "remote") return `closed by the server ${status(closed.received!)}`
  const ours = `closed ${status(closed.sent!)}`
  if (closed.received === undefined) return `${ours}, and the server did not answer`
  // One that had something to say at the same moment has not just repeated ours.
  return CloseCode.isOrdinary(closed.received.code) ? ours : `${ours}, and by the server ${status(closed.received)}`
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
    // A line a message, and one write for all that came at once: a slow reader must not hold up the end.
    yield* Stream.runForEachArray(connection.messages, (messages) => Console.log(messages.map(line).join("\n")))
  }).pipe(Effect.scoped)

export const connect = Command.make(
  "connect",
  {
    url: Argument.String("url").pipe(Argument.withDescription("ws:, wss:, http: or https:")),
    header: flags.header,
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
    maxMessage: flags.maxMessage("64MiB"),
    inspect: inspect.flags,
    compression: compression.flags("1KiB"),
    as: Flag.Literals("as", ["cable", "socketio"]).pipe(
      Flag.withDescription("Speak to a server of Action Cable, or of Socket.IO, version 3 or later: see below."),
      Flag.optional
    ),
    ...connectCable.flags,
    ...connectSocketIo.flags
  },
  ({ as, binary, compression: compress, header, inspect: inspected, maxMessage, subprotocol, url, ...rest }) =>
    Effect.gen(function* () {
      const tap = yield* inspect.tap(inspected, maxMessage)
      const options = {
        headers: header,
        limits: { maxMessageBytes: maxMessage },
        extensions: compression.extensions(compress, 1_024),
        tap
      }
      // Whoever speaks for somebody else says nothing of its own, and chooses the subprotocol.
      if (Option.isSome(as)) {
        if (binary) return yield* new Failure({ sentence: `--binary is not for --as ${as.value}` })
        if (subprotocol.length > 0) return yield* new Failure({ sentence: `--subprotocol is not for --as ${as.value}` })
        const alien = as.value === "cable" ? connectSocketIo.given(rest) : connectCable.given(rest)
        if (alien !== undefined) return yield* new Failure({ sentence: `${alien} is not for --as ${as.value}` })
        switch (as.value) {
          case "cable":
            return yield* connectCable.talk(url, options, rest)
          case "socketio":
            return yield* connectSocketIo.talk(url, options, rest)
        }
      }
      const alien = connectSocketIo.given(rest)
      if (alien !== undefined) return yield* new Failure({ sentence: `${alien} is for --as socketio` })
      const cable = connectCable.given(rest)
      if (cable !== undefined) return yield* new Failure({ sentence: `${cable} is for --as cable` })
      let opened: WebSocket | undefined
      // It runs when the connection has been closed, so that Ctrl-C, too, is answered with how it ended.
      yield* Effect.addFinalizer((exit) =>
        opened === undefined || (Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause))
          ? Effect.void
          : Effect.flatMap(opened.closed, (closed) => words.say(farewell(closed)))
      )
      const connection = yield* NodeWebSocket.open(url, {
        ...options,
        subprotocols: subprotocol
      }).pipe(Effect.mapError((error) => new Failure({ sentence: words.unopened(url, error) })))
      opened = connection
      const extensions = Result.getOrElse(Extensions.print(connection.extensions), () => "")
      const agreed =
        (connection.subprotocol === undefined ? "" : `, subprotocol ${connection.subprotocol}`) +
        (extensions === "" ? "" : `, ${extensions}`)
      yield* words.say(`connected to ${url}${agreed}; Ctrl-D ends it`)
      yield* Effect.catch(converse(connection, binary), () =>
        Effect.flatMap(connection.closed, (closed) => Effect.fail(new Failure({ sentence: farewell(closed) })))
      )
    }).pipe(Effect.scoped)
).pipe(
  Command.withDescription(
    "Talk to a WebSocket server: each line typed is a message, each message received is a line. Text is shown as it is, " +
      "with control characters escaped; binary messages are shown in hexadecimal. Ctrl-D closes the connection. The exit " +
      "code is 0 only when it was closed in the ordinary way. With --frames, what goes over the wire is shown as well: on " +
      "standard error, cut to the width of the terminal. " +
      'With --as socketio a line is an event, its name and values of JSON, such as say "hi"; ? in front of it asks for an ' +
      "answer, and ! answers the oldest question of the server. What comes is shown as a line of JSON each. With --as cable a " +
      'line is a JSON object, such as {"action":"speak","text":"hi"}, which calls that action of the --channel.'
  ),
  Command.withShortDescription("Talk to a WebSocket server"),
  Command.withExamples([
    { command: "millrace connect ws://localhost:9001/", description: "To an echo server" },
    {
      command: 'millrace connect wss://example.com/chat -H "Authorization: Bearer 123" -s chat.v1',
      description: "With a header and a subprotocol"
    },
    { command: "millrace connect wss://example.com/chat --deflate", description: "Compressed, if the server can" },
    {
      command: "millrace connect ws://localhost:9001/ --frames --record talk.jsonl",
      description: "With its frames, shown and kept for millrace replay"
    },
    {
      command: `millrace connect https://example.com --as socketio --auth '{"token":"123"}'`,
      description: "To a server of Socket.IO"
    },
    {
      command: `millrace connect wss://example.com/cable --as cable --channel ChatChannel --params '{"room":1}'`,
      description: "To a channel of Action Cable"
    }
  ])
)
