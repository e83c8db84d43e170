/**
 * Which nodes there are. Each says every two seconds that it is there, and when it goes; one that is silent for long is
 * taken for gone.
 *
 * Silence is counted in heartbeats of our own: a process that was held up for a minute has heard nobody, and accuses
 * nobody. While the broker cannot be reached nothing is counted either, and what was known stays. A node that was gone
 * and is heard again is there again. What two nodes know may differ for as long as a heartbeat takes, and while the
 * broker carries nothing between them.
 *
 * A node costs the others some 300 bytes every two seconds, and some 500 of memory.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Alarm from "./Alarm.ts"
import { Broker } from "./Broker.ts"
import type { BrokerError } from "./BrokerError.ts"
import * as Cast from "./Cast.ts"
import * as Changes from "./Changes.ts"
import * as Life from "./Life.ts"
import * as NodeMessage from "./NodeMessage.ts"
import type { Node } from "./NodeMessage.ts"

export type { Node }

/** What a node says of itself. */
export interface Options {
  /** For people, and not unique: a worker's number, a host and port. 1 to 128 bytes of UTF-8. */
  readonly name: string
  /** Where clients reach this node. At most 2,048 bytes. */
  readonly url?: string | undefined
  /** How many it has now. Asked at each heartbeat; must not throw. Default: none. */
  readonly describe?: (() => { readonly connections: number; readonly topics: number }) | undefined
  /** Between two heartbeats, less up to a tenth of it by chance. At least 10 ms. Default 2 s. */
  readonly interval?: Duration.Input | undefined
  /** Nodes that are known, this one too. More are not taken in, and counted. Default 1,024. */
  readonly maxNodes?: number | undefined
}

export const defaults = { interval: "2 seconds", maxNodes: 1_024 } satisfies Partial<Options>

/** How many heartbeats of its own a node hears nothing of another, until that is gone: after 5.4 to 8 s by default. */
export const patience = 3

/** The channel on which nodes say that they are there. */
export const channel = "$nodes"

export type Change =
  | { readonly _tag: "Joined"; readonly node: Node }
  /** Whether it has said so, or was silent. */
  | { readonly _tag: "Left"; readonly node: Node; readonly because: "Goodbye" | "Silence" }

/** Who is told of nodes, in the turn in which the news comes. Of this node nothing is told. Nothing of it may throw. */
export interface Listener {
  readonly joined?: ((node: Node) => void) | undefined
  readonly left?: ((node: Node, because: "Goodbye" | "Silence") => void) | undefined
  /** At each heartbeat, the first too. */
  readonly heard?: ((node: Node) => void) | undefined
}

/** What was not taken in, since the start. */
export interface Counters {
  /** Messages that could not be read: of another version, or no node's. */
  readonly unread: number
  /** Heartbeats of nodes that were one too many. */
  readonly refused: number
  /** Heartbeats of our own that the broker has not taken. */
  readonly unsent: number
}

/** The nodes of a cluster, as a service. */
export class Nodes extends Context.Service<
  Nodes,
  {
    /** This node, with what it has now. */
    readonly self: () => Node
    /** All that are there now, this one too: the one that was started first comes first. */
    readonly list: () => ReadonlyArray<Node>
    /** One that is there now. */
    readonly get: (id: string) => Node | undefined
    /**
     * `Joined` for each one that is there, this one too, then what changes; ends with the scope of the nodes. For who is
     * slow, a node that has joined and left in between is none.
     */
    readonly changes: Stream.Stream<Change>
    /** Tells as long as the scope is open. */
    readonly listen: (listener: Listener) => Effect.Effect<void, never, Scope.Scope>
    /**
     * Says a text with each heartbeat, as it is then, for as long as the scope is open: the others find it in `carried`.
     * At most 16 names of 128 bytes; a name that is taken, or one too many, is a defect. A text of more than 128 bytes is
     * left out.
     */
    readonly carry: (name: string, text: () => string) => Effect.Effect<void, never, Scope.Scope>
    readonly counters: () => Counters
  }
