/** Sections 10 and 11 of RFC 6455: security, and the fields and schemes that are registered. */
import { notOurs, ours } from "../../clauses.ts"

export const considerations = [
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
