/**
 * `millrace listen`: a person's client of Server-Sent Events. What comes is shown, a line each; what is lost is asked
 * for again.
 *
 * Standard output has the events and nothing else; what the command has to say goes to standard error.
 */
import type { Event } from "@millrace/core/codec/EventStream"
import type * as EventSource from "@millrace/core/connection/EventSource"
import * as HttpHeaders from "@millrace/core/codec/HttpHeaders"
import * as Reconnect from "@millrace/core/connection/Reconnect"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as NodeEventSource from "../NodeEventSource.ts"
import { Failure } from "./Failure.ts"
import * as flags from "./flags.ts"
import * as words from "./words.ts"

/** An event as one line. */
const line = ({ data, event }: Event): string =>
  event === "message" ? words.escape(data) : `[${words.escape(event)}] ${words.escape(data)}`

/** The same for programs. */
const jsonLine = ({ data, event, id }: Event): string => words.json({ event, data, id })

/** Why there is no connection, as a sentence. */
const loss = (url: string, wasOpen: boolean, reason: EventSource.Closed["reason"]): string => {
  switch (reason._tag) {
    case "Done":
      return "closed"
    case "NoContent":
      return "the server has no more to say (204)"
    case "NetworkError": {
      const { cause } = reason
      return wasOpen ? `the connection was lost: ${reason.message}` : words.unreachable(url, cause)
    }
    case "Refused":
      return words.refusal(reason)
    default:
      return words.escape(reason.message)
  }
}

const seconds = (millis: number): string =>
  millis < 9_950 ? (millis / 1_000).toFixed(1) : `${Math.round(millis / 1_000)}`

const behind = (lastEventId: string): string =>
  lastEventId === "" ? "" : `, behind the event ${words.escape(lastEventId)}`

/** The states of a source as sentences. */
class Report {
  /** How it ended, when it has. */
  farewell = ""
  private readonly url: string
  private wasOpen = false
  private opened = 0
  private lastEventId = ""

  constructor(url: string) {
    this.url = url
  }

  /** What is to be said of a state, if it is not the end. */
  sentence(state: EventSource.State): string | undefined {
    const { wasOpen } = this
    this.wasOpen = state._tag === "Open"
    switch (state._tag) {
      case "Connecting":
        this.lastEventId = state.lastEventId
        return undefined
      case "Away":
        return undefined
      case "Open": {
        const again = this.opened++ === 0 ? "" : " again"
        return `connected${again} to ${words.escape(state.url)}${behind(this.lastEventId)}; Ctrl-C ends it`
      }
      case "Waiting":
        return `${loss(this.url, wasOpen, state.lost.reason)}; trying again in ${seconds(state.delay)} s`
      case "Closed":
        this.farewell = loss(this.url, wasOpen, state.reason)
        return undefined
    }
  }
}

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** The headers that were given, and the type of a body that is JSON where they have none. */
const describing = (headers: HttpHeaders.Headers, data: string | undefined): HttpHeaders.Headers =>
  data === undefined || !isJson(data) || HttpHeaders.values(headers, "Content-Type").length > 0
    ? headers
    : [...headers, ["Content-Type", "application/json"]]

export const listen = Command.make(
  "listen",
  {
    url: Argument.String("url").pipe(Argument.withDescription("http: or https:")),
    method: Flag.String("method").pipe(
      Flag.withAlias("X"),
      Flag.withMetavar("method"),
      Flag.withDescription("The method of the request. Default GET, or POST with --data."),
      Flag.optional
    ),
    header: flags.header,
    data: Flag.String("data").pipe(
      Flag.withAlias("d"),
      Flag.withMetavar("text"),
      Flag.withDescription("The body of the request. JSON is sent as application/json unless a header says otherwise."),
      Flag.optional
    ),
    lastEventId: Flag.String("last-event-id").pipe(
      Flag.withMetavar("id"),
      Flag.withDescription("Begin behind that event."),
      Flag.withDefault("")
    ),
    json: Flag.Boolean("json").pipe(
      Flag.withDescription('Show each event as a line of JSON, with "event", "data" and "id".'),
      Flag.withDefault(false)
    ),
    once: Flag.Boolean("no-reconnect").pipe(
      Flag.withDescription("End with the first response."),
      Flag.withDefault(false)
    ),
    heartbeat: flags
      .duration("heartbeat")
      .pipe(
        Flag.withDescription(
          "The period in which the server sends something, such as 15s or 500ms. A connection on which nothing comes for " +
            "two of them is lost. Default: it may be silent for ever."
        ),
        Flag.optional
      ),
    maxMessage: flags.maxMessage("64MiB")
  },
  ({ data, header, heartbeat, json, lastEventId, maxMessage, method, once, url }) =>
    Effect.gen(function* () {
      const report = new Report(url)
      const body = Option.getOrUndefined(data)
      const source = yield* NodeEventSource.make(url, {
        method: Option.getOrUndefined(method),
        headers: describing(header, body),
        body,
        heartbeat: Option.getOrUndefined(heartbeat),
        lastEventId,
        limits: { maxLineBytes: maxMessage, maxEventBytes: maxMessage },
        reconnect: once ? Reconnect.never : undefined
      })
      const reporting = yield* Effect.forkScoped(
        Stream.runForEach(source.states, (state) => {
          const sentence = report.sentence(state)
          return sentence === undefined ? Effect.void : words.say(sentence)
        }),
        { startImmediately: true }
      )
      const farewell = Effect.map(Fiber.join(reporting), () => report.farewell)
      const show = json ? jsonLine : line
      let last = lastEventId
      // One write for all that came at once.
      const showing = Stream.runForEachArray(source.events, (events) => {
        last = events.at(-1)!.id
        return Console.log(events.map(show).join("\n"))
      })
      yield* Effect.matchEffect(showing, {
        onSuccess: () => Effect.flatMap(farewell, words.say),
        onFailure: () => Effect.flatMap(farewell, (sentence) => Effect.fail(new Failure({ sentence })))
      }).pipe(Effect.onInterrupt(() => words.say(`closed${behind(last)}`)))
    }).pipe(Effect.scoped)
).pipe(
  Command.withDescription(
    "Show the events of a server that sends Server-Sent Events, a line each. When the connection is lost it is opened " +
      "again, with the ID of the last event, so that the server can go on where it was; but a request that may do " +
      "something, such as POST, is made once. Control characters are escaped; " +
      "an event with a name other than message has it in front, as in [name] data. Ctrl-C ends it. The exit code is 0 " +
      "only when it ended in the ordinary way: by Ctrl-C, by a server that has no more to say (204), or with the first " +
      "response where there is to be no other."
  ),
  Command.withShortDescription("Show the events of a server"),
  Command.withExamples([
    { command: 'millrace listen "http://localhost:8080/events?topic=lobby"', description: "To a topic of a hub" },
    {
      command: 'millrace listen https://example.com/events -H "Authorization: Bearer 123" --last-event-id 42',
      description: "With a header, behind an event that was seen"
    },
    {
      command: `millrace listen https://example.com/answers --data '{"question": "why?"}'`,
      description: "To the answer to a POST"
    },
    {
      command: "millrace listen https://example.com/events --heartbeat 15s",
      description: "From a server that sends a comment every 15 s, to notice when it has gone"
    },
    { command: "millrace listen https://example.com/events --json --no-reconnect", description: "For a program" }
  ])
)
