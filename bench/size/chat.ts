/** A contract of four messages, one of each kind, without `effect/Schema`: the program brings its own checks. */
import * as Contract from "@millrace/core/messaging/Contract"
import type { StandardSchemaV1 } from "effect/StandardSchema"

const standard = <A>(is: (value: unknown) => value is A): StandardSchemaV1<A> => ({
  "~standard": {
    version: 1,
    vendor: "chat",
    validate: (value) => (is(value) ? { value } : { issues: [{ message: "something else was expected" }] })
  }
})

const text = standard((value) => typeof value === "string")
const number = standard((value) => typeof value === "number")

export const Chat = Contract.fromStandard("chat", {
  events: { said: text },
  commands: { say: text },
  requests: { rename: { payload: text, success: text } },
  streams: { history: { payload: number, element: text } }
})
