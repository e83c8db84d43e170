/**
 * What stands between the nodes of a hub, as the flags of `millrace serve` say it. The packages of servers are imported
 * when they are asked for, and by nobody else.
 */
import type { Broker, Retention } from "@millrace/core/cluster/Broker"
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Flag from "effect/cli/Flag"
import { Failure } from "./Failure.ts"
import * as flags_ from "./flags.ts"
import * as words from "./words.ts"
import * as workers from "./workers.ts"

type Kind = "memory" | "redis" | "nats"

/** Which broker, and where. */
export interface Place {
  readonly kind: Kind
  readonly url: string
}

const kinds: ReadonlyMap<string, Kind> = new Map([
  ["redis:", "redis"],
  ["rediss:", "redis"],
  ["nats:", "nats"],
  ["tls:", "nats"]
])

/** `undefined` for a text that is no broker. */
export const parse = (text: string): Place | undefined => {
  if (text === "memory") return { kind: "memory", url: "" }
  if (!URL.canParse(text)) return undefined
  const { hostname, protocol } = new URL(text)
  const kind = kinds.get(protocol)
  return kind === undefined || hostname === "" ? undefined : { kind, url: text }
}

/** To be spread among the flags of a command. */
export const flags = {
  broker: Flag.String("broker").pipe(
    Flag.withMetavar("url"),
    Flag.withDescription(
      "What stands between the nodes of a cluster: redis://host:6379, rediss:, nats://host:4222 or tls:. " +
        "Default memory: this process is all there is."
    ),
    Flag.withDefault("memory"),
    Flag.filterMap(
      (text) => Option.fromUndefinedOr(parse(text)),
      () => "memory, or a URL such as redis://localhost:6379 or nats://localhost:4222"
    )
  ),
  historySize: Flag.String("history-size").pipe(
    Flag.withMetavar("number"),
    Flag.withDescription("How many messages of each topic are kept for who comes back. Default 1000."),
    Flag.withDefault("1000"),
    Flag.filterMap(
      (text) => (/^[1-9]\d{0,6}$/.test(text) ? Option.some(Number(text)) : Option.none()),
      () => "a number from 1 to 9999999"
    )
  ),
  historyAge: flags_
    .duration("history-age")
    .pipe(Flag.withDescription("How long they are kept, such as 90s or 1h. Default 5m."), Flag.optional)
}

/** What `flags` are read into. */
export interface Values {
  readonly broker: Place
  readonly historySize: number
  readonly historyAge: Option.Option<number>
}

/** What has to be installed for each. */
const packages: { readonly [kind in Kind]: string } = {
  memory: "",
  redis: "ioredis",
  nats: "@nats-io/transport-node @nats-io/jetstream"
}

const isMissing = (error: unknown): boolean =>
  error instanceof Error && (error as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND"

/** Imports what speaks to a server; fails with what to install. */
const imported = <A>(kind: Kind, load: () => Promise<A>): Effect.Effect<A, Failure> =>
  Effect.tryPromise({
    try: load,
    catch: (error) =>
      new Failure({
        sentence: isMissing(error)
          ? `--broker ${kind}: needs a package that is not installed: npm install ${packages[kind]}`
          : `--broker ${kind}: cannot be used: ${error instanceof Error ? error.message : String(error)}`
      })
  })

/** What is wrong with an option is said when the broker is made. */
const attempt = <A, R>(kind: Kind, make: () => Effect.Effect<A, never, R>): Effect.Effect<A, Failure, R> =>
  Effect.flatten(
    Effect.try({
      try: make,
      catch: (error) =>
        new Failure({ sentence: `--broker: ${kind}: ${error instanceof Error ? error.message : error}` })
    })
  )

/** What the log of several workers keeps; `false` where their broker is a server. */
export const log = ({ broker: { kind }, historyAge, historySize }: Values) => {
  const maxAge = Option.getOrUndefined(historyAge)
  return kind === "memory" && { retention: { maxEntries: historySize, ...(maxAge !== undefined && { maxAge }) } }
}

/** The broker, as long as the scope is open. It need not be there yet. The memory of a worker is that of all of them. */
export const make = (
  { broker: { kind, url }, historyAge, historySize }: Values,
  worker?: workers.Worker
): Effect.Effect<Broker["Service"], Failure, Scope.Scope> => {
  const maxAge = Option.getOrUndefined(historyAge)
  const retention: Retention = { maxEntries: historySize, ...(maxAge !== undefined && { maxAge }) }
  switch (kind) {
    case "memory":
      if (worker !== undefined) return workers.broker(worker, { retention })
      return MemoryBroker.make({ maxEntries: historySize, ...(maxAge !== undefined && { maxAge }) })
    case "redis":
      return Effect.flatMap(
        imported(kind, () => import("../brokers/RedisBroker.ts")),
        (Redis) => attempt(kind, () => Redis.make({ url, retention }))
      )
    case "nats":
      return Effect.flatMap(
        imported(kind, () => import("../brokers/NatsBroker.ts")),
        (Nats) => attempt(kind, () => Nats.make({ url, retention }))
      )
  }
}

/** Says when the broker is lost, and when it is back, as long as the scope is open. */
export const watch = (broker: Broker["Service"]): Effect.Effect<void, never, Scope.Scope> => {
  let isDown = false
  const told = Stream.runForEach(broker.statuses, (status) => {
    const wasDown = isDown
    isDown = status._tag === "Down"
    if (status._tag === "Down") {
      if (wasDown) return Effect.void
      const { message } = status.error
      return words.say(
        `${broker.name}: ${words.escape(message)}; trying again, members of this node are served meanwhile`
      )
    }
    return wasDown && status._tag === "Up" ? words.say(`${broker.name}: the broker is back`) : Effect.void
  })
  return Effect.asVoid(Effect.forkScoped(told))
}
