/**
 * `millrace serve`: the hub.
 */
import type * as Hub from "@millrace/core/cluster/Hub"
import type { SlowConsumer } from "@millrace/core/cluster/SlowConsumer"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as HubServer from "../HubServer.ts"
import * as broker from "./broker.ts"
import * as compression from "./compression.ts"
import { Failure } from "./Failure.ts"
import * as flags from "./flags.ts"
import * as words from "./words.ts"
import * as workers from "./workers.ts"

/** Where a person's browser finds what listens at that address. */
const pageUrl = (host: string, port: number): string => {
  if (host === "127.0.0.1" || host === "::1" || host === "0.0.0.0" || host === "::") return `http://localhost:${port}/`
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}/`
}

const slowConsumers: ReadonlyMap<string, SlowConsumer> = new Map([
  ["disconnect", { _tag: "Disconnect", code: 1013 }],
  ["drop-oldest", { _tag: "DropOldest" }],
  ["drop-newest", { _tag: "DropNewest" }],
  ["suspend", { _tag: "Suspend" }]
])

const slowConsumer = Flag.String("slow-consumer").pipe(
  Flag.withMetavar("policy"),
  Flag.withDescription(
    "What becomes of a client that reads too slowly. disconnect: it is closed with 1013. drop-oldest, drop-newest: it does " +
      "not get these messages, and is told so. suspend: who publishes has to wait. Default disconnect."
  ),
  Flag.withDefault("disconnect"),
  Flag.filterMap(
    (text) => Option.fromUndefinedOr(slowConsumers.get(text)),
    () => `one of ${[...slowConsumers.keys()].join(", ")}`
  )
)

const whenDown = Flag.String("when-down").pipe(
  Flag.withMetavar("duration"),
  Flag.withDescription(
    "How long a publication waits for a broker that cannot be reached, such as 10s, until it fails. Default fail: at once."
  ),
  Flag.withDefault("fail"),
  Flag.filterMap(
    (text): Option.Option<Hub.WhenDown> => {
      if (text === "fail") return Option.some({ _tag: "Fail" })
      return Option.map(Option.fromUndefinedOr(flags.parseDuration(text)), (atMost) => ({ _tag: "Wait", atMost }))
    },
    () => "fail, or a time such as 500ms or 10s"
  )
)

const advertise = Flag.String("advertise").pipe(
  Flag.withMetavar("url"),
  Flag.withDescription(
    "Where clients reach this node, such as https://one.example.com/. They are told the addresses of all nodes that have one."
  ),
  Flag.filterMap(
    (text) => (/^(https?|wss?):/.test(text) && URL.canParse(text) ? Option.some(text) : Option.none()),
    () => "a URL such as https://one.example.com/"
  ),
  Flag.optional
)

const announce = (host: string, port: number): Effect.Effect<void> => {
  const page = pageUrl(host, port)
  return Console.log(`millrace: the hub is at ${page} (WebSocket ${page.replace("http", "ws")}ws); Ctrl-C ends it`)
}

export const serve = Command.make(
  "serve",
  {
    host: flags.host,
    port: flags.port(8080),
    maxMessage: flags.maxMessage("1MiB"),
    origin: flags.allowOrigin,
    ...broker.flags,
    workers: flags.workers,
    whenDown,
    advertise,
    publishToken: flags.token("What POST /publish has to bring, as Authorization: Bearer.", "publish-token"),
    slowConsumer,
    frames: Flag.Boolean("frames").pipe(
      Flag.withDescription(
        "Let clients look at the frames of their own connections, as the page does. Default yes, but not with --workers; " +
          "--no-frames for no."
      ),
      Flag.withDefault(true)
    ),
    cable: Flag.Boolean("cable").pipe(
      Flag.withDescription("Serve clients of Action Cable at /cable. Default yes; --no-cable for no."),
      Flag.withDefault(true)
    ),
    socketio: Flag.Boolean("socketio").pipe(
      Flag.withDescription("Serve clients of Socket.IO at /socket.io/. Default yes; --no-socketio for no."),
      Flag.withDefault(true)
    ),
    compression: compression.flags("1KiB")
  },
  (values) =>
    Effect.gen(function* () {
      const { host, maxMessage, origin, port, slowConsumer, whenDown } = values
      const worker = workers.mine()
      if (values.workers > 1 && worker === undefined) {
        const ready = (port: number) => announce(host, port)
        return yield* workers.supervise({ count: values.workers, host, port, log: broker.log(values), ready })
      }
      const extensions = compression.extensions(values.compression, 1_024)
      const between = yield* broker.make(values, worker)
      yield* broker.watch(between)
      const hub = yield* HubServer.serve({
        host,
        port: worker?.port ?? port,
        reusePort: worker?.reusePort,
        origin,
        limits: { maxMessageBytes: maxMessage },
        extensions,
        broker: between,
        hub: { slowConsumer, whenDown },
        advertise: Option.getOrUndefined(values.advertise),
        // Who asks for them may come to another process than the one that has the connection.
        frames: values.frames && worker === undefined ? undefined : false,
        cable: values.cable ? undefined : false,
        socketio: values.socketio ? undefined : false,
        publishToken: Option.getOrUndefined(values.publishToken)
      }).pipe(
        Effect.mapError((error) => {
          const remedy = error._tag === "ListenError" ? "; choose another with --host and --port" : ""
          return new Failure({ sentence: `${words.escape(error.message)}${remedy}` })
        })
      )
      yield* worker === undefined ? announce(hub.host, hub.port) : workers.listening(hub.port)
      yield* Effect.never
    }).pipe(Effect.scoped, workers.named)
).pipe(
  Command.withDescription(
    "Run a hub: clients subscribe to topics and publish to them, over WebSocket or by POST. " +
      'GET / is a page to try it with, GET /ws the WebSocket, POST /publish takes {"topic", "data"}, ' +
      "GET /topics what there is, GET /health how it is. With --broker, several of them on one Redis or NATS are one hub. " +
      "The messages are described in docs/protocol.md."
  ),
  Command.withShortDescription("Run a hub with a page to try it with"),
  Command.withExamples([
    { command: "millrace serve", description: "On http://localhost:8080, for this machine only" },
    { command: "millrace serve --host :: --port 9000", description: "On every interface" },
    {
      command: "millrace serve --broker redis://localhost:6379 --history-age 1h --when-down 10s",
      description: "A node of a cluster, on Redis"
    },
    { command: "millrace serve --workers 4", description: "Four processes on one port, which are one hub" },
    {
      command: "millrace serve --allow-origin https://app.example.com",
      description: "For the pages of one other site"
    }
  ])
)
