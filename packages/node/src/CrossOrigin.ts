/**
 * What a page of another origin is told by HTTP: whether it may read an answer, and before that whether it may ask at
 * all. Fetch, 3.2, "CORS protocol". Who may is an `Origin.Policy`, as for a WebSocket.
 */
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import * as Origin from "@millrace/core/codec/Origin"

/** What of a request it depends on, of HTTP/1.1 or HTTP/2. */
export interface Asked {
  readonly headers: {
    readonly host?: string | undefined
    readonly ":authority"?: string | undefined
    readonly origin?: string | undefined
  }
}

/**
 * The fields that let the page read the answer, and of it the fields in `exposed`, if any, besides those that every page
 * may; `undefined` when it may not.
 */
export const fields = (policy: Origin.Policy, { headers }: Asked, exposed?: string): Headers | undefined => {
  const { ":authority": authority, host = authority ?? "", origin } = headers
  if (!Origin.permits(policy, origin, { host })) return undefined
  if (origin === undefined) return [["Vary", "Origin"]]
  return [
    ["Vary", "Origin"],
    ["Access-Control-Allow-Origin", origin],
    ...(exposed === undefined ? [] : [["Access-Control-Expose-Headers", exposed] as const]),
    // Every page may read, and so none with what the user is known by.
    ...(policy._tag === "Any" ? [] : [["Access-Control-Allow-Credentials", "true"] as const])
  ]
}

/** The fields of an answer, 204, to the question whether a page may ask with a method, and with fields of its own. */
export const preflight = (cors: Headers, methods: string, allowed: string): Headers => [
  ...cors,
  ["Access-Control-Allow-Methods", methods],
  ["Access-Control-Allow-Headers", allowed],
  // In seconds.
  ["Access-Control-Max-Age", "600"]
]

/** Whether a field is one of those above. */
export const isField = (name: string): boolean => /^(vary$|access-control-)/i.test(name)
