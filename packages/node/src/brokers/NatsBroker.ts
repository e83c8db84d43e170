/**
 * The broker of a cluster whose nodes meet at a NATS with JetStream.
 *
 *     const broker = NatsBroker.layer({ url: "nats://localhost:4222" })
 *
 * What it promises is in `Broker`, what NATS adds to it and takes from it in docs/brokers/nats.md.
 */
import { Broker } from "@millrace/core/cluster/Broker"
import * as EngineBroker from "@millrace/core/cluster/EngineBroker"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as NatsEngine from "./NatsEngine.ts"

/** Of NATS, and of any broker on an engine. */
export interface Options extends NatsEngine.Options, EngineBroker.Options {}

/** It connects at once, and comes back when it is lost, as long as the scope is open. */
export const make = (options: Options): Effect.Effect<Broker["Service"], never, Scope.Scope> =>
  EngineBroker.make(NatsEngine.make(options), options)

export const layer = (options: Options): Layer.Layer<Broker> => Layer.effect(Broker, make(options))
