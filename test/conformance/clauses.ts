/**
 * What a specification demands, sentence by sentence, in its own order and its own words. Each has a folder here, with
 * its sentences in `clauses.ts` and tests that claim them; ./table.ts makes docs/conformance.md of all.
 *
 * An id is a section and a number; it is the name of a sentence for good, so a sentence added later goes last in its
 * section.
 */
export type Role = "client" | "server" | "both"

export interface Clause<Id extends string = string> {
  readonly id: Id
  /** Whose duty it is. */
  readonly role: Role
  /** The sentence. Lines are joined, and "…" stands for what was left out. */
  readonly text: string
  /** It says as a fact what an endpoint does, and has none of the words of RFC 2119. */
  readonly stated: boolean
  /** Why it is nobody's duty in this repository. */
  readonly notOurs: string | undefined
  /** Why Millrace leaves it to the program, and how a program keeps it: what its tests show. */
  readonly left: string | undefined
}

export interface Specification<Id extends string = string> {
  /** As tests and the page call it: `RFC 6455`. */
  readonly name: string
  readonly title: string
  /** Where its tests are. */
  readonly folder: URL
  /** The sections that have rows, with the titles the specification gives them. */
  readonly sections: ReadonlyArray<readonly [number: string, title: string]>
  readonly clauses: ReadonlyArray<Clause<Id>>
  /** For the page: what the rows are, what there is of them, and what is missing. Paragraphs. */
  readonly about: ReadonlyArray<string>
}

const duty = { stated: false, notOurs: undefined, left: undefined }

export const ours = <const Id extends string>(id: Id, role: Role, text: string): Clause<Id> => ({
  id,
  role,
  text,
  ...duty
})

export const stated = <const Id extends string>(id: Id, role: Role, text: string): Clause<Id> => ({
  id,
  role,
  text,
  ...duty,
  stated: true
})

export const notOurs = <const Id extends string>(id: Id, role: Role, text: string, why: string): Clause<Id> => ({
  id,
  role,
  text,
  ...duty,
  notOurs: why
})

export const left = <const Id extends string>(id: Id, role: Role, text: string, why: string): Clause<Id> => ({
  id,
  role,
  text,
  ...duty,
  left: why
})

export const sectionOf = (id: string): string => id.slice(0, id.lastIndexOf("-"))
