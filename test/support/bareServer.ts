/** A server of bare `node:http` or `node:https`, which answers as the test says, and what has reached it. */
import * as http from "node:http"
import * as https from "node:https"
import type { AddressInfo, Socket } from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export type Handle = (request: http.IncomingMessage, response: http.ServerResponse) => void

export interface BareServer {
  readonly port: number
  readonly url: string
  /** The requests, in the order in which they came. */
  readonly asked: ReadonlyArray<http.IncomingMessage>
  readonly sockets: ReadonlySet<Socket>
}

/** Serves as long as the scope is open, and cuts what is left then. */
export const listen = (
  handle: Handle,
  options: { readonly tls?: https.ServerOptions; readonly socketPath?: string } = {}
): Effect.Effect<BareServer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { socketPath, tls } = options
    const asked: Array<http.IncomingMessage> = []
    const sockets = new Set<Socket>()
    const onRequest: Handle = (request, response) => {
      asked.push(request)
      response.on("error", () => {})
      handle(request, response)
    }
    const server = tls === undefined ? http.createServer(onRequest) : https.createServer(tls, onRequest)
    server.on("connection", (socket: Socket) => {
      sockets.add(socket)
      socket.on("close", () => sockets.delete(socket))
    })
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => {
        const listening = () => resume(Effect.void)
        if (socketPath === undefined) server.listen(0, "127.0.0.1", listening)
        else server.listen(socketPath, listening)
      }),
      () =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const socket of sockets) socket.destroy()
        })
    )
    const port = socketPath === undefined ? (server.address() as AddressInfo).port : 0
    return { port, url: `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`, asked, sockets }
  })

/** Answers with an event stream, and sends that; the response stays open. */
export const stream = (response: http.ServerResponse, text = ""): http.ServerResponse => {
  response.writeHead(200, { "Content-Type": "text/event-stream" })
  response.flushHeaders()
  if (text !== "") response.write(text)
  return response
}

/** All that a request has in its body. */
export const bodyOf = async (request: http.IncomingMessage): Promise<string> => {
  const chunks: Array<Buffer> = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}
