/**
 * What RFC 7692 demands: every MUST and MUST NOT of sections 5 to 8, every "_Fail the WebSocket Connection_", and the
 * demands it makes with a small "must". "PMCE" is a per-message compression extension, such as permessage-deflate.
 *
 * Section 8 says "should" and no more. The steps of an algorithm that "MUST" be used stand beside it.
 */
import type { Specification } from "../clauses.ts"
import { deflate } from "./clauses/deflate.ts"
import { framing } from "./clauses/framing.ts"
import { negotiation } from "./clauses/negotiation.ts"

const clauses = [...negotiation, ...framing, ...deflate]

export const rfc7692: Specification<(typeof clauses)[number]["id"]> = {
  name: "RFC 7692",
  title: "Compression Extensions for WebSocket",
  folder: new URL("./", import.meta.url),
  sections: [
    ["5", "Extension Negotiation"],
    ["5.1", "General Negotiation Flow"],
    ["6.1", "Compression"],
    ["6.2", "Decompression"],
    ["7", 'The "permessage-deflate" Extension'],
    ["7.1.1.2", 'The "client_no_context_takeover" Extension Parameter'],
    ["7.1.2.1", 'The "server_max_window_bits" Extension Parameter'],
    ["7.1.2.2", 'The "client_max_window_bits" Extension Parameter'],
    ["7.1.3", "Examples"],
    ["7.2.1", "Compression (of permessage-deflate)"],
    ["7.2.2", "Decompression (of permessage-deflate)"]
  ],
  clauses,
  about: [
    "Every sentence of RFC 7692 that says MUST or MUST NOT, or that makes an endpoint _Fail the WebSocket Connection_, and those that demand with a small “must”. “PMCE” is a per-message compression extension; permessage-deflate is the one that there is.",
    "**Covered**: sections 5 to 8, in full, for a client and for a server. Sections 7.1.1.1, 7.2.3, 7.3 and 8 have no such sentence; the messages that 7.2.3 prints are in the tests of others. What is not ours is for authors of extensions.",
    "**Not covered**: section 4, which is for authors of extensions; SHOULD, RECOMMENDED and MAY."
  ]
}
