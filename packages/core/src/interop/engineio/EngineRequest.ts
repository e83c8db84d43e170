/**
 * What a request for Engine.IO is about, by its method and query; and how it is refused. Pure.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import { revision } from "./Packet.ts"

/** What the session goes over. */
export type TransportName = "polling" | "websocket"

/** A request that belongs to a session, or wants a new one. */
export interface EngineRequest {
  readonly transport: TransportName
  /** `undefined` for who has no session yet. */
  readonly sid: string | undefined
}

/**
 * Where a client asks for a session: the address of the server with what the protocol wants in the query. `url` is
 * absolute; where it has no path, that is `/socket.io/`. What cannot be parsed is left as it is, for whoever opens it to
 * refuse.
 */
export const address = (url: string | URL, transport: TransportName): string => {
  const given = typeof url === "string" ? url : url.href
  if (!URL.canParse(given)) return given
  const [, origin = "", path = "", query = ""] = /^([^/]*\/\/[^/?#]*)([^?#]*)(\?[^#]*)?/.exec(new URL(given).href) ?? []
  const more = query.length > 1 ? `${query.slice(1)}&` : ""
  return `${origin}${path === "" || path === "/" ? "/socket.io/" : path}?${more}EIO=${revision}&transport=${transport}`
}

/** By the codes of the protocol. */
const messages = [
  "Transport unknown",
  "Session ID unknown",
  "Bad handshake method",
  "Bad request",
  "Forbidden",
  "Unsupported protocol version"
] as const

export type Code = 0 | 1 | 2 | 3 | 4 | 5

/** The client's: it is answered with this as JSON, by 400; `Forbidden` by 403. */
export class EngineRefusal extends Data.TaggedError("EngineRefusal")<{
  readonly code: Code
  /** What an application says instead of `Forbidden`. */
  readonly detail?: string | undefined
}> {
  override get message(): string {
    return this.detail ?? messages[this.code]
  }

  get status(): 400 | 403 {
    return this.code === 4 ? 403 : 400
  }

  get json(): string {
    return JSON.stringify({ code: this.code, message: this.message })
  }
}

const refuse = (code: Code) => Result.fail(new EngineRefusal({ code }))

/** A session's name as we make them, with that of a node; a longer one is nobody's. */
const maxSidLength = 160

/**
 * `isUpgrade`: whether the request asks for a WebSocket. Of a parameter that is there twice the first counts. The names of
 * transports are these two and no others, however they are spelled: what a client writes is looked up in no object.
 */
export const parse = (
  method: string,
  query: { readonly get: (name: string) => string | null },
  isUpgrade: boolean
): Result.Result<EngineRequest, EngineRefusal> => {
  const transport = query.get("transport")
  if (transport !== "polling" && transport !== "websocket") return refuse(0)
  const sid = query.get("sid") ?? undefined
  if (sid !== undefined) {
    if (sid.length === 0 || sid.length > maxSidLength) return refuse(1)
    return isUpgrade === (transport === "websocket") ? Result.succeed({ transport, sid }) : refuse(3)
  }
  if (query.get("EIO") !== String(revision)) return refuse(5)
  if (method !== "GET") return refuse(2)
  return isUpgrade === (transport === "websocket") ? Result.succeed({ transport, sid }) : refuse(3)
}
