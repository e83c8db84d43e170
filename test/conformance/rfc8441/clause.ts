/** Tests that are evidence for a sentence of RFC 8441. */
import { claiming } from "../clause.ts"
import { rfc8441 } from "./clauses.ts"

export const clause = claiming(rfc8441)
