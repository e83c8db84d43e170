/** Servers of event streams as users of Node.js have them, and clients that know nothing of event streams. */
import * as http from "node:http"
import * as http2 from "node:http2"
import type { AddressInfo, Socket } from "node:net"
import type { Readable } from "node:stream"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Printable } from "@millrace/core/codec/EventStream"
import * as NodeEventStream from "@millrace/node/NodeEventStream"
import { eventually } from "./eventually.ts"

/** What carries the responses. */
export type Carrier = "node:http" | "node:http2" | "a stream of node:http2"

export const carriers: ReadonlyArray<Carrier> = ["node:http", "node:http2", "a stream of node:http2"]

export interface Served<E> {
  readonly port: number
  readonly streams: NodeEventStream.EventStreams
  /** How responses have ended. */
  readonly exits: ReadonlyArray<Exit.Exit<void, E>>
}

/** Answers every request with events, as long as the scope is open. */
export const serve = <E>(
  carrier: Carrier,
  events: (request: NodeEventStream.EventStreamRequest) => Stream.Stream<Printable, E>,
  options: NodeEventStream.Options & NodeEventStream.ResponseOptions = {}
) =>
  Effect.gen(function* () {
    const exits: Array<Exit.Exit<void, unknown>> = []
    const sockets = new Set<Socket>()
    const run = (response: Effect.Effect<void, unknown>) =>
      Effect.runFork(Effect.onExit(response, (exit) => Effect.sync(() => exits.push(exit))))
    const server = carrier === "node:http" ? http.createServer() : http2.createServer()
    server.on("connection", (socket: Socket) => sockets.add(socket))
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
      () =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const socket of sockets) socket.destroy()
        })
    )
    const streams = yield* NodeEventStream.make(options)
    if (carrier === "a stream of node:http2") {
      server.on("stream", (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) =>
        run(streams.respondStream(stream, headers, events, options))
      )
    } else {
      server.on("request", (request: http.IncomingMessage, response: http.ServerResponse) =>
        run(streams.respond(request, response, events, options))
      )
    }
    return { port: (server.address() as AddressInfo).port, streams, exits } as Served<E>
  })

/** A response as it comes. */
export interface Answer {
  readonly status: number
  readonly header: (name: string) => string | undefined
  readonly body: Readable
  /** All that has come. */
  readonly text: () => string
  /** Waits until all that has come is this. */
  readonly says: (text: string) => Effect.Effect<void>
  readonly ended: () => boolean
  /** Goes, without a word. */
  readonly leave: () => void
}

const answerOf = (status: number, headers: http.IncomingHttpHeaders, body: Readable, leave: () => void): Answer => {
  let text = ""
  let ended = false
  body.setEncoding("utf8")
  body.on("error", () => {})
  const read = () => {
    for (let chunk = body.read(); chunk !== null; chunk = body.read()) text += chunk
  }
  body.on("end", () => (ended = true))
  return {
    status,
    header: (name) => headers[name] as string | undefined,
    body,
    text: () => (read(), text),
    says: (expected) =>
      Effect.onError(
        eventually(() => (read(), text === expected)),
        () =>
          Effect.sync(() => {
            throw new Error(`says ${JSON.stringify(text)}`)
          })
      ),
    ended: () => (read(), ended),
    leave
  }
}

export interface Asking {
  readonly method?: string
  readonly path?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Asks, and waits for the head of the answer. Reads its body when the test looks at it, and not before. */
export const ask = (carrier: Carrier, port: number, asking: Asking = {}): Effect.Effect<Answer, never, Scope.Scope> => {
  const { headers = {}, method = "GET", path = "/" } = asking
  if (carrier === "node:http") {
    return Effect.acquireRelease(
      Effect.callback<Answer>((resume) => {
        const request = http.request({ host: "127.0.0.1", port, method, path, headers, agent: false }, (response) =>
          resume(
            Effect.succeed(answerOf(response.statusCode ?? 0, response.headers, response, () => void request.destroy()))
          )
        )
        request.on("error", () => {})
        request.end()
      }),
      (answer) => Effect.sync(answer.leave)
    )
  }
  return Effect.acquireRelease(
    Effect.callback<Answer>((resume) => {
      const session = http2.connect(`http://127.0.0.1:${port}`)
      session.on("error", () => {})
      const stream = session.request({ ":method": method, ":path": path, ...headers })
      stream.on("response", (fields) =>
        resume(
          Effect.succeed(
            answerOf(Number(fields[":status"]), fields as http.IncomingHttpHeaders, stream, () => session.destroy())
          )
        )
      )
    }),
    (answer) => Effect.sync(answer.leave)
  )
}
