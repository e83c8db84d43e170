/** The specifications that have a folder here, in the order of docs/conformance.md. */
import type { Specification } from "./clauses.ts"
import { rfc6455 } from "./rfc6455/clauses.ts"

export const specifications: ReadonlyArray<Specification> = [rfc6455]
