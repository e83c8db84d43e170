/**
 * `GET /frames?connection=`: what goes over a WebSocket of this node, as an event stream, for whose it is.
 *
 * Who may is who has the token that the connection was told, and nobody else knows; where clients are known, it has to be
 * one of the same user besides. A token that is none, that is of another user or of a connection that is over, are answered
 * alike.
 */
import type * as http from "node:http"
import type * as Origin from "@millrace/core/codec/Origin"
import * as Effect from "effect/Effect"
import * as HubEvents from "../HubEvents.ts"
import type * as NodeEventStream from "../NodeEventStream.ts"
import * as Answer from "./Answer.ts"
import type { FrameViews } from "./FrameViews.ts"
import * as Guest from "./Guest.ts"

export interface Options {
  readonly views: FrameViews
  readonly streams: NodeEventStream.EventStreams
  readonly origin: Origin.Policy
  readonly identify?: Guest.Identify | undefined
}

/** Answers a request. */
export const respond = (
  { identify, origin, streams, views }: Options,
  request: http.IncomingMessage,
  response: http.ServerResponse
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const cors = HubEvents.crossOrigin(origin, request)
    if (cors === undefined) return HubEvents.foreign(Answer.problem, response)
    if (request.method === "OPTIONS") return HubEvents.preflight(response, cors, "GET", "Cache-Control, Authorization")
    const fields = Object.fromEntries(cors)
    const asked = Guest.requestOf("frames", request)
    const token = asked.query.get("connection")
    if (token === null) {
      const sentence = 'say which: ?connection= and what "frames" was in the welcome of a WebSocket at /ws?frames=1'
      return Answer.problem(response, 400, "bad-message", sentence, fields)
    }
    const { user } = yield* Guest.clientOf(identify, asked)
    const view = views.find(token, user)
    if (view === undefined) {
      // Whoever asks again may come to another node: not on this connection.
      const headers = { ...fields, Connection: "close" }
      return Answer.problem(response, 404, "not-found", "there is no such connection here, or not any more", headers)
    }
    if (view.isCrowded) {
      return Answer.problem(response, 503, "unavailable", "enough look at this connection", fields)
    }
    const opened = streams.openUnsafe(request, response, { headers: cors })
    if (opened !== undefined) view.tell(opened)
  }).pipe(Effect.catchTag("Refusal", (refusal) => Effect.sync(() => Answer.refusal(response, refusal))))
