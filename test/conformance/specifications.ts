/** The specifications that have a folder here, in the order of docs/conformance.md. */
import type { Specification } from "./clauses.ts"
import { rfc6455 } from "./rfc6455/clauses.ts"
import { rfc7692 } from "./rfc7692/clauses.ts"
import { rfc8441 } from "./rfc8441/clauses.ts"

export const specifications: ReadonlyArray<Specification> = [rfc6455, rfc7692, rfc8441]
