/**
 * The two ends of a connection over loopback, one of them ours and the other one of another implementation, with the
 * same face: what is tested of one is tested of the other.
 */
import { createHash } from "node:crypto"
import type { AddressInfo } from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type PerMessageDeflateOptions, WebSocket as WsSocket, WebSocketServer } from "ws"
import type { Extension } from "@millrace/core/connection/Extension"
import type * as Limits from "@millrace/core/connection/Limits"
import type { WebSocket as OurSocket } from "@millrace/core/connection/WebSocket"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"

export type Data = string | Uint8Array

export interface End {
  readonly send: (data: Data) => Effect.Effect<void>
  /** The next message. */
  readonly next: Effect.Effect<Data>
  /** All messages from here to the end. */
  readonly rest: Effect.Effect<ReadonlyArray<Data>>
  /** Starts to close. */
  readonly close: (code: number, reason: string) => void
  /** The status that the connection ended with, 1006 without one. */
  readonly closed: Effect.Effect<{ readonly code: number; readonly reason: string }>
  readonly subprotocol: string | undefined
}

/** Something short that differs when the message does. */
export const digest = (data: Data): string =>
  typeof data === "string"
    ? `text ${data.length} ${createHash("sha1").update(data).digest("hex")}`
    : `binary ${data.length} ${createHash("sha1").update(data).digest("hex")}`

/** Things that come one by one, or end. */
class Arrivals<A> {
  private readonly arrived: Array<A> = []
  private ended = false
  private waiting: (() => void) | undefined

  push(value: A): void {
    this.arrived.push(value)
    this.waiting?.()
  }

  end(): void {
    this.ended = true
    this.waiting?.()
  }

  private take<B>(attempt: () => B | undefined): Effect.Effect<B> {
    return Effect.callback<B>((resume) => {
      const check = () => {
        const taken = attempt()
        if (taken === undefined && !this.ended) return
        this.waiting = undefined
        resume(taken === undefined ? Effect.die(new Error("it has ended")) : Effect.succeed(taken))
      }
      this.waiting = check
      check()
      return Effect.sync(() => (this.waiting = undefined))
    })
  }

  readonly next: Effect.Effect<A> = Effect.suspend(() => this.take(() => this.arrived.shift()))
  readonly rest: Effect.Effect<ReadonlyArray<A>> = Effect.suspend(() =>
    this.take(() => (this.ended ? this.arrived.splice(0) : undefined))
  )
}

/** A connection of ours. Its messages are taken as they come. */
export const ours = (connection: OurSocket): Effect.Effect<End, never, Scope.Scope> =>
  Effect.gen(function* () {
    const arrivals = new Arrivals<Data>()
    const take = Effect.map(connection.pull, (messages) => {
      for (const message of messages) arrivals.push(message._tag === "Text" ? message.text : message.bytes)
    })
    yield* Effect.forkScoped(Effect.forever(take).pipe(Effect.exit, Effect.andThen(Effect.sync(() => arrivals.end()))))
    return {
      send: (data) => Effect.orDie(connection.send(data)),
      next: arrivals.next,
      rest: arrivals.rest,
      close: (code, reason) => void Effect.runFork(Effect.ignore(connection.close(code, reason))),
      closed: Effect.map(connection.closed, ({ received, violation }) => {
        if (violation !== undefined) throw violation
        return received ?? { code: 1006, reason: "" }
      }),
      subprotocol: connection.subprotocol
    }
  })

/** What browsers, Node.js and `ws` have in common. */
type Standard = Pick<globalThis.WebSocket, "binaryType" | "close" | "protocol" | "readyState" | "send"> & {
  addEventListener(type: string, listener: (event: never) => void): void
}

/** A connection of another implementation with the interface of browsers. */
export const theirs = (socket: Standard): End => {
  const arrivals = new Arrivals<Data>()
  const ended = new Arrivals<{ readonly code: number; readonly reason: string }>()
  socket.binaryType = "arraybuffer"
  socket.addEventListener("message", ({ data }: { readonly data: string | ArrayBuffer }) =>
    arrivals.push(typeof data === "string" ? data : new Uint8Array(data))
  )
  socket.addEventListener("close", ({ code, reason }: { readonly code: number; readonly reason: string }) => {
    arrivals.end()
    ended.push({ code, reason })
  })
  socket.addEventListener("error", () => {})
  return {
    send: (data) => Effect.sync(() => socket.send(data as string)),
    next: arrivals.next,
    rest: arrivals.rest,
    close: (code, reason) => socket.close(code, reason),
    closed: ended.next,
    get subprotocol() {
      return socket.protocol === "" ? undefined : socket.protocol
    }
  }
}

