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
