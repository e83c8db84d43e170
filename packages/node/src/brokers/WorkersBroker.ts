/**
 * The broker of several processes of one machine, without a server: they meet in a folder.
 *
 *     const broker = WorkersBroker.layer({ directory: "/run/user/1000/my-app" })
 *
 * What it promises is in `Broker`; what is special about it, in docs/brokers/workers.md.
 */
import { Broker } from "@millrace/core/cluster/Broker"
import * as EngineBroker from "@millrace/core/cluster/EngineBroker"
import * as Reconnect from "@millrace/core/connection/Reconnect"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as WorkersEngine from "./WorkersEngine.ts"

/** Of the workers, and of any broker on an engine. */
export interface Options extends WorkersEngine.Options, EngineBroker.Options {}

/** When it is tried again, unless another schedule is given: there is no network, and somebody has to take over. */
export const reconnect = Reconnect.fullJitter({ base: "20 millis", cap: "500 millis" })

/** It connects at once, and comes back when it is lost, as long as the scope is open. */
export const make = (options: Options): Effect.Effect<Broker["Service"], never, Scope.Scope> =>
  EngineBroker.make(WorkersEngine.make(options), { ...options, reconnect: options.reconnect ?? reconnect })

export const layer = (options: Options): Layer.Layer<Broker> => Layer.effect(Broker, make(options))
