/** Tests that are evidence for a sentence of RFC 7692. */
import { claiming } from "../clause.ts"
import { rfc7692 } from "./clauses.ts"

export const clause = claiming(rfc7692)
