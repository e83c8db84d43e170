/** Section 5 of RFC 6455: frames. */
import { notOurs, ours } from "../../clauses.ts"

const intermediary = "for intermediaries: Millrace is an endpoint"

export const framing = [
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
  )
]
