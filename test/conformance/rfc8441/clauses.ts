/**
 * What RFC 8441 demands: every MUST and MUST NOT, and beside them what it states as a fact where an endpoint does it:
 * it says so of most of the handshake, and of how a connection ends.
 *
 * Sections 3 to 5 are here in full. Sections 1, 2 and 6 to 9 demand nothing of an endpoint.
 */
import { ours, type Specification, stated } from "../clauses.ts"

const clauses = [
  ours(
    "3-1",
    "both",
    "The new parameter name is SETTINGS_ENABLE_CONNECT_PROTOCOL. The value of the parameter MUST be 0 or 1."
  ),
  ours(
    "3-2",
    "both",
    "A sender MUST NOT send a SETTINGS_ENABLE_CONNECT_PROTOCOL parameter with the value of 0 after previously sending a value of 1."
  ),
  stated("3-3", "server", "Receipt of this parameter by a server does not have any impact."),
  stated(
    "3-4",
    "client",
    "If a client were to use the provisions of the extended CONNECT method defined in this document without first receiving a SETTINGS_ENABLE_CONNECT_PROTOCOL parameter, a non-supporting peer would detect a malformed request and generate a stream error (Section 8.1.2.6 of [RFC7540])."
  ),

  ours(
    "4-1",
    "client",
    "On requests that contain the :protocol pseudo-header field, the :scheme and :path pseudo-header fields of the target URI (see Section 5) MUST also be included."
  ),
  ours(
    "4-2",
    "server",
    "On requests bearing the :protocol pseudo-header field, the :authority pseudo-header field is interpreted according to Section 8.1.2.3 of [RFC7540] instead of Section 8.3 of that document. In particular, the server MUST NOT create a tunnel to the host indicated by the :authority as it would with a CONNECT method request that was not modified by this extension."
  ),
  stated(
    "4-3",
    "server",
    "Upon receiving a CONNECT request bearing the :protocol pseudo-header field, the server establishes a tunnel to another service of the protocol type indicated by the pseudo-header field."
  ),

  ours(
    "5-1",
    "client",
    'The :protocol pseudo-header field MUST be included in the CONNECT request, and it MUST have a value of "websocket" to initiate a WebSocket connection on an HTTP/2 stream.'
  ),
  ours(
    "5-2",
    "client",
    'The scheme of the target URI (Section 5.1 of [RFC7230]) MUST be "https" for "wss"-schemed WebSockets and "http" for "ws"-schemed WebSockets.'
  ),
  stated("5-3", "client", "The remainder of the target URI is the same as the WebSocket URI."),
  ours(
    "5-4",
    "client",
    "[RFC6455] requires the use of Connection and Upgrade header fields that are not part of HTTP/2. They MUST NOT be included in the CONNECT request defined here."
  ),
  stated(
    "5-5",
    "client",
    "The Host information is conveyed as part of the :authority pseudo-header field, which is required on every HTTP/2 transaction."
  ),
  stated(
    "5-6",
    "both",
    "Implementations using this extended CONNECT to bootstrap WebSockets do not do the processing of the Sec-WebSocket-Key and Sec-WebSocket-Accept header fields of [RFC6455] as that functionality has been superseded by the :protocol pseudo-header field."
  ),
  stated(
    "5-7",
    "both",
    "The Origin [RFC6454], Sec-WebSocket-Version, Sec-WebSocket-Protocol, and Sec-WebSocket-Extensions header fields are used in the CONNECT request and response-header fields as defined in [RFC6455]."
  ),
  stated(
    "5-8",
    "both",
    "Note that HTTP/1 header field names were case insensitive, whereas HTTP/2 requires they be encoded as lowercase."
  ),
  stated(
    "5-9",
    "both",
    "After successfully processing the opening handshake, the peers should proceed with the WebSocket Protocol [RFC6455] using the HTTP/2 stream from the CONNECT transaction as if it were the TCP connection referred to in [RFC6455]."
  ),
  stated("5-10", "both", "Orderly TCP-level closures are represented as END_STREAM flags ([RFC7540], Section 6.1)."),
  stated(
    "5-11",
    "both",
    "RST exceptions are represented with the RST_STREAM frame ([RFC7540], Section 6.4) with the CANCEL error code ([RFC7540], Section 7)."
  )
]

export const rfc8441: Specification<(typeof clauses)[number]["id"]> = {
  name: "RFC 8441",
  title: "Bootstrapping WebSockets with HTTP/2",
  folder: new URL("./", import.meta.url),
  sections: [
    ["3", "The SETTINGS_ENABLE_CONNECT_PROTOCOL SETTINGS Parameter"],
    ["4", "The Extended CONNECT Method"],
    ["5", "Using Extended CONNECT to Bootstrap the WebSocket Protocol"]
  ],
  clauses,
  about: [
    "Every sentence of RFC 8441 that says MUST or MUST NOT, and those that state as a fact what an endpoint does: they are most of its handshake, and how a connection ends.",
    "**Covered**: sections 3 to 5, in full, for a client and for a server. The handshake that 5.1 prints is in the tests. The other sections demand nothing of an endpoint.",
    "**Not covered**: MAY; RFC 9220, which has the same for HTTP/3."
  ]
}
