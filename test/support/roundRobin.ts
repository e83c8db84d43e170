/**
 * A balancer over HTTP/1.1 that knows nothing of sessions: each request, and each WebSocket, goes to the next server.
 */
import * as http from "node:http"
import * as net from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export interface Balancer {
  readonly url: string
  /** What came, as `GET 0`, `POST 1`, `UPGRADE 0`. */
  readonly came: ReadonlyArray<string>
  /** To which server the next one goes, instead of the one whose turn it is. */
  choose: ((kind: string, url: string) => number) | undefined
}

/** On a free port of the loopback, as long as the scope is open. */
export const make = (urls: ReadonlyArray<string>): Effect.Effect<Balancer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const ports = urls.map((url) => Number(new URL(url).port))
      const came: Array<string> = []
      const sockets = new Set<net.Socket>()
      const balancer = { came, choose: undefined as Balancer["choose"] }
      let turn = 0
      const next = (kind: string, url: string): number => {
        const index = balancer.choose?.(kind, url) ?? turn++ % ports.length
        came.push(`${kind} ${index}`)
        return ports[index]!
      }
      const server = http.createServer((request, response) => {
        const { headers, method = "GET", url = "" } = request
        const port = next(method, url)
        const onward = http.request({ port, host: "127.0.0.1", method, path: url, headers, agent: false }, (answer) => {
          response.writeHead(answer.statusCode ?? 500, answer.rawHeaders)
          answer.pipe(response)
        })
        onward.on("error", () => response.destroy())
        response.on("close", () => onward.destroy())
        request.pipe(onward)
      })
      server.on("upgrade", (request, socket: net.Socket, head) => {
        const onward = net.connect(next("UPGRADE", request.url ?? ""), "127.0.0.1")
        for (const one of [socket, onward]) {
          sockets.add(one)
          one.on("error", () => {})
          one.setNoDelay(true)
        }
        socket.on("close", () => void onward.destroy())
        onward.on("close", () => void socket.destroy())
        const lines = [`${request.method} ${request.url} HTTP/1.1`]
        for (let i = 0; i < request.rawHeaders.length; i += 2) {
          lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`)
        }
        onward.write(`${lines.join("\r\n")}\r\n\r\n`)
        onward.write(head)
        socket.pipe(onward)
        onward.pipe(socket)
      })
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
      const { port } = server.address() as net.AddressInfo
      return { server, sockets, balancer: Object.assign(balancer, { url: `http://127.0.0.1:${port}` }) }
    }),
    ({ server, sockets }) =>
      Effect.promise(async () => {
        for (const socket of sockets) socket.destroy()
        server.closeAllConnections()
        await new Promise((resolve) => server.close(resolve))
      })
  ).pipe(Effect.map(({ balancer }) => balancer))
