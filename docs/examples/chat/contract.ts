/** What a chat's server and its clients say to each other: the one file that both ends import. */
import * as Contract from "@millrace/core/messaging/Contract"
import * as Schema from "effect/Schema"

const Line = Schema.Struct({ from: Schema.String, text: Schema.String })

/** Somebody else has that name. */
export class NameTaken extends Schema.TaggedError<NameTaken>()("NameTaken", { name: Schema.String }) {}

export const Chat = Contract.make("chat", {
  events: { said: Line },
  commands: { say: Schema.String },
  requests: { rename: { payload: Schema.String, error: NameTaken } },
  streams: { history: { element: Line } }
})
