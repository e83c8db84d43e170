/**
 * A node of the workers' broker, as a process that a test can kill: it publishes one thing after the other, writes down
 * what it was told, and says so when it is asked. A program, started by `workers.ts`.
 */
import * as Parcel from "@millrace/core/cluster/Parcel"
import * as Message from "@millrace/core/protocol/Message"
import * as WorkersBroker from "@millrace/node/brokers/WorkersBroker"
import * as Effect from "effect/Effect"
import type { Report, Told } from "./workers.ts"

const [directory = "", name = "", host = ""] = process.argv.slice(2)
const tell = (told: Told) => process.send?.(told)

const report: Report = { subscribed: undefined, delivered: [], gaps: [], acknowledged: [], failed: [] }
const wanted = { publishing: true }

const program = Effect.gen(function* () {
  const broker = yield* WorkersBroker.make({
    directory,
    host: host === "host",
    hosting: (reign) => tell({ _tag: "Hosting", reign, at: Date.now() })
  })
  const attachment = yield* broker.attach({
    deliver: ({ parcel, position }) =>
      report.delivered.push([new TextDecoder().decode(parcel.message.bytes), position]),
    lost: ({ from, to }) => report.gaps.push([from, to])
  })
  report.subscribed = yield* attachment.subscribe("topic")
  tell({ _tag: "Ready", at: Date.now() })
  for (let i = 0; wanted.publishing; i++) {
    const id = `${name}:${i}`
    const exit = yield* Effect.result(broker.publish("topic", Parcel.make(Message.text(id))))
    if (exit._tag === "Success") report.acknowledged.push([id, exit.success.position])
    else report.failed.push([id, exit.failure.reason._tag])
    yield* Effect.sleep(2)
  }
  yield* Effect.never
})

process.on("message", (asked: "stop" | "report") => {
  if (asked === "stop") wanted.publishing = false
  else tell({ _tag: "Report", report })
})
process.on("disconnect", () => process.exit())
await Effect.runPromise(Effect.scoped(program))
