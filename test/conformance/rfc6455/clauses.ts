/**
 * What RFC 6455 demands, sentence by sentence, in its own order and its own words: every MUST, MUST NOT, SHALL and
 * REQUIRED, every "_Fail the WebSocket Connection_", and the few demands it makes with a small "must".
 *
 * Sections 3 to 11 are here in full, but for what 11.4 to 11.6 ask of those who register names. Sections 1 (an
 * introduction) and 2 (definitions) demand nothing of an endpoint. SHOULD and MAY are not here.
 *
 * An id is a section and a number; it is the name of a sentence for good, so a sentence added later goes last in its
 * section. A test claims a sentence with `clause` of ./clause.ts.
 */
export type Role = "client" | "server" | "both"

export interface Clause<Id extends string = string> {
  readonly id: Id
  /** Whose duty it is. */
  readonly role: Role
  /** The sentence. Lines are joined, and "…" stands for what was left out. */
  readonly text: string
  /** Why it is nobody's duty in this repository. */
  readonly notOurs: string | undefined
  /** Why Millrace leaves it to the program, and how a program keeps it: what its tests show. */
  readonly left: string | undefined
}

const ours = <const Id extends string>(id: Id, role: Role, text: string): Clause<Id> => ({
  id,
  role,
  text,
  notOurs: undefined,
  left: undefined
})

const notOurs = <const Id extends string>(id: Id, role: Role, text: string, why: string): Clause<Id> => ({
  id,
  role,
  text,
  notOurs: why,
  left: undefined
})

const left = <const Id extends string>(id: Id, role: Role, text: string, why: string): Clause<Id> => ({
  id,
  role,
  text,
  notOurs: undefined,
  left: why
})

const pending =
  "the sentence keeps a script of somebody else's from flooding a server, while a back end opens many connections of its own and should not wait for a slow one to open the next; a program keeps it by opening within a Semaphore of one permit for each address"

const intermediary = "for intermediaries: Millrace is an endpoint"

/** The sections that have rows here, with the titles the RFC gives them. */
export const sections: ReadonlyArray<readonly [number: string, title: string]> = [
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
]

