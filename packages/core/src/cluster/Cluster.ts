/**
 * What a node can ask of all nodes, or have them do: who is in a topic, how many, take somebody out of one. Each answers
 * for its own members; what comes back says which nodes have not answered, and is never silent about them.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { Hub } from "./Hub.ts"
import { type Node, Nodes } from "./Nodes.ts"
import type { QuestionError } from "./QuestionError.ts"
import { type Answers, type AskOptions, type Json, Questions } from "./Questions.ts"
import * as Target from "./Target.ts"

/** What all nodes say together. */
export interface Counted {
  readonly count: number
  /** Those that are not in it: they have not answered in time, have gone, or have answered that they cannot. */
  readonly silent: ReadonlyArray<Node>
}

/** The same by the wires that members have, `other` for those that have none. */
export interface CountedByWire extends Counted {
  readonly wires: ReadonlyMap<string, number>
}

/** The cluster that a hub is part of, as a service. */
export class Cluster extends Context.Service<
  Cluster,
  {
    readonly nodes: Nodes["Service"]
    readonly questions: Questions["Service"]
    /** How many members a topic has on all nodes. */
    readonly members: (topic: string, options?: AskOptions) => Effect.Effect<Counted, QuestionError>
    readonly wires: (topic: string, options?: AskOptions) => Effect.Effect<CountedByWire, QuestionError>
    /** The topics of all nodes with the number of their members, of each node the first `limit` behind `after`, by name. */
    readonly topics: (
      page: Page,
      options?: AskOptions
    ) => Effect.Effect<
      { readonly topics: ReadonlyArray<TopicCount>; readonly silent: ReadonlyArray<Node> },
      QuestionError
    >
    /** Takes members out of a topic, and tells them. Succeeds with how many are known to be out. */
    readonly kick: (
      target: Target.Target,
      topic: string,
      reason: string,
      options?: AskOptions
    ) => Effect.Effect<Counted, QuestionError>
    /** Takes members out of one topic and into another, and tells them. */
    readonly move: (
      target: Target.Target,
      from: string,
      to: string,
      options?: AskOptions
    ) => Effect.Effect<Counted, QuestionError>
  }
>()("@millrace/core/cluster/Cluster") {
  static readonly layer: Layer.Layer<Cluster, never, Hub | Nodes | Questions> = Layer.effect(
    Cluster,
    Effect.gen(function* () {
      return yield* make(yield* Hub, yield* Nodes, yield* Questions)
    })
  )
}

export interface Page {
  /** Names behind this one, in the order of their code units. Default: from the first. */
  readonly after?: string | undefined
  /** 1 to 500. Default 100. */
  readonly limit?: number | undefined
}

export interface TopicCount {
  readonly topic: string
  readonly members: number
}

/** Most topics of a page. */
export const maxPage = 500
const defaultPage = 100

const limitOf = ({ limit = defaultPage }: Page): number => Math.min(Math.max(1, Math.floor(limit)), maxPage)

/** A page of a hub's topics. Anybody may ask, and there may be many: they are walked, not sorted. */
export const pageOf = (hub: Pick<Hub["Service"], "names" | "members">, page: Page): ReadonlyArray<TopicCount> => {
  const limit = limitOf(page)
  const first: Array<string> = []
  for (const topic of hub.names()) {
    if (page.after !== undefined && topic <= page.after) continue
    if (first.length === limit) {
      if (topic >= first[limit - 1]!) continue
      first.pop()
    }
    first.splice(placeIn(first, topic), 0, topic)
  }
  return first.map((topic) => ({ topic, members: hub.members(topic) }))
}

/** Where it belongs among those that are in order. */
const placeIn = (sorted: ReadonlyArray<string>, topic: string): number => {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sorted[middle]! < topic) low = middle + 1
    else high = middle
  }
  return low
}

