import { JetStreamApiError } from "@nats-io/jetstream"
import { errors } from "@nats-io/transport-node"
import { expect, it } from "vitest"
import * as Faults from "@millrace/node/brokers/nats/Faults"

const api = (code: number, err_code: number) => new JetStreamApiError({ code, err_code, description: "no" })

it.each([
  ["insufficient resources, though it says 503", api(503, 10_023), "Rejected"],
  ["a store that failed", api(503, 10_077), "Rejected"],
  ["a system that is not available for now", api(503, 10_008), "Unavailable"],
  ["a stream that is gone", api(404, 10_059), "Unavailable"],
  ["another stream", api(400, 10_060), "Unavailable"],
  ["a configuration that is refused", api(400, 10_052), "Rejected"],
  ["a wrong password", new errors.AuthorizationError("no"), "Rejected"],
  ["too many connections", new errors.ProtocolError("maximum connections exceeded"), "Rejected"],
  ["a reader that is too slow", new errors.ProtocolError("Slow Consumer"), "Unavailable"],
  ["a connection that was cut", new Error("read ECONNRESET"), "Unavailable"]
] as const)("%s is the fault it should be", (_, error, tag) => {
  expect(Faults.errorOf(error).reason._tag).toBe(tag)
})

it("does not know of what was said and not answered, and knows of what was refused", () => {
  const outcomes = [
    Faults.errorOf(new errors.TimeoutError(), true),
    Faults.errorOf(new errors.RequestError("x", { cause: new errors.NoRespondersError("s") }), true),
    Faults.errorOf(new errors.ClosedConnectionError(), true),
    Faults.errorOf(api(503, 10_008), true),
    Faults.errorOf(new errors.TimeoutError(), false)
  ].map(({ reason }) => (reason._tag === "Unavailable" ? reason.outcome : reason._tag))
  expect(outcomes).toEqual(["Unknown", "NotPublished", "NotPublished", "NotPublished", "NotPublished"])
})