>()("@millrace/core/cluster/Nodes") {
  static readonly layer = (options: Options): Layer.Layer<Nodes, BrokerError, Broker> =>
    Layer.effect(
      Nodes,
      Effect.flatMap(Effect.service(Broker), (broker) => make(broker, options))
    )
}

/** What is known of another node. */
interface Known {
  node: Node
  life: number
  beat: number
  /** Heartbeats of ours since it was heard. */
  missed: number
}

/** The last that was heard of a node that is gone: what is not newer was held up on its way. */
interface Gone {
  readonly life: number
  readonly beat: number
}

/**
 * Is there for the others as long as the scope is open, and says goodbye then. Fails when the broker refuses to let it
 * hear. A name, a url or a bound that may not be is a defect.
 */
export const make = (
  broker: Broker["Service"],
  options: Options
): Effect.Effect<Nodes["Service"], BrokerError, Scope.Scope> =>
  Effect.contextWith((context: Context.Context<never>) =>
    Effect.gen(function* () {
      const { describe, name, url } = options
      const interval = Duration.toMillis(options.interval ?? defaults.interval)
      const maxNodes = options.maxNodes ?? defaults.maxNodes
      if (!Cast.isText(name, NodeMessage.maxNameBytes)) throw new TypeError("the name of a node has 1 to 128 bytes")
      if (url !== undefined && !Cast.isText(url, NodeMessage.maxUrlBytes)) {
        throw new TypeError("the url of a node has 1 to 2,048 bytes")
      }
      if (!(interval >= 10)) throw new TypeError("the interval of heartbeats is at least 10 ms")
      const clock = Context.get(context, Clock.Clock)
      const random = Context.get(context, Random.Random)
      const started = clock.currentTimeMillisUnsafe()
      const life = Life.next(broker, started)
      const id = broker.node
      const others = new Map<string, Known>()
      const gone = new Map<string, Gone>()
      const listeners = new Set<Listener>()
      const watchers = new Map<unknown, { readonly tell: (changes: ReadonlyArray<Change>) => void; end: () => void }>()
      const carrying = new Map<string, () => string>()
      const counters = { unread: 0, refused: 0, unsent: 0 }
      let beats = 0
      /** Of the clock of `alarm`: when the next heartbeat is due, and when the last one was. */
      let next = 0
      let last = Number.NEGATIVE_INFINITY
      let closed = false

      const self = (): Node => {
        const { connections, topics } = describe?.() ?? { connections: 0, topics: 0 }
        const carried = new Map<string, string>()
        for (const [key, textOf] of carrying) {
          const text = textOf()
          if (Cast.isText(text, NodeMessage.maxCarriedBytes, 0)) carried.set(key, text)
        }
        return { id, name, url, started, connections, topics, carried }
      }

      const say = (message: NodeMessage.NodeMessage) =>
        broker.cast(channel, NodeMessage.encode(message)).pipe(
          // Whatever the broker does, the next heartbeat is in time.
          Effect.timeout(interval),
          Effect.catch(() => Effect.sync(() => void counters.unsent++))
        )

      const tell = (change: Change) => {
        for (const { tell } of watchers.values()) tell([change])
      }

      const leave = (known: Known, because: "Goodbye" | "Silence", beat: number) => {
        const { node } = known
        others.delete(node.id)
        gone.delete(node.id)
        gone.set(node.id, { life: known.life, beat })
        if (gone.size > maxNodes) gone.delete(gone.keys().next().value!)
        for (const { left } of listeners) left?.(node, because)
        tell({ _tag: "Left", node, because })
      }

      const sweep = () => {
        if (broker.status()._tag !== "Up") return
        for (const known of others.values()) if (++known.missed > patience) leave(known, "Silence", known.beat)
      }

      const alarm = yield* Alarm.make(clock, (alarm) => {
        if (closed) return Effect.void
        const now = alarm.now()
        if (now >= next) {
          sweep()
          next = now + interval * (1 - random.nextDoubleUnsafe() / 10)
        }
        alarm.at(next)
        last = now
        return say({ _tag: "Beat", life, beat: ++beats, node: self() })
      })

      const hear = ({ beat, life: its, node }: NodeMessage.Beat) => {
        let known = others.get(node.id)
        const before = known ?? gone.get(node.id)
        if (before !== undefined && (its < before.life || (its === before.life && beat <= before.beat))) return
        if (known !== undefined && known.life !== its) {
          leave(known, "Goodbye", Number.POSITIVE_INFINITY)
          known = undefined
        }
        if (known === undefined) {
          if (others.size + 1 >= maxNodes) return void counters.refused++
          known = { node, life: its, beat, missed: 0 }
          others.set(node.id, known)
          gone.delete(node.id)
          for (const { joined } of listeners) joined?.(node)
          tell({ _tag: "Joined", node })
          // It should not wait to hear of us; but a hundred that come at a time hear one heartbeat, not a hundred.
          alarm.at(Math.max(alarm.now(), last + interval / 8))
        }
        known.node = node
        known.beat = beat
        known.missed = 0
        for (const { heard } of listeners) heard?.(node)
      }

      yield* broker.hear(channel, (bytes) => {
        if (closed) return
        const message = NodeMessage.decode(bytes)
        if (message === undefined) counters.unread++
        else if (message._tag === "Beat") {
          if (message.node.id !== id) hear(message)
        } else {
          const known = others.get(message.id)
          if (known?.life === message.life) leave(known, "Goodbye", Number.POSITIVE_INFINITY)
          else if (known === undefined && message.id !== id) {
            // Its heartbeats may be behind its goodbye.
            gone.set(message.id, { life: message.life, beat: Number.POSITIVE_INFINITY })
            if (gone.size > maxNodes) gone.delete(gone.keys().next().value!)
          }
        }
      })

      yield* Effect.addFinalizer(() => {
        closed = true
        for (const { end } of watchers.values()) end()
        return say({ _tag: "Goodbye", id, life })
      })
      alarm.at(alarm.now())

      const list = (): ReadonlyArray<Node> =>
        [self(), ...Array.from(others.values(), ({ node }) => node)].sort(
          (one, other) => one.started - other.started || (one.id < other.id ? -1 : 1)
        )

      return Nodes.of({
        self,
        list,
        get: (its) => (its === id ? self() : others.get(its)?.node),
        changes: Changes.stream<string, Change>({
          keyOf: ({ node }) => node.id,
          sum: (first, second) => (first._tag === second._tag ? second : undefined),
          open: (tell, end) => {
            if (closed) end()
            watchers.set(tell, { tell, end })
            return list().map((node) => ({ _tag: "Joined", node }))
          },
          close: (tell) => watchers.delete(tell)
        }),
        listen: (listener) =>
          Effect.asVoid(
            Effect.acquireRelease(
              // Its own object, so that one that listens twice is told twice.
              Effect.sync(() => {
                const own = { ...listener }
                listeners.add(own)
                return own
              }),
              (own) => Effect.sync(() => listeners.delete(own))
            )
          ),
        carry: (key, text) =>
          Effect.asVoid(
            Effect.acquireRelease(
              Effect.sync(() => {
                if (carrying.has(key)) throw new TypeError(`${key} is carried already`)
                if (carrying.size >= NodeMessage.maxCarried) throw new TypeError("more than 16 texts cannot be carried")
                if (!Cast.isText(key, NodeMessage.maxCarriedBytes)) throw new TypeError("a name has 1 to 128 bytes")
                carrying.set(key, text)
              }),
              () => Effect.sync(() => carrying.delete(key))
            )
          ),
        counters: () => ({ ...counters })
      })
    })
  )