/** Answers for its hub, and asks for it, as long as the scope is open. */
export const make = (
  hub: Hub["Service"],
  nodes: Nodes["Service"],
  questions: Questions["Service"]
): Effect.Effect<Cluster["Service"], never, Scope.Scope> =>
  Effect.gen(function* () {
    yield* questions.answer("members", (payload) => Effect.succeed(hub.members(text(payload, "topic"))))
    yield* questions.answer("wires", (payload) => Effect.succeed([...hub.wires(text(payload, "topic"))]))
    yield* questions.answer("topics", (payload) =>
      Effect.succeed(
        pageOf(hub, { after: optional(payload, "after"), limit: number(payload, "limit") }).map(
          ({ members, topic }) => [topic, members]
        )
      )
    )
    yield* questions.answer("kick", (payload) => {
      const target = targetOf(payload)
      return target === undefined
        ? Effect.fail("no target")
        : hub.kick(target, text(payload, "topic"), text(payload, "reason"))
    })
    yield* questions.answer("move", (payload) => {
      const target = targetOf(payload)
      return target === undefined
        ? Effect.fail("no target")
        : Effect.mapError(hub.move(target, text(payload, "from"), text(payload, "to")), ({ message }) => message)
    })

    const count = (name: string, payload: Json, options?: AskOptions) =>
      Effect.map(questions.ask(name, payload, options), counted)
    return Cluster.of({
      nodes,
      questions,
      members: (topic, options) => count("members", { topic }, options),
      wires: (topic, options) => Effect.map(questions.ask("wires", { topic }, options), countedByWire),
      topics: (page, options) =>
        Effect.map(questions.ask("topics", { after: page.after ?? null, limit: limitOf(page) }, options), (answers) =>
          merged(answers, limitOf(page))
        ),
      kick: (target, topic, reason, options) => count("kick", { target: Target.print(target), topic, reason }, options),
      move: (target, from, to, options) => count("move", { target: Target.print(target), from, to }, options)
    })
  })

/** A node that answers that it cannot is one that has not answered what was asked. */
const counted = ({ answers, silent }: Answers): Counted => {
  let count = 0
  const without = [...silent]
  for (const { answer, node } of answers) {
    if (Result.isSuccess(answer) && typeof answer.success === "number") count += answer.success
    else without.push(node)
  }
  return { count, silent: without }
}

/** Pairs of a name and a number, those of all nodes together, and the nodes that have answered something else. */
const added = ({ answers, silent }: Answers) => {
  const all = new Map<string, number>()
  const without = [...silent]
  for (const { answer, node } of answers) {
    if (Result.isFailure(answer) || !Array.isArray(answer.success)) {
      without.push(node)
      continue
    }
    for (const pair of answer.success) {
      const [name, count] = Array.isArray(pair) ? pair : []
      if (typeof name === "string" && typeof count === "number") all.set(name, (all.get(name) ?? 0) + count)
    }
  }
  return { all, silent: without }
}

const countedByWire = (answers: Answers): CountedByWire => {
  const { all: wires, silent } = added(answers)
  return { count: [...wires.values()].reduce((sum, count) => sum + count, 0), wires, silent }
}

const merged = (
  answers: Answers,
  limit: number
): { readonly topics: ReadonlyArray<TopicCount>; readonly silent: ReadonlyArray<Node> } => {
  const { all, silent } = added(answers)
  const topics = [...all]
    .map(([topic, members]) => ({ topic, members }))
    .sort((one, other) => (one.topic < other.topic ? -1 : 1))
    .slice(0, limit)
  return { topics, silent }
}

type Fields = Readonly<Record<string, unknown>>

const fieldOf = (payload: Json, name: string): unknown =>
  typeof payload === "object" && payload !== null && Object.hasOwn(payload, name)
    ? (payload as Fields)[name]
    : undefined

const text = (payload: Json, name: string): string => String(fieldOf(payload, name) ?? "")

const optional = (payload: Json, name: string): string | undefined => {
  const value = fieldOf(payload, name)
  return typeof value === "string" ? value : undefined
}

const number = (payload: Json, name: string): number | undefined => {
  const value = fieldOf(payload, name)
  return typeof value === "number" ? value : undefined
}

const targetOf = (payload: Json): Target.Target | undefined => Target.parse(text(payload, "target"))
