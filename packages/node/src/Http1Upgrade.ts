/**
 * A request to open a WebSocket as it comes out of `node:http`: an upgrade of HTTP/1.1. RFC 6455 section 4.
 */
import { type IncomingMessage, ServerResponse } from "node:http"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import * as Handshake from "@millrace/core/codec/Handshake"
import type { InvalidHead, Refusal } from "@millrace/core/codec/HandshakeError"
import * as HttpHead from "@millrace/core/codec/HttpHead"
import * as HttpHeaders from "@millrace/core/codec/HttpHeaders"
import type { Chosen } from "@millrace/core/codec/Negotiation"
import * as Result from "effect/Result"
import * as Upgrade from "./Upgrade.ts"

/** Whether the request asks for a WebSocket and not for another protocol. */
export const isWebSocket = (incoming: IncomingMessage): boolean =>
  HttpHeaders.hasToken(Upgrade.headersOf(incoming), "Upgrade", "websocket")

/** The three things `node:http` hands over with an upgrade. */
export class Http1Upgrade implements Upgrade.Upgrade {
  readonly incoming: IncomingMessage
  readonly duplex: Duplex
  readonly head: Uint8Array

  constructor(incoming: IncomingMessage, socket: Duplex, head: Uint8Array) {
    this.incoming = incoming
    this.duplex = socket
    this.head = head
  }

  get path(): string | undefined {
    return Upgrade.pathOf(this.incoming)
  }

  read(limits: Upgrade.Limits): Result.Result<Upgrade.Asked, Refusal> {
    const { incoming } = this
    const headers = Upgrade.headersOf(incoming)
    const size = Upgrade.checkSize(headers, incoming.url ?? "", limits)
    if (Result.isFailure(size)) return Result.fail(size.failure)
    const client = Handshake.readRequest({
      method: incoming.method ?? "",
      target: incoming.url ?? "",
      version: { major: incoming.httpVersionMajor, minor: incoming.httpVersionMinor },
      headers
    })
    return Result.map(client, (client): Upgrade.Asked => {
      const socket = incoming.socket as Socket & { readonly encrypted?: boolean }
      const request: Upgrade.UpgradeRequest = {
        ...Upgrade.partsOf(client, headers),
        httpVersion: "1.1",
        scheme: undefined,
        // Asked for only when needed: a socket keeps the answer.
        get remoteAddress() {
          return socket.remoteAddress
        },
        encrypted: socket.encrypted === true,
        socket,
        incoming
      }
      return { request, accept: (chosen) => this.accept(client, chosen) }
    })
  }

  private accept(client: Handshake.ClientHandshake, chosen: Chosen): Result.Result<void, InvalidHead> {
    return Result.map(Result.flatMap(Handshake.response(client, chosen), HttpHead.printResponse), (bytes) => {
      this.duplex.write(bytes)
    })
  }

  refuse(refusal: Refusal): void {
    if (this.cutEarly()) return
    const socket = this.duplex
    const bytes = Result.gen(function* () {
      const { body, response } = yield* Handshake.refuse(refusal)
      return [yield* HttpHead.printResponse(response), body] as const
    })
    if (Result.isFailure(bytes)) return this.refuse(Upgrade.internalError)
    // Nobody may be listening to the socket any more, and the client may be gone: neither is our problem.
    socket.on("error", () => socket.destroy())
    socket.write(bytes.success[0])
    socket.write(bytes.success[1])
    end(socket)
  }

  /**
   * Ends the connection of a client that did not wait for the response to its request before, after what there is of
   * that response; `true` if it did not.
   *
   * An answer would get in front of it, and what comes of it behind a 101 would be frames to the client. `node:http`
   * says so here only, without taking the socket.
   */
  cutEarly(): boolean {
    const { _httpMessage } = this.duplex as { readonly _httpMessage?: object | null }
    if ((_httpMessage ?? undefined) === undefined) return false
    const socket = this.duplex
    socket.on("error", () => socket.destroy())
    end(socket)
    return true
  }

  /**
   * A response of `node:http` to the request, for whoever answers it as if it were no upgrade. The socket ends behind
   * it.
   *
   * `undefined` when the client did not wait for the response to the request before, and was cut.
   */
  respond(): ServerResponse | undefined {
    if (this.cutEarly()) return undefined
    const socket = this.duplex
    socket.on("error", () => socket.destroy())
    const response = new ServerResponse(this.incoming)
    response.assignSocket(socket as Socket)
    response.shouldKeepAlive = false
    response.on("finish", () => end(socket))
    return response
  }
}

/** The client has its answer. What it still sends is read and dropped, and it is not waited for indefinitely. */
const end = (socket: Duplex): void => {
  if (socket.destroyed) return
  socket.end()
  socket.resume()
  Upgrade.cutLate(socket, () => socket.destroy())
}
