/**
 * Proxies that are made, cut and stopped over HTTP, so that a page can have the line that it wants:
 *
 *     POST /?port=N     one before that port of this machine; answers `{ "id", "port" }`
 *     POST /ID/cut      ends all its connections; new ones can be made at once
 *     POST /ID/part     nothing passes any more, and nobody is told: no end, no reset. New connections are taken, and silent
 *     POST /ID/mend     ends what was parted, and lets new ones pass
 *     POST /ID/refuse   ends all its connections, and takes no new ones until /ID/mend
 *     POST /ID/close    ends all, for good
 */
import * as http from "node:http"
import * as net from "node:net"

/** One line, before the server at `far`. */
class Proxy {
  private readonly sockets = new Set<net.Socket>()
  private state: "open" | "parted" | "refusing" = "open"
  readonly server: net.Server

  constructor(far: number) {
    this.server = net.createServer((incoming) => {
      if (this.state === "refusing") return void incoming.destroy()
      const outgoing = net.connect(far, "127.0.0.1")
      this.pass(incoming, outgoing)
      this.pass(outgoing, incoming)
    })
  }

  private pass(from: net.Socket, to: net.Socket): void {
    this.sockets.add(from)
    from.setNoDelay(true)
    from.on("error", () => {})
    from.on("data", (chunk) => void to.write(chunk))
    from.on("close", () => {
      this.sockets.delete(from)
      // Where it is parted, the other end is not to hear of it.
      if (this.state !== "parted") to.destroy()
    })
    if (this.state === "parted") from.pause()
  }

  private cut(): void {
    for (const socket of this.sockets) socket.destroy()
  }

  command(name: string): boolean {
    switch (name) {
      case "cut":
        this.cut()
        return true
      case "part":
        this.state = "parted"
        for (const socket of this.sockets) socket.pause()
        return true
      case "mend":
        this.state = "open"
        this.cut()
        return true
      case "refuse":
        this.state = "refusing"
        this.cut()
        return true
      case "close":
        this.close()
        return true
      default:
        return false
    }
  }

  close(): void {
    this.state = "refusing"
    this.cut()
    this.server.close()
  }
}

/** Where they are asked for, and how to end them all. */
export interface Proxies {
  readonly port: number
  readonly close: () => Promise<void>
}

const listening = (server: net.Server) =>
  new Promise<number>((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as net.AddressInfo).port))
  })

export const listen = async (): Promise<Proxies> => {
  const proxies: Array<Proxy> = []
  const make = async (far: number) => {
    const proxy = new Proxy(far)
    const id = proxies.push(proxy) - 1
    return { id, port: await listening(proxy.server) }
  }
  const answer = async ({ pathname, searchParams }: URL): Promise<unknown> => {
    if (pathname === "/") return make(Number(searchParams.get("port")))
    const [, id, name = ""] = pathname.split("/")
    return proxies[Number(id)]?.command(name) ?? false
  }
  const server = http.createServer((request, response) => {
    void answer(new URL(request.url ?? "", "http://proxies")).then((answer) => {
      response.writeHead(answer === false ? 404 : 200, { "Access-Control-Allow-Origin": "*" })
      response.end(JSON.stringify(answer))
    })
  })
  return {
    port: await listening(server),
    close: async () => {
      for (const proxy of proxies) proxy.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  }
}
