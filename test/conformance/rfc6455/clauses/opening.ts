/** Sections 3 and 4 of RFC 6455: addresses, and the opening handshake. */
import { left, notOurs, ours } from "../../clauses.ts"

const pending =
  "the sentence keeps a script of somebody else's from flooding a server, while a back end opens many connections of its own and should not wait for a slow one to open the next; a program keeps it by opening within a Semaphore of one permit for each address"

export const opening = [
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
  )
]
