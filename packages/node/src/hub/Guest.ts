/**
 * Who asks something of the hub, as far as a program can tell from the request.
 */
import type { Refusal } from "@millrace/core/codec/HandshakeError"
import * as HttpHeaders from "@millrace/core/codec/HttpHeaders"
import type { Client } from "@millrace/core/cluster/HubAccess"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import * as Identifier from "@millrace/core/messaging/Identifier"
import * as Effect from "effect/Effect"
import * as Upgrade from "../Upgrade.ts"

/** What a client came with. */
export interface Request {
  /** For a WebSocket, an event stream, to publish one message, to look at a topic, or at the frames of a WebSocket. */
  readonly purpose: "socket" | "events" | "publish" | "read" | "frames"
  /** The target without its query, as it was sent. */
  readonly path: string
  readonly query: URLSearchParams
  /** All fields, in the order of the wire. */
  readonly headers: HttpHeaders.Headers
  /** The value of a field, whatever its case; repeated ones joined by a comma, or by a semicolon for `Cookie`. */
  readonly header: (name: string) => string | undefined
}

/** Who it is. */
export interface Identity {
  /** Several connections may belong to one user. Default: nobody knows. */
  readonly user?: string | undefined
  /** What it is called in the messages that it publishes, in place of what it calls itself. */
  readonly name?: string | undefined
}

/** Finds out who asks, or refuses: `NodeWebSocketServer.refuse(401)`. */
export type Identify = (request: Request) => Effect.Effect<Identity, Refusal>

/** A request of `node:http`. */
export const requestOf = (
  purpose: Request["purpose"],
  request: { readonly url?: string | undefined; readonly rawHeaders: Array<string> }
): Request => {
  const headers = Upgrade.headersOf(request)
  const [path = "", ...query] = (request.url ?? "").split("?")
  return {
    purpose,
    path,
    query: new URLSearchParams(query.join("?")),
    headers,
    header: (name) => {
      const values = HttpHeaders.values(headers, name)
      return values.length === 0 ? undefined : values.join(name.toLowerCase() === "cookie" ? "; " : ", ")
    }
  }
}

/** Who asks by HTTP. */
export const clientOf = (identify: Identify | undefined, request: Request): Effect.Effect<Client<Request>, Refusal> =>
  Effect.gen(function* () {
    const { name = HubMessage.httpClient, user } = identify === undefined ? {} : yield* identify(request)
    return { id: yield* Identifier.next, name, user, request }
  })

export const badName = `a name has 1 to ${HubMessage.maxNameLength} characters, no control characters, and no "@" in front`
