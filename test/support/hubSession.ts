/** A client of the hub over a connection in memory, whose far end is the test. */
import * as Effect from "effect/Effect"
import * as Hub from "@millrace/core/cluster/Hub"
import * as HubSession from "@millrace/core/cluster/HubSession"
import type * as Limits from "@millrace/core/connection/Limits"
import { open, reasonOf, start, toward, turn } from "./connection.ts"
import * as frames from "./frames.ts"
import { utf8 } from "./wire.ts"

/** Any message of the hub. */
export type Heard = { readonly type: string; readonly [name: string]: unknown }

/** A session whose client is the test. */
export const session = (
  hub: Hub.Hub["Service"],
  client: string,
  limits?: Partial<Limits.Limits>,
  options?: Omit<HubSession.Options, "client">
) =>
  Effect.gen(function* () {
    const { far, connection } = yield* open("server", limits)
    const serving = HubSession.serve(connection, { client, ...options })
    const fiber = yield* start(reasonOf(Effect.provideService(serving, Hub.Hub, hub)))
    yield* turn
    let read = 0
    /** The texts that it has heard since it was asked last. */
    const heardTexts = (): ReadonlyArray<string> => {
      const all = far.frames.filter(({ opcode }) => opcode === 1)
      const news = all.slice(read).map(({ payload }) => new TextDecoder().decode(payload))
      read = all.length
      return news
    }
    return {
      far,
      fiber,
      connection,
      /** Says several messages in one chunk. */
      say: (...messages: ReadonlyArray<object | string>) => {
        const texts = messages.map((message) => (typeof message === "string" ? message : JSON.stringify(message)))
        far.push(frames.concat(texts.map((text) => toward("server", frames.frame(1, utf8(text))))))
        return turn
      },
      heardTexts,
      /** The same as values. */
      heard: (): ReadonlyArray<Heard> => heardTexts().map((text) => JSON.parse(text) as Heard)
    }
  })
