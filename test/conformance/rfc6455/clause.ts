/** Tests that are evidence for a sentence of RFC 6455. */
import { claiming } from "../clause.ts"
import { rfc6455 } from "./clauses.ts"

export const clause = claiming(rfc6455)
