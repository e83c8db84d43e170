/**
 * A request to open a WebSocket as it comes out of `node:http2`: an extended CONNECT. RFC 8441 section 5.
 *
 * The stream takes the place of the socket. `END_STREAM` is its orderly end, and `RST_STREAM` with `CANCEL` its reset.
 */
import type { OutgoingHttpHeaders } from "node:http"
import type { ServerHttp2Stream } from "node:http2"
import type { Socket } from "node:net"
import * as ExtendedConnect from "@millrace/core/codec/ExtendedConnect"
import type { InvalidHead, Refusal } from "@millrace/core/codec/HandshakeError"
import * as HttpHeaders from "@millrace/core/codec/HttpHeaders"
import type { Chosen } from "@millrace/core/codec/Negotiation"
import * as Result from "effect/Result"
import * as NodeTransport from "./NodeTransport.ts"
import * as Upgrade from "./Upgrade.ts"

const noBytes = new Uint8Array(0)

/** A stream that a client has opened, and the fields that it opened it with. */
export class Http2Upgrade implements Upgrade.Upgrade {
  readonly duplex: ServerHttp2Stream
  readonly head = noBytes
  private readonly fields: HttpHeaders.Headers

  constructor(stream: ServerHttp2Stream, rawHeaders: ReadonlyArray<string>) {
    this.duplex = stream
    this.fields = Upgrade.fieldsOf(rawHeaders)
  }

  /** The value of a pseudo-header field. */
  pseudo(name: `:${string}`): string | undefined {
    return HttpHeaders.combined(this.fields, name)
  }

  get path(): string | undefined {
    return Upgrade.pathOf({ url: this.pseudo(":path") })
  }

  read(limits: Upgrade.Limits): Result.Result<Upgrade.Asked, Refusal> {
    const { duplex, fields } = this
    const size = Upgrade.checkSize(fields, "", limits)
    if (Result.isFailure(size)) return Result.fail(size.failure)
    return Result.map(ExtendedConnect.readRequest(fields), (client): Upgrade.Asked => {
      const session = duplex.session!
      const headers = fields.filter(([name]) => !name.startsWith(":"))
      const request: Upgrade.UpgradeRequest = {
        ...Upgrade.partsOf(client, headers),
        httpVersion: "2",
        scheme: client.scheme,
        get remoteAddress() {
          // A session that has ended has no socket to ask.
          return session.destroyed ? undefined : session.socket.remoteAddress
        },
        encrypted: session.encrypted === true,
        get socket() {
          return session.socket as Socket
        },
        incoming: undefined
      }
      return { request, accept: (chosen) => this.accept(client, chosen) }
    })
  }

  private accept(client: ExtendedConnect.ClientHandshake, chosen: Chosen): Result.Result<void, InvalidHead> {
    return Result.map(ExtendedConnect.response(client, chosen), (fields) => {
      if (!isOver(this.duplex)) respond(this.duplex, fields)
    })
  }

  refuse(refusal: Refusal): void {
    const refused = ExtendedConnect.refuse(refusal)
    if (Result.isFailure(refused)) return this.refuse(Upgrade.internalError)
    try {
      answer(this.duplex, refused.success)
    } catch (error) {
      // A field that Node.js will not have: it has sent nothing.
      if (refusal === Upgrade.internalError) throw error
      this.refuse(Upgrade.internalError)
    }
  }

  cutEarly(): boolean {
    return isOver(this.duplex)
  }
}

/** Whether nothing can be sent on it any more: the client has reset it, or has gone. */
const isOver = (stream: ServerHttp2Stream): boolean => stream.destroyed || stream.closed

/** Repeated fields are lists to Node.js. A peer does not choose the names. */
const respond = (stream: ServerHttp2Stream, fields: HttpHeaders.Headers): void => {
  const headers: OutgoingHttpHeaders = { __proto__: null } as never
  for (const [name, value] of fields) {
    const before = headers[name]
    headers[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [`${before}`]), value]
  }
  stream.respond(headers)
}

/** A whole response, and the end of the stream. Nothing, when the client has gone. */
export const answer = (stream: ServerHttp2Stream, { body, headers }: ExtendedConnect.WithBody): void => {
  if (isOver(stream)) return
  respond(stream, headers)
  if (stream.writable) stream.end(body)
  Upgrade.cutLate(stream, () => NodeTransport.destroy(stream))
}
