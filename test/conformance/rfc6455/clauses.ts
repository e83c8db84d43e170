/**
 * What RFC 6455 demands: every MUST, MUST NOT, SHALL and REQUIRED, every "_Fail the WebSocket Connection_", and the few
 * demands it makes with a small "must".
 *
 * Sections 3 to 11 are here in full, but for what 11.4 to 11.6 ask of those who register names. Sections 1 (an
 * introduction) and 2 (definitions) demand nothing of an endpoint. SHOULD and MAY are not here.
 */
import type { Specification } from "../clauses.ts"
import { considerations } from "./clauses/considerations.ts"
import { extensions } from "./clauses/extensions.ts"
import { framing } from "./clauses/framing.ts"
import { messages } from "./clauses/messages.ts"
import { opening } from "./clauses/opening.ts"

const clauses = [...opening, ...framing, ...messages, ...extensions, ...considerations]

export const rfc6455: Specification<(typeof clauses)[number]["id"]> = {
  name: "RFC 6455",
  title: "The WebSocket Protocol",
  folder: new URL("./", import.meta.url),
  sections: [
    ["3", "WebSocket URIs"],
    ["4.1", "Client Requirements"],
    ["4.2.1", "Reading the Client's Opening Handshake"],
    ["4.2.2", "Sending the Server's Opening Handshake"],
    ["4.3", "Collected ABNF for New Header Fields Used in Handshake"],
    ["4.4", "Supporting Multiple Versions of WebSocket Protocol"],
    ["5.1", "Overview"],
    ["5.2", "Base Framing Protocol"],
    ["5.3", "Client-to-Server Masking"],
    ["5.4", "Fragmentation"],
    ["5.5", "Control Frames"],
    ["5.5.1", "Close"],
    ["5.5.2", "Ping"],
    ["5.5.3", "Pong"],
    ["5.6", "Data Frames"],
    ["5.8", "Extensibility"],
    ["6.1", "Sending Data"],
    ["6.2", "Receiving Data"],
    ["7.1.2", "Start the WebSocket Closing Handshake"],
    ["7.1.7", "Fail the WebSocket Connection"],
    ["7.2.1", "Client-Initiated Closure"],
    ["7.2.2", "Server-Initiated Closure"],
    ["7.4.1", "Defined Status Codes"],
    ["8.1", "Handling Errors in UTF-8-Encoded Data"],
    ["9", "Extensions"],
    ["9.1", "Negotiating Extensions"],
    ["10.1", "Non-Browser Clients"],
    ["10.3", "Attacks On Infrastructure (Masking)"],
    ["10.4", "Implementation-Specific Limits"],
    ["10.6", "Connection Confidentiality and Integrity"],
    ["10.7", "Handling of Invalid Data"],
    ["11.1.1", 'Registration of "ws" Scheme'],
    ["11.1.2", 'Registration of "wss" Scheme'],
    ["11.3.1", "Sec-WebSocket-Key"],
    ["11.3.2", "Sec-WebSocket-Extensions"],
    ["11.3.3", "Sec-WebSocket-Accept"],
    ["11.3.4", "Sec-WebSocket-Protocol"],
    ["11.3.5", "Sec-WebSocket-Version"]
  ],
  clauses,
  about: [
    "Every sentence of RFC 6455 that says MUST, MUST NOT, SHALL or REQUIRED, or that makes an endpoint _Fail the WebSocket Connection_, and the few that demand with a small “must”.",
    "**Covered**: sections 3 to 11, in full, for a client and for a server. What is left to programs is whether they open several connections to one address at the same time (4.1). What is not ours is for browsers, proxies, intermediaries, authors of extensions, programs with a user interface.",
    "**Not covered**: SHOULD and MAY; what 11.4 to 11.6 ask of those who register names; the WebSocket of browsers, which is the browser's own."
  ]
}
