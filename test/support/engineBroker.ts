/** Brokers on an engine whose server is the test's own, and what they and their callers were told. */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { Broker, Delivery, Gap } from "@millrace/core/cluster/Broker"
import { BrokerError, Rejected } from "@millrace/core/cluster/BrokerError"
import * as EngineBroker from "@millrace/core/cluster/EngineBroker"
import * as Parcel from "@millrace/core/cluster/Parcel"
import * as Message from "@millrace/core/protocol/Message"
import { turn } from "./connection.ts"
import * as FaultyEngine from "./faultyEngine.ts"

export const text = (value: string) => Parcel.make(new Message.Text(value))

export const reconnect = Schedule.spaced("1 second")

/** A broker on a server of the test's own. */
export const broker = (server: FaultyEngine.FaultyServer, options?: EngineBroker.Options, node = "a") =>
  EngineBroker.make(server.engine(node), { reconnect, ...options })

/** One that is up. */
export const up = (server: FaultyEngine.FaultyServer, options?: EngineBroker.Options, node = "a") =>
  Effect.tap(broker(server, options, node), () => turn)

export const listener = (its: Broker["Service"]) =>
  Effect.gen(function* () {
    const told: Array<string> = []
    const attachment = yield* its.attach({
      deliver: ({ parcel, position }: Delivery) =>
        void told.push(`${position.offset} ${(parcel.message as Message.Text).text}`),
      lost: ({ from, to }: Gap) => void told.push(`lost ${from?.epoch}:${from?.offset} ${to.epoch}:${to.offset}`)
    })
    return { told, ...attachment }
  })

/** How many of these calls ask what was missed. */
export const asked = (names: ReadonlyArray<string>) => names.filter((name) => name.startsWith("since")).length

export const rejected = (cause: string) => new BrokerError({ reason: new Rejected({ cause }) })

export const callsOf = (server: FaultyEngine.FaultyServer, ...kinds: ReadonlyArray<string>) =>
  server.calls.filter((call) => kinds.includes(call.split(" ")[0]!))