const opened = (socket: Standard): Effect.Effect<void> =>
  Effect.callback((resume) => {
    socket.addEventListener("open", () => resume(Effect.void))
    socket.addEventListener("close", ({ code }: { readonly code: number }) =>
      resume(Effect.die(new Error(`closed with ${code} before it was open`)))
    )
  })

export interface Pair {
  readonly ours: End
  readonly theirs: End
  readonly connection: OurSocket
}

export interface WsPair extends Pair {
  readonly socket: WsSocket
}

export interface Options {
  readonly limits?: Partial<Limits.Limits> | undefined
  /** What the client offers. */
  readonly offered?: ReadonlyArray<string> | undefined
  /** What the server speaks. */
  readonly spoken?: ReadonlyArray<string> | undefined
  /** Those of our end. */
  readonly extensions?: ReadonlyArray<Extension> | undefined
  /** What `ws` does about compression. It offers it as a client, and takes it as a server, unless told otherwise. */
  readonly perMessageDeflate?: PerMessageDeflateOptions | undefined
}

/** A server of ours, and each connection to it as soon as there is one. */
const listen = ({ extensions, limits, spoken }: Options) =>
  Effect.gen(function* () {
    const arrivals = new Arrivals<OurSocket>()
    const { url } = yield* Effect.orDie(
      NodeWebSocketServer.serve({ limits, subprotocols: spoken, extensions }, (connection) => {
        arrivals.push(connection)
        return connection.closed
      })
    )
    return { url, accept: arrivals.next }
  })

const dial = (options: Options, connect: (url: string, offered: Array<string>) => Standard) =>
  Effect.gen(function* () {
    const { accept, url } = yield* listen(options)
    const socket = connect(url, [...(options.offered ?? [])])
    const end = theirs(socket)
    yield* opened(socket)
    const connection = yield* accept
    return { ours: yield* ours(connection), theirs: end, connection, socket }
  })

/** `ws` as the client of our server. */
export const wsClient = (options: Options = {}): Effect.Effect<WsPair, never, Scope.Scope> =>
  Effect.map(
    dial(options, (url, offered) => {
      const { perMessageDeflate = true } = options
      return new WsSocket(url, offered, { perMessageDeflate }) as Standard
    }),
    (pair) => ({ ...pair, socket: pair.socket as unknown as WsSocket })
  ).pipe(Effect.tap(({ socket }) => Effect.addFinalizer(() => Effect.sync(() => socket.terminate()))))

/** Node's own `WebSocket` as the client of our server. */
export const builtinClient = (options: Options = {}): Effect.Effect<Pair, never, Scope.Scope> =>
  Effect.tap(
    dial(options, (url, offered) => new globalThis.WebSocket(url, offered) as Standard),
    ({ socket }) => Effect.addFinalizer(() => Effect.sync(() => socket.close()))
  )

/** `ws` as the server of our client. */
export const wsServer = (options: Options = {}): Effect.Effect<WsPair, never, Scope.Scope> =>
  Effect.gen(function* () {
    const arrivals = new Arrivals<WsSocket>()
    const server = yield* Effect.acquireRelease(
      Effect.callback<WebSocketServer>((resume) => {
        const server: WebSocketServer = new WebSocketServer(
          {
            host: "127.0.0.1",
            port: 0,
            perMessageDeflate: options.perMessageDeflate ?? true,
            handleProtocols: (offered) => options.spoken?.find((name) => offered.has(name)) ?? false
          },
          () => resume(Effect.succeed(server))
        )
      }),
      (server) =>
        Effect.callback<void>((resume) => {
          for (const socket of server.clients) socket.terminate()
          server.close(() => resume(Effect.void))
        })
    )
    server.on("connection", (socket) => arrivals.push(socket))
    const connection = yield* NodeWebSocket.open(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/`, {
      limits: options.limits,
      subprotocols: options.offered,
      extensions: options.extensions
    }).pipe(Effect.orDie)
    const socket = yield* arrivals.next
    yield* Effect.addFinalizer(() => Effect.sync(() => socket.terminate()))
    return { ours: yield* ours(connection), theirs: theirs(socket as Standard), connection, socket }
  })
