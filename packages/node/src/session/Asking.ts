/**
 * A plain request, for whoever decides whether it may open a connection: what is the same for a WebSocket.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2"
import * as HttpHeaders from "@millrace/core/codec/HttpHeaders"
import * as Upgrade from "../Upgrade.ts"

export type AnyRequest = IncomingMessage | Http2ServerRequest
export type AnyResponse = ServerResponse | Http2ServerResponse

/** A request, for whoever decides whether it may open a connection. The same for both ways. */
export type Asking = Pick<Upgrade.UpgradeRequest, "header" | "headers" | "path" | "query" | "remoteAddress">

const headersOf = ({ rawHeaders }: AnyRequest): HttpHeaders.Headers =>
  Upgrade.headersOf({ rawHeaders }).filter(([name]) => !name.startsWith(":"))

export const askingOf = (request: AnyRequest): Asking => {
  const headers = headersOf(request)
  const header = (name: string) => HttpHeaders.combined(headers, name)
  const [path = "", ...rest] = (request.url ?? "").split("?")
  const query = new URLSearchParams(rest.join("?"))
  return { headers, header, path, query, remoteAddress: request.socket.remoteAddress }
}