export const clauses = [
  ours(
    "3-1",
    "client",
    "Fragment identifiers are meaningless in the context of WebSocket URIs and MUST NOT be used on these URIs."
  ),
  ours(
    "3-2",
    "client",
    'As with any URI scheme, the character "#", when not indicating the start of a fragment, MUST be escaped as %23.'
  ),

  ours(
    "4.1-1",
    "client",
    "When the client is to _Establish a WebSocket Connection_ given a set of (/host/, /port/, /resource name/, and /secure/ flag), … it MUST open a connection, send an opening handshake, and read the server's handshake in response."
  ),
  ours(
    "4.1-2",
    "client",
    "The components of the WebSocket URI passed into this algorithm (/host/, /port/, /resource name/, and /secure/ flag) MUST be valid according to the specification of WebSocket URIs specified in Section 3."
  ),
  ours(
    "4.1-3",
    "client",
    "If any of the components are invalid, the client MUST _Fail the WebSocket Connection_ and abort these steps."
  ),
  left(
    "4.1-4",
    "client",
    "If the client already has a WebSocket connection to the remote host (IP address) identified by /host/ and port /port/ pair, even if the remote host is known by another name, the client MUST wait until that connection has been established or for that connection to have failed.",
    pending
  ),
  left("4.1-5", "client", "There MUST be no more than one connection in a CONNECTING state.", pending),
  left(
    "4.1-6",
    "client",
    "If multiple connections to the same IP address are attempted simultaneously, the client MUST serialize them so that there is no more than one connection at a time running through the following steps.",
    pending
  ),
  notOurs(
    "4.1-7",
    "client",
    "If the client cannot determine the IP address of the remote host (for example, because all communication is being done through a proxy server that performs DNS queries itself), then the client MUST assume for the purposes of this step that each host name refers to a distinct remote host, …",
    "for clients behind a proxy: ours connects directly"
  ),
  notOurs(
    "4.1-8",
    "client",
    "For the purpose of proxy autoconfiguration scripts, the URI to pass the function MUST be constructed from /host/, /port/, /resource name/, and the /secure/ flag using the definition of a WebSocket URI as given in Section 3.",
    "for clients that run proxy autoconfiguration scripts: ours runs none"
  ),
  ours(
    "4.1-9",
    "client",
    "If the connection could not be opened, either because a direct connection failed or because any proxy used returned an error, then the client MUST _Fail the WebSocket Connection_ and abort the connection attempt."
  ),
  ours(
    "4.1-10",
    "client",
    "If /secure/ is true, the client MUST perform a TLS handshake over the connection after opening the connection and before sending the handshake data [RFC2818]."
  ),
  ours(
    "4.1-11",
    "client",
    "If this fails (e.g., the server's certificate could not be verified), then the client MUST _Fail the WebSocket Connection_ and abort the connection."
  ),
  ours(
    "4.1-12",
    "client",
    "Otherwise, all further communication on this channel MUST run through the encrypted tunnel [RFC5246]."
  ),
  ours("4.1-13", "client", "Clients MUST use the Server Name Indication extension in the TLS handshake [RFC6066]."),
  ours(
    "4.1-14",
    "client",
    "Once a connection to the server has been established (including a connection via a proxy or over a TLS-encrypted tunnel), the client MUST send an opening handshake to the server."
  ),
  ours("4.1-15", "client", "The handshake MUST be a valid HTTP request as specified by [RFC2616]."),
  ours("4.1-16", "client", "The method of the request MUST be GET, and the HTTP version MUST be at least 1.1."),
  ours(
    "4.1-17",
    "client",
    'The "Request-URI" part of the request MUST match the /resource name/ defined in Section 3 (a relative URI) or be an absolute http/https URI that, when parsed, has a /resource name/, /host/, and /port/ that match the corresponding ws/wss URI.'
  ),
  ours(
    "4.1-18",
    "client",
    'The request MUST contain a |Host| header field whose value contains /host/ plus optionally ":" followed by /port/ (when not using the default port).'
  ),
  ours(
    "4.1-19",
    "client",
    'The request MUST contain an |Upgrade| header field whose value MUST include the "websocket" keyword.'
  ),
  ours(
    "4.1-20",
    "client",
    'The request MUST contain a |Connection| header field whose value MUST include the "Upgrade" token.'
  ),
  ours("4.1-21", "client", "The request MUST include a header field with the name |Sec-WebSocket-Key|."),
  ours(
    "4.1-22",
    "client",
    "The value of this header field MUST be a nonce consisting of a randomly selected 16-byte value that has been base64-encoded (see Section 4 of [RFC4648])."
  ),
  ours("4.1-23", "client", "The nonce MUST be selected randomly for each connection."),
  notOurs(
    "4.1-24",
    "client",
    "The request MUST include a header field with the name |Origin| [RFC6454] if the request is coming from a browser client.",
    "for browsers, which send the header field themselves"
  ),
  ours("4.1-25", "client", "The request MUST include a header field with the name |Sec-WebSocket-Version|."),
  ours("4.1-26", "client", "The value of this header field MUST be 13."),
  ours(
    "4.1-27",
    "client",
    "The elements that comprise this value MUST be non-empty strings with characters in the range U+0021 to U+007E not including separator characters as defined in [RFC2616] and MUST all be unique strings."
  ),
  ours(
    "4.1-28",
    "client",
    "Once the client's opening handshake has been sent, the client MUST wait for a response from the server before sending any further data."
  ),
  ours("4.1-29", "client", "The client MUST validate the server's response as follows:"),
  ours(
    "4.1-30",
    "client",
    'If the response lacks an |Upgrade| header field or the |Upgrade| header field contains a value that is not an ASCII case-insensitive match for the value "websocket", the client MUST _Fail the WebSocket Connection_.'
  ),
  ours(
    "4.1-31",
    "client",
    'If the response lacks a |Connection| header field or the |Connection| header field doesn\'t contain a token that is an ASCII case-insensitive match for the value "Upgrade", the client MUST _Fail the WebSocket Connection_.'
  ),
  ours(
    "4.1-32",
    "client",
    'If the response lacks a |Sec-WebSocket-Accept| header field or the |Sec-WebSocket-Accept| contains a value other than the base64-encoded SHA-1 of the concatenation of the |Sec-WebSocket-Key| (as a string, not base64-decoded) with the string "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" but ignoring any leading and trailing whitespace, the client MUST _Fail the WebSocket Connection_.'
  ),
  ours(
    "4.1-33",
    "client",
    "If the response includes a |Sec-WebSocket-Extensions| header field and this header field indicates the use of an extension that was not present in the client's handshake (the server has indicated an extension not requested by the client), the client MUST _Fail the WebSocket Connection_."
  ),
  ours(
    "4.1-34",
    "client",
    "If the response includes a |Sec-WebSocket-Protocol| header field and this header field indicates the use of a subprotocol that was not present in the client's handshake (the server has indicated a subprotocol not requested by the client), the client MUST _Fail the WebSocket Connection_."
  ),
  ours(
    "4.1-35",
    "client",
    "If the server's response does not conform to the requirements for the server's handshake as defined in this section and in Section 4.2.2, the client MUST _Fail the WebSocket Connection_."
  ),

  ours(
    "4.2.1-1",
    "server",
    "The server must parse at least part of this handshake in order to obtain the necessary information to generate the server part of the handshake."
  ),
  ours(
    "4.2.1-2",
    "server",
    "If the server, while reading the handshake, finds that the client did not send a handshake that matches the description below …, including but not limited to any violations of the ABNF grammar specified for the components of the handshake, the server MUST stop processing the client's handshake and return an HTTP response with an appropriate error code (such as 400 Bad Request)."
  ),

  ours(
    "4.2.2-1",
    "server",
    "When a client establishes a WebSocket connection to a server, the server MUST complete the following steps to accept the connection and send the server's opening handshake."
  ),
  ours(
    "4.2.2-2",
    "server",
    "If the connection is happening on an HTTPS (HTTP-over-TLS) port, perform a TLS handshake over the connection. If this fails …, then close the connection; otherwise, all further communication for the connection (including the server's handshake) MUST run through the encrypted tunnel [RFC5246]."
  ),
  ours(
    "4.2.2-3",
    "server",
    "If the server does not wish to accept this connection, it MUST return an appropriate HTTP error code (e.g., 403 Forbidden) and abort the WebSocket handshake described in this section."
  ),
  ours(
    "4.2.2-4",
    "server",
    "If this version does not match a version understood by the server, the server MUST abort the WebSocket handshake described in this section and instead send an appropriate HTTP error code (such as 426 Upgrade Required) and a |Sec-WebSocket-Version| header field indicating the version(s) the server is capable of understanding."
  ),
  ours(
    "4.2.2-5",
    "server",
    "If the requested service is not available, the server MUST send an appropriate HTTP error code (such as 404 Not Found) and abort the WebSocket handshake."
  ),
  ours(
    "4.2.2-6",
    "server",
    "The value chosen MUST be derived from the client's handshake, specifically by selecting one of the values from the |Sec-WebSocket-Protocol| field that the server is willing to use for this connection (if any)."
  ),
  ours(
    "4.2.2-7",
    "server",
    "The absence of such a field is equivalent to the null value (meaning that if the server does not wish to agree to one of the suggested subprotocols, it MUST NOT send back a |Sec-WebSocket-Protocol| header field in its response)."
  ),
  ours(
    "4.2.2-8",
    "server",
    "If the server supports multiple extensions, then the value MUST be derived from the client's handshake, specifically by selecting one or more of the values from the |Sec-WebSocket-Extensions| field."
  ),
  ours("4.2.2-9", "server", "Extensions not listed by the client MUST NOT be listed."),
  ours(
    "4.2.2-10",
    "server",
    "If the server chooses to accept the incoming connection, it MUST reply with a valid HTTP response indicating the following."
  ),

  ours(
    "4.3-1",
    "both",
    "When using the quoted-string syntax variant, the value after quoted-string unescaping MUST conform to the 'token' ABNF."
  ),

  ours(
    "4.4-1",
    "server",
    "If the server doesn't support the requested version, it MUST respond with a |Sec-WebSocket-Version| header field (or multiple |Sec-WebSocket-Version| header fields) containing all versions it is willing to use."
  ),

  ours(
    "5.1-1",
    "client",
    "To avoid confusing network intermediaries (such as intercepting proxies) and for security reasons that are further discussed in Section 10.3, a client MUST mask all frames that it sends to the server (see Section 5.3 for further details)."
  ),
  ours("5.1-2", "server", "The server MUST close the connection upon receiving a frame that is not masked."),
  ours("5.1-3", "server", "A server MUST NOT mask any frames that it sends to the client."),
  ours("5.1-4", "client", "A client MUST close a connection if it detects a masked frame."),

  ours(
    "5.2-1",
    "both",
    "RSV1, RSV2, RSV3: 1 bit each … MUST be 0 unless an extension is negotiated that defines meanings for non-zero values."
  ),
  ours(
    "5.2-2",
    "both",
    "If a nonzero value is received and none of the negotiated extensions defines the meaning of such a nonzero value, the receiving endpoint MUST _Fail the WebSocket Connection_."
  ),
  ours(
    "5.2-3",
    "both",
    "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket Connection_."
  ),
  ours(
    "5.2-4",
    "both",
    "If 127, the following 8 bytes interpreted as a 64-bit unsigned integer (the most significant bit MUST be 0) are the payload length."
  ),
  ours(
    "5.2-5",
    "both",
    "Note that in all cases, the minimal number of bytes MUST be used to encode the length, for example, the length of a 124-byte-long string can't be encoded as the sequence 126, 0, 124."
  ),
  notOurs(
    "5.2-6",
    "both",
    'Any extension MUST specify the length of the "Extension data", or how that length may be calculated, and how the extension use MUST be negotiated during the opening handshake.',
    "for authors of extensions: Millrace defines none"
  ),
  ours("5.2-7", "both", "frame-rsv1 = %x0 / %x1 … MUST be 0 unless negotiated otherwise"),
  ours("5.2-8", "both", "frame-rsv2 = %x0 / %x1 … MUST be 0 unless negotiated otherwise"),
  ours("5.2-9", "both", "frame-rsv3 = %x0 / %x1 … MUST be 0 unless negotiated otherwise"),

  ours("5.3-1", "client", "A masked frame MUST have the field frame-masked set to 1, as defined in Section 5.2."),
  ours(
    "5.3-2",
    "client",
    "When preparing a masked frame, the client MUST pick a fresh masking key from the set of allowed 32-bit values."
  ),
  ours(
    "5.3-3",
    "client",
    "The masking key needs to be unpredictable; thus, the masking key MUST be derived from a strong source of entropy, and the masking key for a given frame MUST NOT make it simple for a server/proxy to predict the masking key for a subsequent frame."
  ),

  ours(
    "5.4-1",
    "both",
    "One implication of this is that in absence of extensions, senders and receivers must not depend on the presence of specific frame boundaries."
  ),
  ours("5.4-2", "both", "Control frames themselves MUST NOT be fragmented."),
  ours("5.4-3", "both", "Message fragments MUST be delivered to the recipient in the order sent by the sender."),
  ours(
    "5.4-4",
    "both",
    "The fragments of one message MUST NOT be interleaved between the fragments of another message unless an extension has been negotiated that can interpret the interleaving."
  ),
  ours(
    "5.4-5",
    "both",
    "An endpoint MUST be capable of handling control frames in the middle of a fragmented message."
  ),
  ours("5.4-6", "both", "Clients and servers MUST support receiving both fragmented and unfragmented messages."),
  notOurs(
    "5.4-7",
    "both",
    "As control frames cannot be fragmented, an intermediary MUST NOT attempt to change the fragmentation of a control frame.",
    intermediary
  ),
  notOurs(
    "5.4-8",
    "both",
    "An intermediary MUST NOT change the fragmentation of a message if any reserved bit values are used and the meaning of these values is not known to the intermediary.",
    intermediary
  ),
  notOurs(
    "5.4-9",
    "both",
    "An intermediary MUST NOT change the fragmentation of any message in the context of a connection where extensions have been negotiated and the intermediary is not aware of the semantics of the negotiated extensions.",
    intermediary
  ),
  notOurs(
    "5.4-10",
    "both",
    "Similarly, an intermediary that didn't see the WebSocket handshake (and wasn't notified about its content) that resulted in a WebSocket connection MUST NOT change the fragmentation of any message of such connection.",
    intermediary
  ),
  ours(
    "5.4-11",
    "both",
    "Since control frames cannot be fragmented, the type for all fragments in a message MUST be either text, binary, or one of the reserved opcodes."
  ),

  ours(
    "5.5-1",
    "both",
    "All control frames MUST have a payload length of 125 bytes or less and MUST NOT be fragmented."
  ),

  ours(
    "5.5.1-1",
    "both",
    "If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer (in network byte order) representing a status code with value /code/ defined in Section 7.4."
  ),
  notOurs(
    "5.5.1-2",
    "client",
    "As the data is not guaranteed to be human readable, clients MUST NOT show it to end users.",
    "for programs with a user interface: Millrace hands the reason to the program and shows it to nobody"
  ),
  ours("5.5.1-3", "client", "Close frames sent from client to server must be masked as per Section 5.3."),
  ours("5.5.1-4", "both", "The application MUST NOT send any more data frames after sending a Close frame."),
  ours(
    "5.5.1-5",
    "both",
    "If an endpoint receives a Close frame and did not previously send a Close frame, the endpoint MUST send a Close frame in response."
  ),
  ours(
    "5.5.1-6",
    "both",
    "After both sending and receiving a Close message, an endpoint considers the WebSocket connection closed and MUST close the underlying TCP connection."
  ),
  ours("5.5.1-7", "server", "The server MUST close the underlying TCP connection immediately; …"),

  ours(
    "5.5.2-1",
    "both",
    "Upon receipt of a Ping frame, an endpoint MUST send a Pong frame in response, unless it already received a Close frame."
  ),

  ours(
    "5.5.3-1",
    "both",
    'A Pong frame sent in response to a Ping frame must have identical "Application data" as found in the message body of the Ping frame being replied to.'
  ),

  ours(
    "5.6-1",
    "both",
    "Note that a particular text frame might include a partial UTF-8 sequence; however, the whole message MUST contain valid UTF-8."
  ),

  ours(
    "5.8-1",
    "both",
    "The endpoints of a connection MUST negotiate the use of any extensions during the opening handshake."
  ),

  ours(
    "6.1-1",
    "both",
    "To _Send a WebSocket Message_ comprising of /data/ over a WebSocket connection, an endpoint MUST perform the following steps."
  ),
  ours(
    "6.1-2",
    "both",
    "The endpoint MUST ensure the WebSocket connection is in the OPEN state (cf. Sections 4.1 and 4.2.2.)"
  ),
  ours(
    "6.1-3",
    "both",
    "If at any point the state of the WebSocket connection changes, the endpoint MUST abort the following steps."
  ),
  ours("6.1-4", "both", "An endpoint MUST encapsulate the /data/ in a WebSocket frame as defined in Section 5.2."),
  ours(
    "6.1-5",
    "both",
    "The opcode (frame-opcode) of the first frame containing the data MUST be set to the appropriate value from Section 5.2 for data that is to be interpreted by the recipient as text or binary data."
  ),
  ours(
    "6.1-6",
    "both",
    "The FIN bit (frame-fin) of the last frame containing the data MUST be set to 1 as defined in Section 5.2."
  ),
  ours(
    "6.1-7",
    "client",
    "If the data is being sent by the client, the frame(s) MUST be masked as defined in Section 5.3."
  ),
  ours(
    "6.1-8",
    "both",
    "The frame(s) that have been formed MUST be transmitted over the underlying network connection."
  ),

  ours("6.2-1", "both", "Incoming data MUST be parsed as WebSocket frames as defined in Section 5.2."),
  ours(
    "6.2-2",
    "both",
    "If a control frame (Section 5.5) is received, the frame MUST be handled as defined by Section 5.5."
  ),
  ours(
    "6.2-3",
    "both",
    "Upon receiving a data frame (Section 5.6), the endpoint MUST note the /type/ of the data as defined by the opcode (frame-opcode) from Section 5.2."
  ),
  ours("6.2-4", "both", "Subsequent data frames MUST be interpreted as belonging to a new WebSocket message."),
  ours(
    "6.2-5",
    "server",
    "A server MUST remove masking for data frames received from a client as described in Section 5.3."
  ),

  ours(
    "7.1.2-1",
    "both",
    "To _Start the WebSocket Closing Handshake_ with a status code (Section 7.4) /code/ and an optional close reason (Section 7.1.6) /reason/, an endpoint MUST send a Close control frame, as described in Section 5.5.1, whose status code is set to /code/ and whose close reason is set to /reason/."
  ),

  ours(
    "7.1.7-1",
    "client",
    "Certain algorithms and specifications require an endpoint to _Fail the WebSocket Connection_. To do so, the client MUST _Close the WebSocket Connection_, and MAY report the problem to the user …."
  ),
  ours(
    "7.1.7-2",
    "server",
    "Similarly, to do so, the server MUST _Close the WebSocket Connection_, and SHOULD log the problem."
  ),
  ours(
    "7.1.7-3",
    "both",
    "If _The WebSocket Connection is Established_ prior to the point where the endpoint is required to _Fail the WebSocket Connection_, the endpoint SHOULD send a Close frame with an appropriate status code (Section 7.4) before proceeding to _Close the WebSocket Connection_."
  ),
  ours(
    "7.1.7-4",
    "both",
    "An endpoint MUST NOT continue to attempt to process data (including a responding Close frame) from the remote endpoint after being instructed to _Fail the WebSocket Connection_."
  ),

  ours(
    "7.2.1-1",
    "client",
    "Certain algorithms, in particular during the opening handshake, require the client to _Fail the WebSocket Connection_. To do so, the client MUST _Fail the WebSocket Connection_ as defined in Section 7.1.7."
  ),
  ours(
    "7.2.1-2",
    "client",
    "If at any point the underlying transport layer connection is unexpectedly lost, the client MUST _Fail the WebSocket Connection_."
  ),

  ours(
    "7.2.2-1",
    "server",
    "Certain algorithms require or recommend that the server _Abort the WebSocket Connection_ during the opening handshake. To do so, the server MUST simply _Close the WebSocket Connection_ (Section 7.1.1)."
  ),

  ours(
    "7.4.1-1",
    "both",
    "1005 is a reserved value and MUST NOT be set as a status code in a Close control frame by an endpoint."
  ),
  ours(
    "7.4.1-2",
    "both",
    "1006 is a reserved value and MUST NOT be set as a status code in a Close control frame by an endpoint."
  ),
  ours(
    "7.4.1-3",
    "both",
    "1015 is a reserved value and MUST NOT be set as a status code in a Close control frame by an endpoint."
  ),

  ours(
    "8.1-1",
    "both",
    "When an endpoint is to interpret a byte stream as UTF-8 but finds that the byte stream is not, in fact, a valid UTF-8 stream, that endpoint MUST _Fail the WebSocket Connection_."
  ),

  ours("9-1", "server", "A server MUST NOT respond with any extension not requested by the client."),
  ours(
    "9-2",
    "both",
    "If extension parameters are included in negotiations between the client and the server, those parameters MUST be chosen in accordance with the specification of the extension to which the parameters apply."
  ),

  ours(
    "9.1-1",
    "both",
    "If a value is received by either the client or the server during negotiation that does not conform to the ABNF below, the recipient of such malformed data MUST immediately _Fail the WebSocket Connection_."
  ),
  ours(
    "9.1-2",
    "both",
    "When using the quoted-string syntax variant, the value after quoted-string unescaping MUST conform to the 'token' ABNF."
  ),
  ours("9.1-3", "both", "Any extension-token used MUST be a registered token (see Section 11.4)."),
  ours("9.1-4", "both", "The parameters supplied with any given extension MUST be defined for that extension."),
  ours(
    "9.1-5",
    "client",
    "Note that the client is only offering to use any advertised extensions and MUST NOT use them unless the server indicates that it wishes to use the extension."
  ),

  notOurs(
    "10.1-1",
    "server",
    "Servers should therefore be careful about assuming that they are talking directly to scripts from known origins and must consider that they might be accessed in unexpected ways.",
    "advice to the author of an application"
  ),

  ours(
    "10.3-1",
    "client",
    "Clients MUST choose a new masking key for each frame, using an algorithm that cannot be predicted by end applications that provide data."
  ),
  ours(
    "10.3-2",
    "client",
    "It is also necessary that once the transmission of a frame from a client has begun, the payload (application-supplied data) of that frame must not be capable of being modified by the application."
  ),
  ours(
    "10.3-3",
    "client",
    "If additional data is to be sent or data to be sent is somehow changed, that new or changed data must be sent in a new frame and thus with a new masking key."
  ),
  ours(
    "10.3-4",
    "client",
    "In short, once transmission of a frame begins, the contents must not be modifiable by the remote script (application)."
  ),

  ours(
    "10.4-1",
    "both",
    "Implementations that have implementation- and/or platform-specific limitations regarding the frame size or total message size after reassembly from multiple frames MUST protect themselves against exceeding those limits."
  ),

  ours(
    "10.6-1",
    "both",
    "WebSocket implementations MUST support TLS and SHOULD employ it when communicating with their peers."
  ),

  ours("10.7-1", "both", "Incoming data MUST always be validated by both clients and servers."),

  ours(
    "11.1.1-1",
    "client",
    "Characters in the host component that are excluded by the syntax defined above MUST be converted from Unicode to ASCII as specified in [RFC3987] or its replacement."
  ),
  ours(
    "11.1.1-2",
    "client",
    "Characters in other components that are excluded by the syntax defined above MUST be converted from Unicode to ASCII by first encoding the characters as UTF-8 and then replacing the corresponding bytes using their percent-encoded form as defined in the URI [RFC3986] and Internationalized Resource Identifier (IRI) [RFC3987] specifications."
  ),
  ours(
    "11.1.2-1",
    "client",
    "Characters in the host component that are excluded by the syntax defined above MUST be converted from Unicode to ASCII as specified in [RFC3987] or its replacement."
  ),
  ours(
    "11.1.2-2",
    "client",
    "Characters in other components that are excluded by the syntax defined above MUST be converted from Unicode to ASCII by first encoding the characters as UTF-8 and then replacing the corresponding bytes using their percent-encoded form as defined in the URI [RFC3986] and IRI [RFC3987] specifications."
  ),

  ours("11.3.1-1", "both", "The |Sec-WebSocket-Key| header field MUST NOT appear more than once in an HTTP request."),
  ours(
    "11.3.2-1",
    "both",
    "However, the |Sec-WebSocket-Extensions| header field MUST NOT appear more than once in an HTTP response."
  ),
  ours("11.3.3-1", "both", "The |Sec-WebSocket-Accept| header MUST NOT appear more than once in an HTTP response."),
  ours(
    "11.3.4-1",
    "both",
    "However, the |Sec-WebSocket-Protocol| header field MUST NOT appear more than once in an HTTP response."
  ),
  ours(
    "11.3.5-1",
    "both",
    "However, the |Sec-WebSocket-Version| header field MUST NOT appear more than once in an HTTP request."
  )
]

export type ClauseId = (typeof clauses)[number]["id"]

export const sectionOf = (id: string): string => id.slice(0, id.lastIndexOf("-"))
