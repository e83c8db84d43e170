/** A server of Engine.IO for tests: `EngineProtocol` over `node:http` and `ws`, with as little else as can be. */
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as Result from "effect/Result"
import { type WebSocket, WebSocketServer } from "ws"
import * as Engine from "@millrace/core/interop/engineio/EngineProtocol"
import * as Packet from "@millrace/core/interop/engineio/Packet"

export interface Options {
  readonly pingInterval?: number
  readonly pingTimeout?: number
  /** What is done with a message. */
  readonly onMessage: (session: Session, data: string | Uint8Array) => void
}

const text = { "Content-Type": "text/plain; charset=UTF-8", "Cache-Control": "no-store" }

const ok = (response: http.ServerResponse, body: string) => void response.writeHead(200, text).end(body)
const refuse = (response: http.ServerResponse) =>
  void response.writeHead(400, { "Content-Type": "application/json" }).end('{"code":3,"message":"Bad request"}')

export class Session {
  state: Engine.State
  readonly reasons: Array<Engine.Reason> = []
  socket: WebSocket | undefined
  /** The answer to the poll that waits. */
  #poll: http.ServerResponse | undefined
  readonly #timers = new Map<Engine.Timer, NodeJS.Timeout>()
  readonly #options: Options

  constructor(sid: string, options: Options, first: http.ServerResponse | WebSocket) {
    this.#options = options
    const { pingInterval = 25_000, pingTimeout = 20_000 } = options
    const isPolling = first instanceof http.ServerResponse
    const handshake = {
      sid,
      upgrades: isPolling ? ["websocket"] : [],
      pingInterval,
      pingTimeout,
      maxPayload: 1_000_000
    }
    if (first instanceof http.ServerResponse) this.#poll = first
    else this.#hold(first)
    const [state, actions] = Engine.open(handshake, isPolling ? "polling" : "websocket")
    this.state = state
    this.#carryOut([state, actions])
  }

  send(...messages: ReadonlyArray<string | Uint8Array>): void {
    this.#carryOut(Result.getOrThrow(Engine.send(this.state, messages)))
  }

  shutdown(): void {
    this.#carryOut(Engine.shutdown(this.state))
  }

  onGet(response: http.ServerResponse): void {
    const waiting = this.#poll
    const isWaiting = this.state._tag === "Polling" && this.state.waiting
    if (!isWaiting) this.#poll = response
    this.#carryOut(Engine.poll(this.state), response)
    if (isWaiting) this.#poll = waiting
  }

  async onPost(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    this.#carryOut(Engine.post(this.state), undefined, response)
    if (response.writableEnded) return
    const chunks: Array<Uint8Array> = []
    for await (const chunk of request) chunks.push(chunk as Uint8Array)
    this.#carryOut(Engine.posted(this.state, Buffer.concat(chunks)), undefined, response)
  }

  onSocket(socket: WebSocket): void {
    const [state, actions] = Engine.attach(this.state)
    if (actions.some(({ _tag }) => _tag === "RefuseSocket")) return socket.close()
    this.#hold(socket)
    this.#carryOut([state, actions])
  }

  #hold(socket: WebSocket): void {
    this.socket = socket
    socket.on("message", (data: Buffer, isBinary) => {
      if (this.socket === socket) this.#carryOut(Engine.receive(this.state, isBinary ? data : data.toString()))
    })
    socket.on("close", () => {
      if (this.socket !== socket) return
      this.socket = undefined
      this.#carryOut(Engine.socketEnded(this.state))
    })
  }

  #clear(timer: Engine.Timer): void {
    clearTimeout(this.#timers.get(timer))
    this.#timers.delete(timer)
  }

  #set(timer: Engine.Timer): void {
    this.#clear(timer)
    const { pingInterval = 25_000, pingTimeout = 20_000 } = this.#options
    const after = { ping: pingInterval, pong: pingTimeout, upgrade: 10_000, nudge: 100, close: 30_000 }[timer]
    const wake = () => this.#carryOut(Engine.expire(this.state, timer))
    this.#timers.set(timer, setTimeout(wake, after).unref())
  }

  /** `newPoll` and `post`: those that this is about. */
  #carryOut([state, actions]: Engine.Transition, newPoll?: http.ServerResponse, post?: http.ServerResponse): void {
    this.state = state
    const delivered: Array<string | Uint8Array> = []
    for (const action of actions) {
      switch (action._tag) {
        case "AnswerPoll":
          ok(this.#poll!, Result.getOrThrow(Packet.encodePayload(action.packets)))
          this.#poll = undefined
          break
        case "RefusePoll":
          refuse(newPoll!)
          break
        case "AnswerPost":
          ok(post!, "ok")
          break
        case "RefusePost":
          refuse(post!)
          break
        case "Write":
          for (const packet of action.packets) this.socket?.send(Packet.encode(packet))
          break
        case "CloseSocket": {
          const { socket } = this
          this.socket = undefined
          socket?.close()
          break
        }
        case "Deliver":
          delivered.push(action.data)
          break
        case "Set":
          this.#set(action.timer)
          break
        case "Clear":
          this.#clear(action.timer)
          break
        case "End":
          for (const timer of this.#timers.keys()) this.#clear(timer)
          this.reasons.push(action.reason)
          break
      }
    }
    for (const data of delivered) this.#options.onMessage(this, data)
  }
}

const sidOf = (request: http.IncomingMessage) => new URL(request.url!, "http://a").searchParams.get("sid")

export interface Server {
  readonly url: string
  readonly sessions: Map<string, Session>
  readonly close: () => Promise<void>
}

/** On a free port of the loopback. */
export const serve = async (options: Options): Promise<Server> => {
  const sessions = new Map<string, Session>()
  let opened = 0
  const open = (first: http.ServerResponse | WebSocket) => {
    const sid = `session-${opened++}`
    sessions.set(sid, new Session(sid, options, first))
  }
  const server = http.createServer((request, response) => {
    const sid = sidOf(request)
    if (sid === null) return open(response)
    const session = sessions.get(sid)
    if (session === undefined) return refuse(response)
    if (request.method === "GET") session.onGet(response)
    else void session.onPost(request, response)
  })
  const sockets = new WebSocketServer({ server })
  sockets.on("connection", (socket, request) => {
    const sid = sidOf(request)
    if (sid === null) return open(socket)
    const session = sessions.get(sid)
    if (session === undefined) return socket.close()
    session.onSocket(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sessions,
    close: async () => {
      for (const socket of sockets.clients) socket.terminate()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  }
}
