/**
 * A test that is evidence for one sentence of a specification: `clause("5.1-2", "what we do", () => { ... })` is
 * Vitest's `it`, with the sentence in its title. The `clause.ts` in the folder of each specification is made here.
 *
 * ./table.ts finds these calls by reading the test files, so the id and the title are string literals, on the spot.
 */
import { it as effectIt } from "@effect/vitest"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { it } from "vitest"
import type { Specification } from "./clauses.ts"

export const claiming = <Id extends string>({ clauses, name }: Specification<Id>) => {
  const title = (id: Id, what: string): string => {
    const clause = clauses.find((clause) => clause.id === id)
    if (clause === undefined) throw new Error(`${name} ${id} is not in clauses.ts`)
    if (clause.notOurs !== undefined) throw new Error(`${name} ${id} is not ours: ${clause.notOurs}`)
    return `${name} ${id} ${what} «${clause.text}»`
  }

  const test = (id: Id, what: string, body: () => void | Promise<void>): void => it(title(id, what), body)

  return Object.assign(test, {
    /** The same for every case, each a test of its own; the first member of a case is its name. */
    each: <Name extends string, Rest extends ReadonlyArray<unknown>>(
      id: Id,
      what: string,
      cases: ReadonlyArray<readonly [name: Name, ...rest: Rest]>,
      body: (name: Name, ...rest: Rest) => void | Promise<void>
    ): void => {
      for (const [name, ...rest] of cases) it(title(id, `${what}: ${name}`), () => body(name, ...rest))
    },
    /** An Effect with a Scope, under TestClock. */
    effect: <A, E>(id: Id, what: string, body: () => Effect.Effect<A, E, Scope.Scope>): void =>
      effectIt.effect(title(id, what), body),
    /** An Effect with a Scope, under the real clock: for what only a socket can show. */
    live: <A, E>(id: Id, what: string, body: () => Effect.Effect<A, E, Scope.Scope>): void =>
      effectIt.live(title(id, what), body)
  })
}
