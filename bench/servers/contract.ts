/** What is asked of the servers of sessions. */
import * as Contract from "@millrace/core/messaging/Contract"
import * as Schema from "effect/Schema"

/** An order, in 100 bytes of JSON. */
export const Order = Schema.Struct({
  room: Schema.String,
  user: Schema.Struct({ id: Schema.Number, name: Schema.String }),
  quantity: Schema.Number,
  urgent: Schema.Boolean,
  note: Schema.String
})

export const Bench = Contract.make("bench", {
  requests: { echo: { payload: Order, success: Order } },
  streams: { count: { payload: Schema.Number, element: Schema.Struct({ n: Schema.Number }) } }
})
