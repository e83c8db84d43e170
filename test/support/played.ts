/** Recordings to play, and who is at the other end. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Transport from "@millrace/core/connection/Transport"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import * as Transcript from "@millrace/core/protocol/Transcript"
import type * as Recording from "@millrace/core/protocol/Recording"
import { over } from "./connection.ts"
import { end, frame, of, text } from "./recordings.ts"
import { hex } from "./wire.ts"

export const echo = (connection: WebSocket.WebSocket) => Stream.runForEach(connection.messages, connection.send)

export const shown = (recording: Recording.Recording) =>
  Transcript.read(recording).map((said) => `${said.t} ${said.from}: ${Transcript.show(said)}`)

export const closed = frame("client", "close", hex("03 e8"), { t: 3_000 })

export const answered = frame("server", "close", hex("03 e8"), { t: 3_000 })

/** A conversation with an echo. */
export const log = of(
  text("client", "one"),
  text("server", "one"),
  text("client", "two", { t: 2_000 }),
  text("server", "two", { t: 2_000 }),
  closed,
  answered,
  end
)

/** A transport, with a server at the other end that does this. */
export const servedBytes = <E>(handler: (connection: WebSocket.WebSocket) => Effect.Effect<unknown, E>) =>
  Effect.gen(function* () {
    const [near, far] = Transport.makePair()
    const server = yield* over(far, "server")
    yield* Effect.forkScoped(handler(server), { startImmediately: true })
    return near
  })
